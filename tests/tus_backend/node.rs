//! The tus project's own server, in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Once;

use tempfile::TempDir;
use tokio::sync::{Mutex, mpsc};

use crate::setup::PATIENCE;

static INSTALLED: Once = Once::new();

pub(crate) struct Node {
    process: Child,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    lines: Mutex<mpsc::UnboundedReceiver<String>>,
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
    pub(crate) async fn start() -> Self {
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
        let (sender, mut lines) = mpsc::unbounded_channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let port = line(&mut lines).await.parse().unwrap();
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
    pub(crate) async fn next(&self) -> Logged {
        let line = line(&mut *self.lines.lock().await).await;
        let words: Vec<&str> = line.split(' ').collect();
        Logged {
            method: words[0].to_owned(),
            offset: words[2].parse().ok(),
            status: words[3].parse().unwrap(),
            received: words[4].parse().unwrap(),
        }
    }

    /// The next request of this method that ended.
    pub(crate) async fn until_method(&self, method: &str) -> Logged {
        loop {
            let next = self.next().await;
            if next.method == method {
                return next;
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

async fn line(lines: &mut mpsc::UnboundedReceiver<String>) -> String {
    tokio::time::timeout(PATIENCE, lines.recv()).await.expect("the server says a line").expect("the server runs")
}

/// What `package-lock.json` names, once for a checkout: npm writes its own list last.
fn install(here: &Path) {
    if here.join("node_modules/.package-lock.json").exists() {
        return;
    }
    let status = Command::new("npm").args(["ci", "--silent"]).current_dir(here).status();
    assert!(status.expect("npm is installed by tests/all.sh").success(), "npm ci in {}", here.display());
}
