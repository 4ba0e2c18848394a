//! NetworkManager and ModemManager, where they are as they should be. Stand-ins: there is no modem here, and no way to have a
//! real NetworkManager rule over the loopback by which these tests reach their servers.

use ferryd::demo::{Behaviour, Gate, Wait};
use serde_json::json;
use zbus::Variant;

use crate::device::Device;
use crate::files::{self, assert_arrived};
use crate::machine::*;
use crate::mock::owned;
use crate::servers::{config, config_with, serve};

/// Analytics minds what photos mind.
const MINDS: &str = "[strategy.analytics]\nnetwork = \"unmetered\"";

#[test]
fn metering_follows_networkmanager_as_it_comes_changes_and_goes() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, MINDS));
    let shows = |device: &mut Device<'_>, word: &str| {
        until(device, &format!("metered is {word}"), |device| device.shown("Network")["Metered"] == word);
    };
    shows(&mut device, "guess-no");
    let networkmanager = networkmanager(device.bus.address(), YES);
    shows(&mut device, "yes");
    let id = device.enqueue_to("analytics", 1).remove(0);
    let row = device.until_waits_for(&id, "metered");
    assert_eq!(row.detail["metered"], "yes");
    device.until_strategy("analytics", "Blocked", json!(["metered"]));
    for (said, word) in [(GUESS_YES, "guess-yes"), (YES, "yes"), (GUESS_YES, "guess-yes")] {
        set_metered(&networkmanager, said);
        shows(&mut device, word);
    }
    assert_eq!(device.task(&id)["state"], "pending");
    set_metered(&networkmanager, NO);
    device.until_done(&[id]);
    for (said, word) in [(GUESS_NO, "guess-no"), (YES, "yes"), (UNKNOWN, "guess-no"), (YES, "yes")] {
        set_metered(&networkmanager, said);
        shows(&mut device, word);
    }
    drop(networkmanager);
    shows(&mut device, "guess-no");
}

#[test]
fn nothing_is_sent_before_networkmanager_has_been_heard() {
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config_with(&server, MINDS));
    device.switch_on();
    device.call("Manager", "Pause", &crate::device::none()).expect("paused");
    let id = device.enqueue_to("analytics", 1).remove(0);
    device.switch_off();
    let networkmanager = networkmanager(device.bus.address(), YES);
    for _ in 0..5 {
        device.switch_on();
        device.call("Manager", "Resume", &crate::device::none()).expect("resumed");
        device.until_waits_for(&id, "metered");
        assert_eq!(server.received().len(), 0, "the guess for this link is that it costs nothing");
        device.kill();
    }
    drop(networkmanager);
}

#[test]
fn a_photo_stops_when_its_link_becomes_metered_and_goes_on_when_it_is_not_any_more() {
    const CHUNK: usize = 64 * 1024;
    let server = serve(Behaviour::honest());
    let gate = Gate::closed();
    server.behave_files(Some(Behaviour {
        waiting: Some("PATCH"),
        amid: Some((1000, Wait::Gate(gate.clone()))),
        ..Behaviour::honest()
    }));
    let config = files::config(&server, CHUNK).replace("network = \"any\"", "network = \"unmetered\"");
    let mut device = Device::start(&config);
    let networkmanager = networkmanager(device.bus.address(), NO);
    until(&mut device, "it is heard", |device| device.shown("Network")["Metered"] == "no");
    let (path, bytes) = files::file(&device, "a.jpg", 5 * CHUNK);
    let ids = files::put(&device, &[path]);
    files::until_more_than(&device, &server, 0);
    set_metered(&networkmanager, YES);
    device.until_strategy("photo", "Blocked", json!(["metered"]));
    gate.open();
    device.until_task(&ids[0], "pending");
    let upload = server.uploads().remove(0);
    assert_eq!((upload.offset, upload.patches), (CHUNK as u64, 1), "the chunk that was on its way was the last");
    device.until_waits_for(&ids[0], "metered");
    set_metered(&networkmanager, NO);
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
}

#[test]
fn roaming_follows_modemmanager() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, "[strategy.analytics]\nroaming = false"));
    let modemmanager = modemmanager(device.bus.address(), ROAMING);
    device.until_strategy("analytics", "Blocked", json!(["roaming"]));
    let id = device.enqueue_to("analytics", 1).remove(0);
    device.until_waits_for(&id, "roaming");
    let urgent = device.enqueue(1);
    device.until_done(&urgent);
    modemmanager.set(MODEM_PATH, MODEM_3GPP, "RegistrationState", HOME);
    device.until_done(&[id]);
    for away in [ROAMING, 7, 10] {
        modemmanager.set(MODEM_PATH, MODEM_3GPP, "RegistrationState", away);
        until(&mut device, "it roams", |device| device.strategy("analytics")["Blocked"] == json!(["roaming"]));
        let id = device.enqueue_to("analytics", 1).remove(0);
        device.until_waits_for(&id, "roaming");
        modemmanager.set(MODEM_PATH, MODEM_3GPP, "RegistrationState", SEARCHING);
        device.until_done(&[id]);
    }
    modemmanager.set(MODEM_PATH, MODEM_3GPP, "RegistrationState", ROAMING);
    until(&mut device, "it roams", |device| device.strategy("analytics")["Blocked"] == json!(["roaming"]));
    let id = device.enqueue_to("analytics", 1).remove(0);
    device.until_waits_for(&id, "roaming");
    // It is pulled out.
    modemmanager.quietly(|objects| objects.remove(MODEM_PATH));
    let removed = (zbus::ObjectPath::try_from(MODEM_PATH).expect("a path"), vec![MODEM, MODEM_3GPP]);
    modemmanager.emit(
        "/org/freedesktop/ModemManager1",
        "org.freedesktop.DBus.ObjectManager",
        "InterfacesRemoved",
        &removed,
    );
    device.until_done(&[id]);
}

#[test]
fn a_modem_that_is_told_of_by_another_port_than_its_bytes_go_by_is_known_by_the_latter() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let networkmanager = networkmanager(device.bus.address(), NO);
    until(&mut device, "it is heard", |device| device.shown("Network")["Metered"] == "no");
    // `lo` is a modem now: the port by which it is controlled, and the interface.
    networkmanager.quietly(|objects| objects.set(LO, NM_DEVICE, "Interface", owned("cdc-wdm0")));
    networkmanager.set(LO, NM_DEVICE, "Metered", GUESS_YES);
    until(&mut device, "it is known", |device| device.shown("Network")["Metered"] == "guess-yes");
    // Only those that have no interface for bytes are known by their own name.
    networkmanager.quietly(|objects| objects.set(LO, NM_DEVICE, "IpInterface", owned("")));
    networkmanager.tell(LO, NM_DEVICE, "IpInterface", &Variant::from(""));
    until(&mut device, "it is gone", |device| device.shown("Network")["Metered"] == "guess-no");
}
