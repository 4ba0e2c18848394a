//! What the service manager is told: ready, the status line, the watchdog fed by the loop itself, reload and end.

use std::fs::{self, File};
use std::time::{Duration, Instant};

use ferryd::demo::Behaviour;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, waitid};

use crate::device::{Device, ended, tell};
use crate::manager::Manager;
use crate::netns::{self, Pair};
use crate::servers::{config, serve, serve_in};

/// The watchdog's time in these tests, and the beats that it asks for: two in it.
const LIMIT: Duration = Duration::from_millis(400);
const BEAT: Duration = Duration::from_millis(200);

fn watched() -> (Device<'static>, Manager) {
    let mut device = Device::off(None, "");
    let manager = Manager::of(&mut device);
    device.set("WATCHDOG_USEC", LIMIT.as_micros().to_string());
    (device, manager)
}

#[test]
fn ready_is_told_once_the_name_is_ours_and_never_before() {
    let mut device = Device::start("");
    let manager_of = |device: &mut Device<'_>| Manager::of(device);
    // Another daemon on the same bus cannot have the name.
    let mut manager = manager_of(&mut device);
    let command = device.command_with(&["--config", &device.config().display().to_string()], &device.file("other"));
    let (status, _) = ended({ command }.spawn().expect("ferryd runs"), || device.log());
    assert_eq!(status.code(), Some(1));
    let failed = manager.until("STATUS=failed: ");
    assert!(failed[0].contains("the name org.ferryd.Ferry1 is taken by :1."), "{failed:?}");
    assert_eq!((manager.count("STATUS=starting: "), manager.count("READY=1")), (1, 0), "{:?}", manager.heard);

    device.switch_off();
    device.switch_on();
    assert_eq!(manager.until("READY=1"), ["READY=1", "STATUS=starting"]);
    manager.until("STATUS=idle");
}

#[test]
fn a_configuration_with_several_faults_is_one_line() {
    let mut device = Device::off(None, "[device]\nname = 5\n[limits]\nREADY=1\n");
    let mut manager = Manager::of(&mut device);
    let (status, _) = ended(device.command().spawn().expect("ferryd runs"), || device.log());
    assert_eq!(status.code(), Some(1));
    let failed = manager.until("STATUS=failed: ");
    assert!(failed.len() == 1 && failed[0].contains(":2: device.name: ") && failed[0].contains(":4: "), "{failed:?}");
    assert_eq!(manager.count("READY=1"), 0);
}

#[test]
fn the_status_line_says_what_it_waits_for() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let server = serve_in(&pair.server, Behaviour::honest());
    pair.unplug();
    let mut device = Device::off(Some(&pair.device), &config(&server));
    let mut manager = Manager::of(&mut device);
    device.switch_on();
    manager.until("STATUS=idle");
    let ids = device.enqueue(40);
    manager.until("STATUS=waiting: 40 tasks, offline");
    device.call("Manager", "Pause", &crate::device::none()).expect("paused");
    manager.until("STATUS=paused: 40 tasks");
    device.call("Manager", "Resume", &crate::device::none()).expect("resumed");
    manager.until("STATUS=waiting: 40 tasks, offline");
    pair.plug();
    device.until_done(&ids);
    manager.until("STATUS=idle");
    assert_eq!(manager.count("WATCHDOG=1"), 0, "nobody asked for it");
}

#[test]
fn a_busy_daemon_tells_its_status_twice_a_second_at_most() {
    let (mut device, begun) = (Device::off(None, ""), Instant::now());
    let mut manager = Manager::of(&mut device);
    device.switch_on();
    for _ in 0..300 {
        device.enqueue_one();
    }
    device.until_strategy("metadata", "Pending", 300);
    manager.until("STATUS=waiting: 300 tasks, no-backend");
    let halves = usize::try_from(begun.elapsed().as_millis() / 500).expect("a small number");
    let told = manager.count("STATUS=");
    tell(format_args!("{told} status lines in {:?}", begun.elapsed()));
    // One as it starts, one as it is ready, and the first of each half second that was begun.
    assert!(told <= halves + 3, "{told} in {:?}", begun.elapsed());
}

/// Waits until the process stands still.
fn stop(device: &Device<'_>) {
    device.signal(Signal::STOP);
    let pid = Pid::from_raw(i32::try_from(device.pid()).expect("an id")).expect("an id");
    waitid(WaitId::Pid(pid), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).expect("our child");
}

#[test]
fn the_watchdog_is_fed_and_not_by_a_daemon_that_stands_still() {
    let (mut device, mut manager) = watched();
    device.switch_on();
    manager.until("READY=1");
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    stop(&device);
    manager.catch_up();
    let said = manager.message(BEAT * 10);
    device.signal(Signal::CONT);
    assert_eq!(said, None);
    manager.until("WATCHDOG=1");
}

/// Only the loop hangs here, in a configuration file that does not end: all other threads live.
#[test]
fn a_loop_that_hangs_does_not_feed_the_watchdog() {
    let (mut device, mut manager) = watched();
    device.switch_on();
    manager.until("WATCHDOG=1");
    let drop_ins = device.file("conf.d");
    fs::create_dir(&drop_ins).expect("a folder");
    let pipe = drop_ins.join("pipe.toml");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    device.signal(Signal::HUP);
    // Opens as soon as the daemon reads it.
    let writer = File::options().write(true).open(&pipe).expect("a reader");
    manager.until("RELOADING=1");
    manager.catch_up();
    assert_eq!(manager.message(BEAT * 10), None);
    drop(writer);
    manager.until("READY=1");
    manager.until("WATCHDOG=1");
}

#[test]
fn a_reload_is_told_from_its_begin_to_its_end_good_or_bad() {
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config(&server));
    let mut manager = Manager::of(&mut device);
    device.switch_on();
    manager.until("READY=1");
    for good in [true, false] {
        device.configure(if good { "" } else { "[nonsense" });
        device.signal(Signal::HUP);
        let begun = manager.until("RELOADING=1");
        let since = begun.iter().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("a time");
        assert!(since.parse::<u64>().is_ok_and(|since| since > 0), "{begun:?}");
        assert_eq!(manager.until("READY=1"), ["READY=1"]);
        assert_eq!(device.call("Manager", "Reload", &()).is_ok(), good);
        // The manager has heard of the end before the caller has the answer.
        manager.catch_up();
        assert_eq!(manager.count("RELOADING=1"), if good { 2 } else { 4 });
        assert_eq!(manager.count("READY=1"), if good { 3 } else { 5 });
    }
}

#[test]
fn a_stop_is_told_before_its_work_begins() {
    let (mut device, mut manager) = watched();
    device.switch_on();
    manager.until("READY=1");
    device.switch_off();
    let stopping = manager.until("STOPPING=1");
    assert!(stopping.contains(&"WATCHDOG=1".to_owned()), "the manager's patience is counted from here: {stopping:?}");
    assert_eq!(manager.heard.last().map(String::as_str), Some("STATUS=stopping"));
}
