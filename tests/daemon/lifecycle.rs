//! Start and end: safe points in bounded time, and refusals that harm nobody.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use ferryd::demo::Behaviour;
use rustix::process::Signal;
use serde_json::json;

use crate::device::{Device, HANG, ended, none, tell};
use crate::netns::{self, Pair};
use crate::servers::{config, hanging, serve};

#[test]
fn a_signal_cuts_requests_in_flight_and_nothing_is_counted() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = serve(hanging());
        let mut device = Device::start(&config(&server));
        let ids = device.enqueue(120);
        assert!(server.wait_until(|log| log.in_flight >= 2, HANG), "{}", device.log());
        device.signal(signal);
        let (status, took) = device.ended();
        assert_eq!(status.code(), Some(0), "{}", device.log());
        tell(format_args!("{signal:?} with requests in flight: ended after {took:?}"));
        assert!(server.wait_until(|log| log.in_flight == 0, HANG), "its connections are closed");

        device.configure("");
        device.switch_on();
        let last = device.log().lines().rfind(|line| line.contains("queue open")).expect("logged").to_owned();
        assert!(last.contains("120 pending, 0 recovered, 0 crashed"), "{last}");
        for id in &ids {
            let task = device.task(id);
            assert_eq!((&task["state"], &task["attempts"]), (&json!("pending"), &json!(0)));
        }
        server.behave(Behaviour::honest());
        device.configure(&config(&server));
        assert_eq!(device.call("Manager", "Reload", &()), Ok(vec![]));
        device.until_done(&ids);
    }
}

#[test]
fn a_signal_that_meets_a_claim_leaves_nothing_marked_as_running() {
    let server = serve(hanging());
    let mut device = Device::off(None, &config(&server));
    let rounds = 12;
    for _ in 0..rounds {
        device.switch_on();
        // Its answer comes when it is on disk, before the loop has heard of it: the claim meets the signal.
        device.enqueue_one();
        device.switch_off();
    }
    device.switch_on();
    let log = device.log();
    let left: Vec<_> =
        log.lines().filter(|line| line.contains("queue open") && !line.contains(" 0 recovered")).collect();
    assert_eq!(left, [""; 0], "of {rounds} ends");
}

#[test]
fn calls_under_way_are_answered_before_it_ends() {
    let server = serve(hanging());
    let mut device = Device::start(&config(&server));
    let id = device.enqueue_one();
    assert!(server.wait_until(|log| log.in_flight == 1, HANG));
    for _ in 0..20 {
        let writes: Vec<_> =
            (0..50).map(|_| device.call_unanswered("Tasks", "Enqueue", &("metadata", "{}", none()))).collect();
        let asks: Vec<_> = (0..50).map(|_| device.call_unanswered("Tasks", "Explain", &(&id, none()))).collect();
        let took = device.switch_off();
        let mut stored = 0;
        for serial in writes.into_iter().chain(asks) {
            match device.answer(serial) {
                Ok(_) => stored += 1,
                Err(refused) => assert!(
                    ["Unavailable", "ServiceUnknown"].contains(&refused.name.as_str()),
                    "{refused:?}\n{}",
                    device.log()
                ),
            }
        }
        tell(format_args!("ended after {took:?}, {stored} of 100 calls carried out"));
        assert!(!device.log().contains(" before every "), "an end waits for no time to pass:\n{}", device.log());
        device.switch_on();
    }
}

/// The resolver works on a thread of its own that nothing can cut short.
#[test]
fn a_name_server_that_never_answers_does_not_hold_up_the_end() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let silent = pair.server.inside(|| UdpSocket::bind((Pair::SERVER, 53)).expect("a socket"));
    let mut device = Device::off(Some(&pair.device), "[backend.main]\nurl = \"http://sync.example/\"\n");
    // All in all longer than this test waits for anything.
    let resolver = format!("nameserver {}\noptions timeout:30 attempts:5\n", Pair::SERVER);
    fs::write(device.file("resolv.conf"), resolver).expect("a file");
    let ferryd = device.command();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
    command.arg(device.file("resolv.conf")).arg(ferryd.get_program()).args(ferryd.get_args());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::options().append(true).open(device.file("log")).expect("the log"));
    device.switch_on_by(command);
    device.enqueue_one();
    silent.set_read_timeout(Some(HANG)).expect("a socket");
    silent.recv(&mut [0; 512]).expect("the resolver asks");
    let took = device.switch_off();
    tell(format_args!("with a name being resolved: ended after {took:?}"));
    device.switch_on();
    assert!(device.log().contains("1 pending, 0 recovered, 0 crashed"), "{}", device.log());
}

#[test]
fn the_bus_lost_is_a_safe_point_and_a_failure() {
    let server = serve(hanging());
    let mut device = Device::start(&config(&server));
    device.enqueue(3);
    assert!(server.wait_until(|log| log.in_flight == 1, HANG));
    device.bus.kill();
    let (status, took) = device.ended();
    tell(format_args!("the bus lost: ended after {took:?}"));
    assert_eq!(status.code(), Some(1), "{}", device.log());
    assert!(device.log().contains("the bus connection ended"), "{}", device.log());
    assert!(server.wait_until(|log| log.in_flight == 0, HANG));
    // As long as it stays away each start says so, and leaves the queue as it is.
    for _ in 0..4 {
        let (code, said) = refused(device.command());
        assert!(code == 1 && said.contains("on the bus: "), "{code}: {said}");
    }

    let mut again = Device::off(None, &config(&server));
    fs::rename(device.state(), again.state()).expect("moved");
    again.switch_on();
    assert!(again.log().contains("3 pending, 0 recovered, 0 crashed"), "{}", again.log());
}

/// Runs a command to its end; its exit code and what it logged.
fn refused(mut command: Command) -> (i32, String) {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("ferryd runs");
    let mut stderr = child.stderr.take().expect("a pipe");
    let (status, _) = ended(child, String::new);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut said).expect("readable");
    (status.code().expect("no signal"), said)
}

#[test]
fn a_second_daemon_is_refused_and_the_first_unharmed() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let other = Device::off(None, &config(&server));
    // The same state, on another bus.
    let (code, said) =
        refused(other.command_with(&["--config", &other.config().display().to_string()], &device.state()));
    let expected = format!("opening the queue in {}: ", device.state().display());
    assert!(code == 1 && said.contains(&expected) && said.contains("another ferryd"), "{code}: {said}");
    // The same bus, another state.
    let (code, said) =
        refused(device.command_with(&["--config", &device.config().display().to_string()], &device.file("other")));
    assert!(code == 1 && said.contains("the name org.ferryd.Ferry1 is taken by :1."), "{code}: {said}");
    let ids = device.enqueue(10);
    device.until_done(&ids);
    device.switch_off();
}

#[test]
fn a_state_directory_that_cannot_be_used_is_named() {
    let device = Device::off(None, "");
    fs::write(device.file("plain"), "").expect("a file");
    for place in [device.file("plain"), device.file("plain").join("below"), "/proc/ferry".into()] {
        let (code, said) = refused(device.command_with(&["--config", &device.config().display().to_string()], &place));
        let expected = format!("opening the queue in {}: ", place.display());
        assert!(code == 1 && said.contains(&expected), "{code}: {said}");
        assert_eq!(said.lines().filter(|line| line.contains("ERROR")).count(), 1, "{said}");
    }
}

#[test]
fn the_state_directory_is_nobody_elses() {
    let device = Device::start("");
    let mode = |name: &str| fs::metadata(device.state().join(name)).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("ferry.db")), (0o700, 0o600));
}

#[test]
fn a_newer_schema_is_refused_untouched() {
    let mut device = Device::start("");
    device.enqueue(3);
    device.switch_off();
    let file = device.state().join("ferry.db");
    let database = rusqlite::Connection::open(&file).expect("a database");
    database.pragma_update(None, "user_version", 9_000).expect("a newer schema");
    drop(database);
    // Every file that holds anything, and what it holds.
    let held = || -> BTreeMap<_, _> {
        let files = fs::read_dir(device.state()).expect("a folder").map(|entry| entry.expect("one").path());
        files
            // The spool has no files.
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).expect("readable")))
            .filter(|(_, held)| !held.is_empty())
            .collect()
    };
    let before = held();
    let (code, said) = refused(device.command());
    assert!(code == 1 && said.contains("written by a later version (schema 9000;"), "{code}: {said}");
    assert!(before == held(), "not a byte is changed");
}

#[test]
fn a_configuration_that_is_asked_for_must_be_there_and_the_default_need_not() {
    let mut device = Device::off(None, "");
    let absent = device.file("absent.toml");
    let (code, said) = refused(device.command_with(&["--config", &absent.display().to_string()], &device.state()));
    assert!(code == 1 && said.contains(&absent.display().to_string()), "{code}: {said}");
    assert!(!device.state().exists(), "nothing is begun with a configuration that cannot be read");

    if fs::exists("/etc/ferryd/ferryd.toml").expect("readable") {
        tell(format_args!("NOT RUN: the absent default: this machine has an /etc/ferryd/ferryd.toml"));
        return;
    }
    let command = device.command_with(&[], &device.state());
    device.switch_on_by(command);
    assert_eq!(device.strategies(), ["analytics", "metadata", "photo"]);
    assert_eq!(device.shown("Manager")["State"], "idle");
}

#[test]
fn a_command_line_that_is_wrong_is_told_with_status_2() {
    let device = Device::off(None, "");
    for arguments in [&["--nonsense"][..], &["--session"], &["--config"]] {
        let (code, said) = refused(device.command_with(arguments, &device.state()));
        assert_eq!(code, 2, "{arguments:?}: {said}");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferryd"));
    let version = command.arg("--version").output().expect("it runs");
    assert_eq!(String::from_utf8_lossy(&version.stdout), format!("ferryd {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_bus_that_stands_still_does_not_hold_up_the_end() {
    let mut device = Device::start("");
    let bus = bus_process(&device);
    rustix::process::kill_process(bus, Signal::STOP).expect("it runs");
    device.signal(Signal::TERM);
    let (status, took) = device.ended();
    rustix::process::kill_process(bus, Signal::CONT).expect("it stands still");
    assert_eq!(status.code(), Some(0), "{}", device.log());
    assert!(device.log().contains("leaving a bus that does not answer"), "{}", device.log());
    tell(format_args!("SIGTERM while the bus stands still: ended after {took:?}"));
}

/// The process of the device's bus, by its own word.
fn bus_process(device: &Device<'_>) -> rustix::process::Pid {
    let name = "org.freedesktop.DBus";
    let output = Command::new("busctl")
        .arg(format!("--address={}", device.bus.address()))
        .args(["call", name, "/", name, "GetConnectionUnixProcessID", "s", name])
        .output()
        .expect("busctl (Debian package systemd) must be installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let id = said.trim().strip_prefix("u ").and_then(|id| id.parse().ok()).and_then(rustix::process::Pid::from_raw);
    id.unwrap_or_else(|| panic!("no process id: {said}"))
}
