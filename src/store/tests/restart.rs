//! What a restart, a kill at any moment, and a clock that jumps leave behind.

use std::fs;

use super::*;
use crate::model::{Counts, Failure};

#[test]
fn what_was_running_waits_again_and_the_third_time_it_fails() {
    let mut rig = Rig::new();
    let (id, other) = (rig.add(task()), rig.add(task()));
    for round in 0..2 {
        assert_eq!(rig.claim(1, START), [id]);
        rig = rig.reopen(START);
        assert_eq!((rig.opening.recovered, rig.opening.crashed), (1, 0), "{round}");
        assert_eq!(path_of(&rig.opening.news.changes, id), [State::Pending]);
        assert_eq!(rig.opening.news.lanes[0].waiting, 2);
    }
    assert_eq!(rig.claim(1, START), [id]);
    rig = rig.reopen(START);
    assert_eq!((rig.opening.recovered, rig.opening.crashed), (0, 1));
    assert_eq!(rig.error(id).failure, Failure::Crashed);
    assert_eq!(rig.events(id), ["crashed", "crashed", "failed"]);
    assert_eq!(rig.state(other), State::Pending);
    let counts = Counts { pending: 1, running: 0, failed: 1 };
    assert_eq!(rig.opening.news.counts, [(strategy("metadata"), counts)].into());
    rig = rig.reopen(START);
    assert_eq!((rig.opening.recovered, rig.opening.crashed), (0, 0));
    assert_eq!(rig.opening.news.changes, []);
}

#[test]
fn any_settlement_in_between_makes_the_crashes_forgotten() {
    let mut rig = Rig::new();
    let id = rig.add(task());
    for _ in 0..3 {
        for _ in 0..2 {
            rig.claim(1, START);
            rig = rig.reopen(START);
        }
        rig.claim(1, START);
        rig.settle(id, release(), START);
    }
    assert_eq!(rig.state(id), State::Pending);
}

#[test]
fn a_backoff_beyond_the_cap_is_drawn_anew_and_an_overdue_one_from_a_short_span() {
    let rig = Rig::new();
    let retried = |after: u64| {
        let id = rig.add(task());
        assert_eq!(rig.claim(1, START), [id]);
        rig.settle(id, retry_at(START + seconds(after)), START);
        id
    };
    let overdue: Vec<TaskId> = (0..20).map(|_| retried(5)).collect();
    let soon = retried(500);
    let far: Vec<TaskId> = (0..20).map(|_| retried(1_000_000)).collect();
    let fresh = rig.add(task());
    let future = rig.add(NewTask { created: START + seconds(1_000_000), ..task() });
    let near_future = rig.add(NewTask { created: START + seconds(200), ..task() });
    let later = START + seconds(100);
    let due = |rig: &Rig, id| {
        let Standing::Pending { due, .. } = rig.get(id).standing else { panic!("{id}") };
        due.as_micros() - START.as_micros()
    };
    let seconds_in = |micros: u64| micros / 1_000_000;

    let rig = rig.reopen(later);
    let check = |rig: &Rig, now: u64| {
        for id in &overdue {
            assert!((now..now + 10).contains(&seconds_in(due(rig, *id) - 1)), "{}", due(rig, *id));
        }
        for id in &far {
            assert!((now..now + 900).contains(&seconds_in(due(rig, *id) - 1)), "{}", due(rig, *id));
        }
        let mut spread: Vec<u64> = far.iter().map(|id| due(rig, *id)).collect();
        spread.dedup();
        assert_eq!(spread.len(), 20);
        assert_eq!(due(rig, soon), 500_000_000);
        assert_eq!(due(rig, fresh), 0);
        assert_eq!((due(rig, future), due(rig, near_future)), (100_000_000, 100_000_000));
    };
    check(&rig, 100);
    assert_eq!(rig.opening.news.lanes[0].first_due, Some(START));

    // The clock is set back by an hour, and the next task of each kind comes right too.
    let earlier = WallTime::from_micros(START.as_micros() - 3_600_000_000);
    wait(rig.store.respread(earlier)).unwrap();
    let first = rig.told().lanes[0].first_due.unwrap();
    assert_eq!(first, earlier);
    assert_eq!(rig.claim(9, earlier), [fresh, future, near_future]);
}

#[test]
fn a_task_that_ran_while_the_clock_was_set_back_is_due_at_once() {
    let rig = Rig::new();
    let id = rig.add(task());
    assert_eq!(rig.claim(1, START), [id]);
    let earlier = WallTime::from_micros(START.as_micros() - 3_600_000_000);
    wait(rig.store.respread(earlier)).unwrap();
    rig.settle(id, release(), earlier);
    assert_eq!(rig.claim(1, earlier), [id]);
}

#[test]
fn a_respread_of_many_goes_on_piece_by_piece() {
    let rig = Rig::new();
    let far = START + seconds(1_000_000);
    for _ in 0..2 {
        wait(rig.store.enqueue((0..2500).map(|_| NewTask { created: far, ..task() }).collect())).unwrap();
    }
    wait(rig.store.respread(START)).unwrap();
    let mut tidies = 0;
    while let Some(Some(at)) = rig.told().tidy_at {
        assert_eq!(at, START);
        wait(rig.store.tidy(START)).unwrap();
        tidies += 1;
    }
    assert!(tidies > 0);
    assert_eq!(rig.claim(9999, START).len(), 5000);
}

#[test]
fn a_second_store_in_the_same_directory_is_refused_until_the_first_is_closed() {
    let rig = Rig::new();
    let second = || Store::open(rig.dir.path(), options(), START, 7, |_: StoreNews| {});
    let refused = second().unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
    let clone = rig.store.clone();
    let Rig { dir, store, .. } = rig;
    drop(store);
    assert!(matches!(Store::open(dir.path(), options(), START, 7, |_: StoreNews| {}), Err(OpenError::Locked { .. })));
    drop(clone);
    Store::open(dir.path(), options(), START, 7, |_: StoreNews| {}).unwrap();
}

#[test]
fn what_was_asked_before_the_last_handle_went_is_done() {
    let rig = Rig::new();
    let tasks: Vec<NewTask> = (0..50).map(|_| task()).collect();
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    for task in tasks {
        drop(rig.store.enqueue(vec![task]));
    }
    let rig = rig.reopen(START);
    assert_eq!(rig.claim(99, START), ids);
}

#[test]
fn nobody_else_may_read_the_state_directory() {
    use std::os::unix::fs::PermissionsExt;
    let parent = scratch();
    let dir = parent.path().join("a/b");
    let (store, _, _news) = open_at(&dir, &options(), START);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
    }
    drop(store);
}

#[test]
fn a_copy_of_the_files_at_any_moment_has_all_that_was_acknowledged_and_nothing_halfway() {
    let rig = Rig::new();
    let mut random = fastrand::Rng::with_seed(3);
    let mut acknowledged = Vec::new();
    let mut finished = Vec::new();
    for round in 0..60 {
        // Some of it is in flight while the copy is made.
        let batch: Vec<NewTask> = (0..random.usize(1..40)).map(|_| task()).collect();
        let ids: Vec<TaskId> = batch.iter().map(|task| task.id).collect();
        let enqueued = rig.store.enqueue(batch);
        let claimed = rig.store.claim(LaneId(1), random.usize(1..20), START);
        let copy = snapshot(rig.dir.path());
        let copied = Rig::open(copy, options(), START);
        assert_eq!(copied.opening.salvage, None, "{round}");
        for id in &acknowledged {
            assert_eq!(copied.state(*id), State::Pending, "{round}");
        }
        for id in &finished {
            assert_eq!(copied.state(*id), State::Done, "{round}");
        }
        let there = ids.iter().filter(|id| wait(copied.store.get(Scope::All, **id)).is_ok()).count();
        assert!(there == 0 || there == ids.len(), "{there} of {}", ids.len());
        assert_consistent(&copied);

        wait(enqueued).unwrap();
        acknowledged.extend(ids);
        for claimed in wait(claimed).unwrap() {
            if random.bool() {
                rig.settle(claimed.id, done(), START);
                acknowledged.retain(|id| *id != claimed.id);
                finished.push(claimed.id);
            } else {
                rig.settle(claimed.id, release(), START);
            }
        }
    }
    assert!(finished.len() > 100, "{}", finished.len());
}

/// The files as a kill at one moment would leave them. Only a checkpoint changes the database, and the WAL's header
/// when it starts anew; a WAL that grew meanwhile is one that ends in the middle of a commit.
fn snapshot(dir: &Path) -> TempDir {
    let copy = scratch();
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    loop {
        let (database, wal) = (read("ferry.db"), read("ferry.db-wal"));
        if read("ferry.db-wal").starts_with(&wal[..32.min(wal.len())]) && read("ferry.db") == database {
            fs::write(copy.path().join("ferry.db"), database).unwrap();
            fs::write(copy.path().join("ferry.db-wal"), wal).unwrap();
            return copy;
        }
    }
}
