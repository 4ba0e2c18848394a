//! `ferryctl hold` against the stand-in: what the command gets, and how it ends.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::said;
use crate::stand_in::{Life, StandIn};

/// Runs `ferryctl hold` with these options and this command.
fn hold(stand_in: &StandIn, options: &[&str], command: &[&str]) -> Output {
    holding(stand_in, options, command).output().expect("ferryctl runs")
}

fn holding(stand_in: &StandIn, options: &[&str], command: &[&str]) -> Command {
    let mut whole = stand_in.command("hold");
    whole.args(options).arg("--").args(command);
    whole
}

fn reasons(stand_in: &StandIn) -> Vec<String> {
    stand_in.events().into_iter().filter(|event| event.starts_with("Hold")).collect()
}

fn until_over(stand_in: &StandIn, holds: usize) {
    stand_in.until(|events| events.iter().filter(|event| *event == "the hold is over").count() == holds);
}

#[test]
fn the_command_runs_as_if_alone_and_its_exit_status_is_its_own() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let output = hold(&stand_in, &[], &["sh", "-c", "echo out; echo err >&2; exit 9"]);
    assert_eq!(said(&output), ("out\n".to_owned(), "err\n".to_owned(), 9));
    until_over(&stand_in, 1);
    // An ignored SIGPIPE would be inherited.
    let output = hold(&stand_in, &[], &["sh", "-c", "kill -PIPE $$"]);
    assert_eq!(output.status.signal(), Some(Signal::PIPE.as_raw()));
    until_over(&stand_in, 2);
}

#[test]
fn the_command_inherits_the_hold_and_nothing_else_of_ferryctls() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let list = ["sh", "-c", "readlink /proc/$$/fd/* 2>/dev/null; true"];
    let places = |output: &Output| {
        let (out, err, code) = said(output);
        assert_eq!((err.as_str(), code), ("", 0));
        out.lines().map(|place| place.split(':').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let mut alone = places(&Command::new(list[0]).args(&list[1..]).output().expect("sh runs"));
    let mut held = places(&hold(&stand_in, &[], &list));
    let one = held.iter().rposition(|place| place == "pipe").expect("a pipe");
    held.remove(one);
    held.sort();
    alone.sort();
    assert_eq!(held, alone);
}

#[test]
fn the_hold_is_over_when_the_last_that_inherited_it_is_killed() {
    let stand_in = StandIn::live(&[Life::LONG]);
    let mut child =
        holding(&stand_in, &[], &["sh", "-c", "sleep 600 & echo $!; exec sleep 600"]).spawn().expect("it runs");
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.as_mut().expect("piped")), &mut line)
        .expect("a line");
    child.kill().expect("our child");
    assert_eq!(child.wait().expect("our child").signal(), Some(Signal::KILL.as_raw()));
    assert!(!stand_in.events().contains(&"the hold is over".to_owned()), "what it started holds on");
    let pid = Pid::from_raw(line.trim().parse().expect("a process id")).expect("a process id");
    kill_process(pid, Signal::KILL).expect("it runs");
    until_over(&stand_in, 1);
}

#[test]
fn a_command_that_cannot_be_run_lets_go_and_ends_as_in_a_shell() {
    let (stand_in, folder) = (StandIn::live(&[Life::LONG]), TempDir::with_prefix("ferry-hold-").expect("a folder"));
    let file = folder.path().join("no-program");
    fs::write(&file, "words").expect("a file");
    let file = file.display().to_string();
    for (index, (program, words, code)) in [
        ("no-such-program-here", "No such file or directory", 127),
        (file.as_str(), "Permission denied", 126),
        ("/", "Permission denied", 126),
    ]
    .into_iter()
    .enumerate()
    {
        let (out, err, found) = said(&hold(&stand_in, &[], &[program]));
        assert_eq!((out.as_str(), found), ("", code), "{err}");
        assert!(err.starts_with(&format!("ferryctl: {program}: {words}")), "{err}");
        until_over(&stand_in, index + 1);
    }
}

#[test]
fn the_reason_is_the_command_line_or_what_is_given() {
    let stand_in = StandIn::live(&[Life::LONG]);
    hold(&stand_in, &[], &["echo", "two words", "a\nb"]);
    hold(&stand_in, &["--reason", "a film"], &["echo"]);
    let reasons = reasons(&stand_in);
    assert!(reasons[0].contains("echo two words a b") && reasons[1].contains("a film"), "{reasons:?}");
}

#[test]
fn without_a_daemon_the_command_does_not_run() {
    let nobody = crate::bus::PrivateBus::start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
    command.args(["--address", nobody.address(), "hold", "--", "echo", "ran"]);
    let (out, err, code) = said(&command.output().expect("ferryctl runs"));
    assert_eq!((out.as_str(), code), ("", 4), "{err}");
}
