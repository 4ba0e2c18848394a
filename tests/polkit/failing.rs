//! A polkit that is there and does not answer: nobody may, and nobody else notices.

use crate::calls::{MANAGER, TASKS, refused};
use crate::client::Client;
use crate::machine::{ANNA, BERT, Machine, ROOT_USER, none, require};
use crate::mock::{Mood, Seen};

/// All users of these tests are admins of the configuration, which counts for nothing where there is a polkit.
const ADMINS: &str = "[access]\nadmins = ['daemon', 'bin']";

#[tokio::test]
async fn one_that_hangs_is_given_up_and_not_asked_again_at_once_but_its_late_word_counts() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit(ADMINS, Mood::Silent).await;
    let (mut anna, mut bert) = (machine.user(ANNA).await, machine.user(BERT).await);
    let berts = bert.enqueue().await;
    let pause = anna.post(MANAGER, "Pause", &(none(),)).await;
    let get = anna.post(TASKS, "Get", &berts).await;
    let list = anna.post(TASKS, "List", &(none(), "", 0u32)).await;
    let asked = [polkit.question().await, polkit.question().await];
    refused(anna.answer(pause).await, "Unavailable", "(org.ferryd.ferry1.control): there was no answer within 5 s");
    refused(anna.answer(get).await, "NotFound", &berts);
    anna.answer(list).await.expect("its own tasks, of which there are none");
    for question in &asked {
        match polkit.next().await {
            Seen::Cancelled(name) => assert_eq!(name, question.cancellation),
            Seen::Asked(other) => panic!("{other:?}"),
        }
    }
    refused(anna.call(MANAGER, "Pause", &(none(),)).await, "Unavailable", "there was no answer within 5 s");
    refused(anna.call(TASKS, "Get", &berts).await, "NotFound", &berts);
    assert!(!anna.sees_a_pause().await);
    assert_eq!(polkit.questions().len(), 0);
    assert_eq!(machine.log().matches("polkit does not say who may").count(), 1, "{}", machine.log());
    for question in &asked {
        polkit.answer(question, true).await;
    }
    polkit.has_said_all().await;
    anna.call(MANAGER, "Pause", &(none(),)).await.expect("allowed after all");
    anna.call(TASKS, "Get", &berts).await.expect("allowed after all");
    assert_eq!(polkit.questions().len(), 0);
}

#[tokio::test]
async fn one_that_dies_before_it_answers_has_not_said_yes() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit(ADMINS, Mood::Silent).await;
    let mut anna = machine.user(ANNA).await;
    let calls = [anna.post(MANAGER, "Pause", &(none(),)).await, anna.post_patiently(MANAGER, "Reload", &()).await];
    polkit.question().await;
    polkit.question().await;
    polkit.die().await;
    for call in calls {
        refused(anna.answer(call).await, "Unavailable", "it ended before it answered");
    }
    assert!(!anna.sees_a_pause().await);
    // There is none now, and the bus knows of none that it could start.
    anna.call(MANAGER, "Pause", &(none(),)).await.expect("the configuration decides");
}

#[tokio::test]
async fn errors_of_polkit_are_no_sign_of_its_absence() {
    if !require() {
        return;
    }
    let unknown = "org.freedesktop.PolicyKit1.Error.Failed";
    let (machine, mut polkit) = Machine::with_polkit(ADMINS, Mood::Error(unknown)).await;
    for name in [unknown, "org.freedesktop.DBus.Error.NameHasNoOwner", "org.freedesktop.DBus.Error.ServiceUnknown"] {
        polkit.set(Mood::Error(name));
        let mut anna = machine.user(ANNA).await;
        for _ in 0..2 {
            refused(anna.call(MANAGER, "Pause", &(none(),)).await, "Unavailable", &format!("{name}: \"no\""));
        }
        refused(anna.call_patiently(MANAGER, "Pause", &(none(),)).await, "Unavailable", name);
        assert_eq!(polkit.questions().len(), 2);
    }
    assert!(!machine.user(ROOT_USER).await.sees_a_pause().await);
}

#[tokio::test]
async fn a_crowd_that_waits_for_polkit_keeps_nobody_from_the_daemon() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Silent).await;
    // The bus lets the daemon have 128 questions open, with those to the bus about who calls.
    let mut crowd: Vec<(Client, _)> = Vec::new();
    for _ in 0..150 {
        let client = machine.user(ANNA).await;
        let call = client.post_patiently(MANAGER, "Pause", &(none(),)).await;
        crowd.push((client, call));
    }
    for (client, call) in crowd.iter_mut().skip(16) {
        refused(client.answer(*call).await, "Unavailable", "too many earlier questions");
    }
    assert_eq!(polkit.questions().len(), 16);
    let mut bert = machine.user(BERT).await;
    bert.enqueue().await;
    let pause = bert.post_patiently(MANAGER, "Pause", &(none(),)).await;
    let question = polkit.question().await;
    polkit.answer(&question, true).await;
    bert.answer(pause).await.expect("allowed");
}

#[tokio::test]
async fn a_daemon_that_ends_waits_for_no_word_of_polkit() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Silent).await;
    let mut anna = machine.user(ANNA).await;
    let pause = anna.post_patiently(MANAGER, "Pause", &(none(),)).await;
    let question = polkit.question().await;
    machine.terminate();
    refused(anna.answer(pause).await, "Unavailable", "the daemon is stopping");
    match polkit.next().await {
        Seen::Cancelled(name) => assert_eq!(name, question.cancellation),
        Seen::Asked(other) => panic!("{other:?}"),
    }
}
