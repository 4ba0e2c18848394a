//! Backends whose servers say anything: scripts of answers, each given to one request on a connection of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;

use super::{Backend, Cue, Hands, Keep, Request};
use crate::fuzz::fuzz;
use crate::http::{Addresses, WORDS_LIMIT};
use crate::model::{
    Answer, BackendConfig, BackendKind, BackendName, Claimed, FileInfo, ItemOutcome, Owner, Payload, Quality,
    StrategyName, TaskId, Upload, WallTime,
};

/// Where tests think that a server is.
pub(super) const URL: &str = "http://up.example/files/";

/// The size of the file that is uploaded, in two chunks.
const SIZE: usize = 64;

/// What stands between the answers of a script.
const NEXT: &[u8] = b"\n----\n";

pub(super) fn config(kind: BackendKind, url: &str) -> BackendConfig {
    let patience = Duration::from_secs(60);
    BackendConfig {
        connect_timeout: patience,
        read_timeout: patience,
        request_timeout: patience,
        chunk: SIZE as u64 / 2,
        ..BackendConfig::new(kind, url)
    }
}

/// Tasks whose ids are 1, 2, …
pub(super) fn tasks(count: u128) -> Vec<Claimed> {
    let task = |number: u128| Claimed {
        id: TaskId::from_bytes(number.to_be_bytes()),
        owner: Owner(1000),
        payload: "{}".to_owned().into(),
        created: WallTime::from_micros(1_700_000_000_000_000),
        attempts: 0,
        note: None,
    };
    (1..=count).map(task).collect()
}

fn file() -> Vec<Claimed> {
    let info = FileInfo { quality: Quality::Original, ..FileInfo::new(SIZE as u64, [0xab; 32]) };
    tasks(1).into_iter().map(|task| Claimed { payload: Payload::File(Box::new(info.clone())), ..task }).collect()
}

/// What holds of every answer, whatever came: it is about the tasks that were sent, and its words are fit to be shown.
pub(super) fn assert_sensible(answer: &Answer, tasks: &[Claimed]) {
    let fit =
        |words: &str| assert!(words.len() <= WORDS_LIMIT + 1024 && !words.contains(char::is_control), "{words:?}");
    match answer {
        Answer::Results(results) => {
            let ids = |of: &mut dyn Iterator<Item = TaskId>| of.collect::<Vec<_>>();
            let about = ids(&mut results.iter().map(|result| result.id));
            assert_eq!(about, ids(&mut tasks.iter().map(|task| task.id)));
            for result in results {
                match &result.outcome {
                    ItemOutcome::Ok(done) => {
                        assert!((200..300).contains(&done.status));
                        fit(&done.body);
                    }
                    ItemOutcome::Retry { after, reason } => {
                        assert!(after.is_none_or(|after| after <= super::reading::LONGEST_WAIT));
                        fit(reason);
                    }
                    ItemOutcome::Rejected { reason } | ItemOutcome::Conflict { reason } => fit(reason),
                    ItemOutcome::Duplicate => {}
                }
            }
        }
        Answer::Status { code, words, retry_after } => {
            assert!(!(200..300).contains(code));
            assert!(retry_after.is_none_or(|after| after <= super::reading::LONGEST_WAIT));
            fit(words);
        }
        Answer::Foreign { words }
        | Answer::Unreachable { words }
        | Answer::Untrusted { words }
        | Answer::NoCredential { words }
        | Answer::Unauthorized { words }
        | Answer::Misplaced { words }
        | Answer::Unready { words, .. }
        | Answer::Withheld { words } => fit(words),
        Answer::Advanced(inner) => {
            assert!(!matches!(**inner, Answer::Results(_) | Answer::Advanced(_)));
            assert_sensible(inner, tasks);
        }
        Answer::Cut(_) => {}
    }
}

/// A server that gives the answers of a script, one a connection, and hangs up; then it only hangs up.
struct Scripted {
    backend: Backend,
    script: Arc<Mutex<Vec<Vec<u8>>>>,
    spool: TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Scripted {
    fn new(kind: BackendKind) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/files/", listener.local_addr().expect("an address"));
        let script = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
        let lines = Arc::clone(&script);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let line = lines.lock().expect("not poisoned").pop();
                serve(connection.expect("a connection"), &line.unwrap_or_default());
            }
        });
        let backend =
            Backend::new(BackendName::new("main").expect("a name"), &config(kind, &url), None, &Addresses::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let spool = TempDir::new().expect("a folder");
        std::fs::write(spool.path().join(tasks(1)[0].id.to_string()), [7; SIZE]).expect("a file");
        Self { backend: backend.expect("a backend"), script, spool, runtime }
    }

    /// What an attempt makes of the script, and how many of its answers were asked for.
    fn attempt(&self, script: &[u8], tasks: &[Claimed]) -> (Answer, usize) {
        let mut lines: Vec<Vec<u8>> = split(script);
        let count = lines.len();
        lines.reverse();
        *self.script.lock().expect("not poisoned") = lines;
        let strategy = StrategyName::new("metadata").expect("a name");
        // Chunks as large as config lets them be.
        let upload = Upload { chunk: u64::MAX, ..Upload::default() };
        let spool = self.spool.path();
        let request = Request { device: "kiosk-7", strategy: &strategy, tasks, spool, upload };
        let (_go, cue) = watch::channel(Cue::GO);
        let hands = Hands { keep: &Forgetful, report: &|_| {}, cue, meter: None };
        let answer = self.runtime.block_on(self.backend.attempt(request, hands));
        (answer, count - self.script.lock().expect("not poisoned").len())
    }
}

fn split(script: &[u8]) -> Vec<Vec<u8>> {
    let (mut lines, mut rest) = (Vec::new(), script);
    while let Some(at) = rest.windows(NEXT.len()).position(|part| part == NEXT) {
        lines.push(rest[..at].to_vec());
        rest = &rest[at + NEXT.len()..];
    }
    lines.push(rest.to_vec());
    lines
}

/// Reads one request and answers it. What fails is the client's affair.
fn serve(mut connection: TcpStream, line: &[u8]) {
    let (mut request, mut piece) = (Vec::new(), [0; 4096]);
    while !is_whole(&request) {
        match connection.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&piece[..read]),
        }
    }
    let _ = connection.write_all(line);
}

fn is_whole(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|part| part == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    request.len() >= end + 4 + length.unwrap_or(0)
}

struct Forgetful;

impl Keep for Forgetful {
    fn keep(&self, _: TaskId, _: String) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[test]
fn a_json_endpoint_may_say_anything() {
    let (server, tasks) = (Scripted::new(BackendKind::Http), tasks(2));
    fuzz!("http", |input: &[u8]| {
        let (answer, asked) = server.attempt(input, &tasks);
        assert_sensible(&answer, &tasks);
        assert!(asked <= 4, "{asked}: a redirect is followed once, and a body sent twice at most");
    });
}

#[test]
fn a_tus_server_may_say_anything() {
    let (server, tasks) = (Scripted::new(BackendKind::Tus), file());
    fuzz!("tus", |input: &[u8]| {
        let (answer, asked) = server.attempt(input, &tasks);
        assert_sensible(&answer, &tasks);
        let said = split(input)[..asked].concat();
        let says = |words: &[u8]| said.windows(words.len()).any(|part| part.eq_ignore_ascii_case(words));
        if matches!(answer, Answer::Results(_)) {
            assert!(says(b"tus-resumable") && says(b"upload-offset") && says(b"64"), "nobody said that it has it all");
        }
    });
}
