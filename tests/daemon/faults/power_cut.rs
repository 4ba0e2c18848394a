//! The power goes, at any point of a recorded run of the built daemon: what was told before is there afterwards. Of what is
//! left at each point a start's own way into it is tried in this process; from some points the built daemon goes on.

use std::fs;
use std::path::Path;
use std::time::Instant;

use tempfile::TempDir;

use super::disk::Cut;
use super::is_soak;
use super::recording::{Expected, Recording, Told};
use crate::device::{Device, none, tell};

/// How many cuts CI makes in one recording.
const CUTS: usize = 150;
/// How many starts of the built daemon each recording is worth.
const STARTS: usize = 3;
/// SQLite's page size, as the store sets it.
const PAGE: usize = 4096;

/// Cuts the power at points of the recording and looks at what is left of these tasks, of which this was known before.
fn cut_everywhere(recording: &mut Recording, ids: &[String], known: Told, expected: Expected<'_>) {
    let begun = Instant::now();
    let mut told = known;
    for (id, more) in recording.told(ids) {
        told.entry(id).or_default().extend(more);
    }
    assert!(ids.iter().all(|id| told.contains_key(id)), "all were told of");
    let mut random = fastrand::Rng::with_seed(0xcafe);
    let share = if is_soak() { 1.0 } else { CUTS as f64 / (2 * recording.steps.len()) as f64 };
    let (mut cuts, mut starts, mut kept) = (0, 0, u64::MAX);
    let steps = std::mem::take(&mut recording.steps);
    for (number, step) in steps.iter().enumerate() {
        recording.before.take(step);
        // What is on the disk for sure changes with a sync only.
        if (kept != recording.before.changes && random.f64() < share * 40.0) || number + 1 == steps.len() {
            kept = recording.before.changes;
            check(recording, number, &told, expected, Cut::Gone);
            cuts += 1;
        }
        if number % (steps.len() / STARTS) == steps.len() / STARTS / 2 {
            go_on(recording, number, &told, Cut::Torn(&mut random));
            starts += 1;
        }
        for turn in 0..3 {
            if random.f64() < share {
                let how = match turn {
                    0 => Cut::Torn(&mut random),
                    1 => Cut::One(&mut random),
                    _ => Cut::Killed,
                };
                check(recording, number, &told, expected, how);
                cuts += 1;
            }
        }
    }
    let (calls, tasks) = (steps.len(), ids.len());
    tell(format_args!("{cuts} cuts and {starts} starts in {calls} calls, {tasks} tasks: {:.1?}", begun.elapsed()));
    recording.steps = steps;
}

pub(crate) fn check(recording: &Recording, step: usize, told: &Told, expected: Expected<'_>, how: Cut<'_>) {
    let words = format!("{}: the power went after call {step} ({how:?})", recording.disk);
    let left = memory();
    recording.before.cut(how, left.path());
    let found = recording.differences(left.path(), step, told, expected);
    assert!(found.is_empty(), "{words}: {found:#?}\nwhat was left is in {}", left.keep().display());
}

/// The built daemon goes on from what is left: what was told to wait arrives once, what was told to be done never again.
fn go_on(recording: &Recording, step: usize, told: &Told, how: Cut<'_>) {
    let server = Recording::server();
    let mut device = Device::off(None, "");
    recording.before.cut(how, device.folder.path());
    device.configure(&Recording::config(&server));
    device.switch_on();
    for strategy in ["metadata", "analytics", "photo"] {
        device.call_strategy(strategy, "Resume", &none()).expect("resumed");
    }
    let known = told.iter().filter_map(|(id, told)| Some((id, told.iter().rfind(|(when, _)| *when <= step)?.1)));
    for (id, state) in known {
        if ["pending", "running"].contains(&state) {
            device.until(&format!("{id} has ended"), |device| {
                let task = device.task(id);
                ["done", "failed", "cancelled"].iter().any(|end| task["state"] == *end).then_some(())
            });
        }
        let again = server.received().iter().any(|item| item.id == *id) && !["pending", "running"].contains(&state);
        assert!(!again, "after call {step}: {id} was {state} and is sent again");
    }
    let changed: Vec<_> = server.received().into_iter().filter(|item| item.changed || item.seen > 1).collect();
    assert!(changed.is_empty(), "after call {step}: {changed:?}");
}

/// A folder where syncs cost nothing, if there is one.
fn memory() -> TempDir {
    let shared = Path::new("/dev/shm");
    let made = if shared.is_dir() { TempDir::with_prefix_in("ferry-cut-", shared) } else { TempDir::new() };
    made.expect("a folder")
}

#[test]
fn what_was_told_outlives_a_power_cut_at_any_point() {
    let mut recording = Recording::new("a sound disk");
    recording.switch_on();
    let mut ids = recording.enqueue("metadata", (0..5).map(|n| format!("{{\"n\":{n}}}")).collect());
    ids.extend(recording.enqueue("metadata", vec![r#"{"bad":1}"#.to_owned()]));
    ids.extend([recording.put("a.bin", 100_000), recording.put("b.bin", 700)]);
    recording.device.until_done(&ids[..5]);
    recording.device.until_task(&ids[5], "failed");
    recording.device.until_done(&ids[6..]);
    recording.device.call_strategy("analytics", "Pause", &none()).expect("paused");
    let paused = recording.enqueue("analytics", (0..9).map(|n| format!("{{\"a\":{n}}}")).collect());
    recording.device.call("Tasks", "Cancel", &paused[..2].to_vec()).expect("cancelled");
    recording.device.until_task(&paused[1], "cancelled");
    recording.kill();

    recording.switch_on();
    // More than fits between two checkpoints, so that one comes, and another at the end.
    let large = (0..80).map(|n| format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(60_000))).collect();
    ids.extend(recording.enqueue("analytics", large));
    recording.device.call_strategy("photo", "Pause", &none()).expect("paused");
    ids.push(recording.put("c.bin", 30_000));
    recording.device.call_strategy("analytics", "Resume", &none()).expect("resumed");
    ids.extend(paused);
    recording.device.until_done(&ids[8..88]);
    recording.device.until_done(&ids[91..]);
    recording.switch_off();
    recording.switch_on();
    ids.extend(recording.enqueue("metadata", vec!["{}".to_owned()]));
    recording.device.until_done(&ids[98..]);
    recording.switch_off();
    cut_everywhere(&mut recording, &ids, Told::new(), Expected::Sound);
}

#[test]
fn a_power_cut_while_a_damaged_queue_is_carried_over_loses_nothing_more() {
    let mut recording = Recording::new("a sound disk");
    recording.switch_on();
    recording.device.call_strategy("metadata", "Pause", &none()).expect("paused");
    let mut ids = recording.enqueue("metadata", (0..300).map(|n| format!("{{\"n\":{n}}}")).collect());
    recording.switch_off();
    // The root of an index: all rows can still be read.
    let queue = recording.device.state().join("ferry.db");
    let database = rusqlite::Connection::open(&queue).expect("a database");
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'ready'";
    let root: u32 = database.query_row(sql, [], |row| row.get(0)).expect("its root");
    let root = root as usize;
    drop(database);
    let mut damaged = fs::read(&queue).expect("the queue");
    damaged[(root - 1) * PAGE..root * PAGE].fill(0xa5);
    fs::write(&queue, &damaged).expect("a damaged queue");
    recording.begin();
    recording.switch_on();
    assert!(recording.device.log().contains("the database was damaged"), "{}", recording.device.log());
    let before: Told = ids.iter().map(|id| (id.clone(), vec![(0, "pending")])).collect();
    let more = recording.enqueue("metadata", vec!["{}".to_owned()]);
    recording.switch_off();
    ids.extend(more);
    cut_everywhere(&mut recording, &ids, before, Expected::Salvaged(&damaged));
}

#[test]
fn a_power_cut_during_an_upgrade_loses_nothing() {
    let mut recording = Recording::new("a sound disk");
    recording.switch_on();
    recording.device.call_strategy("metadata", "Pause", &none()).expect("paused");
    let mut ids = recording.enqueue("metadata", (0..50).map(|n| format!("{{\"n\":{n}}}")).collect());
    recording.switch_off();
    let database = rusqlite::Connection::open(recording.device.state().join("ferry.db")).expect("a database");
    let first = "DROP TABLE note; DROP TABLE abandoned; DROP TABLE waiver; PRAGMA user_version = 1;";
    database.execute_batch(first).expect("the first schema");
    drop(database);
    recording.begin();
    recording.switch_on();
    let before: Told = ids.iter().map(|id| (id.clone(), vec![(0, "pending")])).collect();
    ids.extend(recording.enqueue("metadata", vec!["{}".to_owned()]));
    recording.switch_off();
    cut_everywhere(&mut recording, &ids, before, Expected::Sound);
}
