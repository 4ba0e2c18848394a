//! Ends that nobody settles: cancel, retry, discard, expiry, pruning.

use super::*;
use crate::model::{Counts, Failure};

#[test]
fn id_lists_change_what_fits_and_count_it_and_an_unknown_id_changes_nothing() {
    let rig = Rig::new();
    let [pending, running, failed, finished] = [(); 4].map(|()| rig.add(task()));
    let stranger = rig.add(NewTask { owner: Owner(2), ..task() });
    assert_eq!(rig.claim(4, START).len(), 4);
    rig.settle(pending, release(), START);
    rig.settle(failed, rejected(), START);
    rig.settle(finished, done(), START);
    let all = vec![pending, running, failed, finished];
    let own = Scope::Owner(Owner(1000));

    for bad in [stranger, TaskId::mint()] {
        let ids = vec![pending, failed, finished, bad];
        for refused in [
            wait(rig.store.cancel(own, ids.clone(), START)),
            wait(rig.store.retry(own, ids.clone(), START)),
            wait(rig.store.discard(own, ids, START)),
        ] {
            assert!(matches!(refused, Err(IdsError::NotFound(id)) if id == bad), "{refused:?}");
        }
    }
    let states = |rig: &Rig| [pending, running, failed, finished].map(|id| rig.state(id));
    assert_eq!(states(&rig), [State::Pending, State::Running, State::Failed, State::Done]);

    assert_eq!(wait(rig.store.retry(own, all.clone(), START)).unwrap(), 1);
    assert_eq!(states(&rig), [State::Pending, State::Running, State::Pending, State::Done]);
    // Named twice, changed once.
    let twice = [all.clone(), all.clone()].concat();
    assert_eq!(wait(rig.store.cancel(own, twice, START)).unwrap(), 3);
    assert_eq!(states(&rig), [State::Cancelled, State::Cancelled, State::Cancelled, State::Done]);
    // The running one's attempt is not over.
    assert_eq!(wait(rig.store.discard(own, all.clone(), START)).unwrap(), 3);
    rig.settle(running, release(), START);
    assert_eq!(wait(rig.store.discard(own, vec![running], START)).unwrap(), 1);
    for id in all {
        assert!(matches!(wait(rig.store.get(Scope::All, id)), Err(ReadError::NotFound(_))));
    }
    assert_eq!(rig.state(stranger), State::Pending);
    assert_eq!(wait(rig.store.cancel(own, vec![], START)).unwrap(), 0);
    let counts = Counts { pending: 1, running: 0, failed: 0 };
    assert_eq!(rig.reopen(START).opening.news.counts, [(strategy("metadata"), counts)].into());
}

#[test]
fn a_retry_by_hand_begins_anew() {
    let rig = Rig::new();
    let id = rig.add(task());
    rig.claim(1, START);
    rig.settle(id, retry_at(START + seconds(60)), START);
    rig.claim(1, START + seconds(60));
    rig.settle(id, rejected(), START);
    let later = START + seconds(5);
    wait(rig.store.retry(Scope::All, vec![id], later)).unwrap();
    let task = rig.get(id);
    assert_eq!((task.attempts, task.standing), (0, Standing::Pending { due: later, waits_for: vec![] }));
    assert_eq!(rig.events(id), ["retry", "failed", "retried-by-hand"]);
}

#[test]
fn an_expired_task_fails_when_tidied_is_never_claimed_and_a_running_one_is_not_cut() {
    let rig = Rig::new();
    let expiring = |after: u64| NewTask { expires: Some(START + seconds(after)), ..task() };
    let ids = [10, 20, 30].map(|after| rig.add(expiring(after)));
    let other = rig.add(task());
    assert_eq!(rig.told().tidy_at, Some(Some(START + seconds(10))));

    assert_eq!(rig.claim(1, START), [ids[0]]);
    assert_eq!(rig.told().tidy_at, Some(Some(START + seconds(20))));
    wait(rig.store.tidy(START + seconds(20))).unwrap();
    assert_eq!(rig.state(ids[0]), State::Running);
    assert_eq!(rig.error(ids[1]), TaskError { failure: Failure::Expired, words: String::new() });
    assert_eq!(rig.told().tidy_at, Some(Some(START + seconds(30))));

    // The running one comes back too late.
    rig.settle(ids[0], release(), START + seconds(21));
    assert_eq!(rig.told().tidy_at, Some(Some(START + seconds(10))));
    assert_eq!(rig.state(ids[0]), State::Pending);
    // Nobody tidied, and yet what is expired is not handed over.
    assert_eq!(rig.claim(9, START + seconds(30)), [other]);
    assert_eq!((rig.error(ids[0]).failure, rig.error(ids[2]).failure), (Failure::Expired, Failure::Expired));
    assert_eq!(rig.told().tidy_at, Some(None));
}

#[test]
fn an_expired_head_lets_its_key_go_on_in_the_same_claim() {
    let rig = Rig::new();
    rig.add(NewTask { expires: Some(START), ..keyed("k") });
    let next = rig.add(keyed("k"));
    assert_eq!(rig.claim(1, START), [next]);
}

#[test]
fn done_and_cancelled_tasks_are_pruned_when_their_time_has_come_and_dead_letters_are_kept() {
    let rig = Rig::with(Options { keep_done: seconds(3600), ..options() });
    let [finished, cancelled, failed, pending] = [(); 4].map(|()| rig.add(task()));
    assert_eq!(rig.claim(3, START).len(), 3);
    rig.settle(finished, done(), START);
    rig.settle(failed, rejected(), START);
    rig.cancel(cancelled, START);
    rig.settle(cancelled, done(), START);
    // Not before, and at most an eighth later.
    let Some(Some(at)) = rig.told().tidy_at else { panic!() };
    assert!((START + seconds(3600)..=START + seconds(3600 + 450)).contains(&at), "{at:?}");

    wait(rig.store.tidy(START + seconds(3599))).unwrap();
    assert_eq!((rig.state(finished), rig.state(cancelled)), (State::Done, State::Cancelled));
    wait(rig.store.tidy(at)).unwrap();
    for id in [finished, cancelled] {
        assert!(matches!(wait(rig.store.get(Scope::All, id)), Err(ReadError::NotFound(_))));
    }
    assert_eq!((rig.state(failed), rig.state(pending)), (State::Failed, State::Pending));
    assert_eq!(rig.told().tidy_at, Some(None));
    assert_eq!(rows(&rig, "task"), 2);
    assert_eq!(rows(&rig, "history"), 1);
}

#[test]
fn a_tidy_does_a_piece_and_asks_for_the_next() {
    let rig = Rig::new();
    let tasks: Vec<NewTask> = (0..2500).map(|_| NewTask { expires: Some(START), ..task() }).collect();
    wait(rig.store.enqueue(tasks)).unwrap();
    let mut rounds = 0;
    loop {
        wait(rig.store.tidy(START)).unwrap();
        rounds += 1;
        match rig.told().tidy_at {
            Some(Some(at)) => assert_eq!(at, START),
            end => break assert_eq!(end, Some(None)),
        }
    }
    assert_eq!(rounds, 3);
    assert_eq!(rig.reopen(START).opening.news.counts[&strategy("metadata")].failed, 2500);
}

#[test]
fn a_history_keeps_its_last_sixteen_lines() {
    let rig = Rig::new();
    let id = rig.add(task());
    for round in 0..20 {
        rig.claim(1, START);
        rig.settle(id, Settlement::Release { cause: round.to_string() }, START);
    }
    let history = wait(rig.store.history(id)).unwrap();
    let details: Vec<&str> = history.iter().map(|entry| entry.detail.as_str()).collect();
    assert_eq!(details, (4..20).map(|round| round.to_string()).collect::<Vec<_>>());
}

#[test]
fn apps_that_have_nothing_any_more_are_forgotten() {
    let rig = Rig::new();
    let ids = ["a", "b"].map(|app| rig.add(NewTask { app: app.to_owned(), ..task() }));
    assert_eq!(rows(&rig, "account"), 2);
    rig.cancel(ids[0], START);
    wait(rig.store.discard(Scope::All, vec![ids[0]], START)).unwrap();
    assert_eq!(rows(&rig, "account"), 1);
    let again = rig.add(NewTask { app: "a".to_owned(), ..task() });
    assert_eq!((rig.get(again).app.as_str(), rig.get(ids[1]).app.as_str()), ("a", "b"));
}

#[test]
fn a_payload_goes_when_nobody_can_ask_for_it_any_more() {
    let rig = Rig::new();
    let large = || NewTask { payload: "1".repeat(5000).into(), ..task() };
    let [finished, cancelled, withdrawn, failed] = [(); 4].map(|()| rig.add(large()));
    rig.claim(9, START);
    rig.settle(cancelled, release(), START);
    rig.cancel(cancelled, START);
    rig.cancel(withdrawn, START);
    rig.settle(finished, done(), START);
    rig.settle(failed, rejected(), START);
    assert_eq!(rows(&rig, "payload"), 1);
    wait(rig.store.retry(Scope::All, vec![failed], START)).unwrap();
    assert_eq!(wait(rig.store.claim(LaneId(1), 9, START)).unwrap()[0].payload.size(), 5000);
    assert_eq!(rig.get(finished).size, 5000);
}
