//! A private message bus for tests: a `dbus-daemon` of our own on a socket in a temporary directory.
#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses another part of this")]

use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// The limits of a usual session bus that tests come near to (`/usr/share/dbus-1/session.conf`). Without them the daemon
/// allows 128 pending replies a connection.
const USUAL: [(&str, u64); 2] = [("max_replies_per_connection", 50_000), ("max_match_rules_per_connection", 50_000)];

/// A running bus that any user may connect to. It ends, and its directory goes, when this is dropped.
#[derive(Debug)]
pub(crate) struct Bus {
    daemon: Child,
    address: String,
    /// Kept open, so that the daemon never writes into a closed pipe.
    _stdout: BufReader<ChildStdout>,
    _directory: TempDir,
}

impl Bus {
    /// A bus with the usual limits. When this returns, it accepts connections.
    pub(crate) fn start() -> Self {
        Self::with_limits(&[])
    }

    /// A bus with these limits (`max_incoming_bytes`, …; dbus-daemon(1)) over the usual ones.
    pub(crate) fn with_limits(limits: &[(&str, u64)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Other users must get at the socket too.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("opening the directory to all");
        let config = directory.path().join("bus.conf");
        let socket = directory.path().join("bus");
        let limits: Vec<_> = USUAL.iter().chain(limits).copied().collect();
        fs::write(&config, configuration(&socket.to_string_lossy(), &limits)).expect("writing the configuration");
        let mut daemon = Command::new("dbus-daemon")
            .arg("--config-file")
            .arg(&config)
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("dbus-daemon (package dbus)");
        let mut stdout = BufReader::new(daemon.stdout.take().expect("a pipe"));
        let mut address = String::new();
        // It listens before it prints; if it could not, it closes the pipe and there is no line.
        stdout.read_line(&mut address).expect("the daemon's address");
        let address = address.trim().to_owned();
        assert!(!address.is_empty(), "dbus-daemon did not start: {:?}", daemon.wait());
        Self { daemon, address, _stdout: stdout, _directory: directory }
    }

    /// Where it listens, for `--address` or `DBUS_SESSION_BUS_ADDRESS`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Kills it, as if it had crashed; its connections are gone when this returns.
    pub(crate) fn kill(&mut self) {
        // It fails only if the daemon has ended already.
        let _ended = self.daemon.kill();
        self.daemon.wait().expect("the daemon's end");
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configuration(socket: &str, limits: &[(&str, u64)]) -> String {
    let limits = limits.iter().fold(String::new(), |mut lines, (name, value)| {
        let _infallible = writeln!(lines, "  <limit name=\"{name}\">{value}</limit>");
        lines
    });
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
{limits}</busconfig>
"#
    )
}
