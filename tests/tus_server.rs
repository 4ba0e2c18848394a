//! The embedded server speaks tus 1.0.0: by hand, byte for byte, and with two clients that others wrote.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ferryd::demo::{At, Behaviour, Fault, Gate, Head, Item, Server, Upload, UploadState, Wait};

/// Longer than this and something hangs.
const LIMIT: Duration = Duration::from_secs(60);
const STREAM: &str = "Content-Type: application/offset+octet-stream\r\n";

fn server() -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    Server::start(listener, Behaviour::honest()).expect("a server")
}

/// A connection, request by request.
struct Client(BufReader<TcpStream>);

impl Client {
    fn of(server: &Server) -> Self {
        Self(BufReader::new(TcpStream::connect(server.address()).expect("a connection")))
    }

    fn send(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) {
        let length = if headers.contains("Content-Length") || headers.contains("Transfer-Encoding") {
            String::new()
        } else {
            format!("Content-Length: {}\r\n", body.len())
        };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: here\r\nTus-Resumable: 1.0.0\r\n{headers}{length}\r\n");
        self.0.get_mut().write_all(&[head.as_bytes(), body].concat()).expect("sent");
    }

    /// Status and header lines; `None` if the connection was closed.
    fn answer(&mut self) -> Option<(u16, String)> {
        let mut text = String::new();
        while !text.ends_with("\r\n\r\n") {
            if self.0.read_line(&mut text).ok()? == 0 {
                return None;
            }
        }
        Some((text.split(' ').nth(1)?.parse().ok()?, text))
    }

    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        self.send(method, path, headers, body);
        self.answer().expect("an answer")
    }

    fn create(&mut self, length: usize) -> String {
        let (status, text) = self.ask("POST", "/files/", &format!("Upload-Length: {length}\r\n"), b"");
        assert_eq!(status, 201, "{text}");
        header(&text, "Location").expect("a location")
    }

    fn patch(&mut self, path: &str, offset: usize, more: &str, body: &[u8]) -> u16 {
        self.ask("PATCH", path, &format!("{STREAM}Upload-Offset: {offset}\r\n{more}"), body).0
    }

    fn offset(&mut self, path: &str) -> Option<u64> {
        let (_, text) = self.ask("HEAD", path, "", b"");
        header(&text, "Upload-Offset")?.parse().ok()
    }
}

fn header(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()))
}

fn only(server: &Server) -> Upload {
    let uploads = server.uploads();
    assert_eq!(uploads.len(), 1, "{uploads:?}");
    uploads[0].clone()
}

fn noise(length: usize) -> Vec<u8> {
    std::iter::repeat_with(fastrand(length as u64)).take(length).collect()
}

/// Bytes that look random: xorshift64 (Marsaglia 2003).
fn fastrand(seed: u64) -> impl FnMut() -> u8 {
    let mut state = seed | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }
}

#[test]
fn it_says_what_it_can() {
    let server = server();
    let (status, text) = Client::of(&server).ask("OPTIONS", "/files/", "", b"");
    assert_eq!((status, header(&text, "Tus-Version").as_deref()), (204, Some("1.0.0")));
    assert_eq!(
        header(&text, "Tus-Extension").as_deref(),
        Some("creation,creation-with-upload,termination,expiration,checksum")
    );
    assert_eq!(header(&text, "Tus-Checksum-Algorithm").as_deref(), Some("sha1,sha256"));
}

#[test]
fn a_file_goes_up_in_chunks_and_its_account_is_kept() {
    let (server, file) = (server(), noise(10_000));
    let mut client = Client::of(&server);
    let named = "Upload-Length: 10000\r\nUpload-Metadata: filename cGhvdG8uanBn,private\r\n";
    let (status, text) = client.ask("POST", "/files/", &format!("{named}{STREAM}"), &file[..100]);
    let path = header(&text, "Location").expect("a location");
    assert_eq!((status, header(&text, "Upload-Offset").as_deref()), (201, Some("100")), "{text}");
    assert!(header(&text, "Upload-Expires").is_some(), "{text}");
    assert_eq!(client.patch(&path, 100, "", &file[100..7_000]), 204);
    assert_eq!(client.offset(&path), Some(7_000));
    assert_eq!(client.patch(&path, 6_000, "", &file[6_000..]), 409);
    assert_eq!(client.patch(&path, 7_000, "", &file[7_000..]), 204);
    let upload = only(&server);
    assert!(upload.bytes == file && upload.state == UploadState::Finished, "{upload:?}");
    assert_eq!((upload.received, upload.again, upload.patches), (14_000, 1_000, 3));
    assert_eq!((upload.metadata["filename"].as_str(), upload.metadata["private"].as_str()), ("photo.jpg", ""));
    assert_eq!((client.ask("DELETE", &path, "", b"").0, client.ask("HEAD", &path, "", b"").0), (204, 410));
    assert_eq!(only(&server).state, UploadState::Terminated);
}

#[test]
fn chunked_bodies_are_taken_too() {
    let server = server();
    let mut client = Client::of(&server);
    let path = client.create(8);
    let chunked = b"3\r\nabc\r\n5;x=y\r\ndefgh\r\n0\r\n\r\n";
    assert_eq!(client.patch(&path, 0, "Transfer-Encoding: chunked\r\n", chunked), 204);
    assert_eq!(only(&server).bytes, b"abcdefgh");
}

#[test]
fn what_is_wrong_gets_its_status_and_changes_nothing() {
    let server = server();
    let mut client = Client::of(&server);
    let path = client.create(10);
    let wrong = "Content-Type: text/plain\r\nUpload-Offset: 0\r\n";
    assert_eq!(client.ask("PATCH", &path, wrong, b"12345").0, 415);
    assert_eq!(client.patch("/files/99", 0, "", b"12345"), 404);
    assert_eq!(client.patch(&path, 0, "", b"12345678901"), 413);
    assert_eq!(client.ask("PATCH", &path, STREAM, b"12345").0, 400);
    assert_eq!(client.ask("POST", "/files/", "", b"").0, 400);
    assert_eq!(client.ask("POST", "/files/", "Upload-Length: 1\r\nUpload-Metadata: a !\r\n", b"").0, 400);
    assert_eq!(client.ask("PUT", &path, "", b"").0, 405);
    assert_eq!(client.patch(&path, 0, "Upload-Checksum: md5 AAAA\r\n", b"12345"), 400);
    // SHA-1 of "12345" is 8cb2237d0679ca88db6464eac60da96345513964.
    assert_eq!(client.patch(&path, 0, "Upload-Checksum: sha1 jLIjfQZ5yojbZGTqxg2pY0VROWQ=\r\n", b"12345"), 204);
    assert_eq!(client.patch(&path, 5, "Upload-Checksum: sha1 jLIjfQZ5yojbZGTqxg2pY0VROWQ=\r\n", b"54321"), 460);
    assert_eq!(client.offset(&path), Some(5), "nothing of that chunk is kept");
    let old = format!("HEAD {path} HTTP/1.1\r\nHost: here\r\n\r\n");
    client.0.get_mut().write_all(old.as_bytes()).expect("sent");
    assert_eq!(client.answer().map(|(status, _)| status), Some(412));
    server.expire(&path);
    assert_eq!(client.ask("HEAD", &path, "", b"").0, 410);
}

#[test]
fn bytes_before_a_cut_count() {
    let server = server();
    let mut client = Client::of(&server);
    let path = client.create(1_000);
    client.send("PATCH", &path, &format!("{STREAM}Upload-Offset: 0\r\nContent-Length: 1000\r\n"), &noise(300));
    client.0.get_mut().shutdown(Shutdown::Write).expect("cut");
    assert_eq!(client.answer(), None);
    assert_eq!(Client::of(&server).offset(&path), Some(300));
}

#[test]
fn a_cut_at_every_byte_of_a_body_leaves_an_offset_that_is_true() {
    let (server, file) = (server(), noise(64));
    let path = Client::of(&server).create(64);
    for at in 0..64 {
        server.behave_once(Behaviour::fault(Fault::Close(At::Body(1))));
        let mut client = Client::of(&server);
        client.send("PATCH", &path, &format!("{STREAM}Upload-Offset: {at}\r\n"), &file[at..]);
        assert_eq!(client.answer(), None);
        assert_eq!(Client::of(&server).offset(&path), Some(at as u64 + 1));
    }
    let upload = only(&server);
    assert!(upload.bytes == file && upload.again == 0, "{upload:?}");
}

#[test]
fn a_request_held_amid_its_body_gives_way_to_the_next() {
    let (server, file, gate) = (server(), noise(1_000), Gate::closed());
    let path = Client::of(&server).create(1_000);
    server.behave_files(Some(Behaviour { amid: Some((400, Wait::Gate(gate.clone()))), ..Behaviour::honest() }));
    let mut held = Client::of(&server);
    held.send("PATCH", &path, &format!("{STREAM}Upload-Offset: 0\r\n"), &file);
    assert!(server.wait_until(|log| log.stopped.len() == 1, LIMIT));
    server.behave_files(None);
    let mut client = Client::of(&server);
    assert_eq!(client.offset(&path), Some(400));
    assert_eq!(held.answer(), None, "its turn is over");
    assert_eq!(client.patch(&path, 400, "", &file[400..]), 204);
    gate.open();
    let upload = only(&server);
    assert!(upload.bytes == file && upload.again == 0 && upload.received == 1_000, "{upload:?}");
}

#[test]
fn only_requests_of_a_method_are_held_before_and_after_they_are_applied() {
    let server = server();
    for applied in [0, 3] {
        let path = Client::of(&server).create(3);
        let gate = Gate::closed();
        let wait = Wait::Gate(gate.clone());
        let (before_applying, before_answering) = if applied == 0 { (wait, Wait::No) } else { (Wait::No, wait) };
        let patch = Some("PATCH");
        server.behave(Behaviour { waiting: patch, before_applying, before_answering, ..Behaviour::honest() });
        let earlier = server.log(|log| log.stopped.len());
        let mut client = Client::of(&server);
        client.send("PATCH", &path, &format!("{STREAM}Upload-Offset: 0\r\n"), b"abc");
        assert!(server.wait_until(|log| log.stopped.len() > earlier, LIMIT));
        assert_eq!(Client::of(&server).offset(&path), Some(applied));
        drop(client);
        assert!(server.wait_until(|log| log.in_flight == 0, LIMIT), "it is seen that the client has gone");
        gate.open();
        assert_eq!(Client::of(&server).offset(&path), Some(applied));
    }
}

#[test]
fn faults_by_the_request_reach_files_too() {
    let server = server();
    let locked = |head: &Head, _: &[Item]| match head.method.as_str() {
        "PATCH" => Fault::status(423, "locked"),
        _ => Fault::No,
    };
    server.behave(Behaviour::censored(locked));
    let mut client = Client::of(&server);
    let path = client.create(3);
    assert_eq!(client.patch(&path, 0, "", b"abc"), 423);
    let mut rest = [0; 6];
    client.0.read_exact(&mut rest).expect("the words");
    assert_eq!(client.offset(&path), Some(0));
    assert_eq!((only(&server).received, only(&server).again), (3, 0));
}

#[test]
fn what_is_discarded_is_counted() {
    let server = server();
    server.discard();
    let mut client = Client::of(&server);
    let path = client.create(1 << 24);
    assert_eq!(client.patch(&path, 0, "", &vec![7; 1 << 24]), 204);
    let upload = only(&server);
    assert!(upload.offset == 1 << 24 && upload.bytes.is_empty() && upload.state == UploadState::Finished);
}

/// The folder with the clients, installed by `tests/all.sh` (see `tests/setup.sh`).
fn clients() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/tus-clients")
}

/// Runs one of the clients; gives what it said, line by line.
fn run(program: &str, script: &str, server: &Server, file: &Path, more: &[&str]) -> Vec<String> {
    let output: Output = Command::new(program)
        .arg(clients().join(script))
        .arg(format!("http://{}/files/", server.address()))
        .arg(file)
        .args(more)
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(str::to_owned).collect()
}

fn javascript(server: &Server, file: &Path, more: &[&str]) -> Vec<String> {
    assert!(clients().join("node_modules").exists(), "run tests/all.sh once, which installs tus-js-client");
    run("node", "upload.js", server, file, more)
}

fn python(server: &Server, file: &Path, more: &[&str]) -> Vec<String> {
    let python = clients().join("venv/bin/python");
    assert!(python.exists(), "run tests/all.sh once, which installs tuspy");
    run(python.to_str().expect("UTF-8"), "upload.py", server, file, more)
}

fn a_file(folder: &tempfile::TempDir, length: usize) -> (PathBuf, Vec<u8>) {
    let (path, bytes) = (folder.path().join("photo.jpg"), noise(length));
    std::fs::write(&path, &bytes).expect("a file");
    (path, bytes)
}

#[track_caller]
fn assert_whole(server: &Server, path: &Path, bytes: &[u8]) {
    let upload = only(server);
    assert!(upload.bytes == bytes && upload.state == UploadState::Finished, "{upload:?}");
    assert_eq!((upload.received, upload.again), (bytes.len() as u64, 0));
    let path = path.to_str().expect("UTF-8");
    assert_eq!((upload.metadata["filename"].as_str(), upload.metadata["label"].as_str()), (path, "Straße"));
}

#[test]
fn tus_js_client_uploads_in_chunks_and_in_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, bytes) = a_file(&folder, 1_000_000);
    for chunk in ["65536", "all"] {
        let server = server();
        let said = javascript(&server, &path, &[chunk]);
        assert_eq!(said, [only(&server).path.as_str(), "finished"]);
        assert_whole(&server, &path, &bytes);
    }
}

#[test]
fn tus_js_client_goes_on_after_a_cut_and_sends_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, bytes) = a_file(&folder, 1_000_000);
    let server = server();
    server.behave_once(Behaviour::honest());
    server.behave_once(Behaviour::fault(Fault::Close(At::Body(70_000))));
    javascript(&server, &path, &["300000"]);
    let upload = only(&server);
    assert!(upload.bytes == bytes && upload.again == 0, "{upload:?}");
    assert!(server.log(|log| log.heads().any(|head| head.method == "HEAD")), "it asked for the offset");
}

#[test]
fn tus_js_client_terminates() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = a_file(&folder, 1_000_000);
    let server = server();
    let said = javascript(&server, &path, &["65536", "terminate"]);
    assert_eq!(said.last().map(String::as_str), Some("terminated"));
    assert_eq!(only(&server).state, UploadState::Terminated);
}

#[test]
fn tuspy_uploads_with_checksums() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, bytes) = a_file(&folder, 1_000_000);
    let server = server();
    assert_eq!(python(&server, &path, &["65536"]), [only(&server).path.as_str()]);
    assert_whole(&server, &path, &bytes);
    assert!(server.log(|log| log.heads().any(|head| head.headers.contains_key("upload-checksum"))));
}

#[test]
fn tuspy_resumes_where_the_server_stands() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, bytes) = a_file(&folder, 1_000_000);
    let server = server();
    python(&server, &path, &["65536", "200000"]);
    assert_whole(&server, &path, &bytes);
    assert!(server.log(|log| log.heads().any(|head| head.method == "HEAD")));
}
