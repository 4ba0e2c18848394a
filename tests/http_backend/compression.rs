//! gzip, both ways.

use ferryd::demo::{Behaviour, Fault, Server, Verdict};
use ferryd::model::{Answer, BackendConfig, Claimed};

use crate::setup::{attempt, backend, config_for, serve, task, tasks};

fn large() -> Vec<Claimed> {
    vec![task(&format!("\"{}\"", "ferry ".repeat(1000)))]
}

/// Which of the requests so far came gzipped.
fn gzipped(server: &Server) -> Vec<bool> {
    server.log(|log| log.heads().map(|head| head.headers.contains_key("content-encoding")).collect())
}

fn plain(status: u16) -> Behaviour {
    Behaviour::fault(Fault::status(status, "no"))
}

fn accepting(codings: &str) -> Behaviour {
    Behaviour { headers: vec![("Accept-Encoding".to_owned(), codings.to_owned())], ..Behaviour::honest() }
}

#[tokio::test]
async fn bodies_over_a_kibibyte_are_gzipped() {
    let server = serve(Behaviour::honest());
    let on = backend(&config_for(&server));
    let off = backend(&BackendConfig { gzip: false, ..config_for(&server) });
    let large = large();
    attempt(&on, &tasks(1)).await;
    attempt(&on, &large).await;
    attempt(&off, &large).await;
    assert_eq!(gzipped(&server), [false, true, false]);
    let lengths: Vec<usize> = server.log(|log| log.heads().map(|head| head.length).collect());
    assert!(lengths[1] * 10 < lengths[2], "{lengths:?}");
    assert_eq!(server.received()[1].payload, large[0].payload.json());
    assert!(!server.received()[1].changed, "gzipped or not, the payload is the same");
}

#[tokio::test]
async fn a_server_that_refuses_gzip_gets_none() {
    for status in [400, 415, 422, 500, 501] {
        let server = serve(Behaviour::honest());
        let backend = backend(&config_for(&server));
        server.behave_once(plain(status));
        let Answer::Results(_) = attempt(&backend, &large()).await else { panic!("{status}") };
        let Answer::Results(_) = attempt(&backend, &large()).await else { panic!("{status}") };
        assert_eq!(gzipped(&server), [true, false, false], "{status}: asked again in the same attempt, and remembered");
    }
}

#[tokio::test]
async fn an_item_at_fault_is_not_blamed_on_gzip() {
    let server = serve(plain(422));
    let backend = backend(&config_for(&server));
    assert!(matches!(attempt(&backend, &large()).await, Answer::Status { code: 422, .. }));
    server.behave(Behaviour::honest());
    attempt(&backend, &large()).await;
    // A success with gzip is proof: from now on a refusal is the item's.
    server.behave(plain(422));
    assert!(matches!(attempt(&backend, &large()).await, Answer::Status { code: 422, .. }));
    assert_eq!(gzipped(&server), [true, false, true, true]);
    server.behave_once(plain(415));
    attempt(&backend, &large()).await;
    assert_eq!(gzipped(&server)[4..], [true, false], "415 takes it back at any time");
}

#[tokio::test]
async fn outages_and_credentials_are_not_blamed_on_gzip() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    for status in [401, 403, 404, 429, 502, 503, 504] {
        server.behave(plain(status));
        attempt(&backend, &large()).await;
    }
    assert_eq!(gzipped(&server), [true; 7]);
}

#[tokio::test]
async fn what_the_server_says_it_accepts_is_heeded() {
    for (codings, later) in [("gzip, br", true), ("identity", false), ("gzip;q=0", false)] {
        let server = serve(accepting(codings));
        let backend = backend(&config_for(&server));
        attempt(&backend, &tasks(1)).await;
        attempt(&backend, &large()).await;
        assert_eq!(gzipped(&server), [false, later], "{codings}");
    }
}

#[tokio::test]
async fn gzipped_answers_are_read() {
    let task = task("1");
    let results = format!(r#"{{"results":[{{"id":"{}","outcome":"rejected","reason":"no"}}]}}"#, task.id);
    let packed = zip(results.as_bytes());
    let coded = |coding: &str, status, body: &[u8]| {
        let headers = vec![("Content-Encoding".to_owned(), coding.to_owned())];
        Behaviour::fault(Fault::Answer { status, headers, body: body.to_vec() })
    };
    let server = serve(Behaviour::judged(|_| Verdict::Take));
    let backend = backend(&config_for(&server));
    let one = std::slice::from_ref(&task);
    server.behave(coded("GZip", 200, &packed));
    assert!(matches!(attempt(&backend, one).await, Answer::Results(_)));
    for (coding, body) in [("gzip", &packed[..packed.len() - 4]), ("gzip", b"not gzip"), ("br", results.as_bytes())] {
        server.behave(coded(coding, 200, body));
        let answer = attempt(&backend, one).await;
        assert!(matches!(answer, Answer::Foreign { .. }), "{coding}: {answer:?}");
        server.behave(coded(coding, 503, body));
        let answer = attempt(&backend, one).await;
        assert!(matches!(answer, Answer::Status { code: 503, .. }), "{coding}: {answer:?}");
    }
    server.behave(coded("gzip", 409, &zip(b"mine is newer")));
    let Answer::Status { words, .. } = attempt(&backend, one).await else { panic!() };
    assert_eq!(words, "mine is newer");
}

fn zip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
