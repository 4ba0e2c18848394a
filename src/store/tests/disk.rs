//! A full disk: ends are recorded, new tasks are refused, and all is well again when there is space.

use std::process::Command;

use super::*;

/// A file system of a few megabytes, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(megabytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(dir.path())
            .status();
        match mounted {
            Ok(status) if status.success() => Some(Self(dir)),
            other => {
                println!("mounting a small disk is not allowed here ({other:?}): this test needs root");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all space that is left.
    fn fill(&self) {
        let zeros = vec![0; 1 << 16];
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.path().join("ballast")).unwrap();
        while std::io::Write::write(&mut file, &zeros).is_ok_and(|written| written > 0) {}
    }

    fn free(&self) {
        std::fs::remove_file(self.path().join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

fn small_options() -> Options {
    Options { reserve: 4 << 20, ..options() }
}

fn large() -> NewTask {
    NewTask { payload: "1".repeat(60_000).into(), ..task() }
}

#[test]
fn on_a_full_disk_ends_are_recorded_and_new_tasks_are_refused_until_there_is_space() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let (store, _, _news) = open_at(disk.path(), &small_options(), START);
    let mut ids = Vec::new();
    let refused = loop {
        match wait(store.enqueue(vec![large()])) {
            Ok(enqueued) => ids.push(enqueued[0].id()),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, EnqueueError::NoSpace), "{refused}");
    assert!(ids.len() > 50, "{}", ids.len());
    disk.fill();

    // Every one of them can still be carried and ended, a batch at a time.
    for _ in 0..ids.len().div_ceil(10) {
        let claimed = wait(store.claim(LaneId(1), 10, START)).unwrap();
        let ends = claimed.iter().map(|task| (task.id, done())).collect();
        wait(store.settle(ends, START)).unwrap();
    }
    for id in &ids {
        assert_eq!(wait(store.get(Scope::All, *id)).unwrap().standing.state(), State::Done);
    }
    let refused = wait(store.enqueue(vec![task()]));
    assert!(matches!(refused, Err(EnqueueError::NoSpace)), "{refused:?}");

    // A start on the full disk works too.
    drop(store);
    let (store, opening, _news) = open_at(disk.path(), &small_options(), START);
    assert_eq!(opening.salvage, None);
    assert_eq!(wait(store.get(Scope::All, ids[0])).unwrap().standing.state(), State::Done);

    disk.free();
    wait(store.enqueue(vec![task()])).unwrap();
    assert!(std::fs::metadata(disk.path().join("reserve")).unwrap().len() == 4 << 20);
}

#[test]
fn what_is_refused_for_space_harms_nothing_that_was_asked_with_it() {
    let Some(disk) = SmallDisk::mount(16) else { return };
    let (store, _, _news) = open_at(disk.path(), &small_options(), START);
    let first = task();
    let id = first.id;
    wait(store.enqueue(vec![first])).unwrap();
    assert_eq!(wait(store.claim(LaneId(1), 1, START)).unwrap().len(), 1);
    disk.fill();
    // One group, most likely; in any case one order.
    let adds: Vec<_> = (0..200).map(|_| store.enqueue(vec![large()])).collect();
    let settled = store.settle(vec![(id, rejected())], START);
    let refused = adds.into_iter().map(wait).filter(|add| matches!(add, Err(EnqueueError::NoSpace))).count();
    wait(settled).unwrap();
    assert!(refused > 100, "{refused}");
    assert_eq!(wait(store.get(Scope::All, id)).unwrap().standing.state(), State::Failed);
}

/// Without a mount of its own a test can still make SQLite believe that its file may not grow.
#[test]
fn a_database_that_may_not_grow_refuses_what_does_not_fit_and_nothing_else() {
    let rig = Rig::new();
    let id = rig.add(task());
    rig.claim(1, START);
    let pages = 40;
    wait(rig.store.write(Limit(pages))).unwrap();
    let refused = (0..100).map(|_| wait(rig.store.enqueue(vec![large()]))).find_map(Result::err).unwrap();
    assert!(matches!(refused, EnqueueError::NoSpace), "{refused}");
    rig.settle(id, rejected(), START);
    assert_eq!(rig.state(id), State::Failed);
    let error = wait(rig.store.put_setting("long", Some("x".repeat(1 << 20)))).unwrap_err();
    assert_eq!(error.to_string(), "keeping a setting: no space left on the disk");
    wait(rig.store.write(Limit(1 << 20))).unwrap();
    rig.add(large());
    rig.told();
    assert_consistent(&rig);
}

/// Limits the size of the database.
struct Limit(u32);

impl Operation for Limit {
    type Answer = ();
    type Refusal = StoreError;

    const DOING: &'static str = "limiting the database";

    fn run(&self, work: &mut work::Work<'_>) -> Result<(), operation::Fault<StoreError>> {
        let sql = format!("PRAGMA max_page_count = {}", self.0);
        Ok(work.conn.query_row(&sql, [], |_| Ok(()))?)
    }
}
