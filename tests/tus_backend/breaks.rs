//! A server that breaks off, hangs or never ends.

use std::time::Duration;

use ferryd::model::{Answer, BackendConfig};

use crate::liar::{Asked, Liar, Play};
use crate::setup::{CHUNK, PATIENCE, Upload, config, done};

const SIZE: usize = 2 * CHUNK as usize;
const SHORT: Duration = Duration::from_millis(150);

/// Attempts until it is done, at most `attempts`; the bytes are right then, and none that the server had came again.
async fn finish(liar: &Liar, upload: &Upload, attempts: usize, what: &str) {
    for _ in 1..attempts {
        match upload.attempt().await {
            Answer::Results(_) => break,
            Answer::Unreachable { .. } => {}
            Answer::Advanced(end) if matches!(*end, Answer::Unreachable { .. }) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
    done(upload.attempt().await);
    liar.state(|state| {
        assert!(state.stored == upload.bytes, "{what}: other bytes");
        assert_eq!(state.kept, upload.bytes.len(), "{what}");
        assert!(state.asked.len() <= 12, "{what}: {} requests", state.asked.len());
    });
}

#[tokio::test]
async fn an_answer_cut_at_any_byte_is_got_over() {
    // Longer than any answer: past its end the connection closes after a whole answer.
    for method in ["POST", "OPTIONS", "HEAD", "PATCH"] {
        for cut in 0..=130 {
            let script = move |asked: &Asked| match (asked.method.as_str(), asked.nth) {
                (each, 0) if each == method => Play::CutAnswer(cut),
                ("PATCH", 0) => Play::CutBody(1000),
                _ => Play::Honest,
            };
            let liar = Liar::start(script).await;
            let upload = Upload::new(&config(&liar.url()), SIZE);
            finish(&liar, &upload, 3, &format!("{method} cut at {cut}")).await;
        }
    }
}

#[tokio::test]
async fn a_body_cut_at_many_bytes_goes_on_in_the_same_attempt() {
    for cut in (0..=CHUNK as usize).step_by(509) {
        let script = move |asked: &Asked| match (asked.method.as_str(), asked.nth) {
            ("PATCH", 0) => Play::CutBody(cut),
            _ => Play::Honest,
        };
        let liar = Liar::start(script).await;
        let upload = Upload::new(&config(&liar.url()), SIZE);
        done(upload.attempt().await);
        finish(&liar, &upload, 1, &format!("cut at {cut}")).await;
        assert_eq!(liar.count("POST"), 1);
    }
}

#[tokio::test]
async fn an_attempt_ends_when_it_gets_no_further() {
    let liar = Liar::start(|asked| if asked.method == "PATCH" { Play::CutBody(0) } else { Play::Honest }).await;
    let upload = Upload::new(&config(&liar.url()), SIZE);
    let answer = upload.attempt().await;
    assert!(matches!(answer, Answer::Unreachable { .. }), "{answer:?}");
    assert_eq!((liar.count("PATCH"), liar.count("HEAD")), (2, 2));
    // A byte each time is further, but not for ever.
    let liar = Liar::start(|asked| if asked.method == "PATCH" { Play::CutBody(1) } else { Play::Honest }).await;
    let upload = Upload::new(&config(&liar.url()), SIZE);
    let answer = upload.attempt().await;
    assert!(matches!(answer, Answer::Advanced(_)), "{answer:?}");
    assert!(liar.count("PATCH") <= 32);
}

#[tokio::test]
async fn a_server_that_hangs_or_never_ends_is_given_up() {
    for method in ["POST", "HEAD", "PATCH"] {
        for endless in [false, true] {
            let script = move |asked: &Asked| match asked.method.as_str() {
                each if each == method && endless => Play::Endless,
                each if each == method => Play::Hang,
                "PATCH" => Play::CutBody(0),
                _ => Play::Honest,
            };
            let liar = Liar::start(script).await;
            let config = BackendConfig {
                connect_timeout: SHORT,
                read_timeout: SHORT,
                request_timeout: 4 * SHORT,
                ..config(&liar.url())
            };
            let upload = Upload::new(&config, 1000);
            let answer = upload.attempt().await;
            assert!(matches!(answer, Answer::Unreachable { .. }), "{method} {endless}: {answer:?}");
            assert!(liar.count(method) <= 2);
        }
    }
}

#[tokio::test]
async fn a_chunk_may_take_longer_than_a_request_while_it_moves() {
    let size = 16 << 20;
    let liar = Liar::start(|asked| match asked.method.as_str() {
        "PATCH" => Play::Slow(Duration::from_millis(20)),
        _ => Play::Honest,
    })
    .await;
    let config =
        BackendConfig { chunk: size as u64, request_timeout: 2 * SHORT, read_timeout: PATIENCE, ..config(&liar.url()) };
    let upload = Upload::new(&config, size);
    done(upload.attempt().await);
    assert_eq!(liar.count("PATCH"), 1);
    let took = upload.reports().last().unwrap().took;
    assert!(took > 2 * SHORT, "{took:?} proves nothing");
    assert!(liar.state(|state| state.stored == upload.bytes));
}

#[tokio::test]
async fn a_chunk_that_stands_still_is_given_up() {
    let size = 16 << 20;
    let liar = Liar::start(|asked| match asked.method.as_str() {
        "PATCH" => Play::Slow(PATIENCE),
        _ => Play::Honest,
    })
    .await;
    let config = BackendConfig { chunk: size as u64, read_timeout: 2 * SHORT, ..config(&liar.url()) };
    let upload = Upload::new(&config, size);
    let answer = upload.attempt().await;
    let Answer::Advanced(end) = answer else { panic!("{answer:?}") };
    assert!(matches!(&*end, Answer::Unreachable { words } if words.contains("within")), "{end:?}");
}
