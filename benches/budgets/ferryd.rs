//! The real daemon as a child process.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Failed;
use crate::bus::{Bus, NameWatch};

/// Its name on the bus.
pub(crate) const NAME: &str = "org.ferryd.Ferry1";

const FERRYD: &str = env!("CARGO_BIN_EXE_ferryd");
/// Quotas that do not matter.
const QUOTAS: &str = "[limits.quota]\ntasks = 100000000\nbytes = \"1 TiB\"\n";
/// A server that is nowhere (RFC 5737).
const BACKEND: &str = "[backend.main]\nurl = \"http://192.0.2.1/items\"\n";

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Offline {
    /// No backend is configured.
    NoBackend,
    /// A backend is, but the process has a network namespace of its own, without a route.
    NoRoute,
}

/// The daemon; ended when it is dropped.
pub(crate) struct Ferryd {
    process: Child,
    /// From its start until it owned its name.
    pub(crate) ready_after: Duration,
}

/// What the kernel says of its memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident.
    pub(crate) resident: f64,
    /// Private and dirty.
    pub(crate) dirty: f64,
}

impl Ferryd {
    /// Starts it on the state in `dir` and waits until it is on the bus.
    pub(crate) async fn start(bus: &Bus, dir: &Path, offline: Offline) -> Result<Self, Failed> {
        let config = dir.join("budgets.toml");
        let backend = if offline == Offline::NoRoute { BACKEND } else { "" };
        std::fs::write(&config, format!("{QUOTAS}{backend}"))?;
        let mut watch = NameWatch::new(bus, NAME).await?;
        let mut command = command(offline);
        command.args(["--address", &bus.address]).arg("--config").arg(config).arg("--state-dir").arg(dir);
        let began = Instant::now();
        let process = command.spawn()?;
        let mut ferryd = Self { process, ready_after: Duration::ZERO };
        watch.owned().await?;
        ferryd.ready_after = began.elapsed();
        Ok(ferryd)
    }

    /// Its memory now.
    pub(crate) fn memory(&self) -> Result<Memory, Failed> {
        let text = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id()))?;
        Ok(Memory { resident: kibibytes(&text, "Rss:")?, dirty: kibibytes(&text, "Private_Dirty:")? })
    }

    /// Voluntary context switches of all its threads since they began.
    pub(crate) fn voluntary_switches(&self) -> Result<u64, Failed> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            let status = std::fs::read_to_string(task?.path().join("status"))?;
            sum += field(&status, "voluntary_ctxt_switches:")?;
        }
        Ok(sum)
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> Result<(), Failed> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let status = self.process.wait()?;
        if status.success() { Ok(()) } else { Err(format!("ferryd ended with {status}").into()) }
    }
}

impl Drop for Ferryd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Has the program itself on disk: as long as the linker's output waits to be written, the kernel counts its pages as
/// dirty and private to us.
pub(crate) fn settle_program() -> Result<(), Failed> {
    Ok(std::fs::File::open(FERRYD)?.sync_all()?)
}

/// `unshare` makes the namespace and then becomes ferryd; without root in a user namespace where we are who we are.
fn command(offline: Offline) -> Command {
    match offline {
        Offline::NoBackend => Command::new(FERRYD),
        Offline::NoRoute => {
            let mut unshare = Command::new("unshare");
            if !rustix::process::geteuid().is_root() {
                unshare.args(["--user", "--map-current-user"]);
            }
            unshare.args(["--net", "--", FERRYD]);
            unshare
        }
    }
}

fn kibibytes(text: &str, name: &str) -> Result<f64, Failed> {
    Ok(field(text, name)? as f64 * 1024.0)
}

/// The number of the line that begins with `name`.
fn field(text: &str, name: &str) -> Result<u64, Failed> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).ok_or_else(|| format!("no {name} in /proc"))?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
