//! `Hold`: nothing starts while the descriptor is open, whoever has it, and for so long at most.

use std::io::{PipeWriter, Write as _};
use std::process::{Command, Stdio};

use ferryd::demo::Behaviour;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;

use crate::device::Device;
use crate::servers::{config, config_with, serve};

#[test]
fn nothing_starts_until_the_descriptor_is_closed() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let held = device.hold("recording a film").expect("held");
    let id = device.enqueue_one();
    let row = device.until_waits_for(&id, "held");
    assert_eq!(row.detail["words"], "recording a film");
    assert!(row.clears.contains(" let go, in ") && row.since > 0, "{row:?}");
    device.until_shown("Blocked", json!(["held"]));
    let shown = device.shown("Manager");
    assert_eq!((&shown["Holds"], &shown["State"]), (&json!(1), &json!("waiting")));
    assert_eq!(shown["NextWake"][0], "hold-ends");
    let (said, code) = device.ctl(&format!("explain {id}"));
    assert!(said.contains("recording a film") && code == 0, "{said}");
    assert_eq!(server.received(), []);
    PipeWriter::from(held.try_clone().expect("a copy")).write_all(b"ignored").expect("a hold takes bytes");
    drop(held);
    device.until_done(&[id]);
    device.until_shown("Holds", 0);
}

#[test]
fn every_hold_counts_and_the_last_copy_of_its_descriptor() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let (first, second) = (device.hold("one").expect("held"), device.hold("two").expect("held"));
    let id = device.enqueue_one();
    // The app is gone, what it started lives on with a copy.
    let child = Command::new("sleep").arg("600").stdin(Stdio::from(second)).spawn();
    let mut child = child.expect("sleep runs");
    drop(first);
    device.until_shown("Holds", 1);
    let row = device.until_waits_for(&id, "held");
    assert_eq!(row.detail["words"], "two");
    child.kill().expect("our child");
    child.wait().expect("our child");
    device.until_done(&[id]);
}

#[test]
fn a_hold_ends_by_itself_and_its_holder_sees_that() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, "[limits]\nhold_time = \"1 s\""));
    let held = device.hold("for ever").expect("held");
    let id = device.enqueue_one();
    device.until_waits_for(&id, "held");
    device.until_done(&[id]);
    poll(&mut [PollFd::new(&held, PollFlags::empty())], None).expect("the pipe is broken");
    assert_eq!(device.shown("Manager")["Holds"], 0);
}

#[test]
fn one_user_has_four_holds_and_those_that_are_over_count_no_more() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let mut held: Vec<_> = (0..4).map(|_| device.hold("again").expect("held")).collect();
    let refused = device.hold("once more").expect_err("four are enough");
    assert_eq!(refused.name, "LimitExceeded");
    assert!(refused.message.contains("holds 4 times already"), "{}", refused.message);
    held.pop();
    device.until_shown("Holds", 3);
    device.hold("once more").expect("held");
    for bad in ["", "a\nb", &"x".repeat(256)] {
        assert_eq!(device.hold(bad).expect_err("no reason").name, "InvalidArgument");
    }
}

#[test]
fn what_runs_goes_on_and_a_restart_forgets_holds() {
    let gate = ferryd::demo::Gate::closed();
    let slow = Behaviour { before_answering: ferryd::demo::Wait::Gate(gate.clone()), ..Behaviour::honest() };
    let server = serve(slow);
    let mut device = Device::start(&config(&server));
    let first = device.enqueue_one();
    assert!(server.wait_until(|log| log.in_flight == 1, crate::device::HANG));
    let held = device.hold("now").expect("held");
    gate.open();
    device.until_done(&[first]);
    let second = device.enqueue_one();
    device.until_waits_for(&second, "held");
    device.kill();
    device.switch_on();
    device.until_done(&[second]);
    drop(held);
}
