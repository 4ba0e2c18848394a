//! A task's life: enqueued, claimed, settled; and what is told of it.

use super::*;
use crate::model::{BatteryFloor, Counts, Failure, NetworkNeed, Waiver};

#[test]
fn a_task_keeps_all_that_it_was_given() {
    let rig = Rig::new();
    let first = rig.add(task());
    let given = NewTask {
        app: "Фото".to_owned(),
        overrides: Overrides {
            network: Some(NetworkNeed::Wifi),
            charging: Some(true),
            min_battery: BatteryFloor::new(30),
            waived: [Waiver::Metered, Waiver::Budget].into_iter().collect(),
        },
        payload: "\"x\"".repeat(2000).into(),
        key: Some("k\n".to_owned()),
        after: vec![first],
        tags: vec!["a".to_owned(), "b,\"c".to_owned()],
        expires: Some(START + seconds(60)),
        ..task()
    };
    let id = rig.add(given.clone());
    let kept = Task {
        id,
        owner: given.owner,
        app: given.app,
        strategy: given.strategy,
        overrides: given.overrides,
        standing: Standing::Pending { due: START, waits_for: vec![first] },
        created: START,
        attempts: 0,
        last_error: String::new(),
        size: 6000,
        key: given.key,
        tags: given.tags,
        after: given.after,
        expires: given.expires,
    };
    assert_eq!(rig.get(id), kept);
    let rig = rig.reopen(START);
    assert_eq!(rig.get(id), kept);

    assert_eq!(rig.claim(1, START), [first]);
    rig.settle(first, done(), START);
    let claimed = wait(rig.store.claim(LaneId(2), 5, START)).unwrap();
    assert_eq!(
        claimed,
        [Claimed {
            id,
            owner: Owner(1000),
            payload: "\"x\"".repeat(2000).into(),
            created: START,
            attempts: 0,
            note: None
        }]
    );
}

#[test]
fn a_claim_takes_the_earliest_due_then_the_first_enqueued_and_only_its_lane() {
    let rig = Rig::new();
    let late = rig.add(NewTask { created: START + seconds(5), ..task() });
    let first = rig.add(task());
    let second = rig.add(task());
    let other = rig.add(NewTask { strategy: strategy("analytics"), ..task() });
    assert_eq!(rig.claim(0, START + seconds(9)), []);
    assert_eq!(rig.claim(9, START), [first, second]);
    assert_eq!(rig.claim(9, START + seconds(5)), [late]);
    assert_eq!(rig.claim_of(LaneId(2), 9, START), [other]);
    assert_eq!(rig.claim_of(LaneId(3), 9, START), []);
    assert_eq!(rig.get(first).standing, Standing::Running { started: START });
}

#[test]
fn each_settlement_leaves_the_task_as_it_says_and_no_other_task() {
    let rig = Rig::new();
    let other = rig.add(task());
    let ids: Vec<TaskId> = (0..4).map(|_| rig.add(task())).collect();
    let before = rig.get(other);
    assert_eq!(rig.claim(9, START).len(), 5);
    rig.settle(other, release(), START);
    let later = START + seconds(3);
    let result = TaskResult { status: 201, duplicate: true, body: "thanks".to_owned(), upload: None };
    let settlements = [
        Settlement::Done(result.clone()),
        retry_at(START + seconds(60)),
        Settlement::Release { cause: "connection refused".to_owned() },
        rejected(),
    ];
    wait(rig.store.settle(ids.iter().copied().zip(settlements).collect(), later)).unwrap();

    assert_eq!(rig.get(ids[0]).standing, Standing::Done { finished: later, result });
    let retried = rig.get(ids[1]);
    assert_eq!(retried.standing, Standing::Pending { due: START + seconds(60), waits_for: vec![] });
    assert_eq!((retried.attempts, retried.last_error.as_str()), (1, "busy"));
    let released = rig.get(ids[2]);
    assert_eq!(released.standing, Standing::Pending { due: START, waits_for: vec![] });
    assert_eq!((released.attempts, released.last_error.as_str()), (0, "connection refused"));
    let error = TaskError { failure: Failure::Rejected, words: "no such note".to_owned() };
    assert_eq!(rig.get(ids[3]).standing, Standing::Failed { finished: later, error });
    assert_eq!(rig.get(other), before);

    assert_eq!(rig.events(ids[0]), [""; 0]);
    assert_eq!(rig.events(ids[1]), ["retry"]);
    assert_eq!(rig.events(ids[2]), ["released"]);
    assert_eq!(rig.events(ids[3]), ["failed"]);
    assert_eq!(rig.events(other), [""; 0]);
}

#[test]
fn an_exhausted_task_shows_its_last_attempt_too() {
    let rig = Rig::new();
    let id = rig.add(task());
    rig.claim(1, START);
    rig.settle(id, retry_at(START), START);
    rig.claim(1, START);
    let error = TaskError { failure: Failure::Exhausted, words: "busy".to_owned() };
    rig.settle(id, Settlement::Failed(error), START);
    assert_eq!(rig.get(id).attempts, 2);
}

#[test]
fn news_tell_lanes_counts_and_changes_of_each_commit() {
    let rig = Rig::new();
    assert_eq!(rig.opening.news, StoreNews { tidy_at: Some(None), ..StoreNews::default() });
    let id = rig.add(task());
    let lane = |waiting, first_due| LaneSummary {
        id: LaneId(1),
        strategy: strategy("metadata"),
        overrides: Overrides::default(),
        waiting,
        first_due,
    };
    let counts = |pending, running, failed| [(strategy("metadata"), Counts { pending, running, failed })].into();
    let told = rig.told();
    assert_eq!(told.lanes, [lane(1, Some(START))]);
    assert_eq!(told.counts, counts(1, 0, 0));
    assert_eq!(
        told.changes,
        [TaskChange {
            id,
            owner: Owner(1000),
            strategy: strategy("metadata"),
            state: State::Pending,
            from: None,
            at: START,
            attempts: 0,
            error: String::new(),
        }]
    );

    let later = START + seconds(1);
    rig.claim(1, later);
    let told = rig.told();
    assert_eq!(told.lanes, [lane(0, None)]);
    assert_eq!(told.counts, counts(0, 1, 0));
    assert_eq!((told.changes[0].from, told.changes[0].state), (Some(State::Pending), State::Running));
    assert_eq!(told.changes[0].at, later);

    rig.settle(id, rejected(), later);
    let told = rig.told();
    assert_eq!(told.lanes, []);
    assert_eq!(told.counts, counts(0, 0, 1));
    assert_eq!(told.changes[0].error, "rejected: no such note");

    let rig = rig.reopen(later);
    assert_eq!(rig.opening.news.lanes, [lane(0, None)]);
    assert_eq!(rig.opening.news.counts, counts(0, 0, 1));
}

#[test]
fn operations_take_effect_in_the_order_of_the_calls_though_nobody_polls() {
    let rig = Rig::new();
    let new = task();
    let id = new.id;
    let enqueued = rig.store.enqueue(vec![new]);
    let claimed = rig.store.claim(LaneId(1), 1, START);
    drop(rig.store.settle(vec![(id, done())], START));
    assert_eq!(wait(claimed).unwrap().len(), 1);
    assert_eq!(wait(enqueued).unwrap(), [Enqueued::Added(id)]);
    rig.told();
    assert_eq!(rig.state(id), State::Done);
}

#[test]
fn what_waits_is_one_commit_and_one_news_and_an_operation_that_cannot_be_done_harms_no_other() {
    let dir = scratch();
    let (told, news) = channel();
    let (go_on, wait_for_it) = channel::<()>();
    // The writer stands still in its first news: all that is asked meanwhile waits.
    let tell = move |gathered| {
        let _ = told.send(gathered);
        let _ = wait_for_it.recv();
    };
    let (store, _) = Store::open(dir.path(), options(), START, 7, tell).unwrap();
    let first = task();
    wait(store.enqueue(vec![first.clone()])).unwrap();
    let before = news.recv().unwrap();
    assert_eq!(before.changes.len(), 1);

    let twice = store.enqueue(vec![NewTask { payload: "2".to_owned().into(), ..first.clone() }]);
    let others: Vec<_> = (0..9).map(|_| store.enqueue(vec![task()])).collect();
    let claimed = store.claim(LaneId(1), 99, START);
    go_on.send(()).unwrap();
    let refused = wait(twice).unwrap_err();
    assert!(matches!(refused, EnqueueError::Store(StoreError::Sqlite { .. })), "{refused}");
    for other in others {
        wait(other).unwrap();
    }
    let claimed = wait(claimed).unwrap();
    assert_eq!((claimed.len(), &claimed[0].payload), (10, &first.payload));
    let gathered = news.recv().unwrap();
    assert_eq!(gathered.changes.len(), 9 + 10);
    assert_eq!(gathered.lanes.len(), 1);
    drop(go_on);
    drop(store);
    assert_consistent_in(dir.path());
}
