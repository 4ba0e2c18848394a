//! Services that hang, fail, babble, lie and flood: what they said well no longer counts, what they said ill does, whoever
//! looks sees which it is, and nobody else is hurt. Stand-ins, since no real service does this when asked to.

use ferryd::demo::Behaviour;
use serde_json::json;
use zbus::{ObjectPath, Variant};

use crate::device::{Device, Row};
use crate::machine::*;
use crate::mock::{Mock, Mood, owned};
use crate::servers::{config_with, serve};

const MINDS: &str = "[[network.interface]]\nmatch = \"lo\"\nmetered = \"yes\"\n\
                     [strategy.analytics]\nnetwork = \"unmetered\"\nheed_power_save = true";

/// Makes a stand-in lie.
type Lie = fn(&Mock);

/// The config says that this link costs money; NetworkManager says that it does not.
fn told_that_it_is_free<'n>(device: &mut Device<'n>) -> (Mock, String) {
    let networkmanager = networkmanager(device.bus.address(), NO);
    until(device, "it is heard", |device| device.shown("Network")["Metered"] == "no");
    let id = device.enqueue_to("analytics", 1).remove(0);
    device.until_done(std::slice::from_ref(&id));
    (networkmanager, id)
}

/// Waits until a task waits since this service is not understood.
fn until_fails(device: &mut Device<'_>, id: &str, service: &str) -> Row {
    let mut found = None;
    until(device, &format!("{service} fails"), |device| {
        found = device.explain(id).into_iter().find(|row| {
            row.detail["failing_senses"].as_str().is_some_and(|failing| failing.split(',').any(|name| name == service))
        });
        found.is_some()
    });
    found.expect("it was found")
}

#[test]
fn what_makes_no_sense_is_reported_forgotten_and_asked_for_again() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, MINDS));
    let (networkmanager, _) = told_that_it_is_free(&mut device);
    let hint = |networkmanager: &Mock| networkmanager.tell(LO, NM_DEVICE, "Metered", &Variant::from(7u32));
    let mut failures = 0;
    let lies: [(&str, Lie); 7] = [
        ("an error", |mock| mock.be(Mood::Error("org.freedesktop.DBus.Error.AccessDenied"))),
        ("an error that only the bus may give", |mock| {
            mock.be(Mood::Error("org.freedesktop.DBus.Error.ServiceUnknown"))
        }),
        ("another type", |mock| mock.be(Mood::Babble)),
        ("a number that there is not", |mock| {
            mock.quietly(|objects| objects.set(LO, NM_DEVICE, "Metered", owned(5u32)));
        }),
        ("a text for a number", |mock| {
            mock.quietly(|objects| objects.set(LO, NM_DEVICE, "Metered", owned("no")));
        }),
        ("a reach that there is not", |mock| {
            mock.quietly(|objects| {
                objects.set(NM_PATH, NM, "ConnectivityCheckEnabled", owned(true));
                objects.set(NM_PATH, NM, "Connectivity", owned(9u32));
            });
        }),
        ("numbers for devices", |mock| {
            mock.quietly(|objects| objects.set(NM_PATH, NM, "Devices", owned(vec![1u32, 2])));
        }),
    ];
    for (what, lie) in lies {
        lie(&networkmanager);
        hint(&networkmanager);
        until(&mut device, &format!("{what} is heard"), |device| device.shown("Network")["Metered"] == "yes");
        let id = device.enqueue_to("analytics", 1).remove(0);
        let row = until_fails(&mut device, &id, "networkmanager");
        assert_eq!((row.reason.as_str(), &row.detail["metered"]), ("metered", &json!("yes")), "{what}");
        failures += 1;
        // It comes to its senses.
        networkmanager.be(Mood::Honest);
        networkmanager.quietly(|objects| {
            objects.set(LO, NM_DEVICE, "Metered", owned(NO));
            objects.set(NM_PATH, NM, "ConnectivityCheckEnabled", owned(false));
            objects.set(NM_PATH, NM, "Devices", owned(vec![ObjectPath::try_from(LO).expect("a path")]));
        });
        hint(&networkmanager);
        device.until_done(&[id]);
    }
    let log = device.log();
    let (edges, back) = (log.matches("networkmanager is there and not understood").count(), "is understood again");
    assert!((1..=failures).contains(&edges), "a line an edge, and none in a flood: {log}");
    assert!(log.matches(back).count() <= failures && log.contains(back), "{log}");
    assert!(!log.contains("no\nno"), "a service's words stay on their line");
}

#[test]
fn bad_news_of_one_that_is_not_understood_stays_until_it_leaves() {
    let server = serve(Behaviour::honest());
    let minds = "[strategy.analytics]\nnetwork = \"unmetered\"\nroaming = false";
    let mut device = Device::start(&config_with(&server, minds));
    let (networkmanager, modemmanager) =
        (networkmanager(device.bus.address(), YES), modemmanager(device.bus.address(), ROAMING));
    until(&mut device, "both are heard", |device| {
        device.strategy("analytics")["Blocked"] == json!(["metered", "roaming"])
    });
    let id = device.enqueue_to("analytics", 1).remove(0);
    networkmanager.be(Mood::Babble);
    modemmanager.be(Mood::Babble);
    set_metered(&networkmanager, NO);
    modemmanager.set(MODEM_PATH, MODEM_3GPP, "RegistrationState", HOME);
    until_fails(&mut device, &id, "networkmanager");
    until_fails(&mut device, &id, "modemmanager");
    let reasons: Vec<String> = device.explain(&id).into_iter().map(|row| row.reason).collect();
    assert_eq!(reasons, ["metered", "roaming"]);
    drop(networkmanager);
    drop(modemmanager);
    device.until_done(&[id]);
}

#[test]
fn one_that_hangs_holds_nobody_up_and_its_late_answer_is_a_hint() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, MINDS));
    let (networkmanager, _) = told_that_it_is_free(&mut device);
    let asked = networkmanager.asked();
    networkmanager.be(Mood::Silent);
    set_metered(&networkmanager, YES);
    networkmanager.until_asked_more_than(asked);
    // Meanwhile others are heard, and tasks go.
    let profiles = profiles(device.bus.address(), "power-saver");
    device.until_strategy("analytics", "Blocked", json!(["power-save"]));
    let urgent = device.enqueue(1);
    device.until_done(&urgent);
    let id = device.enqueue_to("analytics", 1).remove(0);
    until_fails(&mut device, &id, "networkmanager");
    assert_eq!(device.shown("Network")["Metered"], "yes", "by the configuration");
    // Nobody hints at anything; that it speaks again is enough.
    networkmanager.be(Mood::Honest);
    networkmanager.quietly(|objects| objects.set(LO, NM_DEVICE, "Metered", owned(NO)));
    networkmanager.answer_what_is_open();
    until(&mut device, "it is heard", |device| device.shown("Network")["Metered"] == "no");
    drop(profiles);
    device.until_done(&[id]);
}

#[test]
fn a_start_beside_services_that_hang_takes_a_moment_and_no_more() {
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config_with(&server, ""));
    let mocks = [
        networkmanager(device.bus.address(), YES),
        modemmanager(device.bus.address(), ROAMING),
        profiles(device.bus.address(), "x"),
        logind(device.bus.address()),
    ];
    mocks.iter().for_each(|mock| mock.be(Mood::Silent));
    device.switch_on();
    let ids = device.enqueue(1);
    device.until_done(&ids);
    drop(mocks);
    device.switch_off();
}

#[test]
fn a_flood_of_hints_makes_few_questions() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, MINDS));
    let (networkmanager, _) = told_that_it_is_free(&mut device);
    let (asked, begun) = (networkmanager.asked(), std::time::Instant::now());
    for n in 0..5_000u32 {
        networkmanager.tell(LO, NM_DEVICE, "Metered", &Variant::from(n % 5));
    }
    let urgent = device.enqueue(1);
    device.until_done(&urgent);
    set_metered(&networkmanager, YES);
    until(&mut device, "the last word counts", |device| device.shown("Network")["Metered"] == "yes");
    let (times, took) = (networkmanager.asked() - asked, begun.elapsed());
    // Three questions a look; a few looks, and ten a second.
    let allowed = 3 * (took.as_millis() / 100 + 7);
    assert!(times as u128 <= allowed, "asked {times} times in {took:?}");
}

#[test]
fn what_is_none_of_our_business_does_not_reach_the_daemon() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, MINDS));
    let (networkmanager, _) = told_that_it_is_free(&mut device);
    let modemmanager = modemmanager(device.bus.address(), HOME);
    modemmanager.until_asked_more_than(0);
    let (asked, asked_modem) = (networkmanager.asked(), modemmanager.asked());
    for _ in 0..20 {
        let access_point = "/org/freedesktop/NetworkManager/AccessPoint/7";
        networkmanager.tell(access_point, "org.freedesktop.NetworkManager.AccessPoint", "Strength", &value(70u8));
        networkmanager.tell(LO, "org.freedesktop.NetworkManager.Device.Statistics", "RxBytes", &value(1u64));
        modemmanager.tell(MODEM_PATH, MODEM, "SignalQuality", &value((70u32, true)));
    }
    // What comes behind them is heard, and so they would have been.
    set_metered(&networkmanager, YES);
    until(&mut device, "it is heard", |device| device.shown("Network")["Metered"] == "yes");
    assert_eq!((networkmanager.asked() - asked, modemmanager.asked() - asked_modem), (3, 0));
}

#[test]
fn a_device_that_goes_while_it_is_asked_after_is_no_lie() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, MINDS));
    let networkmanager = networkmanager(device.bus.address(), NO);
    networkmanager.quietly(|objects| {
        let gone = ObjectPath::try_from("/org/freedesktop/NetworkManager/Devices/9").expect("a path");
        objects.set(NM_PATH, NM, "Devices", owned(vec![gone, ObjectPath::try_from(LO).expect("a path")]));
    });
    networkmanager.tell(NM_PATH, NM, "Devices", &value(0u32));
    until(&mut device, "it is heard", |device| device.shown("Network")["Metered"] == "no");
    assert!(!device.log().contains("not understood"), "{}", device.log());
}

#[test]
fn a_daemon_of_a_session_listens_on_the_machines_bus_and_does_without_one() {
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config_with(&server, MINDS));
    let machine = crate::bus::PrivateBus::start();
    let address = device.bus.address().to_owned();
    let on = |device: &mut Device<'_>, system: &str| {
        let mut command = device.logged(env!("CARGO_BIN_EXE_ferryd"));
        command.arg("--session").arg("--config").arg(device.config()).arg("--state-dir").arg(device.state());
        command.env("DBUS_SESSION_BUS_ADDRESS", &address).env("DBUS_SYSTEM_BUS_ADDRESS", system);
        device.switch_on_by(command);
    };
    on(&mut device, "unix:path=/nowhere");
    let ids = device.enqueue(1);
    device.until_done(&ids);
    assert!(!device.log().contains("WARN") && !device.log().contains("ERROR"), "{}", device.log());
    device.switch_off();

    on(&mut device, machine.address());
    let elsewhere = Mock::start(machine.address(), &[PPD], |objects| {
        objects.set(PPD_PATH, PPD, "ActiveProfile", owned("power-saver"));
    });
    device.until_strategy("analytics", "Blocked", json!(["metered", "power-save"]));
    // The machine's bus ends: the daemon's own does not.
    let mut machine = machine;
    machine.kill();
    until(&mut device, "it is forgotten", |device| device.strategy("analytics")["Blocked"] == json!(["metered"]));
    until_logged(&mut device, "the bus of the machine's services is gone", 1);
    drop(elsewhere);
    device.switch_off();
}
