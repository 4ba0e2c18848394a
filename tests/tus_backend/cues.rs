//! What an attempt heeds while it runs.

use std::pin::pin;
use std::time::Duration;

use ferryd::backend::Cue;

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
    upload.cue.send_replace(Cue { may_begin: false, link_ups: 0 });
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
