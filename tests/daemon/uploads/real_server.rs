//! The tus project's own server, killed with -9 again and again while it takes files.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use super::files::{file, put};
use crate::device::{Device, tell};

/// Each costs the daemon's patience with a server that is down.
const KILLS: usize = 25;
const FILES: usize = 3;
const SIZE: usize = 3_000_000;
const CHUNK: usize = 64 * 1024;

/// The server, which keeps its uploads and its port through its deaths.
struct Node {
    process: Child,
    said: BufReader<ChildStdout>,
    folder: TempDir,
    port: String,
}

impl Node {
    fn start() -> Self {
        let folder = TempDir::with_prefix("ferry-tus-").expect("a folder");
        let (process, said, port) = Self::launch(folder.path(), "0");
        Self { process, said, folder, port }
    }

    fn launch(folder: &Path, port: &str) -> (Child, BufReader<ChildStdout>, String) {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/tus");
        let mut command = Command::new("node");
        command.arg(here.join("server.mjs")).arg(folder).arg(port).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("node, and its packages, are installed by tests/all.sh");
        let mut said = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut port = String::new();
        said.read_line(&mut port).expect("it says its port");
        (process, said, port.trim().to_owned())
    }

    /// Blocks until so many more chunks were taken.
    fn take(&mut self, chunks: usize) {
        let mut taken = 0;
        while taken < chunks {
            let mut line = String::new();
            assert_ne!(self.said.read_line(&mut line).expect("a line"), 0, "the server ended");
            taken += usize::from(line.starts_with("PATCH ") && line.contains(" 204 "));
        }
    }

    fn kill_and_restart(&mut self) {
        self.kill();
        (self.process, self.said, _) = Self::launch(self.folder.path(), &self.port);
    }

    fn kill(&mut self) {
        self.process.kill().expect("it ran");
        self.process.wait().expect("it ends");
    }

    /// What it holds; each upload has a second file that describes it.
    fn stored(&self) -> Vec<Vec<u8>> {
        let entries =
            std::fs::read_dir(self.folder.path()).expect("a folder").map(|entry| entry.expect("a file").path());
        let uploads = entries.filter(|path: &PathBuf| path.extension().is_none());
        uploads.map(|path| std::fs::read(path).expect("a file")).collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn a_server_killed_again_and_again_has_every_file_once() {
    let mut node = Node::start();
    let config = format!(
        "[backend.files]\nkind = \"tus\"\nurl = \"http://127.0.0.1:{}/files\"\nchunk = {CHUNK}\n\
         [strategy.photo]\nnetwork = \"any\"\n[limits]\nbackoff_cap = \"1 s\"\n",
        node.port
    );
    let mut device = Device::start(&config);
    let files: Vec<_> = (0..FILES).map(|n| file(&device, &format!("{n}.bin"), SIZE + n)).collect();
    let ids = put(&device, &files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>());
    let mut random = fastrand::Rng::with_seed(3);
    for _ in 0..KILLS {
        node.take(random.usize(1..5));
        node.kill_and_restart();
    }
    device.until_done(&ids);
    let stored = node.stored();
    for (_, bytes) in &files {
        assert_eq!(stored.iter().filter(|upload| *upload == bytes).count(), 1);
    }
    assert_eq!(device.strategy("photo")["Failed"], 0);
    tell(format_args!(
        "{KILLS} kills of the server over {FILES} files: each is there once, of {} uploads",
        stored.len()
    ));
}
