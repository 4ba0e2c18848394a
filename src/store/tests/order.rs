//! What concerns two tasks: keys and `after`.

use super::*;
use crate::model::Failure;

#[test]
fn tasks_of_one_key_go_one_by_one_in_order_and_other_keys_and_owners_do_not_wait() {
    let rig = Rig::new();
    let ids: Vec<TaskId> = (0..3).map(|_| rig.add(keyed("k"))).collect();
    let other_key = rig.add(keyed("l"));
    let other_owner = rig.add(NewTask { owner: Owner(2), ..keyed("k") });
    assert_eq!(rig.waits_for(ids[2]), [ids[1]]);
    assert_eq!(rig.claim(9, START), [ids[0], other_key, other_owner]);
    assert_eq!(rig.claim(9, START), []);
    assert_eq!(rig.waits_for(ids[1]), [ids[0]]);
    rig.settle(ids[0], done(), START);
    assert_eq!(rig.claim(9, START), [ids[1]]);
    // A failed head lets the next go on.
    rig.settle(ids[1], rejected(), START);
    assert_eq!(rig.claim(9, START), [ids[2]]);
}

#[test]
fn a_head_in_backoff_holds_those_behind_it() {
    let rig = Rig::new();
    let (first, second) = (rig.add(keyed("k")), rig.add(keyed("k")));
    rig.claim(1, START);
    rig.settle(first, retry_at(START + seconds(60)), START);
    assert_eq!(rig.claim(9, START + seconds(59)), []);
    assert_eq!(rig.waits_for(second), [first]);
    assert_eq!(rig.claim(9, START + seconds(60)), [first]);
    rig.settle(first, release(), START);
    assert_eq!(rig.claim(9, START + seconds(60)), [first]);
}

#[test]
fn an_upload_that_came_further_keeps_its_backoff_under_its_key_and_through_a_restart() {
    let mut rig = Rig::new();
    let id = rig.add(keyed("k"));
    rig.claim(1, START);
    let due = START + seconds(60);
    rig.settle(id, Settlement::Advanced { due, error: "busy".to_owned() }, START);
    assert_eq!((rig.get(id).attempts, rig.claim(1, START + seconds(59))), (0, vec![]), "the head of its key");
    rig = rig.reopen(START + seconds(1));
    assert_eq!(rig.claim(1, START + seconds(59)), [], "after a restart");
    assert_eq!(rig.claim(1, due), [id]);
}

#[test]
fn what_the_device_was_not_ready_for_waits_with_the_count_that_it_had() {
    let mut rig = Rig::new();
    let id = rig.add(task());
    let due = |at| START + seconds(at);
    rig.claim(1, START);
    rig.settle(id, Settlement::Retry { due: due(10), error: "busy".to_owned() }, START);
    rig.claim(1, due(10));
    rig.settle(id, Settlement::Postponed { due: due(60), error: "full".to_owned() }, due(10));
    assert_eq!((rig.get(id).attempts, rig.get(id).last_error.as_str()), (1, "full"));
    rig = rig.reopen(due(11));
    assert_eq!(rig.claim(1, due(59)), []);
    assert_eq!(rig.claim(1, due(60)), [id]);
    assert_eq!(rig.events(id), ["retry", "postponed"]);
}

#[test]
fn a_cancelled_running_head_holds_its_key_until_its_attempt_is_settled() {
    let rig = Rig::new();
    let (first, second) = (rig.add(keyed("k")), rig.add(keyed("k")));
    rig.claim(1, START);
    assert_eq!(rig.cancel(first, START), 1);
    assert_eq!(rig.state(first), State::Cancelled);
    assert_eq!(rig.claim(9, START), []);
    assert_eq!(rig.waits_for(second), [first]);
    rig.settle(first, done(), START);
    assert_eq!(rig.state(first), State::Cancelled);
    assert_eq!(rig.events(first), ["arrived-after-cancel"]);
    assert_eq!(rig.claim(9, START), [second]);
}

#[test]
fn a_restart_lets_the_key_of_a_cancelled_running_task_go_on() {
    let rig = Rig::new();
    let (first, second) = (rig.add(keyed("k")), rig.add(keyed("k")));
    rig.claim(1, START);
    rig.cancel(first, START);
    let rig = rig.reopen(START);
    assert_eq!((rig.opening.recovered, rig.state(first)), (0, State::Cancelled));
    assert_eq!(rig.claim(9, START), [second]);
}

#[test]
fn cancelling_a_pending_head_promotes_the_next() {
    let rig = Rig::new();
    let ids: Vec<TaskId> = (0..3).map(|_| rig.add(keyed("k"))).collect();
    rig.cancel(ids[1], START);
    assert_eq!(rig.waits_for(ids[2]), [ids[0]]);
    rig.cancel(ids[0], START);
    assert_eq!(rig.claim(9, START), [ids[2]]);
}

#[test]
fn a_task_retried_by_hand_takes_its_old_place_but_interrupts_nobody() {
    let rig = Rig::new();
    let ids: Vec<TaskId> = (0..4).map(|_| rig.add(keyed("k"))).collect();
    for id in &ids[..2] {
        rig.claim(1, START);
        rig.settle(*id, rejected(), START);
    }
    let retry = |id| wait(rig.store.retry(Scope::All, vec![id], START)).unwrap();
    // Pending ones step back for it.
    assert_eq!(retry(ids[1]), 1);
    assert_eq!(rig.waits_for(ids[2]), [ids[1]]);
    assert_eq!(rig.claim(9, START), [ids[1]]);
    // A running one does not, and the first of those that wait is next.
    assert_eq!(retry(ids[0]), 1);
    assert_eq!(rig.waits_for(ids[0]), [ids[1]]);
    assert_eq!(rig.claim(9, START), []);
    rig.settle(ids[1], release(), START);
    assert_eq!(rig.claim(9, START), [ids[0]]);
    rig.settle(ids[0], done(), START);
    assert_eq!(rig.claim(9, START), [ids[1]]);
}

#[test]
fn a_task_waits_until_all_of_after_are_done() {
    let rig = Rig::new();
    let (a, b) = (rig.add(task()), rig.add(task()));
    // Named twice, waited for once.
    let c = rig.add(after(&[a, b, a]));
    assert_eq!(rig.waits_for(c), [a, b]);
    assert_eq!(rig.claim(9, START), [a, b]);
    rig.settle(a, done(), START);
    assert_eq!(rig.claim(9, START), []);
    rig.settle(b, rejected(), START);
    assert_eq!(rig.waits_for(c), [b]);
    assert_eq!(rig.claim(9, START), []);
    wait(rig.store.retry(Scope::All, vec![b], START)).unwrap();
    assert_eq!(rig.claim(9, START), [b]);
    rig.settle(b, done(), START);
    assert_eq!(rig.claim(9, START), [c]);
    assert_eq!(rig.get(c).after, [a, b, a]);
}

#[test]
fn what_comes_after_a_done_task_need_not_wait_and_a_batch_may_name_its_own() {
    let rig = Rig::new();
    let a = rig.add(task());
    rig.claim(1, START);
    rig.settle(a, done(), START);
    let first = after(&[a]);
    let second = after(&[first.id]);
    let ids = [first.id, second.id];
    wait(rig.store.enqueue(vec![first, second])).unwrap();
    assert_eq!(rig.claim(9, START), [ids[0]]);
}

#[test]
fn those_after_a_cancelled_or_discarded_task_fail_and_those_after_them() {
    let rig = Rig::new();
    let (a, b) = (rig.add(task()), rig.add(task()));
    let c = rig.add(after(&[a]));
    let d = rig.add(after(&[c, b]));
    let e = rig.add(after(&[b]));
    let unconcerned = rig.add(task());
    rig.cancel(a, START);
    assert_eq!(rig.error(c).failure, Failure::Dependency);
    assert!(rig.error(c).words.contains(&a.to_string()), "{}", rig.error(c));
    assert_eq!(rig.error(d).failure, Failure::Dependency);
    assert_eq!((rig.state(e), rig.state(unconcerned)), (State::Pending, State::Pending));

    assert_eq!(rig.claim(1, START), [b]);
    rig.settle(b, rejected(), START);
    assert_eq!(rig.waits_for(e), [b]);
    assert_eq!(wait(rig.store.discard(Scope::All, vec![b], START)).unwrap(), 1);
    assert_eq!(rig.error(e).failure, Failure::Dependency);
    assert_eq!(rig.claim(9, START), [unconcerned]);
    // Whoever comes later is told at once.
    let late = rig.add(after(&[a]));
    assert_eq!(rig.error(late).failure, Failure::Dependency);
    assert_eq!(path_of(&rig.told().changes, late), [State::Pending, State::Failed]);
}

#[test]
fn a_task_that_failed_by_dependency_and_is_retried_waits_only_for_what_can_be_done() {
    let rig = Rig::new();
    let (a, b) = (rig.add(task()), rig.add(task()));
    let c = rig.add(after(&[a, b]));
    rig.cancel(a, START);
    wait(rig.store.retry(Scope::All, vec![c], START)).unwrap();
    assert_eq!(rig.waits_for(c), [b]);
    assert_eq!(rig.claim(9, START), [b]);
    rig.settle(b, done(), START);
    assert_eq!(rig.claim(9, START), [c]);
}

#[test]
fn the_order_within_a_key_holds_also_for_a_head_that_waits_for_another_task() {
    let rig = Rig::new();
    let a = rig.add(task());
    let head = rig.add(NewTask { after: vec![a], ..keyed("k") });
    let next = rig.add(keyed("k"));
    assert_eq!(rig.claim(9, START), [a]);
    assert_eq!(rig.waits_for(next), [head]);
    rig.settle(a, done(), START);
    assert_eq!(rig.claim(9, START), [head]);
}

#[test]
fn an_unknown_after_is_refused_and_a_pruned_one_counts_as_done() {
    let rig = Rig::new();
    let a = rig.add(task());
    let stranger = rig.add(NewTask { owner: Owner(2), ..task() });
    for unknown in [TaskId::mint(), TaskId::from_bytes([0; 16]), stranger] {
        let refused = wait(rig.store.enqueue(vec![after(&[unknown])]));
        assert!(matches!(refused, Err(EnqueueError::UnknownAfter { id }) if id == unknown), "{refused:?}");
    }
    rig.claim(9, START);
    rig.settle(a, done(), START);
    rig.settle(stranger, done(), START);
    let later = START + seconds(8 * 24 * 3600);
    wait(rig.store.tidy(later)).unwrap();
    assert!(matches!(wait(rig.store.get(Scope::All, a)), Err(ReadError::NotFound(_))));
    let rig = rig.reopen(later);
    let c = rig.add(after(&[a]));
    assert_eq!(rig.claim(9, later), [c]);
    // An id that no prune can have removed is still unknown: it is later, or no id that we mint.
    for unknown in [TaskId::mint(), TaskId::from_bytes([0; 16])] {
        let refused = wait(rig.store.enqueue(vec![after(&[unknown])]));
        assert!(matches!(refused, Err(EnqueueError::UnknownAfter { id }) if id == unknown), "{refused:?}");
    }
}
