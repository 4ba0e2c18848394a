//! The built `ferryctl` and the built `ferryd`, on a private bus, without a backend but for files: nothing else is sent.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ferryd::demo::{Behaviour, Server, Wait};
use tempfile::TempDir;

use crate::bus::PrivateBus;
use crate::said;

/// A daemon with its bus, its state and its configuration.
struct Ferry {
    bus: PrivateBus,
    folder: TempDir,
    daemon: Child,
}

impl Ferry {
    fn start() -> Self {
        Self::with("")
    }

    fn with(config: &str) -> Self {
        let (bus, folder) = (PrivateBus::start(), TempDir::with_prefix("ferry-ctl-").expect("a folder"));
        fs::write(folder.path().join("ferryd.toml"), config).expect("a file");
        let daemon = spawn(&bus, &folder);
        let ferry = Self { bus, folder, daemon };
        ferry.until_ready();
        ferry
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("ferryd.toml")
    }

    /// kill -9, and a new one at once.
    fn crash(&mut self) {
        self.daemon.kill().expect("it ran");
        self.daemon.wait().expect("it ends");
        self.daemon = spawn(&self.bus, &self.folder);
    }

    /// Waits until the name is owned.
    fn until_ready(&self) {
        crate::ready::until_ready(self.bus.address());
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
        command.args(["--address", self.bus.address()]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `ferryctl` with arguments split at spaces: standard output, standard error, exit code.
    fn ctl(&self, arguments: &str) -> (String, String, i32) {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        said(&self.command(&arguments).output().expect("ferryctl runs"))
    }

    /// What a command that must succeed answers in JSON.
    fn json(&self, arguments: &str) -> serde_json::Value {
        let (out, err, code) = self.ctl(&format!("--json {arguments}"));
        assert_eq!((err.as_str(), code), ("", 0), "{arguments}");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments}: {error}: {out}"))
    }

    fn enqueue(&self, arguments: &str) -> String {
        let (out, err, code) = self.ctl(&format!("enqueue metadata {{}} {arguments}"));
        assert_eq!((err.as_str(), code), ("", 0), "{arguments}");
        out.trim().to_owned()
    }
}

impl Drop for Ferry {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

fn spawn(bus: &PrivateBus, folder: &TempDir) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferryd"));
    command.args(["--address", bus.address(), "--config"]).arg(folder.path().join("ferryd.toml"));
    command.arg("--state-dir").arg(folder.path().join("state"));
    command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("ferryd runs")
}

/// A daemon with a server for files that takes its time to confirm each of their chunks.
fn with_files() -> (Ferry, Server) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let wait = Wait::For(Duration::from_millis(200));
    let slow = Behaviour { waiting: Some("PATCH"), before_answering: wait, ..Behaviour::honest() };
    let server = Server::start(listener, slow).expect("a server");
    let files = format!("kind = \"tus\"\nurl = \"http://{}/files/\"\nchunk = \"64 KiB\"", server.address());
    let config = format!("[backend.files]\n{files}\n[strategy.photo]\nnetwork = \"any\"\n");
    (Ferry::with(&config), server)
}

#[test]
fn files_put_are_waited_for_and_watched() {
    let (ferry, server) = with_files();
    let mut watch = ferry.command(&["--json", "watch"]).spawn().expect("ferryctl runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines().map(|line| line.expect("readable"));
    assert!(lines.next().is_some_and(|line| line.contains("daemon")));
    let photos = ferry.folder.path().join("photos");
    fs::create_dir(&photos).expect("a folder");
    for name in ["a.jpg", "b.jpg"] {
        fs::write(photos.join(name), [name.as_bytes(), &vec![7; 300_000]].concat()).expect("a file");
    }
    let photos = photos.to_str().expect("UTF-8");
    let (out, err, code) = ferry.ctl(&format!("put {photos} --wait"));
    assert_eq!((err.as_str(), code), ("", 0), "{out}");
    let lines_of: Vec<_> = out.lines().collect();
    assert_eq!(
        lines_of[2..],
        ["a", "b"].map(|name| {
            let index = usize::from(name == "b");
            format!("{} done {photos}/{name}.jpg", lines_of[index])
        })
    );
    let uploads = server.uploads();
    assert_eq!(
        uploads.iter().map(|upload| upload.metadata["filetype"].as_str()).collect::<Vec<_>>(),
        ["image/jpeg"; 2]
    );
    let progress = lines.find(|line| line.contains("progress")).expect("a line");
    let progress: serde_json::Value = serde_json::from_str(&progress).expect("JSON");
    assert_eq!((progress["total"].as_u64(), progress["chunk_size"].as_u64().is_some()), (Some(300_005), true));
    watch.kill().expect("it ran");
    watch.wait().expect("it ends");
}

#[test]
fn on_a_terminal_bars_show_how_far_files_are() {
    let (ferry, _server) = with_files();
    let photo = ferry.folder.path().join("a.jpg");
    fs::write(&photo, vec![7; 600_000]).expect("a file");
    let ferryctl = env!("CARGO_BIN_EXE_ferryctl");
    let line = format!("{ferryctl} --address {} put --wait {}", ferry.bus.address(), photo.display());
    let output =
        Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().expect("a terminal");
    let (out, _, code) = said(&output);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("0 of 1 files, ") && out.contains("a.jpg  ") && out.contains("#\u{1b}[0m."), "{out}");
    assert!(out.trim_end().ends_with(&format!("done\u{1b}[0m {}", photo.display())), "{out:?}");
}

#[test]
fn lines_with_retry_survive_kill_9_each_once_and_in_order() {
    let mut ferry = Ferry::start();
    let arguments = ["enqueue", "metadata", "--lines", "--key", "k", "--request-id", "run", "--retry"];
    let mut client = ferry.command(&arguments).stdin(Stdio::piped()).spawn().expect("ferryctl runs");
    let mut input = client.stdin.take().expect("piped");
    let count = 3_000;
    let writer = std::thread::spawn(move || {
        for number in 1..=count {
            writeln!(input, "{{\"n\":{number}}}").expect("ferryctl reads on");
        }
    });
    let mut ids = Vec::new();
    for line in BufReader::new(client.stdout.take().expect("piped")).lines() {
        ids.push(line.expect("an id"));
        if [500, 1_500].contains(&ids.len()) {
            ferry.crash();
        }
    }
    writer.join().expect("written");
    assert_eq!(client.wait().expect("it ends").code(), Some(0));
    assert_eq!(ids.len(), count);
    let list = ferry.json("list --limit 0 --key k");
    let kept: Vec<_> = list["tasks"].as_array().expect("tasks").iter().map(|task| task["id"].clone()).collect();
    assert_eq!(kept, ids);
}

#[test]
fn an_admin_sees_why_nothing_goes_and_takes_things_back() {
    let ferry = Ferry::start();
    let first = ferry.enqueue("--key a --tag t --app notes --expires 2h");
    let second = ferry.enqueue("--key b --network wifi");
    let status = ferry.json("status");
    assert_eq!(
        (status["state"].as_str(), status["strategies"][0]["name"].as_str()),
        (Some("waiting"), Some("metadata"))
    );
    let (text, ..) = ferry.ctl("status");
    assert!(text.contains("no-backend"), "{text}");

    let explained = ferry.json(&format!("explain {second} --history"));
    assert_eq!(explained["reasons"][0]["reason"], "no-backend", "{explained}");
    let shown = ferry.json(&format!("show {first}"));
    let expected = serde_json::json!(["metadata", "pending", "notes", "a", ["t"], 2]);
    let found = serde_json::json!([
        shown["strategy"],
        shown["state"],
        shown["app"],
        shown["key"],
        shown["tags"],
        shown["size"]
    ]);
    assert_eq!(found, expected);
    assert_eq!(ferry.json("list --tag t")["tasks"][0]["id"], first.as_str());
    assert_eq!(ferry.json("list --state failed")["tasks"], serde_json::json!([]));

    assert_eq!(ferry.ctl(&format!("cancel {first}")), ("cancelled 1 task\n".to_owned(), String::new(), 0));
    assert_eq!(ferry.json(&format!("show {first}"))["state"], "cancelled");
    assert_eq!(ferry.ctl("retry --all"), ("will try again 0 tasks\n".to_owned(), String::new(), 0));

    assert_eq!(ferry.ctl("pause").2, 0);
    assert_eq!(ferry.json("status")["state"], "paused");
    assert_eq!(ferry.ctl("resume").2, 0);
    assert_eq!(ferry.ctl("pause --strategy photo --until 2h").2, 0);
    let strategies = ferry.json("status")["strategies"].clone();
    let paused: Vec<_> =
        strategies.as_array().expect("strategies").iter().map(|strategy| &strategy["paused"]).collect();
    assert_eq!(paused, [false, true, false]);
}

#[test]
fn bad_input_gets_its_documented_exit_code() {
    let ferry = Ferry::start();
    let unknown = "0196ab3c-1111-7000-8000-000000000001";
    for (arguments, code) in [
        (format!("show {unknown}"), 3),
        (format!("cancel {unknown}"), 3),
        ("show nonsense".to_owned(), 6),
        ("enqueue nothing {}".to_owned(), 6),
        ("enqueue metadata {".to_owned(), 6),
        ("enqueue photo {}".to_owned(), 6),
        ("resume --strategy nothing".to_owned(), 3),
    ] {
        let (out, err, found) = ferry.ctl(&arguments);
        assert_eq!((out.as_str(), found), ("", code), "{arguments}: {err}");
        assert!(err.starts_with("ferryctl: ") && err.lines().count() == 1, "{arguments}: {err}");
    }
    assert_eq!(ferry.ctl("reload"), (String::new(), String::new(), 0));
    fs::write(ferry.config(), "[limits]\nmax_concurrent = 99\n").expect("a file");
    let (_, err, code) = ferry.ctl("reload");
    assert!(err.contains("ferryd.toml:2: limits.max_concurrent: 99 is not from 2 to 16") && code == 6, "{err}");
    assert_eq!(ferry.json("status")["state"], "idle");
}

#[test]
fn watching_shows_tasks_as_they_move_and_outlives_a_crash() {
    let mut ferry = Ferry::start();
    let mut watch = ferry.command(&["--json", "watch"]).spawn().expect("ferryctl runs");
    let mut lines = BufReader::new(watch.stdout.take().expect("piped")).lines();
    let mut until = |key: &str, value: &str| loop {
        let line = lines.next().expect("it goes on").expect("readable");
        let event: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        if event[key] == value {
            return event;
        }
    };
    assert_eq!(until("event", "daemon")["present"], true);
    let id = ferry.enqueue("");
    assert_eq!(until("event", "task")["id"], id.as_str());
    ferry.crash();
    assert_eq!(until("event", "daemon")["present"], false);
    assert_eq!(until("event", "daemon")["present"], true);
    assert_eq!(ferry.ctl(&format!("cancel {id}")).2, 0);
    assert_eq!(until("state", "cancelled")["id"], id.as_str());
    drop(watch.kill());
    drop(watch.wait());
}
