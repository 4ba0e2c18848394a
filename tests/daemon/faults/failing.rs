//! Calls of the daemon to its disk fail, each in turn: it says so, acknowledges nothing that it did not keep, goes on when
//! the fault is gone, and a power cut afterwards takes nothing that it acknowledged.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::disk::Cut;
use super::is_soak;
use super::power_cut::check;
use super::recording::{Expected, Recording};
use crate::device::{HANG, Refused, none, tell};

/// Calls that a disk may fail.
const CALLS: [&str; 7] = ["pwrite64", "fdatasync", "fsync", "ftruncate", "fallocate", "copy_file_range", "unlink"];
/// The share of calls after which a torn disk is looked at too.
const TORN: f64 = 0.05;
/// How many faults CI tries.
const FAULTS: usize = 24;

/// What came of the calls of an app.
#[derive(Default)]
struct Came {
    acknowledged: Vec<String>,
    /// Payloads that were refused by name, so that nothing of them was to be kept.
    refused: Vec<String>,
    /// The names of errors.
    names: BTreeSet<String>,
}

impl Came {
    /// Hands over one piece of work; `false` if nobody answers any more.
    fn enqueue(&mut self, recording: &mut Recording, payload: String) -> bool {
        match recording.device.call("Tasks", "Enqueue", &("metadata", &payload, none())) {
            Ok(id) => self.acknowledged.push(id[0].as_str().expect("an id").to_owned()),
            Err(refused) if is_gone(&refused) => return false,
            Err(refused) => {
                self.names.insert(refused.name);
                self.refused.push(payload);
            }
        }
        true
    }
}

/// Whether nobody is there to answer, or not for long: what became of the call is not known.
fn is_gone(refused: &Refused) -> bool {
    ["NoReply", "ServiceUnknown", "NameHasNoOwner", "Unavailable"].contains(&refused.name.as_str())
}

/// Waits until a task is done, starting the daemon again when it ends, as systemd does.
fn until_done(recording: &mut Recording, id: &str) {
    loop {
        let is_done =
            recording.device.until(&format!("{id} is done"), |device| match device.call("Tasks", "Get", &id) {
                Ok(task) => (task[0]["state"] == "done").then_some(true),
                Err(refused) if is_gone(&refused) => Some(false),
                Err(refused) => panic!("{id}: {refused:?}\n{}", device.log()),
            });
        if is_done {
            return;
        }
        recording.ended();
        recording.switch_on();
    }
}

/// A run with this fault and after it.
fn play(fault: &str) -> (Recording, Came) {
    let mut recording = Recording::new(fault);
    let mut came = Came::default();
    let starts = recording.starts_with(&[fault.to_owned()]);
    let killer = (starts && fault.contains("delay")).then(|| {
        let process = recording.device.pid();
        thread::spawn(move || kill_in_sync(process))
    });
    if starts {
        for number in 0..12 {
            if !came.enqueue(&mut recording, format!("{{\"n\":{number}}}")) {
                break;
            }
            if number % 6 == 3 {
                let put = recording.try_put(&format!("{number}.bin"), 20_000 + number);
                came.acknowledged.extend(put.ok());
            }
        }
    }
    if let Some(killer) = killer {
        killer.join().expect("it is killed");
    }
    // Whatever it does about it, it either goes on or ends for systemd to start it again.
    if !starts {
        recording.ended();
        recording.switch_on();
    } else if fault.ends_with('+') && !recording.device.has_ended() {
        recording.kill();
        recording.switch_on();
    }
    for id in came.acknowledged.clone() {
        until_done(&mut recording, &id);
    }
    if !came.enqueue(&mut recording, r#"{"n":"after"}"#.to_owned()) {
        recording.ended();
        recording.switch_on();
        assert!(came.enqueue(&mut recording, r#"{"n":"after"}"#.to_owned()), "the fault is gone");
    }
    until_done(&mut recording, &came.acknowledged.last().expect("one is acknowledged").clone());
    recording.kill();
    (recording, came)
}

fn judge(fault: &str, mut recording: Recording, came: &Came) {
    let files = recording.files.clone();
    let is_there = |log: &ferryd::demo::Log| {
        came.acknowledged.iter().all(|id| files.contains_key(id) || log.items().iter().any(|item| item.id == *id))
    };
    assert!(recording.server.wait_until(is_there, HANG), "{fault}: all that was acknowledged arrived");
    for item in recording.server.received() {
        assert!(!item.changed && !came.refused.contains(&item.payload), "{fault}: {item:?} arrived");
    }
    let known = ["NoSpace", "Internal"];
    assert!(came.names.iter().all(|name| known.contains(&name.as_str())), "{fault}: {:?}", came.names);
    let told = recording.told(&came.acknowledged);
    let mut random = fastrand::Rng::with_seed(0x7042);
    for (number, step) in std::mem::take(&mut recording.steps).iter().enumerate() {
        let changes = recording.before.changes;
        recording.before.take(step);
        if recording.before.changes != changes {
            check(&recording, number, &told, Expected::Sound, Cut::Gone);
        }
        if random.f64() < TORN {
            check(&recording, number, &told, Expected::Sound, Cut::Torn(&mut random));
        }
    }
}

/// Faults by which the daemon once lost what it had acknowledged.
const FOUND: [&str; 1] = ["pwrite64:error=ENOSPC:when=2"];

/// All faults: one call of each thread, three of them, or from one on all.
fn faults() -> Vec<String> {
    let mut faults = Vec::new();
    for call in CALLS {
        let calls = if ["pwrite64", "fdatasync"].contains(&call) { 40 } else { 6 };
        for error in ["EIO", "ENOSPC"] {
            for first in 1..=calls {
                let when = [format!("{first}"), format!("{first}..{}", first + 2), format!("{first}+")];
                faults.extend(when.map(|when| format!("{call}:error={error}:when={when}")));
            }
        }
    }
    faults
}

/// `FERRY_TEST_FAULT` plays a single one.
#[test]
fn a_failing_disk_costs_nothing_that_was_acknowledged() {
    let begun = Instant::now();
    let mut faults = faults();
    if let Ok(fault) = std::env::var("FERRY_TEST_FAULT") {
        faults = vec![fault];
    } else if !is_soak() {
        fastrand::Rng::with_seed(0xd15c).shuffle(&mut faults);
        faults.truncate(FAULTS);
        faults.extend(FOUND.map(str::to_owned));
    }
    for fault in &faults {
        let (recording, came) = play(fault);
        judge(fault, recording, &came);
    }
    tell(format_args!("{} faults: {:.1?}", faults.len(), begun.elapsed()));
}

/// The kernel tells once that a sync failed, and forgets what it could not write.
#[test]
fn a_sync_that_failed_is_not_made_good_by_one_that_succeeds() {
    for number in if is_soak() { 1..=60 } else { 8..=16 } {
        let fault = format!("fdatasync:error=EIO:when={number}");
        let (recording, came) = play(&fault);
        judge(&fault, recording, &came);
    }
}

/// Who is killed in a sync cannot say that it failed.
#[test]
fn a_sync_that_failed_unseen_is_not_made_good_by_one_that_succeeds() {
    // The thread that starts the daemon makes fewer.
    for number in if is_soak() { 12..=24 } else { 12..=15 } {
        let fault = format!("fdatasync:delay_enter=1000000:when={number}");
        let (recording, came) = play(&fault);
        judge(&fault, recording, &came);
    }
}

/// The number of `fdatasync` where this runs.
const FDATASYNC: &str = if cfg!(target_arch = "x86_64") { "75 " } else { "83 " };

/// Kills a process as soon as one of its threads stands still in a sync. Nothing tells of that: it is looked for.
fn kill_in_sync(process: u32) {
    let tasks = PathBuf::from(format!("/proc/{process}/task"));
    let begun = Instant::now();
    let mut looks = 0;
    while looks < 5 && begun.elapsed() < HANG {
        let Ok(all) = fs::read_dir(&tasks) else { return };
        let mut calls = all.filter_map(|task| fs::read_to_string(task.ok()?.path().join("syscall")).ok());
        looks = if calls.any(|call| call.starts_with(FDATASYNC)) { looks + 1 } else { 0 };
        thread::sleep(Duration::from_millis(1));
    }
    let process = Pid::from_raw(process.cast_signed()).expect("a process");
    // It may have ended.
    let _ = kill_process(process, Signal::KILL);
}

/// What a start writes, the WAL anew among it, may take space, which is the reserve's on a full disk.
#[test]
fn a_start_on_a_full_disk_goes_on_with_what_was_left() {
    let mut recording = Recording::new("full at the next start");
    recording.switch_on();
    recording.device.call_strategy("metadata", "Pause", &none()).expect("paused");
    let ids = recording.enqueue("metadata", vec![r#"{"n":1}"#.to_owned()]);
    // Each of what it writes in turn; the last of these is beyond them.
    for number in 1..=16 {
        recording.kill();
        let fault = format!("pwrite64:error=ENOSPC:when={number}");
        assert!(recording.starts_with(std::slice::from_ref(&fault)), "{fault}\n{}", recording.device.log());
    }
    recording.device.call_strategy("metadata", "Resume", &none()).expect("resumed");
    recording.device.until_done(&ids);
    recording.kill();
}
