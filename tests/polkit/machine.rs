//! A machine: a bus like the system's, and the built `ferryd` on it as a user of its own.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use zbus::message::Message;

use crate::bus::PrivateBus;
use crate::calls::{MANAGER, Options, TASKS, options};
use crate::client::Client;
use crate::mock::{Mock, Mood};
use crate::{ready, system_bus};

/// The users of this machine are some that every Debian knows, and so does the bus: `daemon` and `bin` ...
pub(crate) const ANNA: u32 = 1;
pub(crate) const BERT: u32 = 2;
/// ... and `sys`, as which the daemon runs.
pub(crate) const DAEMON: u32 = 3;
pub(crate) const ROOT_USER: u32 = 0;

/// Set to `1` to let these tests pass without being run by others than root.
const UNPRIVILEGED: &str = "FERRY_TEST_UNPRIVILEGED";

/// Call it first, and return if it says `false`: this is not root, and it is known.
#[must_use]
pub(crate) fn require() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    let known = std::env::var(UNPRIVILEGED).is_ok_and(|value| value == "1");
    // Not by `eprintln!`, which the test harness keeps to itself if the test passes.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let _closed = writeln!(io::stderr(), "NOT RUN: {test}: it needs callers of several users; be root");
    assert!(known, "callers of several users need root; set {UNPRIVILEGED}=1 to pass without what needs them");
    false
}

pub(crate) struct Machine {
    pub(crate) bus: PrivateBus,
    daemon: Child,
    folder: TempDir,
}

impl Machine {
    /// A machine whose daemon is ready.
    pub(crate) fn start(config: &str) -> Self {
        let bus = system_bus::start("sys");
        let address = bus.address().to_owned();
        Self::start_on(bus, config, |ferryd| {
            ferryd.args(["--address", &address]);
        })
    }

    /// The same on this bus, found by these arguments.
    pub(crate) fn start_on(bus: PrivateBus, config: &str, arguments: impl FnOnce(&mut Command)) -> Self {
        let folder = TempDir::with_prefix("ferry-machine-").expect("a folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("open to all");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("ferryd.toml"), config).expect("a configuration");
        fs::create_dir(at("state")).expect("a folder");
        chown(at("state"), Some(DAEMON), Some(DAEMON)).expect("root may");
        let mut ferryd = Command::new(program(&folder));
        arguments(&mut ferryd);
        ferryd.arg("--config").arg(at("ferryd.toml")).arg("--state-dir").arg(at("state"));
        ferryd.uid(DAEMON).gid(DAEMON).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
        let daemon = ferryd.stderr(File::create(at("log")).expect("a log")).spawn().expect("ferryd runs");
        let machine = Self { bus, daemon, folder };
        let address = machine.bus.address().to_owned();
        thread::spawn(move || ready::until_ready(&address)).join().expect("it takes its name");
        machine
    }

    /// A machine with polkit.
    pub(crate) async fn with_polkit(config: &str, mood: Mood) -> (Self, Mock) {
        let machine = Self::start(config);
        let polkit = machine.polkit(mood).await;
        (machine, polkit)
    }

    pub(crate) async fn polkit(&self, mood: Mood) -> Mock {
        Mock::start(self.bus.address(), mood).await
    }

    /// A new connection of this user.
    pub(crate) async fn user(&self, uid: u32) -> Client {
        Client::connect(self.bus.address(), uid).await
    }

    /// Asks the daemon to end.
    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(i32::try_from(self.daemon.id()).expect("a process id")).expect("a process id");
        kill_process(pid, Signal::TERM).expect("it runs");
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).expect("a log")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        if thread::panicking() {
            eprintln!("the daemon said:\n{}", self.log());
        }
    }
}

/// The built `ferryd` where other users reach it: itself, or a copy if a folder above it is closed to them.
fn program(folder: &TempDir) -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_ferryd"));
    let is_open = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o001 != 0;
    if built.ancestors().all(is_open) {
        return built.to_owned();
    }
    let copy = folder.path().join("ferryd");
    fs::copy(built, &copy).expect("a copy");
    copy
}

/// No options.
pub(crate) fn none() -> Options<'static> {
    Options::new()
}

/// The option `all`.
pub(crate) fn all() -> Options<'static> {
    options([("all", true.into())])
}

impl Client {
    /// Hands a task over; its id.
    pub(crate) async fn enqueue(&mut self) -> String {
        let taken = self.call(TASKS, "Enqueue", &("metadata", "1", none())).await.expect("taken");
        taken.body().deserialize().expect("an id")
    }

    /// The ids of all tasks that a List with this filter shows.
    pub(crate) async fn listed(&mut self, filter: Options<'_>) -> Vec<String> {
        let page = self.call(TASKS, "List", &(filter, "", 0u32)).await.expect("a page");
        let (tasks, _): (Vec<crate::calls::Dict>, String) = page.body().deserialize().expect("a page");
        tasks.iter().map(|task| crate::calls::text(task, "id")).collect()
    }

    /// A property of the daemon.
    pub(crate) async fn shown(&mut self, name: &str) -> zbus::OwnedVariant {
        let shown = self.call("org.freedesktop.DBus.Properties", "Get", &(MANAGER, name)).await.expect("a property");
        shown.body().deserialize().expect("a value")
    }

    /// Whether everything is paused.
    pub(crate) async fn sees_a_pause(&mut self) -> bool {
        self.shown("Paused").await.downcast_ref().expect("a truth value")
    }
}

/// How many tasks a call changed.
pub(crate) fn count(reply: &Message) -> u32 {
    reply.body().deserialize().expect("a count")
}
