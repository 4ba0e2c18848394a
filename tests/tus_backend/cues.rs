//! What an attempt heeds while it runs.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ferryd::backend::Cue;
use ferryd::model::{Answer, AtChunk, Cut};
use tokio::sync::watch;

use crate::liar::{Liar, Play};
use crate::setup::{CHUNK, Upload, config, done};

const SIZE: usize = 3 * CHUNK as usize;

/// Resolves when the server was asked this method so often.
async fn asked(liar: &Liar, method: &str, times: usize) {
    while liar.count(method) < times {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn no_chunk_begins_while_none_may() {
    let liar = Liar::start(|_| Play::Honest).await;
    let upload = Upload::new(&config(&liar.url()), SIZE);
    upload.cue.send_replace(Cue { at_chunk: AtChunk::Wait, ..Cue::GO });
    let mut attempt = pin!(upload.attempt());
    tokio::select! {
        answer = &mut attempt => panic!("{answer:?}"),
        () = asked(&liar, "POST", 1) => {}
    }
    let waited = tokio::time::timeout(Duration::from_millis(100), &mut attempt).await;
    assert!(waited.is_err() && liar.count("PATCH") == 0, "{:?}", liar.methods());
    upload.cue.send_replace(Cue::GO);
    done(attempt.await);
    assert_eq!(liar.count("PATCH"), 3);
}

#[tokio::test]
async fn told_to_end_it_ends_where_its_chunk_does_and_the_server_has_all_of_that() {
    let cue: Arc<OnceLock<watch::Sender<Cue>>> = Arc::default();
    let told = Arc::clone(&cue);
    let script = move |asked: &crate::liar::Asked| {
        if asked.method == "PATCH" {
            let end = AtChunk::End(Cut::Condition);
            told.get().expect("set").send_replace(Cue { at_chunk: end, ..Cue::GO });
        }
        Play::Honest
    };
    let liar = Liar::start(script).await;
    let upload = Upload::new(&config(&liar.url()), SIZE);
    cue.set(upload.cue.clone()).expect("set once");
    assert_eq!(upload.attempt().await, Answer::Advanced(Box::new(Answer::Cut(Cut::Condition))));
    assert_eq!(liar.methods(), ["POST", "OPTIONS", "PATCH"]);
    liar.state(|state| assert_eq!(state.kept, CHUNK as usize));
}

#[tokio::test]
async fn when_the_link_has_come_back_it_goes_on_by_a_new_connection() {
    let script = |asked: &crate::liar::Asked| match (asked.method.as_str(), asked.nth) {
        ("PATCH", 1) | ("HEAD", 0) => Play::Hang,
        _ => Play::Honest,
    };
    let liar = Liar::start(script).await;
    let upload = Upload::new(&config(&liar.url()), SIZE);
    let back = async {
        asked(&liar, "PATCH", 2).await;
        upload.cue.send_modify(|cue| cue.link_ups += 1);
        asked(&liar, "HEAD", 1).await;
        upload.cue.send_modify(|cue| cue.link_ups += 1);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = upload.attempt() => done(answer),
        () = back => unreachable!(),
    };
    assert_eq!(liar.methods(), ["POST", "OPTIONS", "PATCH", "PATCH", "HEAD", "HEAD", "PATCH", "PATCH"]);
    liar.state(|state| {
        assert!(state.stored == upload.bytes);
        assert_eq!(state.kept, SIZE, "nothing that the server had came again");
    });
}
