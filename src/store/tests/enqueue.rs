//! What an Enqueue adds, and what it refuses.

use super::*;
use crate::model::NetworkNeed;

fn batch(rig: &Rig, tasks: Vec<NewTask>) -> Result<Vec<Enqueued>, EnqueueError> {
    wait(rig.store.enqueue(tasks))
}

#[test]
fn keep_names_the_first_pending_task_and_replace_cancels_all_pending_ones() {
    let rig = Rig::new();
    let existing = |on_existing| NewTask { on_existing, ..keyed("k") };
    let running = rig.add(existing(OnExisting::Keep));
    rig.claim(1, START);
    // A running one does not count.
    let first = rig.add(existing(OnExisting::Keep));
    let second = rig.add(existing(OnExisting::Append));
    assert_eq!(rig.enqueue(existing(OnExisting::Keep)), Enqueued::AlreadyQueued(first));
    let dependent = rig.add(after(&[second]));

    let replacing = rig.add(existing(OnExisting::Replace));
    assert_eq!((rig.state(first), rig.state(second)), (State::Cancelled, State::Cancelled));
    assert_eq!((rig.state(running), rig.state(dependent)), (State::Running, State::Failed));
    assert_eq!(rig.waits_for(replacing), [running]);
    rig.settle(running, done(), START);
    assert_eq!(rig.claim(9, START), [replacing]);

    // Without a key there is nothing to keep or replace.
    rig.add(NewTask { on_existing: OnExisting::Keep, ..task() });
    rig.add(NewTask { on_existing: OnExisting::Replace, ..task() });
    assert_eq!(rig.claim(9, START).len(), 2);
}

#[test]
fn a_repeated_request_adds_nothing_and_another_one_under_its_name_is_a_conflict() {
    let rig = Rig::new();
    let asked = || NewTask { request_id: Some("r".to_owned()), ..task() };
    let first = rig.add(asked());
    assert_eq!(rig.enqueue(asked()), Enqueued::AlreadyQueued(first));
    let rig = rig.reopen(START);
    assert_eq!(rig.enqueue(asked()), Enqueued::AlreadyQueued(first));
    // Another owner's name is another name.
    rig.add(NewTask { owner: Owner(2), ..asked() });

    let wifi = Overrides { network: Some(NetworkNeed::Wifi), ..Overrides::default() };
    let others = [
        NewTask { payload: "2".to_owned().into(), ..asked() },
        NewTask { strategy: strategy("analytics"), ..asked() },
        NewTask { key: Some(String::new()), ..asked() },
        NewTask { overrides: wifi, ..asked() },
        NewTask { after: vec![first], ..asked() },
        NewTask { tags: vec![String::new()], ..asked() },
        NewTask { app: String::new(), ..asked() },
        NewTask { expires: Some(START), ..asked() },
        NewTask { on_existing: OnExisting::Keep, ..asked() },
    ];
    for other in others {
        let refused = batch(&rig, vec![other.clone()]);
        assert!(matches!(refused, Err(EnqueueError::RequestConflict { id }) if id == first), "{other:?}");
    }

    rig.claim(9, START);
    rig.settle(first, done(), START);
    assert_eq!(rig.enqueue(asked()), Enqueued::AlreadyQueued(first));
    wait(rig.store.discard(Scope::All, vec![first], START)).unwrap();
    rig.add(asked());
}

#[test]
fn within_a_batch_a_request_is_known_and_one_that_was_kept_stays_answered() {
    let rig = Rig::new();
    let asked = |name: &str, key: Option<&str>| NewTask {
        request_id: Some(name.to_owned()),
        key: key.map(str::to_owned),
        on_existing: OnExisting::Keep,
        ..task()
    };
    let enqueued = batch(&rig, vec![asked("a", None), asked("a", None)]).unwrap();
    assert_eq!(enqueued, [Enqueued::Added(enqueued[0].id()), Enqueued::AlreadyQueued(enqueued[0].id())]);

    let kept = rig.add(asked("b", Some("k")));
    assert_eq!(rig.enqueue(asked("c", Some("k"))), Enqueued::AlreadyQueued(kept));
    rig.claim(9, START);
    rig.settle(kept, done(), START);
    assert_eq!(rig.enqueue(asked("c", Some("k"))), Enqueued::AlreadyQueued(kept));
}

#[test]
fn a_batch_is_added_whole_or_not_at_all() {
    let rig = Rig::new();
    let old = rig.add(keyed("k"));
    let unknown = TaskId::mint();
    let tasks = vec![
        NewTask { strategy: strategy("photo"), app: "new".to_owned(), ..task() },
        NewTask { on_existing: OnExisting::Replace, ..keyed("k") },
        NewTask { request_id: Some("r".to_owned()), ..task() },
        after(&[unknown]),
    ];
    rig.told();
    let refused = batch(&rig, tasks.clone());
    assert!(matches!(refused, Err(EnqueueError::UnknownAfter { id }) if id == unknown));
    assert_eq!(rig.told(), StoreNews::default());
    assert_eq!(rig.state(old), State::Pending);
    assert_eq!(wait(rig.store.list(Filter::default(), None, 0)).unwrap().tasks.len(), 1);
    // What the batch made on its way is not remembered either.
    assert_eq!(batch(&rig, tasks[..3].to_vec()).unwrap().len(), 3);
    assert_eq!(rig.state(old), State::Cancelled);
    assert_eq!(rig.told().lanes.len(), 2);
}

#[test]
fn quotas_hold_for_the_owner_and_half_of_them_for_an_app() {
    let quotas = Quotas { tasks: 5, bytes: 100, subscribers: 16, holds: 4 };
    let rig = Rig::with(Options { quotas, ..options() });
    let of = |app: &str, size: usize| NewTask { app: app.to_owned(), payload: "1".repeat(size).into(), ..task() };
    let refusal = |tasks: Vec<NewTask>| batch(&rig, tasks).unwrap_err().to_string();
    assert_eq!(
        refusal(vec![of("a", 51)]),
        "app \"a\" of user 1000 may hold at most 50 payload bytes that are not done or cancelled"
    );
    assert_eq!(
        refusal(vec![of("a", 1), of("a", 1), of("a", 1), of("a", 1)]),
        "app \"a\" of user 1000 may hold at most 3 tasks that are not done or cancelled"
    );
    let first = rig.add(of("a", 40));
    rig.add(of("b", 40));
    assert_eq!(
        refusal(vec![of("c", 21)]),
        "user 1000 may hold at most 100 payload bytes that are not done or cancelled"
    );
    for app in ["a", "b", "c"] {
        rig.add(of(app, 1));
    }
    assert_eq!(refusal(vec![of("d", 1)]), "user 1000 may hold at most 5 tasks that are not done or cancelled");
    rig.add(NewTask { owner: Owner(2), ..of("a", 1) });

    // A dead letter counts, a done task does not; nor does a restart forget.
    let rig = rig.reopen(START);
    assert_eq!(rig.claim(1, START), [first]);
    rig.settle(first, rejected(), START);
    assert!(batch(&rig, vec![of("d", 1)]).is_err());
    wait(rig.store.retry(Scope::All, vec![first], START)).unwrap();
    assert_eq!(rig.claim(1, START), [first]);
    rig.settle(first, done(), START);
    let fourth = rig.add(of("d", 1));
    assert!(batch(&rig, vec![of("d", 1)]).is_err());
    rig.cancel(fourth, START);
    rig.add(of("d", 1));
    // Other options hold from the moment on.
    assert!(batch(&rig, vec![of("d", 1)]).is_err());
    let quotas = Quotas { tasks: 6, ..quotas };
    wait(rig.store.configure(Options { quotas, ..options() })).unwrap();
    rig.add(of("d", 1));
}

#[test]
fn what_replace_cancels_makes_room_for_what_replaces_it() {
    let quotas = Quotas { tasks: 1, bytes: 100, subscribers: 16, holds: 4 };
    let rig = Rig::with(Options { quotas, ..options() });
    let old = rig.add(keyed("k"));
    assert!(batch(&rig, vec![keyed("k")]).is_err());
    rig.add(NewTask { on_existing: OnExisting::Replace, ..keyed("k") });
    assert_eq!(rig.state(old), State::Cancelled);
}
