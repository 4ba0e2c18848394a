//! A new configuration while the daemon runs: a good one holds at once, a bad one changes nothing.

use std::fs;

use ferryd::demo::Behaviour;
use rustix::process::Signal;

use crate::device::{Device, HANG};
use crate::servers::{config, config_with, hanging, serve};

/// SIGHUP has no answer: the log tells when it was heeded.
fn hang_up(device: &mut Device<'_>, expected: &str) {
    let count = |device: &Device<'_>| device.log().matches(expected).count();
    let before = count(device);
    device.signal(Signal::HUP);
    let deadline = std::time::Instant::now() + HANG;
    while count(device) == before {
        // Any call passes through the same loop: when it is answered, the signal's turn is near.
        device.call("Manager", "Resume", &crate::device::none()).expect("it answers");
        assert!(std::time::Instant::now() < deadline, "no {expected:?} in:\n{}", device.log());
    }
}

#[test]
fn tasks_go_to_the_url_that_is_loaded_by_call_or_by_signal() {
    let (first, second) = (serve(Behaviour::honest()), serve(Behaviour::honest()));
    let mut device = Device::start(&config(&first));
    let ids = device.enqueue(3);
    device.until_done(&ids);
    device.configure(&config(&second));
    let ids = device.enqueue(3);
    device.until_done(&ids);
    assert_eq!((first.received().len(), second.received().len()), (6, 0), "a file that nobody asked to read");
    assert_eq!(device.call("Manager", "Reload", &()), Ok(vec![]));
    let ids = device.enqueue(3);
    device.until_done(&ids);
    device.configure(&config(&first));
    hang_up(&mut device, "configuration reloaded");
    let ids = device.enqueue(3);
    device.until_done(&ids);
    assert_eq!((first.received().len(), second.received().len()), (9, 3));
}

/// What is under way there ends by its own time limits: cut, it might be done twice.
#[test]
fn tasks_of_a_server_that_hangs_go_to_the_one_that_takes_its_place() {
    let (old, new) = (serve(hanging()), serve(Behaviour::honest()));
    let mut device = Device::start(&config_with(&old, "connect_timeout = \"500 ms\"\nread_timeout = \"500 ms\""));
    let ids = device.enqueue(400);
    assert!(old.wait_until(|log| log.in_flight == 3, HANG), "{}", device.log());
    device.configure(&config(&new));
    assert_eq!(device.call("Manager", "Reload", &()), Ok(vec![]));
    device.until_done(&ids);
    assert_eq!(new.log(|log| log.applied()), 400);
    assert!(old.wait_until(|log| log.open == 0, HANG));
    for id in &ids {
        assert_eq!(device.task(id)["attempts"], 0, "nothing was counted");
    }
}

#[test]
fn strategies_come_and_go_as_objects_and_their_tasks_wait() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    assert_eq!(device.strategies(), ["analytics", "metadata", "photo"]);
    device.configure(&config_with(&server, "[strategy.logs]\nbatch = 7\npriority = 4"));
    device.call("Manager", "Reload", &()).expect("a good one");
    assert_eq!(device.strategies(), ["analytics", "logs", "metadata", "photo"]);
    assert_eq!(device.strategy("logs")["Priority"], 4);
    device.call_strategy("logs", "Pause", &crate::device::none()).expect("paused");
    let id = device.enqueue_to("logs", 1).remove(0);
    device.configure(&config(&server));
    device.call("Manager", "Reload", &()).expect("a good one");
    assert_eq!(device.strategies(), ["analytics", "metadata", "photo"]);
    let refused = device.call("Tasks", "Enqueue", &("logs", "{}", crate::device::none())).expect_err("unknown now");
    assert_eq!(refused.name, "UnknownStrategy");
    let row = device.until_waits_for(&id, "no-backend");
    assert!(row.clears.contains("[strategy.logs]"), "{row:?}");
    let (said, code) = device.ctl(&format!("explain {id}"));
    assert!(code == 0 && said.contains("no-backend") && said.contains("[strategy.logs]"), "{said}");

    device.configure(&config_with(&server, "[strategy.logs]\n"));
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until_waits_for(&id, "paused");
    device.call_strategy("logs", "Resume", &crate::device::none()).expect("resumed");
    device.until_done(&[id]);
}

#[test]
fn a_backend_that_is_named_later_is_served_at_once() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start("");
    let ids = device.enqueue(2);
    let row = device.until_waits_for(&ids[0], "no-backend");
    assert!(row.clears.contains("strategy.metadata.backend"), "{row:?}");
    device.configure(&config(&server));
    hang_up(&mut device, "configuration reloaded");
    device.until_done(&ids);
}

#[test]
fn what_an_interface_is_can_be_said_anew() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    device.until("the network is known", |device| (device.shown("Network")["Type"] == "other").then_some(()));
    let rule = "[[network.interface]]\nmatch = \"lo\"\ntype = \"cellular\"\nmetered = \"yes\"";
    let choosy = "[strategy.metadata]\nnetwork = \"unmetered\"";
    device.configure(&config_with(&server, &format!("{rule}\n{choosy}")));
    device.call("Manager", "Reload", &()).expect("a good one");
    let network = device.until("the rule holds", |device| {
        Some(device.shown("Network")).filter(|network| network["Type"] == "cellular")
    });
    assert_eq!((network["Metered"].as_str(), network["Connected"].as_bool()), (Some("yes"), Some(true)));
    let id = device.enqueue_one();
    device.until_waits_for(&id, "metered");
    device.configure(&config_with(&server, choosy));
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until_done(&[id]);
}

#[test]
fn a_bad_one_is_refused_with_its_place_and_work_goes_on() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let good = config(&server);
    let place = device.config().display().to_string();
    let absent = device.file("absent.pem").display().to_string();
    let empty = device.file("empty.pem").display().to_string();
    fs::write(&empty, "").expect("a file");
    for (more, expected) in [
        ("gzip = 3", format!("{place}:5: backend.main.gzip: ")),
        ("colour = \"red\"", format!("{place}:5: backend.main.colour: ")),
        ("[strategy.metadata]\nbatch = 0", format!("{place}:6: strategy.metadata.batch: ")),
        ("[strategy.metadata]\nbackend = \"nowhere\"", format!("{place}:6: strategy.metadata.backend: ")),
        ("[limits\n", format!("{place}:5: ")),
        (&format!("ca_file = \"{absent}\""), format!("backend.main: ca_file: {absent}: ")),
        (&format!("ca_file = \"{empty}\""), format!("backend.main: ca_file: {empty}: ")),
    ] {
        device.configure(&config_with(&server, more));
        let refused = device.call("Manager", "Reload", &()).expect_err("a bad one");
        assert_eq!(refused.name, "InvalidArgument", "{refused:?}");
        assert!(refused.message.contains(&expected), "{expected:?} is not in {refused:?}");
        let log = device.log();
        let last = log.lines().rfind(|line| line.contains("ERROR")).expect("logged");
        assert!(last.contains(&expected), "{last}");
        hang_up(&mut device, &expected);
        let (said, code) = device.ctl("reload");
        assert!(code == 6 && said.contains(&expected), "{code}: {said}");
        let ids = device.enqueue(2);
        device.until_done(&ids);
    }
    fs::remove_file(device.config()).expect("it was there");
    let refused = device.call("Manager", "Reload", &()).expect_err("it is gone");
    assert!(refused.message.contains(&place), "{refused:?}");
    device.configure(&good);
    device.call("Manager", "Reload", &()).expect("a good one");
}

#[test]
fn a_bad_one_at_the_start_is_refused_with_its_place() {
    let device = Device::off(None, "[device]\nname = 5\n");
    let output = device.command().stderr(std::process::Stdio::piped()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let expected = format!("{}:2: device.name: ", device.config().display());
    assert!(output.status.code() == Some(1) && said.contains(&expected), "{said}");
    assert!(!device.state().exists());
}
