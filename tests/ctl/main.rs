//! The built `ferryctl` against a stand-in for the daemon on a private bus.

#[path = "../common/bus.rs"]
mod bus;
mod daemon;
mod hold;
mod put;
#[path = "../common/ready.rs"]
mod ready;
mod simulate;
mod stand_in;

use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Output, Stdio};

use stand_in::{Life, Say, StandIn};

/// Standard output, standard error, exit code.
fn said(output: &Output) -> (String, String, i32) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr), output.status.code().expect("no signal"))
}

/// Runs a command with these lines on its standard input.
fn with_lines(mut command: Command, lines: &[String]) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("ferryctl runs");
    let mut stdin = child.stdin.take().expect("piped");
    let text = lines.join("\n");
    // It may end before it has read all.
    let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("written");
    output
}

fn payloads(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{{\"n\":{number}}}")).collect()
}

fn ids(count: usize) -> String {
    (0..count).map(|id| format!("{id}\n")).collect()
}

/// `ferryctl watch --json`, whose lines are read as they come.
struct Watch {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Watch {
    fn start(stand_in: &StandIn) -> Self {
        let mut child = stand_in.command("--json watch").spawn().expect("ferryctl runs");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> serde_json::Value {
        let line = self.lines.next().expect("it goes on").expect("readable");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn lines_are_enqueued_in_order_and_acknowledged_in_order() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let lines = payloads(1_000);
    let output = with_lines(stand_in.command("enqueue metadata --lines --key k --tag a --tag b"), &lines);
    assert_eq!(said(&output), (ids(1_000), String::new(), 0));
    assert_eq!(stand_in.payloads(), lines);
}

#[test]
fn a_daemon_that_dies_leaves_no_doubt_about_what_it_acknowledged() {
    let stand_in = StandIn::live(&[Life { keeps: 8, answers: 5 }, Life::LONG]);
    let output = with_lines(stand_in.command("enqueue metadata --lines"), &payloads(200));
    let (out, err, code) = said(&output);
    assert_eq!((out, code), (ids(5), 4));
    assert!(err.contains("ferryd went away: acknowledged are lines 1-5; lines 6-"), "{err}");
    assert_eq!(stand_in.payloads(), payloads(8), "without a request id nothing is sent to the next daemon");
}

#[test]
fn with_retry_nothing_is_lost_doubled_or_out_of_order_however_often_it_dies() {
    let lives = [
        Life { keeps: 1, answers: 0 },
        Life { keeps: 70, answers: 69 },
        Life { keeps: 100, answers: 40 },
        Life { keeps: 64, answers: 64 },
        Life::LONG,
    ];
    let stand_in = StandIn::live(&lives);
    let lines = payloads(500);
    let output = with_lines(stand_in.command("enqueue metadata --lines --request-id run --retry"), &lines);
    let (out, _, code) = said(&output);
    assert_eq!((out, code), (ids(500), 0));
    assert_eq!(stand_in.payloads(), lines);
    let requests: Vec<_> = stand_in.memory.lock().unwrap().tasks.iter().map(|(request, ..)| request.clone()).collect();
    assert_eq!(requests, (1..=500).map(|number| format!("run-{number}")).collect::<Vec<_>>());
}

#[test]
fn a_refused_line_is_named_and_stops_nothing() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let lines = ["{}", "bad", "", "[]"].map(str::to_owned);
    let (out, err, code) = said(&with_lines(stand_in.command("enqueue metadata --lines"), &lines));
    assert_eq!((out.as_str(), err.as_str(), code), ("0\n1\n", "ferryctl: line 2: metadata: no JSON\n", 6));
    let (out, _, code) = said(&with_lines(stand_in.command("--json enqueue metadata --lines"), &lines));
    let expected =
        "{\"line\":1,\"id\":\"2\"}\n{\"line\":2,\"error\":\"metadata: no JSON\"}\n{\"line\":4,\"id\":\"3\"}\n";
    assert_eq!((out.as_str(), code), (expected, 6));
}

#[test]
fn one_task_is_enqueued_with_the_contracts_options() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let arguments = "enqueue metadata {} --key k --on-existing keep --tag t --app a --after x --request-id r \
        --network wifi --charging --min-battery 30 --expires 2026-05-01T12:00:00Z";
    assert_eq!(said(&stand_in.ferryctl(arguments)), ("0\n".to_owned(), String::new(), 0));
    let options = stand_in.memory.lock().unwrap().tasks[0].2.clone();
    for expected in [
        "\"after\": Array",
        "\"app\": Str",
        "\"charging\": Bool(true)",
        "\"expires\": U64(1777636800000000)",
        "\"key\": Str",
        "\"min_battery\": U32(30)",
        "\"network\": Str",
        "\"on_existing\": Str",
        "\"request_id\": Str",
        "\"tags\": Array",
    ] {
        assert!(options.contains(expected), "{expected} is not in {options}");
    }
    let output =
        with_lines(stand_in.command("enqueue metadata -"), &["{\"from\":".to_owned(), "\"stdin\"}".to_owned()]);
    assert_eq!(said(&output), ("1\n".to_owned(), String::new(), 0));
    assert_eq!(stand_in.payloads()[1], "{\"from\":\n\"stdin\"}");
    let refused = said(&stand_in.ferryctl("enqueue metadata bad"));
    assert_eq!(refused, (String::new(), "ferryctl: metadata: no JSON\n".to_owned(), 6));
}

#[test]
fn waiting_hears_of_ends_by_signal_and_asks_after_a_restart() {
    let stand_in = StandIn::live(&[Life::LONG, Life::LONG]);
    let mut child = stand_in.command("enqueue metadata {} --wait").spawn().expect("ferryctl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "0");
    stand_in.say(Say::Moved("0".to_owned(), "running"));
    stand_in.say(Say::Moved("0".to_owned(), "done"));
    assert_eq!(lines.next().unwrap().unwrap(), "0 done");
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let mut child = stand_in.command("enqueue metadata {} --wait").spawn().expect("ferryctl runs");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "1");
    stand_in.memory.lock().unwrap().state = "failed";
    stand_in.say(Say::Die);
    assert_eq!(lines.next().unwrap().unwrap(), "1 failed");
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn watching_outlives_the_daemon_answers_pings_and_says_when_it_lagged() {
    let stand_in = StandIn::live(&[Life::LONG, Life::LONG]);
    let mut watch = Watch::start(&stand_in);
    assert_eq!(watch.next()["event"], "daemon");
    stand_in.say(Say::Ping);
    stand_in.say(Say::Moved("7".to_owned(), "failed"));
    let moved = watch.next();
    assert_eq!(
        (moved["id"].as_str(), moved["state"].as_str(), moved["at"].as_u64()),
        (Some("7"), Some("failed"), Some(5))
    );
    stand_in.say(Say::Lagged(300));
    assert_eq!(watch.next()["count"], 300);
    stand_in.until(|events| events.iter().any(|event| event == "pong"));
    stand_in.say(Say::Die);
    assert_eq!(watch.next()["present"], false);
    assert_eq!(watch.next()["present"], true);
    // The second life knows no subscriber until it is asked anew.
    stand_in.until(|events| events.iter().filter(|event| event.starts_with("Subscribe")).count() == 2);
    stand_in.say(Say::Moved("8".to_owned(), "done"));
    assert_eq!(watch.next()["id"], "8");
}

#[test]
fn all_pages_of_a_list_are_fetched_up_to_the_limit() {
    let stand_in = StandIn::live(&[Life::LONG]);
    for (limit, count, more) in [("0", 2_500, false), ("1500", 1_500, true), ("7", 7, true)] {
        let (out, _, code) = said(&stand_in.ferryctl(&format!("--json list --limit {limit}")));
        let list: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!((list["tasks"].as_array().unwrap().len(), list["more"].as_bool(), code), (count, Some(more), 0));
    }
    assert_eq!(said(&stand_in.ferryctl("retry --all")), ("will try again 2500 tasks\n".to_owned(), String::new(), 0));
}

#[test]
fn what_is_shown_comes_from_the_daemons_properties_and_answers() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let (out, err, code) = said(&stand_in.ferryctl("status"));
    assert!(out.starts_with("ferryd 9.9: waiting\n  network    wifi\n") && out.contains("\nphoto "), "{out}{err}");
    assert_eq!(code, 0);
    let (out, ..) = said(&stand_in.ferryctl("explain 7 --history --assume connected=true"));
    assert!(out.contains("\n    interface wlan0\n") && out.ends_with("  retry  503\n"), "{out}");
    assert!(stand_in.events().iter().any(|event| event.starts_with("Explain") && event.contains("assume")));
    assert_eq!(said(&stand_in.ferryctl("cancel 1 2 3")), ("cancelled 3 tasks\n".to_owned(), String::new(), 0));
    assert_eq!(said(&stand_in.ferryctl("pause --strategy photo_upload --until 2h")), (String::new(), String::new(), 0));
    assert!(
        stand_in.events().iter().any(|event| event.starts_with("/strategies/photoPause") && event.contains("until"))
    );
}

#[test]
fn syncing_says_what_the_contract_has_words_for() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let quiet = (String::new(), String::new(), 0);
    assert_eq!(said(&stand_in.ferryctl("sync")), quiet);
    assert_eq!(said(&stand_in.ferryctl("sync photo_upload --override metered --override budget")), quiet);
    let calls: Vec<_> = stand_in.events().into_iter().filter(|event| event.starts_with("SyncNow")).collect();
    assert!(calls[0].contains("\"\"") && !calls[0].contains("override"), "{}", calls[0]);
    assert!(
        ["photo_upload", "override", "metered", "budget"].iter().all(|word| calls[1].contains(word)),
        "{}",
        calls[1]
    );
    let refused = |words: &str, code| (String::new(), format!("ferryctl: {words}\n"), code);
    assert_eq!(said(&stand_in.ferryctl("sync --all")), refused("user 7 is no admin", 5));
    assert_eq!(said(&stand_in.ferryctl("sync nothing")), refused("there is no strategy \"nothing\"", 3));
}

#[test]
fn errors_become_a_sentence_and_their_exit_code() {
    let stand_in = StandIn::live(&[Life::LONG]);
    for (arguments, words, code) in [
        ("show missing", "ferryctl: there is no task \"missing\"\n", 3),
        ("pause --strategy nothing", "ferryctl: there is no strategy \"nothing\"\n", 3),
        ("pause", "ferryctl: user 7 is no admin\n", 5),
        ("reload", "ferryctl: f.toml:3: limits.x: no\n", 6),
    ] {
        assert_eq!(said(&stand_in.ferryctl(arguments)), (String::new(), words.to_owned(), code), "{arguments}");
    }
    let nobody = bus::PrivateBus::start();
    for arguments in ["status", "watch", "enqueue metadata {}"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
        command.args(["--address", nobody.address()]).args(arguments.split_whitespace());
        let expected = "ferryctl: org.ferryd.Ferry1 is not on the bus: is ferryd running there?\n";
        assert_eq!(said(&command.output().unwrap()), (String::new(), expected.to_owned(), 4), "{arguments}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
    let (_, err, code) = said(&command.args(["--address", "unix:path=/nowhere/at/all", "status"]).output().unwrap());
    assert!(err.starts_with("ferryctl: connecting to the bus: ") && code == 4, "{err}");
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let stand_in = StandIn::live(&[Life::LONG]);
    for arguments in ["--json list --limit 0", "watch", "completions bash", "--help"] {
        let mut child = stand_in.command(arguments).spawn().expect("ferryctl runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(said(&output), (String::new(), String::new(), 0), "{arguments}");
    }
}
