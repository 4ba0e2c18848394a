//! A device for tests of the built binary: a private bus, a state directory, `ferryd` as a child process, and an app's
//! connection. The server is the embedded one, on loopback.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::bus::PrivateBus;
use super::caller::Caller;

/// A wait longer than this means that something hangs.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// The bus and the folder; both go when it is dropped.
pub(crate) struct Device {
    bus: PrivateBus,
    folder: TempDir,
}

impl Device {
    /// A device with this bus that is configured for this server.
    pub(crate) fn new(bus: PrivateBus, server: SocketAddr) -> Self {
        let folder = TempDir::with_prefix("ferry-device-").expect("a temporary folder");
        let device = Self { bus, folder };
        let text = format!("[device]\nname = \"test\"\n\n[backend.main]\nurl = \"http://{server}/sync\"\n");
        fs::write(device.path("ferryd.toml"), text).expect("a configuration");
        device
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> &str {
        self.bus.address()
    }

    /// Starts the daemon on this bus.
    pub(crate) fn start(&self, address: &str) -> Ferryd {
        let log = File::options().create(true).append(true).open(self.path("ferryd.log")).expect("a log");
        let child = Command::new(env!("CARGO_BIN_EXE_ferryd"))
            .args(["--address", address, "--config"])
            .arg(self.path("ferryd.toml"))
            .arg("--state-dir")
            .arg(self.path("state"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("ferryd starts");
        Ferryd(child)
    }

    /// An app's connection.
    pub(crate) async fn connect(&self) -> Caller {
        let builder = zbus::connection::Builder::address(self.address());
        Caller::new(builder.build().await.expect("a connection to the private bus")).await
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("ferryd.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("the end of ferryd's log:\n{}", lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}

/// The daemon's process. Dropping it kills it.
pub(crate) struct Ferryd(Child);

impl Ferryd {
    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// SIGTERM, as the service manager sends it; its status. What else the test runs goes on meanwhile.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.0);
        kill_process(pid, Signal::TERM).expect("it runs");
        let status = tokio::task::spawn_blocking(move || self.0.wait().expect("its status"));
        tokio::time::timeout(HANG, status).await.expect("it ends").expect("no panic")
    }

    fn end(&mut self) {
        // It may have ended by itself, which the test notices elsewhere.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Ferryd {
    fn drop(&mut self) {
        self.end();
    }
}
