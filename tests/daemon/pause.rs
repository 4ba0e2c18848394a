//! Pauses: of everything and of one strategy, without end and until a time, through kill -9 and restart.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferryd::demo::Behaviour;
use serde_json::{Value, json};
use zbus::Variant;

use crate::device::{Device, none};
use crate::servers::{config, serve};

fn micros_from_now(span: Duration) -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set");
    u64::try_from((since_epoch + span).as_micros()).expect("it fits")
}

fn until(time: u64) -> std::collections::BTreeMap<&'static str, Variant<'static>> {
    [("until", Variant::from(time))].into()
}

/// State, Paused, Blocked and NextWake of the daemon.
fn manager(device: &mut Device<'_>) -> Value {
    let shown = device.shown("Manager");
    json!([shown["State"], shown["Paused"], shown["Blocked"], shown["NextWake"]])
}

fn assert_pauses_until(device: &mut Device<'_>, end: u64) {
    let shown = manager(device);
    assert_eq!((&shown[0], &shown[1], &shown[2]), (&json!("paused"), &json!(true), &json!(["paused"])));
    // The wake is on another clock; a microsecond is lost between the two.
    let wake = shown[3][1].as_u64().expect("a time");
    assert!(shown[3][0] == "pause-ends" && wake.abs_diff(end) < 1_000, "{shown}, not {end}");
}

/// Blocked and Paused of a strategy.
fn strategy(device: &mut Device<'_>, name: &str) -> Value {
    let shown = device.strategy(name);
    json!([shown["Blocked"], shown["Paused"]])
}

#[test]
fn a_pause_without_end_holds_through_kill_9_until_it_is_resumed() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    device.until("it is online", |device| (manager(device) == json!(["idle", false, [], ["", 0]])).then_some(()));
    device.call("Manager", "Pause", &none()).expect("paused");
    assert_eq!(manager(&mut device), json!(["paused", true, ["paused"], ["", 0]]));
    let ids = device.enqueue(3);
    for _ in 0..2 {
        device.until("it shows the pause", |device| {
            let expected = json!(["paused", true, ["paused"], ["", 0]]);
            (manager(device) == expected && device.strategy("metadata")["Pending"] == 3).then_some(())
        });
        assert_eq!(strategy(&mut device, "metadata"), json!([["paused"], false]));
        let rows = device.explain(&ids[0]);
        assert_eq!((rows[0].reason.as_str(), rows[0].clears.as_str()), ("paused", "an admin resumes everything"));
        assert_eq!((rows[0].detail["paused"].as_str(), rows.len()), (Some("everything"), 1));
        device.kill();
        device.switch_on();
    }
    device.switch_off();
    device.switch_on();
    device.until_shown("Blocked", json!(["paused"]));
    assert_eq!(server.received(), []);
    device.call("Manager", "Resume", &none()).expect("resumed");
    device.until_done(&ids);
    device.until("it rests", |device| (device.shown("Manager")["State"] == "idle").then_some(()));
    assert_eq!(device.shown("Manager")["Paused"], false);
    device.kill();
    device.switch_on();
    assert_eq!(device.shown("Manager")["Paused"], false, "a resume survives too");
}

#[test]
fn one_strategy_pauses_alone() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    device.call_strategy("analytics", "Pause", &none()).expect("paused");
    let waiting = device.enqueue_to("analytics", 2);
    let ids = device.enqueue(2);
    device.until_done(&ids);
    device.until_shown("State", "waiting");
    assert_eq!(
        manager(&mut device).as_array().expect("four")[..3],
        [json!("waiting"), json!(false), json!(["paused"])]
    );
    assert_eq!(strategy(&mut device, "analytics"), json!([["paused"], true]));
    assert_eq!(strategy(&mut device, "metadata"), json!([[], false]));
    assert_eq!(device.explain(&waiting[0])[0].detail["paused"], "analytics");
    let (said, _) = device.ctl(&format!("explain {}", waiting[0]));
    assert!(said.contains("an admin resumes analytics"), "{said}");
    // Pauses do not add up: the whole resumed, the one still holds.
    device.call("Manager", "Pause", &none()).expect("paused");
    device.call("Manager", "Resume", &none()).expect("resumed");
    assert_eq!(device.strategy("analytics")["Paused"], true);
    device.kill();
    device.switch_on();
    device.until_strategy("analytics", "Blocked", json!(["paused"]));
    device.call_strategy("analytics", "Resume", &none()).expect("resumed");
    device.until_done(&waiting);
}

#[test]
fn a_pause_until_a_time_ends_by_itself() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let end = micros_from_now(Duration::from_secs(3));
    device.call("Manager", "Pause", &until(end)).expect("paused");
    let id = device.enqueue_one();
    device.until_waits_for(&id, "paused");
    assert_pauses_until(&mut device, end);
    let row = device.explain(&id).remove(0);
    assert!(
        row.clears.starts_with("the pause of everything ends in ")
            && row.clears.ends_with(" s, or an admin resumes it"),
        "{row:?}"
    );
    assert_eq!(row.detail["until"], end.to_string());
    device.kill();
    device.switch_on();
    device.until("the network is known", |device| (device.shown("Network")["Connected"] == true).then_some(()));
    assert_pauses_until(&mut device, end);
    assert_eq!(server.received(), []);
    device.until_done(std::slice::from_ref(&id));
    let started = device.task(&id)["finished"].as_u64().expect("a time");
    assert!(started >= end, "not before its time");
    device.until_shown("State", "idle");
    assert_eq!(device.shown("Manager")["Paused"], false);
}

#[test]
fn a_strategys_pause_that_ended_while_the_daemon_was_off_is_over() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let end = micros_from_now(Duration::from_millis(1500));
    device.call_strategy("metadata", "Pause", &until(end)).expect("paused");
    let id = device.enqueue_one();
    device.until_waits_for(&id, "paused");
    device.kill();
    let rest = Duration::from_micros(end.saturating_sub(micros_from_now(Duration::ZERO)));
    // Nobody is there to tell of it: only time passes.
    std::thread::sleep(rest);
    device.switch_on();
    assert_eq!(device.strategy("metadata")["Paused"], false);
    device.until_done(&[id]);
}

#[test]
fn a_pause_that_makes_no_sense_is_refused() {
    let mut device = Device::start("");
    for bad in [until(1), [("until", Variant::from("soon"))].into(), [("unit", Variant::from(1u64))].into()] {
        let refused = device.call("Manager", "Pause", &bad).expect_err("refused");
        assert_eq!(refused.name, "InvalidArgument");
    }
    assert_eq!(device.shown("Manager")["Paused"], false);
}

#[test]
fn what_runs_when_a_pause_begins_ends_as_it_would() {
    let gate = ferryd::demo::Gate::closed();
    let held = Behaviour { before_answering: ferryd::demo::Wait::Gate(gate.clone()), ..Behaviour::honest() };
    let server = serve(held);
    let mut device = Device::start(&config(&server));
    let id = device.enqueue_one();
    assert!(server.wait_until(|log| log.in_flight == 1, crate::device::HANG));
    device.call("Manager", "Pause", &none()).expect("paused");
    assert_eq!(device.shown("Manager")["State"], "paused");
    gate.open();
    device.until_done(&[id]);
}
