//! What needs leave, by which action, and what its answers do.

use crate::calls::{Dict, MANAGER, Options, TASKS, options, refused, text};
use crate::client::{Client, Refused};
use crate::machine::{ANNA, BERT, DAEMON, Machine, ROOT_USER, all, count, none, require};
use crate::mock::{Mock, Mood};

const STRATEGY: &str = "org.ferryd.Ferry1.Strategy";

/// Everything that not everybody may, done by a new connection of this user each; by action. `others` is a task of another.
async fn everything(machine: &Machine, uid: u32, others: &str) -> Vec<(&'static str, Result<(), Refused>)> {
    async fn does<B>(machine: &Machine, uid: u32, face: &str, method: &str, body: &B) -> Result<(), Refused>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        machine.user(uid).await.call(face, method, body).await.map(drop)
    }
    let metered: Options<'_> = options([("override", vec!["metered"].into())]);
    let of_bert: Options<'_> = options([("owner", BERT.into())]);
    let strategy = async |method| {
        let mut client = machine.user(uid).await;
        let path = "/org/ferryd/Ferry1/strategies/photo";
        let call = client.post_to(path, zbus::message::Flags::empty(), STRATEGY, method, &(none(),)).await;
        client.answer(call).await.map(drop)
    };
    vec![
        ("hold", does(machine, uid, MANAGER, "Hold", &"a film").await),
        ("override", does(machine, uid, MANAGER, "SyncNow", &("", metered)).await),
        ("control", does(machine, uid, MANAGER, "SyncNow", &("", all())).await),
        ("control", does(machine, uid, MANAGER, "Pause", &(none(),)).await),
        ("control", does(machine, uid, MANAGER, "Resume", &(none(),)).await),
        ("control", does(machine, uid, MANAGER, "Reload", &()).await),
        ("control", strategy("Pause").await),
        ("control", strategy("Resume").await),
        ("manage-all", does(machine, uid, MANAGER, "Subscribe", &(all(),)).await),
        ("manage-all", does(machine, uid, TASKS, "List", &(of_bert, "", 0u32)).await),
        ("manage-all", does(machine, uid, TASKS, "Get", &others).await),
        ("manage-all", does(machine, uid, TASKS, "Explain", &(others, none())).await),
        ("manage-all", does(machine, uid, TASKS, "Retry", &(vec![others],)).await),
        ("manage-all", does(machine, uid, TASKS, "Cancel", &(vec![others],)).await),
        ("manage-all", does(machine, uid, TASKS, "Discard", &(vec![others],)).await),
    ]
}

fn asked_for(polkit: &mut Mock) -> Vec<String> {
    let questions = polkit.questions();
    assert!(questions.iter().all(|question| !question.patient), "{questions:?}");
    questions.into_iter().map(|question| question.action).collect()
}

#[tokio::test]
async fn polkit_is_asked_for_the_action_of_each_call_and_its_yes_is_enough() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Yes).await;
    let id = machine.user(BERT).await.enqueue().await;
    let done = everything(&machine, ANNA, &id).await;
    let actions: Vec<_> = done.iter().map(|(action, _)| *action).collect();
    assert!(done.iter().all(|(_, result)| result.is_ok()), "{done:?}");
    assert_eq!(asked_for(&mut polkit), actions);
    // It was discarded, at last.
    refused(machine.user(ROOT_USER).await.call(TASKS, "Get", &id).await, "NotFound", &id);
}

#[tokio::test]
async fn polkits_no_is_final_whatever_the_configuration_says() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("[access]\nadmins = ['daemon']", Mood::No).await;
    let mut bert = machine.user(BERT).await;
    let id = bert.enqueue().await;
    let done = everything(&machine, ANNA, &id).await;
    let actions: Vec<_> = done.iter().map(|(action, _)| *action).collect();
    assert_eq!(asked_for(&mut polkit), actions);
    for (index, (action, result)) in done.into_iter().enumerate() {
        if index < 10 {
            refused(result, "NotAuthorized", &format!("(org.ferryd.ferry1.{action})"));
        } else {
            refused(result, "NotFound", &id);
        }
    }
    assert!(!bert.sees_a_pause().await);
    let task = bert.call(TASKS, "Get", &id).await.expect("its own").body().deserialize::<Dict>().expect("a task");
    assert_eq!(text(&task, "state"), "pending");
    assert_eq!(polkit.questions().len(), 0);
}

#[tokio::test]
async fn ones_own_needs_no_leave_and_root_and_the_daemons_user_need_none_at_all() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::No).await;
    let mut anna = machine.user(ANNA).await;
    let id = anna.enqueue().await;
    anna.call(TASKS, "Get", &id).await.expect("its own");
    anna.call(TASKS, "Explain", &(&id, none())).await.expect("its own");
    anna.call(TASKS, "List", &(options([("owner", ANNA.into())]), "", 0u32)).await.expect("its own");
    anna.call(MANAGER, "SyncNow", &("", none())).await.expect("its own");
    anna.call(MANAGER, "Subscribe", &(none(),)).await.expect("its own");
    anna.call(TASKS, "Cancel", &(vec![&id],)).await.expect("its own");
    anna.sees_a_pause().await;
    for uid in [ROOT_USER, DAEMON] {
        let id = machine.user(BERT).await.enqueue().await;
        for (action, result) in everything(&machine, uid, &id).await {
            result.expect(action);
        }
        let berts = machine.user(BERT).await.enqueue().await;
        assert!(machine.user(uid).await.listed(none()).await.contains(&berts));
    }
    assert_eq!(polkit.questions().len(), 0);
}

#[tokio::test]
async fn a_person_is_asked_only_for_a_call_that_says_so_and_each_time_anew() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Challenge).await;
    let mut anna = machine.user(ANNA).await;
    let words = "authentication needed: call again with interactive authorization allowed";
    for _ in 0..2 {
        refused(anna.call(MANAGER, "Pause", &(none(),)).await, "NotAuthorized", words);
    }
    assert_eq!(asked_for(&mut polkit), ["control"], "the second time it was known");
    for method in ["Pause", "Resume", "Pause"] {
        anna.call_patiently(MANAGER, method, &(none(),)).await.expect("a person agrees");
        let question = polkit.question().await;
        assert!(question.patient && question.action == "control", "{question:?}");
        assert_eq!(question.client, anna.connection.unique_name().expect("a name").as_str());
    }
    assert!(anna.sees_a_pause().await);
    refused(anna.call(MANAGER, "Resume", &(none(),)).await, "NotAuthorized", words);
    assert_eq!(asked_for(&mut polkit), ["control"], "polkit might have remembered the person's word");
    polkit.set(Mood::No);
    refused(anna.call_patiently(MANAGER, "Resume", &(none(),)).await, "NotAuthorized", "may not pause");
}

#[tokio::test]
async fn a_call_that_is_wrong_is_told_so_before_anybody_is_asked() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Yes).await;
    let mut anna = machine.user(ANNA).await;
    let past = options([("until", 1u64.into())]);
    refused(anna.call_patiently(MANAGER, "Pause", &(past,)).await, "InvalidArgument", "past");
    let unknown = options([("all", true.into()), ("some", true.into())]);
    refused(anna.call_patiently(MANAGER, "Subscribe", &(unknown,)).await, "InvalidArgument", "some");
    refused(anna.call_patiently(TASKS, "Get", &"x").await, "InvalidArgument", "not a task id");
    refused(anna.call_patiently(TASKS, "Cancel", &(vec!["x"],)).await, "InvalidArgument", "not a task id");
    assert_eq!(polkit.questions().len(), 0);
}

#[tokio::test]
async fn who_subscribed_to_all_keeps_that_until_it_leaves() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Yes).await;
    let (mut anna, mut bert) = (machine.user(ANNA).await, machine.user(BERT).await);
    let mut heard = zbus::MessageStream::from(&anna.connection);
    anna.call(MANAGER, "Subscribe", &(all(),)).await.expect("allowed");
    polkit.set(Mood::No);
    polkit.change().await;
    let id = bert.enqueue().await;
    let message = crate::calls::signal(&mut heard, "StateChanged").await;
    let (changed, ..) = message.body().deserialize::<(String, String, String, Dict)>().expect("sssa{sv}");
    assert_eq!((changed, asked_for(&mut polkit)), (id, vec!["manage-all".to_owned()]));
    let mut again: Client = machine.user(ANNA).await;
    refused(again.call(MANAGER, "Subscribe", &(all(),)).await, "NotAuthorized", "manage-all");
    assert_eq!(count(&bert.call(TASKS, "Retry", &(Vec::<String>::new(),)).await.expect("none")), 0);
}
