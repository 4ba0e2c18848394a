//! The way to sleep and back. logind is a stand-in: this machine must not sleep, and the daemon's part is over before it
//! would. What a real sleep does to clocks and sockets is seen in a virtual machine only.

use std::time::Duration;

use ferryd::demo::{Behaviour, Gate, Wait};
use serde_json::json;

use crate::device::{Device, HANG};
use crate::files::{self, assert_arrived};
use crate::machine::*;
use crate::servers::{config, serve};

/// logind, and its first inhibitor taken.
fn awake(device: &Device<'_>) -> crate::mock::Mock {
    let logind = logind(device.bus.address());
    assert!(logind.until_inhibitors(1, HANG), "{}", device.log());
    logind
}

#[test]
fn an_idle_device_sleeps_at_once_and_nothing_starts_until_it_wakes() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let logind = awake(&device);
    for round in 1..=3 {
        prepare_for_sleep(&logind, true);
        assert!(logind.until_inhibitors(0, HANG), "{}", device.log());
        let id = device.enqueue_one();
        let row = device.until_waits_for(&id, "suspending");
        assert_eq!(row.clears, "the device wakes up");
        device.until_strategy("metadata", "Blocked", json!(["suspending"]));
        assert_eq!(server.received().len(), round - 1);
        prepare_for_sleep(&logind, false);
        device.until_done(&[id]);
        assert!(logind.until_inhibitors(1, HANG), "the next sleep is delayed too: {}", device.log());
    }
}

#[test]
fn sleep_waits_until_what_runs_has_ended_and_its_end_is_on_disk() {
    let (unanswered, server) = (Gate::closed(), serve(Behaviour::honest()));
    server.behave(Behaviour { before_answering: Wait::Gate(unanswered.clone()), ..Behaviour::honest() });
    let mut device = Device::start(&config(&server));
    let logind = awake(&device);
    let id = device.enqueue_one();
    assert!(server.wait_until(|log| log.applied() == 1, HANG));
    prepare_for_sleep(&logind, true);
    device.until("the limit is set", |device| (device.shown("Manager")["NextWake"][0] == "sleep-limit").then_some(()));
    assert_eq!(logind.inhibitors(), 1);
    unanswered.open();
    assert!(logind.until_inhibitors(0, HANG));
    // The device loses its power in its sleep: what was promised to be on disk is.
    device.kill();
    device.switch_on();
    assert_eq!(device.task(&id)["state"], "done");
}

#[test]
fn what_does_not_end_is_cut_counts_nothing_and_goes_on_at_once_when_the_device_wakes() {
    let server = serve(Behaviour { before_answering: Wait::Gate(Gate::closed()), ..Behaviour::honest() });
    let mut device = Device::start(&config(&server));
    let logind = awake(&device);
    let id = device.enqueue_one();
    assert!(server.wait_until(|log| log.applied() == 1, HANG));
    server.behave(Behaviour::honest());
    prepare_for_sleep(&logind, true);
    assert!(logind.until_inhibitors(0, HANG), "{}", device.log());
    let task = device.task(&id);
    assert_eq!((&task["state"], &task["attempts"]), (&json!("pending"), &json!(0)));
    device.until_waits_for(&id, "suspending");
    prepare_for_sleep(&logind, false);
    device.until_done(&[id]);
}

#[test]
fn an_upload_comes_to_the_end_of_its_chunk_and_goes_on_there() {
    const CHUNK: usize = 64 * 1024;
    let (gate, server) = (Gate::closed(), serve(Behaviour::honest()));
    let amid = Some((1000, Wait::Gate(gate.clone())));
    server.behave_files(Some(Behaviour { waiting: Some("PATCH"), amid, ..Behaviour::honest() }));
    let mut device = Device::start(&files::config(&server, CHUNK));
    let logind = awake(&device);
    let (path, bytes) = files::file(&device, "a.jpg", 5 * CHUNK);
    let ids = files::put(&device, &[path]);
    files::until_more_than(&device, &server, 0);
    prepare_for_sleep(&logind, true);
    device.until("it is near", |device| (device.shown("Manager")["NextWake"][0] == "sleep-limit").then_some(()));
    gate.open();
    assert!(logind.until_inhibitors(0, HANG));
    let upload = server.uploads().remove(0);
    assert_eq!((upload.offset, upload.patches), (CHUNK as u64, 1));
    prepare_for_sleep(&logind, false);
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
}

#[test]
fn a_logind_that_ends_leaves_nobody_waiting_for_the_morning() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let logind = awake(&device);
    prepare_for_sleep(&logind, true);
    device.until_strategy("metadata", "Blocked", json!(["suspending"]));
    let id = device.enqueue_one();
    device.until_waits_for(&id, "suspending");
    drop(logind);
    device.until_done(&[id]);
    // One that comes later counts as the first did.
    let logind = awake(&device);
    prepare_for_sleep(&logind, true);
    assert!(logind.until_inhibitors(0, HANG));
}

#[test]
fn where_sleep_may_not_be_delayed_it_is_still_noticed_and_that_is_said_once() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let logind = logind_that_refuses(device.bus.address());
    for _ in 0..3 {
        prepare_for_sleep(&logind, true);
        until(&mut device, "sleep is near", |device| device.strategy("metadata")["Blocked"] == json!(["suspending"]));
        let id = device.enqueue_one();
        device.until_waits_for(&id, "suspending");
        prepare_for_sleep(&logind, false);
        device.until_done(&[id]);
    }
    let words = "logind does not let sleep be delayed";
    until_logged(&mut device, words, 1);
    assert_eq!(device.log().matches(words).count(), 1, "{}", device.log());
}

#[test]
fn a_backend_that_failed_on_the_way_to_sleep_is_asked_at_once_in_the_morning() {
    let server = serve(Behaviour::honest());
    // An endpoint that is not there is looked for every 15 minutes.
    server.behave_once(Behaviour::fault(ferryd::demo::Fault::status(404, "nothing here")));
    let mut device = Device::start(&config(&server));
    let logind = awake(&device);
    let id = device.enqueue_one();
    device.until_waits_for(&id, "backend-config");
    prepare_for_sleep(&logind, true);
    assert!(logind.until_inhibitors(0, HANG));
    prepare_for_sleep(&logind, false);
    device.until_done(&[id]);
}

#[test]
fn a_stranger_cannot_send_the_daemon_to_sleep() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let logind = awake(&device);
    // A signal that is not true is no more than a question.
    let asked = logind.asked();
    logind.emit(LOGIND_PATH, LOGIND_MANAGER, "PrepareForSleep", &true);
    logind.until_asked_more_than(asked);
    let id = device.enqueue_one();
    device.until_done(&[id]);
    assert!(!logind.until_inhibitors(0, Duration::from_millis(200)), "nor is the inhibitor let go");
}
