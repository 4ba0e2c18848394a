//! What the demo plays on: a private bus, the daemon as a child process of the built binary, client programs.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::link::Link;
use super::play::DemoError;

/// A folder, a bus and the programs beside this one. Everything ends and is removed when it is dropped.
pub(super) struct Stage {
    folder: PathBuf,
    bus: Child,
    /// The private bus's address.
    pub(super) address: String,
    binaries: PathBuf,
}

impl Stage {
    /// Starts a private `dbus-daemon`.
    pub(super) fn set() -> Result<Self, DemoError> {
        let folder = std::env::temp_dir().join(format!("ferry-demo-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|error| DemoError::of("making a folder", error))?;
        // A path, not an abstract name: it must be reachable from another network namespace.
        let listen = format!("--address=unix:path={}", folder.join("bus").display());
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--nopidfile", "--nosyslog", "--print-address=1", &listen])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| DemoError::of("starting dbus-daemon (Debian package dbus-daemon)", error))?;
        let address = first_line(&mut bus).map_err(|error| DemoError::of("asking dbus-daemon its address", error))?;
        let own = std::env::current_exe().map_err(|error| DemoError::of("finding this program", error))?;
        let binaries = own.parent().map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { folder, bus, address, binaries })
    }

    /// Where the daemon's log goes; kept beside the demo's own words when something goes wrong.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("ferryd.log")
    }

    /// Where the demo's own photos go.
    pub(super) fn photos(&self) -> PathBuf {
        self.folder.join("photos")
    }

    /// Writes the configuration: the embedded defaults and two backends. Photos do not care who pays for the link, or the
    /// demo would depend on the machine that it plays on.
    pub(super) fn configure(&self, server: SocketAddr) -> Result<(), DemoError> {
        let text = format!(
            "[device]\nname = \"demo\"\n\n[backend.main]\nurl = \"http://{server}/sync\"\n\n[backend.files]\nkind = \"tus\"\n\
             url = \"http://{server}/files/\"\nchunk = \"64 KiB\"\n\n[strategy.photo]\nnetwork = \"any\"\n"
        );
        fs::write(self.config(), text).map_err(|error| DemoError::of("writing the configuration", error))
    }

    fn config(&self) -> PathBuf {
        self.folder.join("ferryd.toml")
    }

    /// Starts the daemon on the device's side of the link.
    pub(super) fn start_ferryd(&self, link: &Link) -> Result<Daemon, DemoError> {
        let open = |error| DemoError::of("opening the daemon's log", error);
        let log = fs::File::options().create(true).append(true).open(self.log()).map_err(open)?;
        let child = tokio::process::Command::from(link.on_device(&self.binaries.join("ferryd")))
            .args(["--address", &self.address, "--config"])
            .arg(self.config())
            .arg("--state-dir")
            .arg(self.folder.join("state"))
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| DemoError::of("starting ferryd (is it built beside ferryctl?)", error))?;
        Ok(Daemon { id: child.id().unwrap_or_default(), child })
    }

    /// Starts a client program: `ferryctl enqueue metadata --lines`, with one key, these payloads on its input.
    pub(super) fn start_client(&self, key: &str, payloads: &[String]) -> Result<Client, DemoError> {
        let fail = |error| DemoError::of("starting a client program", error);
        let mut child = Command::new(self.binaries.join("ferryctl"))
            .args(["--address", &self.address, "enqueue", "metadata", "--lines", "--key", key, "--app", key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(fail)?;
        let mut input = child.stdin.take().ok_or_else(|| fail(io::ErrorKind::BrokenPipe.into()))?;
        for payload in payloads {
            writeln!(input, "{payload}").map_err(fail)?;
        }
        Ok(Client { child, key: key.to_owned() })
    }

    /// Starts a client program that hands over a folder: `ferryctl put`.
    pub(super) fn start_gallery(&self, folder: &Path) -> Result<Client, DemoError> {
        let child = Command::new(self.binaries.join("ferryctl"))
            .args(["--address", &self.address, "--json", "put", "--app", "gallery", "--quality", "original"])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| DemoError::of("starting a client program", error))?;
        Ok(Client { child, key: "gallery".to_owned() })
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        end(&mut self.bus);
        // A leftover folder in /tmp does no harm.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// The daemon's process, killed when it is dropped.
pub(super) struct Daemon {
    id: u32,
    child: tokio::process::Child,
}

impl Daemon {
    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// Resolves when it has ended by itself.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// kill -9.
    pub(super) async fn kill(mut self) -> Result<(), DemoError> {
        self.child.kill().await.map_err(|error| DemoError::of("killing ferryd", error))
    }

    /// SIGTERM; the exit status must be 0.
    pub(super) async fn terminate(mut self) -> Result<(), DemoError> {
        let fail = |error| DemoError::of("ending ferryd", error);
        let id = i32::try_from(self.id).ok().and_then(rustix::process::Pid::from_raw);
        let id = id.ok_or_else(|| fail(io::Error::other("it has ended before")))?;
        rustix::process::kill_process(id, rustix::process::Signal::TERM).map_err(|error| fail(error.into()))?;
        let status = self.ended().await.map_err(fail)?;
        if status.success() { Ok(()) } else { Err(fail(io::Error::other(format!("it ended with {status}")))) }
    }
}

/// A client program that runs.
pub(super) struct Client {
    child: Child,
    key: String,
}

impl Client {
    /// Waits for its end and gives the lines it wrote: the ids it was told, in the order of its payloads.
    pub(super) fn acknowledged(self) -> Result<Vec<String>, DemoError> {
        let fail = |error| DemoError::of("running a client program", error);
        let key = self.key;
        let output = self.child.wait_with_output().map_err(fail)?;
        if !output.status.success() {
            return Err(fail(io::Error::other(format!("client {key} ended with {}", output.status))));
        }
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }
}

fn first_line(child: &mut Child) -> io::Result<String> {
    let output = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let line = line.trim();
    if line.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line.to_owned()) }
}

/// Ends a child that the demo started; one that has ended already is fine.
fn end(child: &mut Child) {
    child.kill().ok();
    child.wait().ok();
}
