//! Clients that come, use whatever a client can have, and go without a word: the daemon keeps nothing of them.

use std::fs;

use ferryd::demo::Behaviour;
use zbus::Variant;
use zbus::connection::Builder;

use crate::device::{Device, NAME, ROOT, none, tell};
use crate::servers::{config, serve};

/// One visitor after the other: each subscribes, holds, asks and enqueues.
fn visit(address: &str, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for _ in 0..count {
            let visitor = Builder::address(address).build().await.expect("a bus");
            let manager = format!("{NAME}.Manager");
            let call =
                |member: &'static str| visitor.call_method(Some(NAME), ROOT, Some(manager.as_str()), member, &"x");
            call("Hold").await.expect("held");
            visitor.call_method(Some(NAME), ROOT, Some(manager.as_str()), "Subscribe", &none()).await.expect("heard");
            let keep = [("key", Variant::from("one")), ("on_existing", Variant::from("keep"))];
            let task = ("metadata", "1", std::collections::BTreeMap::from(keep));
            let tasks = format!("{NAME}.Tasks");
            visitor.call_method(Some(NAME), ROOT, Some(tasks.as_str()), "Enqueue", &task).await.expect("taken");
        }
    });
}

/// Open descriptors, and private memory in KiB (`/proc/PID/smaps_rollup`, proc(5)).
fn burden(pid: u32) -> (usize, u64) {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count();
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("it runs");
    let field = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:")).expect("a field");
    (files, field.trim().trim_end_matches(" kB").parse().expect("a number"))
}

#[test]
fn visitors_leave_no_descriptor_no_hold_and_no_memory_behind() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    device.call("Manager", "Pause", &none()).expect("paused");
    let address = device.bus.address().to_owned();
    visit(&address, 500);
    device.until_shown("Holds", 0);
    let before = burden(device.pid());
    visit(&address, 1500);
    device.until_shown("Holds", 0);
    let after = burden(device.pid());
    tell(format_args!("1,500 visitors: {before:?} before, {after:?} after (descriptors, KiB)"));
    assert!(after.0 <= before.0, "{} descriptors, {} before", after.0, before.0);
    // A hundred bytes a visitor would be seen.
    assert!(after.1 < before.1 + 150, "{} KiB, {} before", after.1, before.1);
}
