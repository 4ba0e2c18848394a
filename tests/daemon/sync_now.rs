//! `SyncNow`: what waits for a time goes now, and what waits for a condition on request.

use std::collections::BTreeMap;
use std::net::TcpListener;

use ferryd::demo::{Behaviour, Server, Verdict};
use serde_json::json;
use zbus::Variant;

use crate::device::{Device, HANG, none};
use crate::servers::{METERED, config, config_with, serve};

fn overriding(words: &[&str]) -> BTreeMap<&'static str, Variant<'static>> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    [("override", Variant::from(words))].into()
}

#[test]
fn a_backoff_is_over_and_the_server_is_asked_again() {
    let server = serve(Behaviour::judged(|item| match item.attempt {
        1 => Verdict::Retry { after: Some(3600.0), reason: "later".to_owned() },
        _ => Verdict::Take,
    }));
    let mut device = Device::start(&config(&server));
    let id = device.enqueue_one();
    device.until_waits_for(&id, "backoff");
    device.call("Manager", "SyncNow", &("analytics", none())).expect("another strategy");
    device.until_waits_for(&id, "backoff");
    device.call("Manager", "SyncNow", &("", none())).expect("everything");
    device.until_done(std::slice::from_ref(&id));
    assert!(device.history(&id).contains("sync-now"));
}

/// Which time within the hour it is only chance says: it is never the first second of it in so few runs.
#[test]
fn a_device_of_a_fleet_that_starts_waits_for_a_time_of_its_own() {
    let server = serve(Behaviour::honest());
    let delayed = "[strategy.metadata]\nrandomized_delay = \"1 h\"\n";
    let mut device = Device::start(&format!("{}{delayed}", config(&server)));
    let id = device.enqueue_one();
    let row = device.until_waits_for(&id, "backoff");
    assert!(row.clears.contains("strategy.metadata.randomized_delay"), "{}", row.clears);
    device.until_strategy("metadata", "Blocked", json!(["backoff"]));
    assert_eq!(device.shown("Manager")["NextWake"][0], "randomized-delay");
    device.call("Manager", "SyncNow", &("metadata", none())).expect("asked");
    device.until_done(&[id]);
    let next = device.enqueue_one();
    device.until_done(&[next]);
}

#[test]
fn a_backend_that_was_down_is_asked_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let mut device = Device::start(&format!("[backend.main]\nurl = \"http://{address}/sync\""));
    let id = device.enqueue_one();
    // Some failures on, it waits for long.
    device.until("the outage is long", |device| {
        let row = device.explain(&id).into_iter().find(|row| row.reason == "backend-down")?;
        (row.detail["failures"].as_str()?.parse::<u32>().ok()? >= 5).then_some(())
    });
    let listener = TcpListener::bind(address).expect("the same address");
    let server = Server::start(listener, Behaviour::honest()).expect("a server");
    device.call("Manager", "SyncNow", &("metadata", none())).expect("asked");
    device.until_done(&[id]);
    assert_eq!(server.log(|log| log.requests), 1);
}

#[test]
fn a_condition_that_is_waived_keeps_what_waits_no_longer_also_after_a_restart() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, METERED));
    let ids = device.enqueue_to("analytics", 2);
    device.until_waits_for(&ids[0], "metered");
    device.call("Manager", "SyncNow", &("analytics", none())).expect("no override");
    device.until_waits_for(&ids[0], "metered");
    let pause = device.call_strategy("analytics", "Pause", &none());
    pause.expect("paused");
    device.call("Manager", "SyncNow", &("analytics", overriding(&["metered"]))).expect("waived");
    let later = device.enqueue_to("analytics", 1).remove(0);
    let reasons: Vec<String> = device.explain(&ids[1]).into_iter().map(|row| row.reason).collect();
    assert_eq!(reasons, ["paused"]);
    device.kill();
    device.switch_on();
    device.call_strategy("analytics", "Resume", &none()).expect("resumed");
    device.until_done(&ids);
    device.until_waits_for(&later, "metered");
    assert_eq!(server.log(|log| log.applied()), 2, "what came later is not meant");
    assert!(device.history(&ids[0]).contains("metered"), "the waiver stands in its history");
}

#[test]
fn it_means_all_that_the_same_connection_sent_before() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, METERED));
    device.until("the network is known", |device| (device.shown("Network")["Connected"] == true).then_some(()));
    let enqueued = device.call_unanswered("Tasks", "Enqueue", &("analytics", "{}", none()));
    let synced = device.call_unanswered("Manager", "SyncNow", &("", overriding(&["metered"])));
    let id = device.answer(enqueued).expect("an id")[0].as_str().expect("text").to_owned();
    device.answer(synced).expect("synced");
    device.until_done(&[id]);
    assert!(server.wait_until(|log| log.applied() == 1, HANG));
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let mut device = Device::start("");
    let refused = |device: &mut Device<'_>, strategy: &str, options| {
        let refused = device.call("Manager", "SyncNow", &(strategy, options)).expect_err("refused");
        (refused.name, refused.message)
    };
    assert_eq!(refused(&mut device, "nonsense", none()).0, "UnknownStrategy");
    let (name, words) = refused(&mut device, "", overriding(&["offline"]));
    assert_eq!(name, "InvalidArgument");
    assert!(words.contains("metered, roaming, not-charging, low-battery, window, budget"), "{words}");
    assert_eq!(refused(&mut device, "", [("unit", Variant::from(1u64))].into()).0, "InvalidArgument");
    device.call("Manager", "SyncNow", &("metadata_update", none())).expect("the other name");
    assert_eq!(device.shown("Manager")["Holds"], json!(0));
}
