//! A tunnel for tests: a TUN device whose packets go over another link in UDP. It stands in for WireGuard and VPNs, which
//! are the same to routes: an interface that names no link below it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::netns::Netns;

/// One end; it is gone when this is dropped.
pub(crate) struct Tunnel(Child);

impl Tunnel {
    /// Makes a device of this name, up and without an address, whose packets go to the end at `peer` (an IPv4 address), or
    /// to whoever sent last.
    pub(crate) fn new(netns: &Netns, name: &str, peer: Option<&str>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/tun.py");
        let mut command = Command::new("/usr/bin/python3");
        command.arg(script).arg(name).args(peer).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = netns.spawn(&mut command).expect("python3");
        let mut said = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut said).expect("text");
        let tunnel = Self(child);
        assert_eq!(said, "ready\n", "the tunnel's end (root, /dev/net/tun)");
        netns.ip(&format!("link set {name} addrgenmode none up"));
        tunnel
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}
