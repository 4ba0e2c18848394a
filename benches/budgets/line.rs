//! A device and a server in namespaces of their own, on a link of known speed: 5 Mbit/s if nothing else is said.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ferryd::demo::{Behaviour, Log, Server, UploadState};
use tempfile::TempDir;

use crate::bus::Bus;
use crate::ferryd::Ferryd;
use crate::netns::{Netns, Pair};
use crate::{Failed, place, rounds};

/// What the link carries each second, in kbit.
const USUAL: u32 = 5_000;
const FERRYCTL: &str = env!("CARGO_BIN_EXE_ferryctl");
/// Connections made to tell what a round trip takes.
const KNOCKS: usize = 21;

/// The link, with a daemon at the one end and a server at the other.
pub(crate) struct Line {
    pub(crate) server: Server,
    ferryd: Ferryd,
    bus: Bus,
    dir: TempDir,
    /// Last, so that the programs on it go first.
    pub(crate) pair: Pair,
}

impl Line {
    /// A new one; `prepare` sees the two ends before the daemon does.
    pub(crate) fn new(prepare: impl FnOnce(&Pair)) -> Result<Self, Failed> {
        Self::of(USUAL, prepare)
    }

    /// The same with a link of so many kbit/s. What it is asked to carry beyond that waits, at most a tenth of a second.
    pub(crate) fn of(kilobits: u32, prepare: impl FnOnce(&Pair)) -> Result<Self, Failed> {
        let pair = Pair::new();
        tc(&pair.device, &format!("qdisc add dev uplink root tbf rate {kilobits}kbit burst 16kb latency 100ms"))?;
        prepare(&pair);
        let listener = pair.server.inside(|| TcpListener::bind((Pair::SERVER, 0)))?;
        let server = Server::start(listener, Behaviour::honest())?;
        let (bus, dir) = (Bus::start()?, place::directory()?);
        let address = server.address();
        let config = format!(
            "[backend.files]\nkind = \"tus\"\nurl = \"http://{address}/files/\"\n\
             [backend.main]\nurl = \"http://{address}/sync\"\n\
             [strategy.photo]\nnetwork = \"any\"\nheed_slow_link = false\n"
        );
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ferryd = runtime.block_on(Ferryd::inside(&pair.device, &bus, dir.path(), &config))?;
        Ok(Self { server, ferryd, bus, dir, pair })
    }

    /// Where files to be sent may lie.
    pub(crate) fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// Starts a program at the device's end.
    pub(crate) fn start(&self, command: &mut Command) -> std::io::Result<Child> {
        self.pair.device.spawn(command)
    }

    /// Hands a file to the daemon and blocks until the server knows of it.
    pub(crate) fn put(&self, file: &Path) -> Result<(), Failed> {
        let before = self.server.log(|log| log.uploads().len());
        let put = Command::new(FERRYCTL).args(["--address", &self.bus.address, "put"]).arg(file).output()?;
        if !put.status.success() {
            return Err(format!("ferryctl put: {}", String::from_utf8_lossy(&put.stderr)).into());
        }
        self.until(|log| log.uploads().len() > before)
    }

    /// Hands a small task to the daemon; how long until the server has it, in seconds.
    pub(crate) fn small(&self) -> Result<f64, Failed> {
        let before = self.server.log(Log::applied);
        let began = Instant::now();
        let words = ["--address", &self.bus.address, "enqueue", "metadata", "{\"title\":\"Lake\"}"];
        let said = Command::new(FERRYCTL).args(words).output()?;
        if !said.status.success() {
            return Err(format!("ferryctl enqueue: {}", String::from_utf8_lossy(&said.stderr)).into());
        }
        self.until(|log| log.applied() > before)?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// How much of the last upload the server has.
    pub(crate) fn offset(&self) -> u64 {
        self.server.log(|log| log.uploads().last().map_or(0, |upload| upload.offset))
    }

    /// Blocks until the server has more of the last upload than so much.
    pub(crate) fn until_beyond(&self, offset: u64) -> Result<(), Failed> {
        self.until(|log| log.uploads().last().is_some_and(|upload| upload.offset > offset))
    }

    /// Blocks until the server has all of the last upload.
    pub(crate) fn until_finished(&self) -> Result<(), Failed> {
        self.until(|log| log.uploads().last().is_some_and(|upload| upload.state == UploadState::Finished))
    }

    fn until(&self, wanted: impl FnMut(&Log) -> bool) -> Result<(), Failed> {
        /// Far beyond what anything here takes.
        const HANG: Duration = Duration::from_secs(300);
        let heard = self.server.wait_until(wanted, HANG);
        if heard { Ok(()) } else { Err(format!("no upload: {:?}", self.server.uploads()).into()) }
    }

    /// What a connection takes on the idle link, in seconds: a round trip. The median of some.
    pub(crate) fn round_trip(&self) -> Result<f64, Failed> {
        let knock = |_| {
            let began = Instant::now();
            TcpStream::connect(self.server.address()).map(|_| began.elapsed().as_secs_f64())
        };
        let spans: Vec<f64> = self.pair.device.inside(|| (0..KNOCKS).map(knock).collect::<std::io::Result<_>>())?;
        Ok(rounds::median(&spans))
    }

    /// Stops the daemon.
    pub(crate) fn stop(self) -> Result<(), Failed> {
        self.ferryd.stop()
    }
}

fn tc(netns: &Netns, arguments: &str) -> Result<(), Failed> {
    let mut tc = Command::new("tc");
    tc.args(arguments.split_whitespace()).stdin(Stdio::null());
    let status = netns.spawn(&mut tc).and_then(|mut tc| tc.wait()).map_err(|error| format!("tc: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("tc {arguments}: {status}").into()) }
}
