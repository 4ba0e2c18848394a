//! The tus project's own server, killed with -9 at random bytes while it takes files.

use std::io::{self, BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

use super::files::{file, put};
use super::relay::Relay;
use crate::device::{Device, tell};

/// Devices, each with a server of its own: a kill costs the daemon's patience with a server that is down, and those of
/// several pass at the same time.
const DEVICES: usize = 4;
/// Of each device's server.
const KILLS: usize = 25;
/// Of each device, two of which go at once.
const FILES: usize = 3;
const SIZE: usize = 900_000;
const CHUNK: usize = 64 * 1024;
/// Bytes between a restart and the next kill, at most.
const STEP: u64 = 100_000;

/// The server, which keeps its uploads and its port through its deaths.
struct Node {
    process: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Node {
    fn start() -> Self {
        let folder = TempDir::with_prefix("ferry-tus-").expect("a folder");
        let (process, port) = Self::launch(folder.path(), 0);
        Self { process, folder, address: ([127, 0, 0, 1], port).into() }
    }

    fn launch(folder: &Path, port: u16) -> (Child, u16) {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/tus");
        let mut command = Command::new("node");
        command.arg(here.join("server.mjs")).arg(folder).arg(port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("node, and its packages, are installed by tests/all.sh");
        let mut said = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut port = String::new();
        said.read_line(&mut port).expect("it says its port");
        // What it says of requests, so that it need not wait to say it.
        thread::spawn(move || io::copy(&mut said, &mut io::sink()));
        (process, port.trim().parse().expect("a port"))
    }

    fn kill(&mut self) {
        self.process.kill().expect("it ran");
        self.process.wait().expect("it ends");
    }

    fn restart(&mut self) {
        (self.process, _) = Self::launch(self.folder.path(), self.address.port());
    }

    /// What it holds, by the paths of its URLs; each upload has a second file that describes it.
    fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let entries =
            std::fs::read_dir(self.folder.path()).expect("a folder").map(|entry| entry.expect("a file").path());
        let uploads = entries.filter(|path: &PathBuf| path.extension().is_none());
        let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        uploads.map(|path| (format!("/files/{}", name(&path)), std::fs::read(path).expect("a file"))).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What became of one device's files.
struct Figures {
    uploads: usize,
    bytes: u64,
    sent: u64,
    again: u64,
}

#[test]
fn a_server_killed_a_hundred_times_at_random_bytes_has_every_file_once_and_is_sent_nothing_that_it_had() {
    let figures: Vec<Figures> = thread::scope(|scope| {
        let devices: Vec<_> = (0..DEVICES as u64).map(|seed| scope.spawn(move || play(seed))).collect();
        devices.into_iter().map(|device| device.join().expect("its files arrive")).collect()
    });
    let sum = |of: fn(&Figures) -> u64| figures.iter().map(of).sum::<u64>();
    let (bytes, sent, again) = (sum(|device| device.bytes), sum(|device| device.sent), sum(|device| device.again));
    tell(format_args!(
        "{} kills of the server over {} files in {} uploads: {bytes} bytes, {sent} sent, {} of them lost with the server, \
         {again} that it had",
        DEVICES * KILLS,
        DEVICES * FILES,
        figures.iter().map(|device| device.uploads).sum::<usize>(),
        sent - bytes - again,
    ));
    assert_eq!(again, 0);
}

fn play(seed: u64) -> Figures {
    let mut node = Node::start();
    let relay = Relay::to(node.address);
    let config = format!(
        "[backend.files]\nkind = \"tus\"\nurl = \"http://{}/files\"\nchunk = {CHUNK}\n\
         [strategy.photo]\nnetwork = \"any\"\n[limits]\nbackoff_cap = \"1 s\"\n",
        relay.address()
    );
    let mut device = Device::start(&config);
    let sizes = (0..FILES).map(|n| SIZE + n + 10 * usize::try_from(seed).expect("a small number"));
    let files: Vec<_> = sizes.enumerate().map(|(n, size)| file(&device, &format!("{n}.bin"), size)).collect();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut at = random.u64(1..STEP);
    let ids = put(&device, &files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>());
    for _ in 0..KILLS {
        relay.stop_after(at);
        node.kill();
        for (path, bytes) in node.stored() {
            relay.server_has(&path, bytes.len() as u64);
        }
        node.restart();
        relay.go_on();
        at = random.u64(1..STEP);
    }
    device.until_done(&ids);
    assert_eq!(device.strategy("photo")["Failed"], 0);
    let stored = node.stored();
    for (_, bytes) in &files {
        assert_eq!(stored.iter().filter(|(_, upload)| upload == bytes).count(), 1);
    }
    let (sent, again) = relay.sent();
    let bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    Figures { uploads: stored.len(), bytes, sent, again }
}
