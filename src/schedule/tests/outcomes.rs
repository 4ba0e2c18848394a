//! Every row of DESIGN section 5.

use std::time::Duration;

use super::rig::*;
use crate::model::{Answer, Cut, Failure, ItemOutcome, ItemResult, TaskError, TaskId, TaskResult};
use crate::schedule::outcome::{Blame, Decision, Endpoint, Ill, Outcome, Verdict, judge};

const BOTH: [Endpoint; 2] = [Endpoint::Proven, Endpoint::Unproven];

fn batch(size: u64) -> Vec<TaskId> {
    (1..=size).map(task).collect()
}

fn ill_of(outcome: &Outcome) -> Option<Ill> {
    match &outcome.backend {
        Verdict::Ill { ill, .. } => Some(*ill),
        Verdict::Proven | Verdict::Up | Verdict::Unchanged => None,
    }
}

fn all_released(outcome: &Outcome, batch: &[TaskId]) -> bool {
    let released = outcome.tasks.iter().all(|(_, decision)| matches!(decision, Decision::Release { .. }));
    released && outcome.tasks.iter().map(|(id, _)| *id).eq(batch.iter().copied())
}

/// Nothing is counted, and the backend has this illness.
fn assert_outage(answer: &Answer, ill: Ill, endpoints: &[Endpoint]) {
    for (size, endpoint) in [1, 2, 50].into_iter().flat_map(|size| endpoints.iter().map(move |point| (size, *point))) {
        let batch = batch(size);
        let outcome = judge(answer.clone(), &batch, endpoint);
        assert!(all_released(&outcome, &batch), "{answer:?} {size} {endpoint:?}: {outcome:?}");
        assert_eq!(ill_of(&outcome), Some(ill), "{answer:?} {size} {endpoint:?}");
        assert_eq!(outcome.batch, Blame::Nobody);
    }
}

/// A lone item takes it as its own; of several nobody is counted.
fn assert_item_level(code: u16, endpoints: &[Endpoint], lone: impl Fn(&Decision) -> bool) {
    for endpoint in endpoints {
        let one = judge(status(code), &batch(1), *endpoint);
        assert!(lone(&one.tasks[0].1), "{code} {endpoint:?}: {one:?}");
        assert_eq!((one.tasks.len(), &one.backend, one.batch), (1, &Verdict::Up, Blame::Lone), "{code}");
        for size in [2, 50] {
            let several = judge(status(code), &batch(size), *endpoint);
            assert!(all_released(&several, &batch(size)), "{code} {endpoint:?}");
            assert_eq!((&several.backend, several.batch), (&Verdict::Up, Blame::Someone), "{code}");
        }
    }
}

fn is_retry(decision: &Decision) -> bool {
    matches!(decision, Decision::Retry { .. })
}

fn is_failure(kind: Failure) -> impl Fn(&Decision) -> bool {
    move |decision| matches!(decision, Decision::Fail(TaskError { failure, .. }) if *failure == kind)
}

#[test]
fn documented_results_are_taken_item_by_item_in_the_order_of_the_request() {
    let words = |reason: &str| reason.to_owned();
    let after = Some(Duration::from_secs(7));
    let result = |number, outcome| ItemResult { id: task(number), outcome };
    let answer = Answer::Results(vec![
        result(5, ItemOutcome::Conflict { reason: words("e") }),
        result(4, ItemOutcome::Rejected { reason: words("d") }),
        result(3, ItemOutcome::Retry { after, reason: words("c") }),
        result(2, ItemOutcome::Duplicate),
        result(1, ok()),
    ]);
    let outcome = judge(answer, &batch(5), Endpoint::Unproven);
    let duplicate = TaskResult { status: 200, duplicate: true, body: String::new(), upload: None };
    let fail = |failure, reason| Decision::Fail(TaskError { failure, words: words(reason) });
    let expected = [
        Decision::Done(TaskResult { status: 200, duplicate: false, body: String::new(), upload: None }),
        Decision::Done(duplicate),
        Decision::Retry { after, error: words("c") },
        fail(Failure::Rejected, "d"),
        fail(Failure::Conflict, "e"),
    ];
    assert_eq!(outcome.tasks, (1..).map(task).zip(expected).collect::<Vec<_>>());
    assert_eq!((outcome.backend, outcome.batch), (Verdict::Proven, Blame::Spoken));
}

#[test]
fn results_about_other_tasks_are_never_done() {
    for told in [batch(1), batch(3), vec![task(1), task(9)], vec![task(1), task(1)], vec![]] {
        assert_outage_of(&results(&told, &ok()), &batch(2));
    }
}

fn assert_outage_of(answer: &Answer, batch: &[TaskId]) {
    let outcome = judge(answer.clone(), batch, Endpoint::Proven);
    assert!(all_released(&outcome, batch), "{answer:?}");
    assert_eq!(ill_of(&outcome), Some(Ill::Down));
}

#[test]
fn statuses_of_an_outage() {
    for code in [408, 425, 429, 502, 503, 504, 506, 508, 511, 520, 599] {
        assert_outage(&status(code), Ill::Down, &BOTH);
    }
    let retry_after = Some(Duration::from_secs(120));
    let answer = Answer::Status { code: 503, words: "busy".to_owned(), retry_after };
    let outcome = judge(answer, &batch(1), Endpoint::Proven);
    assert_eq!(outcome.backend, Verdict::Ill { ill: Ill::Down, words: "status 503: busy".to_owned(), retry_after });
}

#[test]
fn statuses_that_speak_of_the_credential() {
    for code in [401, 403, 407] {
        assert_outage(&status(code), Ill::Auth, &BOTH);
    }
    assert_outage(&Answer::NoCredential { words: "no file".to_owned() }, Ill::Auth, &BOTH);
    assert_outage(&Answer::Unauthorized { words: "ExpiredToken".to_owned() }, Ill::Auth, &BOTH);
}

#[test]
fn a_server_that_has_not_what_config_names_is_never_a_tasks_fault() {
    assert_outage(&Answer::Misplaced { words: "NoSuchBucket".to_owned() }, Ill::Config, &BOTH);
}

#[test]
fn what_this_device_cannot_or_may_not_send_says_nothing_of_the_server() {
    let (words, after) = ("full".to_owned(), Duration::from_secs(300));
    let decisions = [
        (Answer::Unready { words: words.clone(), after }, Decision::Postpone { after, error: words.clone() }),
        (
            Answer::Withheld { words: words.clone() },
            Decision::Fail(TaskError { failure: Failure::Rejected, words: words.clone() }),
        ),
    ];
    for (answer, decision) in decisions {
        for endpoint in BOTH {
            let outcome = judge(answer.clone(), &batch(1), endpoint);
            assert_eq!(outcome.tasks, [(task(1), decision.clone())]);
            assert_eq!((outcome.backend, outcome.batch), (Verdict::Unchanged, Blame::Nobody));
        }
    }
}

#[test]
fn statuses_of_a_wrong_url() {
    for code in [404, 405, 410, 501] {
        assert_outage(&status(code), Ill::Config, &[Endpoint::Unproven]);
    }
    for code in [404, 405, 410] {
        assert_item_level(code, &[Endpoint::Proven], is_failure(Failure::Rejected));
    }
    assert_item_level(501, &[Endpoint::Proven], is_retry);
}

#[test]
fn statuses_that_speak_of_the_item() {
    for code in [500, 505, 507] {
        assert_item_level(code, &BOTH, is_retry);
    }
    for code in [409, 412] {
        assert_item_level(code, &BOTH, is_failure(Failure::Conflict));
    }
    let named = [401, 403, 404, 405, 407, 408, 409, 410, 412, 425, 429];
    for code in (400..500).filter(|code| !named.contains(code)) {
        assert_item_level(code, &BOTH, is_failure(Failure::Rejected));
    }
    let answer = Answer::Status { code: 500, words: "why".to_owned(), retry_after: Some(SECOND) };
    let outcome = judge(answer, &batch(1), Endpoint::Proven);
    let expected = Decision::Retry { after: Some(SECOND), error: "status 500: why".to_owned() };
    assert_eq!(outcome.tasks, [(task(1), expected)]);
}

#[test]
fn every_status_has_a_meaning_and_only_results_are_done() {
    for (code, endpoint) in (0..=1000).chain([u16::MAX]).flat_map(|code| BOTH.map(|endpoint| (code, endpoint))) {
        for size in [1, 3] {
            let outcome = judge(status(code), &batch(size), endpoint);
            assert_eq!(outcome.tasks.len(), batch(size).len());
            assert!(!outcome.tasks.iter().any(|(_, decision)| matches!(decision, Decision::Done(_))), "{code}");
        }
    }
    for code in (0..400).chain(600..700) {
        assert_outage(&status(code), Ill::Down, &BOTH);
    }
}

#[test]
fn foreign_answers_and_none_at_all() {
    assert_outage(&foreign(), Ill::Down, &BOTH);
    assert_outage(&unreachable(), Ill::Down, &BOTH);
    assert_outage(&Answer::Untrusted { words: "unknown issuer".to_owned() }, Ill::Tls, &BOTH);
}

#[test]
fn what_we_cut_ourselves_counts_nowhere() {
    for cut in [Cut::Link, Cut::Condition, Cut::Paused, Cut::Withdrawn, Cut::Shutdown] {
        for size in [1, 3] {
            let outcome = judge(Answer::Cut(cut), &batch(size), Endpoint::Unproven);
            assert!(all_released(&outcome, &batch(size)));
            assert_eq!((outcome.backend, outcome.batch), (Verdict::Unchanged, Blame::Nobody));
        }
    }
}
