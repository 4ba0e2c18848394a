//! The bus policy that is shipped, on a bus as the system's is: enough for the daemon and its callers, and no more.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc;

use rustix::process::geteuid;

use crate::bus::PrivateBus;
use crate::device::{Device, HANG, NAME, ROOT, tell};
use crate::system_bus;

/// An ordinary user: nobody.
const OTHER: u32 = 65_534;

fn start() -> Device<'static> {
    let own = geteuid().as_raw();
    let bus = PrivateBus::with_configuration(|socket| system_bus::configuration(socket, &own.to_string(), ""));
    let mut device = Device::on_bus(bus, None, "");
    device.switch_on();
    device
}

/// What `busctl` says, by which user.
fn busctl(device: &Device<'_>, user: u32, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("busctl");
    command.arg(format!("--address={}", device.bus.address())).args(arguments).stdin(Stdio::null());
    if user != geteuid().as_raw() {
        command.uid(user).gid(user);
    }
    let output = command.output().expect("busctl (Debian package systemd) must be installed");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

/// Whoever this test runs as, and an ordinary user if that may be tried.
fn callers() -> Vec<u32> {
    let own = geteuid();
    if !own.is_root() {
        tell(format_args!("NOT RUN: calls of another user: only root can be two users"));
        return vec![own.as_raw()];
    }
    vec![own.as_raw(), OTHER]
}

#[test]
fn everybody_may_call_what_is_documented_and_nothing_else() {
    let device = start();
    let interfaces = fs::read_dir("dbus").expect("a folder").map(|entry| entry.expect("an entry").path());
    let interfaces = interfaces.filter(|path| path.extension().is_some_and(|ending| ending == "xml"));
    let interfaces: Vec<_> = interfaces.map(|path| path.file_stem().expect("a name").display().to_string()).collect();
    assert!(interfaces.len() >= 4, "{interfaces:?}");
    for user in callers() {
        for interface in &interfaces {
            // No such thing here, says the daemon: it was asked.
            let refused = busctl(&device, user, &["call", NAME, ROOT, interface, "Nonsense"]).expect_err("no method");
            assert!(!refused.contains("denied") && refused.contains(" no "), "{user} {interface}: {refused}");
        }
        let standard = "org.freedesktop.DBus";
        for (interface, member, more) in [
            ("Introspectable", "Introspect", &[][..]),
            ("Peer", "Ping", &[]),
            ("Properties", "GetAll", &["s", "org.ferryd.Ferry1.Manager"]),
            ("ObjectManager", "GetManagedObjects", &[]),
        ] {
            let interface = format!("{standard}.{interface}");
            let call = [&["call", NAME, ROOT, &interface, member], more].concat();
            busctl(&device, user, &call).unwrap_or_else(|refused| panic!("{user} {interface}: {refused}"));
        }
        let other = busctl(&device, user, &["call", NAME, ROOT, "org.example.Other", "Nonsense"]);
        assert!(other.as_ref().is_err_and(|refused| refused.contains("denied")), "{user}: {other:?}");
    }
}

#[test]
fn the_daemons_user_alone_has_what_it_needs() {
    let mut device = start();
    device.switch_off();
    let driver = "org.freedesktop.DBus";
    for user in callers() {
        let is_the_daemons = user == geteuid().as_raw();
        let stats = "org.freedesktop.DBus.Debug.Stats";
        let stats = busctl(&device, user, &["call", driver, "/", stats, "GetConnectionStats", "s", driver]);
        let name = busctl(&device, user, &["call", driver, "/", driver, "RequestName", "su", NAME, "4"]);
        assert_eq!(name.is_ok(), is_the_daemons, "{user}: {name:?}");
        // The bus has no figures of itself: the answer is its own, or that of the policy.
        let denied = stats.as_ref().is_err_and(|refused| refused.contains("denied"));
        assert_eq!(denied, !is_the_daemons, "{user}: {stats:?}");
    }
}

/// After 128 signals a subscriber is asked whether it keeps up, which is a call: a bus that forbids it would cut everybody
/// off after 256.
#[test]
fn subscribers_are_asked_and_keep_up() {
    let mut device = start();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
    command.args(["--address", device.bus.address(), "watch"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut watch = command.spawn().expect("ferryctl runs");
    let lines = BufReader::new(watch.stdout.take().expect("a pipe")).lines();
    let (sender, seen) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    // It subscribes before it says anything; the first task that it tells of shows that it has.
    let mut told = 0;
    while told == 0 {
        device.enqueue_one();
        told += seen.try_iter().filter(|line| line.ends_with("pending")).count();
    }
    for _ in 0..12 {
        device.enqueue(50);
        let expected = told + 50;
        while told < expected {
            let line = seen.recv_timeout(HANG).unwrap_or_else(|_| panic!("{told} and no more:\n{}", device.log()));
            assert!(!line.contains("lagged"), "{line}");
            told += usize::from(line.ends_with("pending"));
        }
    }
    drop(watch.kill());
    drop(watch.wait());
    assert!(!device.log().contains("does not tell what clients have read"), "{}", device.log());
}
