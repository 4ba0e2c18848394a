//! With every service there and nothing happening, the daemon sleeps.

use std::fs;
use std::time::Duration;

use ferryd::demo::Behaviour;

use crate::device::{Device, tell};
use crate::machine::*;
use crate::servers::{config, serve};

/// How long nothing may happen: 10 s, with `FERRY_TEST_LONG=1` the 60 s of DESIGN section 10.
fn span() -> Duration {
    let long = std::env::var("FERRY_TEST_LONG").is_ok_and(|value| value == "1");
    Duration::from_secs(if long { 60 } else { 10 })
}

/// Of all threads, from /proc/PID/task/TID/status (proc_pid_status(5)).
fn voluntary_switches(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let of = |task: std::path::PathBuf| {
        let status = fs::read_to_string(task.join("status")).expect("a thread");
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")).expect("a field");
        count.trim().parse::<u64>().expect("a number")
    };
    tasks.map(|task| of(task.expect("a thread").path())).sum()
}

#[test]
fn with_all_services_there_and_nothing_happening_nobody_wakes() {
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config(&server));
    device.set("FERRYD_LOG", "debug");
    let services = [
        networkmanager(device.bus.address(), NO),
        modemmanager(device.bus.address(), HOME),
        profiles(device.bus.address(), "balanced"),
        old_profiles(device.bus.address(), "balanced"),
        upower(device.bus.address(), 1),
        logind(device.bus.address()),
    ];
    device.switch_on();
    let ids = device.enqueue(3);
    device.until_done(&ids);
    assert!(services[5].until_inhibitors(1, crate::device::HANG));
    // As in `tests/daemon/rest.rs`: connections are closed, signals gathered, and the resolver's thread ends.
    std::thread::sleep(Duration::from_secs(12));
    let (before, log) = (voluntary_switches(device.pid()), device.log());
    // What is said to others is none of its business.
    services[0].tell(LO, "org.freedesktop.NetworkManager.Device.Statistics", "RxBytes", &value(1u64));
    services[1].tell(MODEM_PATH, MODEM, "SignalQuality", &value((70u32, true)));
    services[4].tell(DISPLAY, UP_DEVICE, "TimeToEmpty", &value(1i64));
    std::thread::sleep(span());
    let woken = voluntary_switches(device.pid()) - before;
    tell(format_args!("all services there: {:?} of rest, {woken} voluntary context switches", span()));
    assert_eq!(woken, 0, "logged meanwhile:\n{}", device.log().split_off(log.len()));
    // What is measured is there: a hint wakes it.
    set_metered(&services[0], YES);
    until(&mut device, "it wakes", |device| device.shown("Network")["Metered"] == "yes");
}
