//! A bus with the limits and the policy of the system's.

use crate::bus::PrivateBus;

/// The rules of `system.conf`, of polkit, and those that `ferryd` needs.
const AS_ON_THE_SYSTEMS: &str = r#"<type>system</type>
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
    <allow send_destination="org.ferryd.Ferry1"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
  <policy user="root">
    <allow own="org.freedesktop.PolicyKit1"/>
  </policy>
  <policy user="USER">
    <allow own="org.ferryd.Ferry1"/>
    <allow send_type="method_call" send_interface="org.freedesktop.DBus.Peer" send_member="Ping"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Debug.Stats"/>
  </policy>"#;

/// On it `ferryd` belongs to this user, and polkit to root.
pub(crate) fn start(user: &str) -> PrivateBus {
    PrivateBus::with(&AS_ON_THE_SYSTEMS.replace("USER", user), &[])
}
