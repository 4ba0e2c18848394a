//! What answers say.

use std::time::Duration;

use ferryd::demo::{Behaviour, Fault, Verdict};
use ferryd::model::{Answer, AnswerMode, BackendConfig, ItemOutcome, TaskResult};

use crate::setup::{attempt, backend, config_for, serve, task, tasks};

#[tokio::test]
async fn items_arrive_once_and_in_order() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    let tasks = tasks(3);
    let Answer::Results(results) = attempt(&backend, &tasks).await else { panic!() };
    let taken = ItemOutcome::Ok(TaskResult { status: 200, ..TaskResult::default() });
    assert!(results.iter().all(|result| result.outcome == taken));
    assert_eq!(results.iter().map(|result| result.id).collect::<Vec<_>>(), [tasks[0].id, tasks[1].id, tasks[2].id]);

    let Answer::Results(again) = attempt(&backend, &tasks[1..]).await else { panic!() };
    assert!(again.iter().all(|result| result.outcome == ItemOutcome::Duplicate));

    let received = server.received();
    assert_eq!(received.len(), 3);
    for (index, (got, sent)) in received.iter().zip(&tasks).enumerate() {
        assert_eq!((got.id.as_str(), got.payload.as_str()), (sent.id.to_string().as_str(), sent.payload.json()));
        assert_eq!((got.order, got.applied, got.seen), (index, Some(index), if index == 0 { 1 } else { 2 }));
        assert_eq!((got.device.as_str(), got.strategy.as_str(), got.attempt), ("kiosk-7", "metadata", 1));
        assert_eq!(got.created, 1_700_000_000_000_000);
    }
    assert_eq!(server.log(|log| log.connections), 1, "the second request re-uses the connection");
}

#[tokio::test]
async fn each_outcome_is_told() {
    let server = serve(Behaviour::judged(|item| match item.payload.as_str() {
        r#"{"n":0}"# => Verdict::Take,
        r#"{"n":1}"# => Verdict::Retry { after: Some(2.5), reason: "busy\n".into() },
        r#"{"n":2}"# => Verdict::Retry { after: None, reason: String::new() },
        r#"{"n":3}"# => Verdict::Reject { reason: "no\u{1b}[31m".into() },
        _ => Verdict::Conflict { reason: "x".repeat(5000) },
    }));
    let tasks = tasks(5);
    let Answer::Results(results) = attempt(&backend(&config_for(&server)), &tasks).await else { panic!() };
    let outcomes: Vec<ItemOutcome> = results.into_iter().map(|result| result.outcome).collect();
    assert_eq!(
        outcomes,
        [
            ItemOutcome::Ok(TaskResult { status: 200, ..TaskResult::default() }),
            ItemOutcome::Retry { after: Some(Duration::from_millis(2500)), reason: r"busy\n".into() },
            ItemOutcome::Retry { after: None, reason: String::new() },
            ItemOutcome::Rejected { reason: r"no\u{1b}[31m".into() },
            ItemOutcome::Conflict { reason: "x".repeat(4096) },
        ]
    );
    assert_eq!(server.log(|log| log.applied()), 1);
}

/// Answers 200 with this body to a task whose id stands for `ID`.
async fn answer_to_one(body: &str) -> Answer {
    let task = task("1");
    let body = body.replace("ID", &task.id.to_string());
    let server = serve(Behaviour::fault(Fault::status(200, &body)));
    attempt(&backend(&config_for(&server)), &[task]).await
}

#[tokio::test]
async fn another_body_is_foreign_and_never_done() {
    let other = "018f2d3c-0000-7000-8000-000000000000";
    for body in [
        "".to_owned(),
        "ok".to_owned(),
        "{}".to_owned(),
        "[]".to_owned(),
        r#"{"results":[]}"#.to_owned(),
        r#"{"results":[{"id":"ID"}]}"#.to_owned(),
        r#"{"results":[{"id":"ID","outcome":"fine"}]}"#.to_owned(),
        r#"{"results":[{"id":"ID","outcome":"retry","after":"soon"}]}"#.to_owned(),
        r#"{"results":[{"id":"ID","outcome":"ok"},{"id":"ID","outcome":"ok"}]}"#.to_owned(),
        r#"{"results":[{"id":"ID","outcome":"ok"}]"#.to_owned(),
        r#"{"results":[{"id":"7","outcome":"ok"}]}"#.to_owned(),
        format!(r#"{{"results":[{{"id":"{other}","outcome":"ok"}}]}}"#),
        format!(r#"{{"results":[{{"id":"ID","outcome":"ok"}},{{"id":"{other}","outcome":"ok"}}]}}"#),
        "[".repeat(100_000),
        "\u{feff}\n <!DocType HTML><title>hotel</title>".to_owned(),
        "<HTML>".to_owned(),
    ] {
        let answer = answer_to_one(&body).await;
        assert!(matches!(answer, Answer::Foreign { .. }), "{body:.80}: {answer:?}");
    }
}

#[tokio::test]
async fn unknown_fields_are_a_later_versions() {
    let body = r#"{"results":[{"id":"ID","outcome":"duplicate","after":null,"etag":"x"}],"more":1}"#;
    let Answer::Results(results) = answer_to_one(body).await else { panic!() };
    assert_eq!(results[0].outcome, ItemOutcome::Duplicate);
}

#[tokio::test]
async fn waits_are_bounded_by_a_day() {
    for (after, wait) in [("-5", Duration::ZERO), ("1e300", Duration::from_secs(86_400)), ("3", Duration::from_secs(3))]
    {
        let body = format!(r#"{{"results":[{{"id":"ID","outcome":"retry","after":{after}}}]}}"#);
        let Answer::Results(results) = answer_to_one(&body).await else { panic!() };
        assert_eq!(results[0].outcome, ItemOutcome::Retry { after: Some(wait), reason: String::new() });
    }
}

#[tokio::test]
async fn other_statuses_are_told_with_their_words() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    for status in [400, 401, 403, 404, 405, 407, 408, 409, 410, 412, 422, 425, 429, 500, 501, 502, 503, 504, 511, 599] {
        server.behave(Behaviour::fault(Fault::status(status, " no\0 thanks\n")));
        let expected = Answer::Status { code: status, words: r"no\u{0} thanks".into(), retry_after: None };
        assert_eq!(attempt(&backend, &tasks(2)).await, expected);
    }
    server.behave(Behaviour::fault(Fault::status(500, &"ä".repeat(100_000))));
    let Answer::Status { words, .. } = attempt(&backend, &tasks(1)).await else { panic!() };
    assert_eq!(words, "ä".repeat(2048));
}

#[tokio::test]
async fn retry_after_is_seconds_or_a_date() {
    const EARLY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATE: &str = "Sun, 06 Nov 1994 09:49:37 GMT";
    let seconds = Duration::from_secs;
    type Fields = &'static [(&'static str, &'static str)];
    let cases: [(Fields, Option<Duration>); 8] = [
        (&[("Retry-After", "120")], Some(seconds(120))),
        (&[("Retry-After", " 0 ")], Some(seconds(0))),
        (&[("Retry-After", "99999999999999999999999")], Some(seconds(86_400))),
        (&[("Retry-After", "-1")], None),
        (&[("Retry-After", "soon")], None),
        (&[("Date", EARLY), ("Retry-After", LATE)], Some(seconds(3600))),
        (&[("Date", LATE), ("Retry-After", EARLY)], Some(seconds(0))),
        (&[("Retry-After", LATE)], None),
    ];
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    for (headers, expected) in cases {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        server.behave(Behaviour::fault(Fault::Answer { status: 503, headers, body: Vec::new() }));
        let Answer::Status { code: 503, retry_after, .. } = attempt(&backend, &tasks(1)).await else { panic!() };
        assert_eq!(retry_after, expected);
    }
}

#[tokio::test]
async fn where_the_status_is_the_outcome_the_payload_is_the_body() {
    let server = serve(Behaviour::honest());
    let config = BackendConfig { answer: AnswerMode::Status, gzip: false, ..config_for(&server) };
    let backend = backend(&config);
    let task = task(r#" {"temperature": 21.50} "#);
    let Answer::Results(results) = attempt(&backend, std::slice::from_ref(&task)).await else { panic!() };
    let ItemOutcome::Ok(result) = &results[0].outcome else { panic!() };
    assert_eq!((result.status, results[0].id), (200, task.id));
    assert!(result.body.contains("results"), "what the server said is kept: {}", result.body);
    let received = server.received();
    assert_eq!(received[0].payload, task.payload.json().trim());
    assert_eq!(received[0].id, task.id.to_string(), "the Idempotency-Key is the task's id");

    for (status, body, kept) in [(201, "made\n", r"made\n"), (204, "", ""), (202, "<p>fine</p>", "<p>fine</p>")] {
        server.behave(Behaviour::fault(Fault::status(status, body)));
        let Answer::Results(results) = attempt(&backend, std::slice::from_ref(&task)).await else { panic!() };
        let result = TaskResult { status, body: kept.into(), ..TaskResult::default() };
        assert_eq!(results[0].outcome, ItemOutcome::Ok(result));
    }
    server.behave(Behaviour::fault(Fault::EndlessBody(200)));
    let Answer::Results(results) = attempt(&backend, std::slice::from_ref(&task)).await else { panic!() };
    assert!(matches!(results[0].outcome, ItemOutcome::Ok(_)), "the status said it");
    server.behave(Behaviour::fault(Fault::html()));
    assert!(matches!(attempt(&backend, std::slice::from_ref(&task)).await, Answer::Foreign { .. }));
    server.behave(Behaviour::fault(Fault::status(422, "no")));
    assert!(matches!(attempt(&backend, &[task]).await, Answer::Status { code: 422, .. }));
}

#[tokio::test]
async fn a_lone_item_has_its_id_as_idempotency_key() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    let lone = tasks(1);
    attempt(&backend, &lone).await;
    attempt(&backend, &tasks(2)).await;
    let keys: Vec<_> = server.log(|log| log.heads().map(|head| head.headers.get("idempotency-key").cloned()).collect());
    assert_eq!(keys, [Some(lone[0].id.to_string()), None]);
}

#[tokio::test]
async fn an_attempt_counts_from_one() {
    let server = serve(Behaviour::honest());
    let mut task = task("null");
    task.attempts = 4;
    attempt(&backend(&config_for(&server)), &[task]).await;
    assert_eq!(server.received()[0].attempt, 5);
}
