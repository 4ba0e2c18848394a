//! Idle means asleep: not one voluntary context switch of any thread.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use ferryd::demo::Behaviour;
use serde_json::json;

use crate::device::{Device, tell};
use crate::manager::Manager;
use crate::netns::{self, Pair};
use crate::servers::{config, config_with, serve, serve_in, serve_tls};

/// How long nothing may happen: 10 s, with `FERRY_TEST_LONG=1` the 60 s of DESIGN section 10.
fn span() -> Duration {
    let long = std::env::var("FERRY_TEST_LONG").is_ok_and(|value| value == "1");
    Duration::from_secs(if long { 60 } else { 10 })
}

/// How long a daemon may take to come to rest after its last work: its connections are closed a second after their last
/// use, signals are gathered for half a second, and the thread that asked the resolver ends after ten.
const COMING_TO_REST: Duration = Duration::from_secs(12);

/// By thread, from /proc/PID/task/TID/status (proc_pid_status(5)).
pub(crate) fn voluntary_switches(pid: u32) -> BTreeMap<String, u64> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
    let of = |task: std::path::PathBuf| {
        let status = fs::read_to_string(task.join("status")).expect("a thread");
        let field =
            |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).expect("a field").trim().to_owned();
        let thread = format!("{} {}", task.file_name().expect("a number").display(), field("Name:"));
        (thread, field("voluntary_ctxt_switches:").parse().expect("a number"))
    };
    tasks.map(|task| of(task.expect("a thread").path())).collect()
}

/// Sleeps through the span and looks who woke. Nobody may talk to the daemon meanwhile.
pub(crate) fn assert_rests(device: &mut Device<'_>, what: &str) {
    std::thread::sleep(COMING_TO_REST);
    let (before, log) = (voluntary_switches(device.pid()), device.log());
    std::thread::sleep(span());
    let after = voluntary_switches(device.pid());
    let woken: BTreeMap<_, _> = after
        .iter()
        .map(|(thread, count)| (thread, count - before.get(thread).copied().unwrap_or_default()))
        .filter(|(_, count)| *count > 0)
        .collect();
    tell(format_args!("{what}: {:?} of rest, {} threads, woken: {woken:?}", span(), after.len()));
    let since = device.log().split_off(log.len());
    assert!(woken.is_empty() && before.len() == after.len(), "{woken:?}\nlogged meanwhile:\n{since}");
    // What is measured is there: a call wakes it, which is counted when it falls asleep again.
    while voluntary_switches(device.pid()) == after {
        device.shown("Manager");
    }
}

#[test]
fn offline_with_a_thousand_tasks_waiting() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let server = serve_in(&pair.server, Behaviour::honest());
    pair.unplug();
    let mut device = Device::off(Some(&pair.device), &config(&server));
    // Nor does a service manager that watches no watchdog make it wake.
    let _manager = Manager::of(&mut device);
    device.set("FERRYD_LOG", "debug");
    device.switch_on();
    let ids = device.enqueue(1_000);
    device.until_strategy("metadata", "Pending", 1_000);
    assert_eq!(device.shown("Manager")["NextWake"], json!(["", 0]));
    assert_rests(&mut device, "offline, 1000 tasks waiting");
    assert_eq!(device.explain(&ids[999])[0].reason, "offline");
}

#[test]
fn online_with_a_thousand_tasks_sent_and_one_by_tls() {
    let server = serve(Behaviour::honest());
    let (secure, authority) = serve_tls(Behaviour::honest());
    let mut device = Device::off(None, "");
    device.set("FERRYD_LOG", "debug");
    fs::write(device.file("ca.pem"), authority).expect("a file");
    let second = format!(
        "[backend.secure]\nurl = \"https://127.0.0.1:{}/\"\nca_file = \"{}\"\n[strategy.analytics]\nbackend = \"secure\"",
        secure.address().port(),
        device.file("ca.pem").display()
    );
    // By its name, so that the resolver has worked.
    let url = format!("http://localhost:{}/sync", server.address().port());
    device.configure(&format!("[backend.main]\nurl = \"{url}\"\n{second}"));
    device.switch_on();
    let mut ids = device.enqueue(1_000);
    ids.extend(device.enqueue_to("analytics", 1));
    device.until_done(&ids);
    assert_eq!((server.log(|log| log.applied()), secure.log(|log| log.applied())), (1_000, 1));
    device.until_shown("State", "idle");
    // Done tasks are kept for a week: the one wake left is their pruning.
    let wake = device.shown("Manager")["NextWake"].clone();
    assert!(["", "tidy"].contains(&wake[0].as_str().expect("a name")), "{wake}");
    assert_rests(&mut device, "online, 1001 tasks sent");
}

#[test]
fn waiting_for_a_time_far_away() {
    let server = serve(Behaviour::honest());
    server.behave_once(Behaviour::fault(ferryd::demo::Fault::Answer {
        status: 503,
        headers: vec![("Retry-After".into(), "3600".into())],
        body: Vec::new(),
    }));
    let mut device = Device::off(None, &config_with(&server, ""));
    device.set("FERRYD_LOG", "debug");
    device.switch_on();
    let id = device.enqueue_one();
    device.until_waits_for(&id, "backend-down");
    device
        .until("its wake is shown", |device| (device.shown("Manager")["NextWake"][0] == "backend-probe").then_some(()));
    assert_rests(&mut device, "a server that asked for an hour");
}
