//! The real daemon as a child process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Failed;
use crate::bus::{Bus, NameWatch};
use crate::netns::Netns;

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

/// A folder, and in which place of the machine it lies for the daemon.
pub(crate) type Mounted<'a> = (&'a Path, &'a str);

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
        let backend = if offline == Offline::NoRoute { BACKEND } else { "" };
        Self::start_by(command(offline), Command::spawn, bus, dir, &format!("{QUOTAS}{backend}")).await
    }

    /// Starts it with this configuration, on this machine's network.
    pub(crate) async fn configured(bus: &Bus, dir: &Path, config: &str) -> Result<Self, Failed> {
        Self::start_by(Command::new(FERRYD), Command::spawn, bus, dir, config).await
    }

    /// The same in this network namespace.
    pub(crate) async fn inside(netns: &Netns, bus: &Bus, dir: &Path, config: &str) -> Result<Self, Failed> {
        Self::start_by(Command::new(FERRYD), |command| netns.spawn(command), bus, dir, config).await
    }

    /// The same with these folders in the place of the machine's (mount_namespaces(7)), and its log in this file.
    pub(crate) async fn mounted(
        netns: &Netns,
        bus: &Bus,
        dir: &Path,
        config: &str,
        folders: &[Mounted<'_>],
        log: File,
    ) -> Result<Self, Failed> {
        let mut command = Command::new("unshare");
        let script =
            "while [ \"$1\" != -- ]; do mount --bind \"$1\" \"$2\" && shift 2 || exit 1; done; shift; exec \"$@\"";
        command.args(["--mount", "sh", "-c", script, "sh"]).stderr(log).env_remove("TZ");
        for (folder, place) in folders {
            command.arg(folder).arg(place);
        }
        command.args(["--", FERRYD]);
        Self::start_by(command, |command| netns.spawn(command), bus, dir, config).await
    }

    async fn start_by(
        mut command: Command,
        spawn: impl FnOnce(&mut Command) -> io::Result<Child>,
        bus: &Bus,
        dir: &Path,
        text: &str,
    ) -> Result<Self, Failed> {
        let config = config_in(dir);
        std::fs::write(&config, text)?;
        let mut watch = NameWatch::new(bus, NAME).await?;
        command.args(["--address", &bus.address]).arg("--config").arg(config).arg("--state-dir").arg(dir);
        let began = Instant::now();
        let process = spawn(&mut command)?;
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

    /// Lets [`peak`](Self::peak) begin anew (proc(5), `clear_refs`).
    pub(crate) fn forget_peak(&self) -> Result<(), Failed> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?)
    }

    /// The most bytes that were resident.
    pub(crate) fn peak(&self) -> Result<f64, Failed> {
        kibibytes(&std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?, "VmHWM:")
    }

    /// Processor time that it has used, of all threads (proc(5), `stat`: fields 14 and 15, in hundredths of a second).
    pub(crate) fn processor_time(&self) -> Result<Duration, Failed> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let after_name = stat.rsplit_once(')').ok_or("no name in /proc/PID/stat")?.1;
        let ticks: Vec<u64> =
            after_name.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
        Ok(Duration::from_millis(10 * ticks.iter().sum::<u64>()))
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

/// Where its configuration lies.
pub(crate) fn config_in(dir: &Path) -> PathBuf {
    dir.join("budgets.toml")
}

/// Has the program itself on disk: as long as the linker's output waits to be written, the kernel counts its pages as
/// dirty and private to us.
pub(crate) fn settle_program() -> Result<(), Failed> {
    Ok(File::open(FERRYD)?.sync_all()?)
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
