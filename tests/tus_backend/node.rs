//! The tus project's own server, in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, Once, mpsc};

use tempfile::TempDir;

use crate::setup::PATIENCE;

static INSTALLED: Once = Once::new();

pub(crate) struct Node {
    process: Child,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    lines: Mutex<mpsc::Receiver<String>>,
}

/// A request as the server logged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) method: String,
    pub(crate) offset: Option<u64>,
    pub(crate) status: u16,
    /// Bytes of all PATCHes until then.
    pub(crate) received: u64,
}

impl Node {
    pub(crate) fn start() -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/tus");
        INSTALLED.call_once(|| install(&here));
        let folder = TempDir::new().unwrap();
        let mut process = Command::new("node")
            .arg(here.join("server.mjs"))
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node is installed by tests/all.sh");
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let port = lines.recv_timeout(PATIENCE).unwrap().parse().unwrap();
        Self { process, port, folder, lines: Mutex::new(lines) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/files", self.port)
    }

    /// The bytes it has of an upload.
    pub(crate) fn stored(&self, url: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(url.rsplit('/').next().unwrap())).unwrap()
    }

    /// How many bytes it has of an upload.
    pub(crate) fn stored_size(&self, url: &str) -> u64 {
        std::fs::metadata(self.folder.path().join(url.rsplit('/').next().unwrap())).map_or(0, |file| file.len())
    }

    /// The next request that ended.
    pub(crate) fn next(&self) -> Logged {
        let line = self.lines.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        Logged {
            method: words[0].to_owned(),
            offset: words[2].parse().ok(),
            status: words[3].parse().unwrap(),
            received: words[4].parse().unwrap(),
        }
    }

    /// The requests that it answered, up to and including the first of this method and status.
    pub(crate) fn until(&self, method: &str, status: u16) -> Vec<Logged> {
        let mut seen = Vec::new();
        loop {
            let next = self.next();
            let last = next.method == method && next.status == status;
            seen.push(next);
            if last {
                return seen;
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// What `package-lock.json` names, once for a checkout.
fn install(here: &Path) {
    if here.join("node_modules/@tus/server").exists() {
        return;
    }
    let status = Command::new("npm").args(["ci", "--silent"]).current_dir(here).status();
    assert!(status.expect("npm is installed by tests/all.sh").success(), "npm ci in {}", here.display());
}
