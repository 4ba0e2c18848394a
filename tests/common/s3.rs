//! Real object stores in processes of their own: moto, s3s-fs and s3rver, each with a bucket. `tests/all.sh` installs them.

#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses another part of this")]

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) const BUCKET: &str = "photos";

/// The keys of the stores that look at them.
pub(crate) const ID: &str = "S3RVER";
pub(crate) const SECRET: &str = "S3RVER";

/// Longer than any of them needs to start on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A store.
pub(crate) struct Stand {
    process: Child,
    pub(crate) address: SocketAddr,
    folder: TempDir,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Moto,
    S3s,
    S3rver,
}

fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers")
}

impl Stand {
    /// Lists parts and uploads rightly; takes any key, and checks no checksum.
    pub(crate) fn moto() -> Self {
        let program = servers().join("moto/venv/bin/moto_server");
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]);
        let stand = Self::launch(command, Kind::Moto);
        let made = stand.ask("PUT", "");
        assert!(made.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&made));
        stand
    }

    /// Checks signatures and checksums; its list of parts names none. `None` where it cannot be built: it wants a newer Rust
    /// than Ferry does, and `tests/all.sh` says so.
    pub(crate) fn s3s() -> Option<Self> {
        let program = servers().join("s3s/bin/s3s-fs");
        if !program.exists() {
            let _closed = writeln!(io::stderr(), "skipped: tests/all.sh has not built s3s-fs");
            return None;
        }
        let folder = TempDir::with_prefix("ferry-s3s-").expect("a folder");
        std::fs::create_dir(folder.path().join(BUCKET)).expect("a bucket");
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--access-key", ID, "--secret-key", SECRET]);
        command.arg(folder.path()).env("RUST_LOG", "s3s_fs=info");
        Some(Self::launch_on(command, Kind::S3s, folder, port))
    }

    /// Lists and ends nothing.
    pub(crate) fn s3rver() -> Self {
        let folder = TempDir::with_prefix("ferry-s3rver-").expect("a folder");
        let port = free_port();
        let mut command = Command::new("node");
        command.arg(servers().join("s3rver/node_modules/s3rver/bin/s3rver.js"));
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "--configure-bucket", BUCKET, "-d"]);
        command.arg(folder.path());
        Self::launch_on(command, Kind::S3rver, folder, port)
    }

    /// One that says its port.
    fn launch(mut command: Command, kind: Kind) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("tests/all.sh installs it");
        let said = BufReader::new(process.stderr.take().expect("a pipe"));
        let (tell, heard) = mpsc::channel();
        // Read to its end, so that it need not wait to say what it says of requests.
        thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("Running on http://") {
                    tell.send(address.trim().parse().expect("an address")).ok();
                }
            }
        });
        let address = heard.recv_timeout(START).expect("it says its address");
        Self { process, address, folder: TempDir::new().expect("a folder"), kind }
    }

    /// One that is told its port.
    fn launch_on(mut command: Command, kind: Kind, folder: TempDir, port: u16) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().expect("tests/all.sh installs it");
        let address = ([127, 0, 0, 1], port).into();
        let stand = Self { process, address, folder, kind };
        let begun = std::time::Instant::now();
        // It tells nobody when it listens.
        while TcpStream::connect(address).is_err() {
            assert!(begun.elapsed() < START, "it does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        stand
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The bytes of an object.
    pub(crate) fn object(&self, key: &str) -> Option<Vec<u8>> {
        match self.kind {
            Kind::Moto | Kind::S3rver => {
                let answer = self.ask("GET", key);
                let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
                answer.starts_with(b"HTTP/1.1 200").then(|| answer[end + 4..].to_vec())
            }
            Kind::S3s => std::fs::read(self.folder.path().join(BUCKET).join(key)).ok(),
        }
    }

    /// What it says of an object: the lines before its bytes.
    pub(crate) fn head(&self, key: &str) -> String {
        String::from_utf8_lossy(&self.ask("HEAD", key)).into_owned()
    }

    /// The ids of uploads that nobody finished.
    pub(crate) fn uploads(&self) -> Vec<String> {
        let answer = String::from_utf8(self.ask("GET", "?uploads")).expect("text");
        let ids = answer.split("<UploadId>").skip(1);
        ids.map(|rest| rest.split('<').next().unwrap_or_default().to_owned()).collect()
    }

    /// Begins an upload that nobody finishes.
    pub(crate) fn begin(&self, key: &str) {
        assert!(self.ask("POST", &format!("{key}?uploads")).starts_with(b"HTTP/1.1 200"));
    }

    /// Asks a store that does not mind who asks.
    fn ask(&self, method: &str, key: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        let slash = if key.starts_with('?') || key.is_empty() { "" } else { "/" };
        // moto wants to be shown some key, and does not look at it.
        let scope = "Credential=any/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=any";
        let shown = match self.kind {
            Kind::Moto => format!("Authorization: AWS4-HMAC-SHA256 {scope}\r\n"),
            Kind::S3s | Kind::S3rver => String::new(),
        };
        let fields = format!("Host: {}\r\n{shown}Connection: close\r\nContent-Length: 0\r\n", self.address);
        let head = format!("{method} /{BUCKET}{slash}{key} HTTP/1.1\r\n{fields}\r\n");
        stream.write_all(head.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        answer
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A port that nobody listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a socket").port()
}
