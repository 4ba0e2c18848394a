//! A bus as the system's is (dbus-daemon's `system.conf`): nothing may be owned or called but by the leave of a policy file.

use std::fs;

/// The configuration of such a bus at `socket`, with the policy that is shipped, and others; what that allows the user
/// `ferryd` is allowed `daemon`, the name or UID of who runs the tested one.
pub(crate) fn configuration(socket: &str, daemon: &str, others: &str) -> String {
    let shipped = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/dbus/org.ferryd.Ferry1.conf"));
    let shipped = shipped.expect("the policy that is shipped");
    let policies = shipped.split_once("<busconfig>").and_then(|(_, rest)| rest.split_once("</busconfig>"));
    let policies = policies.expect("a bus configuration").0;
    let named = "<policy user=\"ferryd\">";
    assert!(policies.contains(named), "the user of the unit");
    let policies = policies.replace(named, &format!("<policy user=\"{daemon}\">"));
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"
          send_member="UpdateActivationEnvironment"/>
    <deny send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/>
  </policy>
{policies}{others}</busconfig>
"#
    )
}
