//! Tasks of others: found by who may manage all, and not even known of by who may not.

use crate::calls::{Dict, TASKS, options, refused, text};
use crate::machine::{ANNA, BERT, Machine, ROOT_USER, count, none, require};
use crate::mock::Mood;

/// An id that no task has.
const NOBODYS: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn an_id_of_another_and_an_id_of_nobody_are_alike() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::No).await;
    let berts = machine.user(BERT).await.enqueue().await;
    for patient in [false, true] {
        for (method, many) in [("Get", false), ("Cancel", true), ("Retry", true), ("Discard", true)] {
            let mut told = Vec::new();
            for id in [berts.as_str(), NOBODYS] {
                let mut anna = machine.user(ANNA).await;
                let answer = match (patient, many) {
                    (false, false) => anna.call(TASKS, method, &id).await,
                    (false, true) => anna.call(TASKS, method, &(vec![id],)).await,
                    (true, false) => anna.call_patiently(TASKS, method, &id).await,
                    (true, true) => anna.call_patiently(TASKS, method, &(vec![id],)).await,
                };
                let (name, words) = answer.expect_err("not its own");
                let asked: Vec<_> =
                    polkit.questions().iter().map(|asked| (asked.action.clone(), asked.patient)).collect();
                told.push((name, words.replace(id, "ID"), asked));
            }
            assert_eq!(told[0], told[1], "{method}");
            assert!(told[0].0.ends_with(".NotFound") && told[0].2 == [("manage-all".to_owned(), patient)], "{told:?}");
        }
    }
}

#[tokio::test]
async fn who_may_manage_all_finds_all_and_a_list_of_ids_is_all_or_nothing() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::No).await;
    let (mut anna, mut bert) = (machine.user(ANNA).await, machine.user(BERT).await);
    let (annas, berts) = (anna.enqueue().await, bert.enqueue().await);
    let both = vec![annas.clone(), berts.clone()];
    refused(anna.call(TASKS, "Cancel", &(&both,)).await, "NotFound", &berts);
    for (client, id) in [(&mut anna, &annas), (&mut bert, &berts)] {
        let task = client.call(TASKS, "Get", id).await.expect("its own").body().deserialize::<Dict>().expect("a task");
        assert_eq!(text(&task, "state"), "pending");
    }
    polkit.set(Mood::Yes);
    polkit.change().await;
    assert_eq!(count(&anna.call(TASKS, "Cancel", &(&both,)).await.expect("allowed")), 2);
    assert_eq!(polkit.questions().len(), 2);
    // It is known now, so that the first try finds all.
    refused(anna.call(TASKS, "Get", &NOBODYS).await, "NotFound", NOBODYS);
    assert_eq!(count(&anna.call(TASKS, "Discard", &(&both,)).await.expect("allowed")), 2);
    assert_eq!(polkit.questions().len(), 0);
}

#[tokio::test]
async fn a_list_shows_as_much_as_one_may_see_and_bothers_nobody_for_more() {
    if !require() {
        return;
    }
    let (machine, mut polkit) = Machine::with_polkit("", Mood::Challenge).await;
    let (mut anna, mut bert) = (machine.user(ANNA).await, machine.user(BERT).await);
    let (annas, berts) = (anna.enqueue().await, bert.enqueue().await);
    anna.call_patiently(TASKS, "List", &(none(), "", 0u32)).await.expect("a page");
    assert!(!polkit.question().await.patient);
    assert_eq!(anna.listed(none()).await, [annas.clone()]);
    assert_eq!(polkit.questions().len(), 0, "known");
    let of_bert = || (options([("owner", BERT.into())]), "", 0u32);
    refused(anna.call(TASKS, "List", &of_bert()).await, "NotAuthorized", "authentication needed");
    // Who names another asks for it.
    anna.call_patiently(TASKS, "List", &of_bert()).await.expect("a person agrees");
    assert!(polkit.question().await.patient);
    assert_eq!(anna.listed(none()).await, [annas.clone()], "that was one call");
    polkit.set(Mood::Yes);
    polkit.change().await;
    assert_eq!(anna.listed(none()).await, [annas, berts.clone()]);
    assert_eq!(anna.listed(options([("owner", BERT.into())])).await, [berts]);
    assert_eq!(machine.user(ROOT_USER).await.listed(none()).await.len(), 2);
}
