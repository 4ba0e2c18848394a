//! The examples do what they are there to show, each for real: the built daemon on a bus in the system bus's place, and
//! the embedded server, whose log says what arrived.

#[path = "../common/bus.rs"]
mod bus;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/ready.rs"]
mod ready;
mod stand_in;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use ferryd::demo::{Behaviour, Gate, UploadState, Verdict, Wait};
use machine::{LIMIT, Machine, PHOTO, root};
use tempfile::TempDir;

const PAYLOAD: &str = r#"{"photo": 7, "title": "Harbour"}"#;

/// The tests of one example, by what runs it. One that `stays` is a single connection to the bus.
macro_rules! example {
    ($name:ident, $program:expr, stays: $stays:literal) => {
        mod $name {
            #[test]
            fn hands_a_task_over_and_waits_until_it_is_done() {
                super::hands_a_task_over_and_waits_until_it_is_done(&$program);
            }

            #[test]
            fn survives_the_daemon() {
                super::survives_the_daemon(&$program, $stays);
            }

            #[test]
            fn repeats_a_call_that_was_not_answered() {
                super::repeats_a_call_that_was_not_answered(&$program);
            }

            #[test]
            fn says_why_a_task_failed() {
                super::says_why_a_task_failed(&$program);
            }

            #[test]
            fn says_why_it_was_refused() {
                super::says_why_it_was_refused(&$program);
            }
        }
    };
}

const SHELL: &str = "examples/enqueue.sh";
const GIO: &str = "/usr/bin/python3 examples/enqueue.py";
const ASYNCIO: &str = "examples/venv/bin/python examples/enqueue_asyncio.py";
const JAVASCRIPT: &str = "node examples/enqueue.js";

example!(shell, super::SHELL, stays: false);
example!(gio, super::GIO, stays: true);
example!(asyncio, super::ASYNCIO, stays: true);
example!(c, super::built_from_c(), stays: true);
example!(javascript, super::JAVASCRIPT, stays: true);

#[test]
fn a_file_is_handed_over_with_gio() {
    hands_a_file_over(GIO);
}

#[test]
fn a_file_is_handed_over_with_asyncio() {
    hands_a_file_over(ASYNCIO);
}

#[test]
fn a_file_is_handed_over_in_c() {
    hands_a_file_over(&built_from_c());
}

fn hands_a_task_over_and_waits_until_it_is_done(program: &str) {
    let machine = Machine::start();
    let (code, said) = machine.begin(&format!("{program} '{PAYLOAD}'")).end();
    assert_eq!(code, Some(0), "{said:#?}");
    let items = machine.server.received();
    assert_eq!(items.len(), 1);
    assert_eq!((items[0].seen, items[0].applied, items[0].payload.as_str()), (1, Some(0), PAYLOAD));
    let done = format!("{} done", items[0].id);
    assert!(said.iter().any(|line| line.trim_end() == done), "{said:#?}");
}

/// It starts before the daemon; the daemon is killed while the server has the task and has not answered; in the end there
/// is one task, and the server has it once.
fn survives_the_daemon(program: &str, stays: bool) {
    let mut machine = Machine::without_daemon();
    let gate = Gate::closed();
    machine.server.behave(Behaviour { before_answering: Wait::Gate(gate.clone()), ..Behaviour::honest() });
    let mut running = machine.begin(&format!("{program} '{PAYLOAD}'"));
    running.until(|line| line == "waiting for ferryd");
    machine.switch_on();
    let looked = |line: &str| line.contains(" running") || line.contains(" pending");
    running.until(looked);
    assert!(machine.server.wait_until(|log| log.applied() == 1, LIMIT), "the server has it");
    if stays {
        everybody_answers_a_ping(&machine);
    }
    machine.kill();
    running.until(|line| line == "waiting for ferryd");
    machine.switch_on();
    // It has found the new daemon: from now on nothing but a signal, or a look of its own, tells of the end.
    let id = running.until(looked).split(' ').next().expect("an id").to_owned();
    gate.open();
    let (code, said) = running.end();
    assert_eq!(code, Some(0), "{said:#?}");
    assert!(said.iter().any(|line| line.trim_end() == format!("{id} done")), "{said:#?}");
    let items = machine.server.received();
    assert_eq!((items.len(), items[0].id.as_str(), items[0].applied), (1, id.as_str(), Some(0)));
    assert_eq!(machine.shell("ferryctl list --json").matches("\"id\"").count(), 1, "there is one task");
}

/// Whoever gets signals and is silent when the daemon asks, gets no more of them.
fn everybody_answers_a_ping(machine: &Machine) {
    let names = machine.shell("busctl --address=$DBUS_SYSTEM_BUS_ADDRESS --unique --no-legend list");
    let others: Vec<&str> = names.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(others.len() >= 2, "{names}");
    for name in others {
        // busctl's own has gone.
        let ping = format!("busctl call {name} / org.freedesktop.DBus.Peer Ping");
        machine.shell(&format!("{ping} || ! busctl status {name} >/dev/null 2>&1"));
    }
}

fn repeats_a_call_that_was_not_answered(program: &str) {
    let mut machine = Machine::without_daemon();
    let running = machine.begin(&format!("{program} '{PAYLOAD}'"));
    let first = stand_in::die_at_enqueue(machine.bus.address());
    let second = stand_in::die_at_enqueue(machine.bus.address());
    assert_eq!(first, second);
    assert_eq!((first.payload.as_str(), first.key.as_str()), (PAYLOAD, "example"));
    assert!(first.request_id.len() >= 32, "{first:?}");
    machine.switch_on();
    let (code, said) = running.end();
    assert_eq!(code, Some(0), "{said:#?}");
    assert_eq!(machine.server.received().len(), 1);
}

fn says_why_a_task_failed(program: &str) {
    let machine = Machine::start();
    machine.server.behave(Behaviour::judged(|_| Verdict::Reject { reason: "no such album".into() }));
    let (code, said) = machine.begin(&format!("{program} '{PAYLOAD}'")).end();
    assert_eq!(code, Some(1), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("failed") && line.contains("no such album")), "{said:#?}");
}

fn says_why_it_was_refused(program: &str) {
    let machine = Machine::start();
    let (code, said) = machine.begin(&format!("{program} '{{\"photo\": '")).end();
    assert_eq!(code, Some(1), "{said:#?}");
    assert!(said.iter().any(|line| line.contains("line 1")), "{said:#?}");
    assert_eq!(machine.server.received(), []);
}

fn hands_a_file_over(program: &str) {
    let machine = Machine::start();
    let (code, said) = machine.begin(&format!("{program} --file {}", machine.path("harbour.jpg"))).end();
    assert_eq!(code, Some(0), "{said:#?}");
    let uploads = machine.server.uploads();
    assert_eq!(uploads.len(), 1);
    assert_eq!((uploads[0].state, &uploads[0].bytes[..]), (UploadState::Finished, &PHOTO[..]));
    assert_eq!(uploads[0].metadata["filename"], "harbour.jpg");
}

/// The C example, built once, by the command that stands in it.
fn built_from_c() -> String {
    static BUILT: OnceLock<(TempDir, String)> = OnceLock::new();
    let (_, program) = BUILT.get_or_init(|| {
        let folder = TempDir::with_prefix("ferry-examples-").expect("a folder");
        let program = folder.path().join("enqueue").display().to_string();
        let text = fs::read_to_string(root().join("examples/enqueue.c")).expect("the example");
        let command =
            text.lines().find_map(|line| line.trim_start_matches([' ', '*']).strip_prefix("cc -Wall -o enqueue "));
        let command = format!("cc -Wall -Werror -o {program} {}", command.expect("its command"));
        let built = Command::new("sh").args(["-euc", &command]).current_dir(root()).status().expect("sh runs");
        assert!(built.success() && Path::new(&program).exists(), "{command}");
        (folder, program)
    });
    program.clone()
}
