//! The machine that the documents and examples speak of: Ferry runs on its system bus, and a server answers.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use ferryd::demo::{Behaviour, Server};
use tempfile::TempDir;

use crate::bus::PrivateBus;
use crate::ready;

/// Longer than this and something hangs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
pub(crate) const FERRYD: &str = env!("CARGO_BIN_EXE_ferryd");
/// What `harbour.jpg` holds.
pub(crate) const PHOTO: [u8; 9000] = [7; 9000];

/// A bus in the system bus's place, `ferryd` with a backend for tasks and one for photos, and their server.
pub(crate) struct Machine {
    daemon: Option<Child>,
    pub(crate) bus: PrivateBus,
    pub(crate) server: Server,
    pub(crate) folder: TempDir,
}

impl Machine {
    /// With the daemon ready.
    pub(crate) fn start() -> Self {
        let mut machine = Self::without_daemon();
        machine.switch_on();
        machine
    }

    /// Without the daemon.
    pub(crate) fn without_daemon() -> Self {
        let (bus, folder) = (PrivateBus::start(), TempDir::with_prefix("ferry-machine-").expect("a folder"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let server = Server::start(listener, Behaviour::honest()).expect("a server");
        let address = server.address();
        let config = format!(
            "[backend.main]\nurl = \"http://{address}/ferry\"\n[backend.photos]\nkind = \"tus\"\n\
             url = \"http://{address}/files/\"\n[strategy.photo]\nnetwork = \"any\"\n"
        );
        fs::write(folder.path().join("ferryd.toml"), config).expect("a file");
        fs::write(folder.path().join("harbour.jpg"), PHOTO).expect("a file");
        Self { daemon: None, bus, server, folder }
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) fn switch_on(&mut self) {
        let daemon = Command::new(FERRYD)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.address())
            .args(["--system", "--config", "ferryd.toml", "--state-dir", "state"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("ferryd starts");
        self.daemon = Some(daemon);
        ready::until_ready(self.bus.address());
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("it ran");
            daemon.wait().expect("it ends");
        }
    }

    /// A file of this machine.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Runs shell text as a person would paste it, with the built programs on the PATH; what it said.
    pub(crate) fn shell(&self, text: &str) -> String {
        let output = self.command(text).output().expect("sh runs");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{text}\n{}\n{said}{complained}", output.status);
        said.into_owned()
    }

    /// Begins to run a shell command, whose complaints are among what it says.
    pub(crate) fn begin(&self, text: &str) -> Running {
        let mut child =
            self.command(&format!("exec 2>&1; exec {text}")).stdout(Stdio::piped()).spawn().expect("sh runs");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines() {
                // The test may have ended.
                let _ = sender.send(line.expect("text"));
            }
        });
        Running { child, lines, said: Vec::new() }
    }

    fn command(&self, text: &str) -> Command {
        let built = Path::new(FERRYD).parent().expect("a folder").display();
        let mut command = Command::new("sh");
        command
            .args(["-euc", text])
            .env("PATH", format!("{built}:{}", std::env::var("PATH").unwrap_or_default()))
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.address())
            .current_dir(root())
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A command that runs.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Running {
    /// Waits for a line of which this is true.
    pub(crate) fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(error) => panic!("waited in vain ({error}): {:#?}", self.said),
            }
        }
    }

    /// Waits for its end: its exit code and all that it said.
    pub(crate) fn end(mut self) -> (Option<i32>, Vec<String>) {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => self.said.push(line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end: {:#?}", self.said),
            }
        }
        let status = self.child.wait().expect("our child");
        (status.code(), std::mem::take(&mut self.said))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
