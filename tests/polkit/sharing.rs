//! How often polkit is asked, and that nobody waits for it but who must.

use crate::calls::{MANAGER, TASKS, options, refused};
use crate::machine::{ANNA, BERT, Machine, count, none, require};
use crate::mock::{Mood, Seen};

#[tokio::test]
async fn an_answer_is_remembered_until_something_changes() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Yes).await;
    let mut anna = machine.user(ANNA).await;
    for _ in 0..5 {
        anna.call(MANAGER, "Pause", &(none(),)).await.expect("allowed");
        anna.call(MANAGER, "Resume", &(none(),)).await.expect("allowed");
        anna.call_patiently(MANAGER, "Reload", &()).await.expect("allowed");
    }
    assert_eq!(polkit.questions().len(), 1);
    // Of another connection of the same user nothing is known.
    machine.user(ANNA).await.call(MANAGER, "Pause", &(none(),)).await.expect("allowed");
    assert_eq!(polkit.questions().len(), 1);
    polkit.set(Mood::No);
    anna.call(MANAGER, "Resume", &(none(),)).await.expect("still known");
    polkit.change().await;
    for _ in 0..5 {
        refused(anna.call(MANAGER, "Pause", &(none(),)).await, "NotAuthorized", "control");
    }
    assert_eq!(polkit.questions().len(), 1);
    // Another polkit is asked anew; and when it goes, its word goes.
    polkit.die().await;
    let mut polkit = machine.polkit(Mood::Yes).await;
    for _ in 0..5 {
        anna.call(MANAGER, "Pause", &(none(),)).await.expect("allowed");
    }
    assert_eq!(polkit.questions().len(), 1);
    polkit.die().await;
    refused(anna.call(MANAGER, "Resume", &(none(),)).await, "NotAuthorized", "no admin");
}

#[tokio::test]
async fn a_stranger_cannot_make_the_daemon_forget() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Yes).await;
    let (mut anna, bert) = (machine.user(ANNA).await, machine.user(BERT).await);
    anna.call(MANAGER, "Pause", &(none(),)).await.expect("allowed");
    assert_eq!(polkit.questions().len(), 1);
    let face = "org.freedesktop.PolicyKit1.Authority";
    let path = "/org/freedesktop/PolicyKit1/Authority";
    bert.connection.emit_signal(Some(crate::calls::NAME), path, face, "Changed", &()).await.expect("sent");
    crate::calls::call_driver(&bert.connection, "GetId").await;
    anna.call(MANAGER, "Resume", &(none(),)).await.expect("allowed");
    assert_eq!(polkit.questions().len(), 0);
}

#[tokio::test]
async fn calls_that_wait_for_the_same_answer_share_it_and_go_on_in_the_order_sent() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Silent).await;
    let mut anna = machine.user(ANNA).await;
    let mut calls = Vec::new();
    for minute in 1..=40u64 {
        let until = options([("until", (4_102_444_800_000_000 + minute * 60_000_000).into())]);
        calls.push(anna.post_patiently(MANAGER, "Pause", &(until,)).await);
    }
    let question = polkit.question().await;
    assert!(!anna.sees_a_pause().await);
    polkit.answer(&question, true).await;
    for call in calls {
        anna.answer(call).await.expect("allowed");
    }
    assert_eq!(polkit.questions().len(), 0);
    let wake: (String, u64) = anna.shown("NextWake").await.try_into().expect("a name and a time");
    let last = 4_102_444_800_000_000 + 40 * 60_000_000;
    assert!(wake.0 == "pause-ends" && wake.1.abs_diff(last) < 1000, "{wake:?} is not {last}");
}

#[tokio::test]
async fn while_polkit_thinks_nobody_waits_but_who_needs_its_word() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Silent).await;
    let (mut anna, mut bert) = (machine.user(ANNA).await, machine.user(BERT).await);
    let berts = bert.enqueue().await;
    let pause = anna.post_patiently(MANAGER, "Pause", &(none(),)).await;
    let cancel = anna.post_patiently(TASKS, "Cancel", &(vec![&berts],)).await;
    let gets = [anna.post_patiently(TASKS, "Get", &berts).await, anna.post_patiently(TASKS, "Get", &berts).await];
    let (first, second) = (polkit.question().await, polkit.question().await);
    assert_eq!((first.action.as_str(), second.action.as_str()), ("control", "manage-all"));
    // Far more than may be in flight.
    let mut own = Vec::new();
    for _ in 0..200 {
        own.push(anna.enqueue().await);
        anna.call(TASKS, "Get", own.last().expect("one")).await.expect("its own");
    }
    assert_eq!(count(&anna.call(TASKS, "Cancel", &(&own,)).await.expect("its own")), 200);
    let other = bert.enqueue().await;
    bert.call(TASKS, "Get", &other).await.expect("its own");
    machine.user(BERT).await.enqueue().await;
    for call in [pause, cancel, gets[0], gets[1]] {
        assert!(!anna.is_answered(call).await);
    }
    polkit.answer(&second, true).await;
    assert_eq!(count(&anna.answer(cancel).await.expect("allowed")), 1);
    for call in gets {
        anna.answer(call).await.expect("allowed");
    }
    assert!(!anna.is_answered(pause).await);
    polkit.answer(&first, false).await;
    refused(anna.answer(pause).await, "NotAuthorized", "control");
    assert_eq!(polkit.questions().len(), 0);
}

#[tokio::test]
async fn who_leaves_takes_its_questions_along() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Silent).await;
    let (anna, mut bert) = (machine.user(ANNA).await, machine.user(BERT).await);
    anna.post_patiently(MANAGER, "Pause", &(none(),)).await;
    let question = polkit.question().await;
    anna.connection.close().await.expect("closed");
    match polkit.next().await {
        Seen::Cancelled(name) => assert_eq!(name, question.cancellation),
        Seen::Asked(other) => panic!("{other:?}"),
    }
    polkit.answer(&question, true).await;
    assert!(!bert.sees_a_pause().await, "what it asked for is not done");
}
