//! A private bus: a real `dbus-daemon` of its own, with limits if asked for, gone when dropped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A bus that only its test knows.
#[derive(Debug)]
pub(crate) struct PrivateBus {
    daemon: Child,
    address: String,
    _dir: TempDir,
}

impl PrivateBus {
    /// A bus with the limits of a session (`session.conf`). Any user may connect and own any name.
    pub(crate) fn start() -> Self {
        Self::with_limits(&[("max_replies_per_connection", 50_000), ("max_match_rules_per_connection", 50_000)])
    }

    /// A bus with these limits, by their names in `dbus-daemon(1)`; the others are as built in, which are nearly those of
    /// the system's bus: 128 calls of a connection may wait for their answers.
    pub(crate) fn with_limits(limits: &[(&str, u64)]) -> Self {
        Self::with(ANYTHING_GOES, limits)
    }

    /// A bus with this type and policy, and these limits.
    pub(crate) fn with(policy: &str, limits: &[(&str, u64)]) -> Self {
        let dir = TempDir::with_prefix("ferry-bus-").expect("a temporary directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("open to other users");
        let config = dir.path().join("bus.conf");
        fs::write(&config, configuration(&dir.path().join("socket").display().to_string(), policy, limits))
            .expect("a file");
        let mut daemon = Command::new("dbus-daemon")
            .arg("--config-file")
            .arg(&config)
            .args(["--nofork", "--nosyslog", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon (Debian package dbus-daemon) must be installed");
        let mut address = String::new();
        let stdout = daemon.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut address).expect("the address");
        assert!(!address.trim().is_empty(), "dbus-daemon ended without printing its address");
        Self { daemon, address: address.trim().to_owned(), _dir: dir }
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Ends the bus with all its connections, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

impl Drop for PrivateBus {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The policy of a bus for tests.
const ANYTHING_GOES: &str = r#"<type>session</type>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="false"/>
    <allow receive_sender="*"/>
  </policy>"#;

fn configuration(socket: &str, policy: &str, limits: &[(&str, u64)]) -> String {
    let limits: String =
        limits.iter().map(|(name, value)| format!("  <limit name=\"{name}\">{value}</limit>\n")).collect();
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  {policy}
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
{limits}</busconfig>
"#
    )
}
