//! Answers that are lost, late, wrong or lies; a clock that is.

use std::time::{Duration, SystemTime};

use ferryd::backend::Cue;
use ferryd::model::{Answer, AtChunk, Cut};

use crate::relay::{Asked, Play, Relay, error, said};
use crate::setup::{PART, PATIENCE, SIZE, Upload, done};
use crate::stand::Stand;

/// Attempts until it is done, which must be after so many; the object is right then.
async fn finish(moto: &Stand, upload: &mut Upload, attempts: usize, what: &str) {
    for _ in 1..attempts {
        let answer = upload.attempt().await;
        assert!(!matches!(answer, Answer::Results(_)), "{what}: {answer:?}");
        upload.restart();
    }
    done(upload.attempt().await);
    assert!(moto.object(&upload.key()).as_ref() == Some(&upload.bytes), "{what}: other bytes");
}

#[tokio::test]
async fn a_lost_answer_sends_nothing_again() {
    let moto = Stand::moto();
    for (action, size) in [("put", 100_000), ("create", SIZE), ("part", SIZE), ("complete", SIZE)] {
        let relay = Relay::to(moto.address, move |asked| match (asked.action, asked.nth) {
            (each, 0) if each == action => Play::LoseAnswer,
            _ => Play::Pass,
        });
        let mut upload = Upload::new(&relay.url(), size);
        finish(&moto, &mut upload, if action == "create" { 2 } else { 1 }, action).await;
        assert_eq!(relay.passed(), size as u64, "{action}: {:?}", relay.actions());
        assert_eq!(relay.count("complete"), usize::from(size == SIZE), "{action}");
    }
}

#[tokio::test]
async fn a_body_cut_at_any_byte_costs_a_part_at_most() {
    let moto = Stand::moto();
    let mut random = fastrand::Rng::with_seed(5);
    for (action, size) in [("put", 100_000), ("part", SIZE), ("part", SIZE), ("part", SIZE)] {
        let (nth, cut) = (random.usize(0..3), random.u64(0..PART));
        let relay = Relay::to(moto.address, move |asked| match (asked.action, asked.nth) {
            ("put", 0) if action == "put" => Play::CutBody(cut % 100_000),
            ("part", n) if n == nth => Play::CutBody(cut),
            _ => Play::Pass,
        });
        let mut upload = Upload::new(&relay.url(), size);
        finish(&moto, &mut upload, 1, &format!("{action} {nth} cut at {cut}")).await;
        assert!(relay.passed() <= size as u64 + PART, "{:?}", relay.actions());
    }
}

#[tokio::test]
async fn a_success_with_an_error_in_it_is_none() {
    let moto = Stand::moto();
    for (code, expected) in [("InternalError", 500), ("SlowDown", 503)] {
        let relay = Relay::to(moto.address, move |asked| match (asked.action, asked.nth) {
            ("complete", 0) => Play::Say(error("200 OK", "", code)),
            _ => Play::Pass,
        });
        let mut upload = Upload::new(&relay.url(), SIZE);
        let answer = upload.attempt().await;
        let Answer::Advanced(end) = answer else { panic!("{answer:?}") };
        assert!(matches!(*end, Answer::Status { code, .. } if code == expected), "{end:?}");
        finish(&moto, &mut upload, 1, code).await;
        assert_eq!((relay.passed(), relay.count("create")), (SIZE as u64, 1));
        // The object was there although an error was told: it counts.
        let relay = Relay::to(moto.address, move |asked| match (asked.action, asked.nth) {
            ("complete", 0) => Play::PassAndSay(error("200 OK", "", code)),
            _ => Play::Pass,
        });
        let mut upload = Upload::new(&relay.url(), SIZE);
        finish(&moto, &mut upload, 1, code).await;
        assert_eq!(relay.count("complete"), 1);
    }
}

#[tokio::test]
async fn what_no_store_says_is_never_done() {
    let moto = Stand::moto();
    let html = said("200 OK", "Content-Type: text/html\r\n", "<html>Log in</html>");
    for (action, size) in [("put", 1_000), ("create", SIZE), ("part", SIZE), ("complete", SIZE)] {
        for lie in [html.clone(), said("200 OK", "", ""), said("302 Found", "Location: http://portal/\r\n", "")] {
            let told = lie.clone();
            let relay = Relay::to(moto.address, move |asked| match asked.action {
                each if each == action => Play::Say(told.clone()),
                _ => Play::Pass,
            });
            let upload = Upload::new(&relay.url(), size);
            let answer = upload.attempt().await;
            let end = if let Answer::Advanced(end) = answer { *end } else { answer };
            assert!(matches!(end, Answer::Foreign { .. }), "{action} {lie}: {end:?}");
            assert_eq!(moto.object(&upload.key()), None);
        }
    }
}

#[tokio::test]
async fn a_refusal_says_whose_fault_it_is() {
    let moto = Stand::moto();
    let answers = |status: &'static str, code: &'static str| {
        let relay = Relay::to(moto.address, move |_| Play::Say(error(status, "Retry-After: 7\r\n", code)));
        async move { Upload::new(&relay.url(), 1_000).attempt().await }
    };
    let answer = answers("400 Bad Request", "EntityTooLarge").await;
    assert!(matches!(&answer, Answer::Status { code: 400, words, .. } if words.contains("by the test")), "{answer:?}");
    let answer = answers("503 Slow Down", "SlowDown").await;
    let wait = Some(Duration::from_secs(7));
    assert!(matches!(&answer, Answer::Status { code: 503, retry_after, .. } if *retry_after == wait), "{answer:?}");
    let answer = answers("403 Forbidden", "AccessDenied").await;
    assert!(matches!(answer, Answer::Status { code: 403, .. }), "{answer:?}");
    let answer = answers("400 Bad Request", "ExpiredToken").await;
    assert!(matches!(answer, Answer::Unauthorized { .. }), "{answer:?}");
    for (status, code) in [("404 Not Found", "NoSuchBucket"), ("301 Moved", "PermanentRedirect")] {
        let answer = answers(status, code).await;
        assert!(matches!(answer, Answer::Misplaced { .. }), "{answer:?}");
    }
    let real = Upload::with(&moto.url(), 1_000, |config| config.store.bucket = "nobodys".to_owned()).attempt().await;
    assert!(matches!(&real, Answer::Misplaced { words } if words.contains("NoSuchBucket")), "{real:?}");
    let keyless = Upload::with(&moto.url(), 1_000, |config| config.credential = None).attempt().await;
    assert!(matches!(keyless, Answer::NoCredential { .. }), "{keyless:?}");
}

#[tokio::test]
async fn what_was_damaged_on_the_way_is_sent_once_more() {
    let Some(s3s) = Stand::s3s() else { return };
    let relay = Relay::to(s3s.address, |asked| match (asked.action, asked.nth) {
        ("put", 0) => Play::PassDamaged,
        _ => Play::Pass,
    });
    let upload = Upload::new(&relay.url(), 100_000);
    done(upload.attempt().await);
    assert!(s3s.object(&upload.key()).as_ref() == Some(&upload.bytes), "other bytes");
    let refused = relay.asked().iter().filter(|asked| asked.status == Some(400)).count();
    assert_eq!((relay.count("put"), refused), (2, 1), "{:?}", relay.actions());
    // None of the stores here looks at the checksum of a part.
    let moto = Stand::moto();
    let relay = Relay::to(moto.address, |asked| match (asked.action, asked.nth) {
        ("part", 0) => Play::Say(error("400 Bad Request", "", "BadDigest")),
        _ => Play::Pass,
    });
    let upload = Upload::new(&relay.url(), SIZE);
    done(upload.attempt().await);
    assert_eq!(relay.count("part"), 4);
}

#[tokio::test]
async fn an_upload_that_is_gone_is_looked_for_and_begun_anew_once() {
    let moto = Stand::moto();
    let relay = Relay::to(moto.address, |asked| match (asked.action, asked.nth) {
        ("part", 2) => Play::Say(error("404 Not Found", "", "NoSuchUpload")),
        _ => Play::Pass,
    });
    let mut upload = Upload::new(&relay.url(), SIZE);
    finish(&moto, &mut upload, 1, "gone once").await;
    assert_eq!((relay.count("create"), relay.count("part")), (2, 6), "{:?}", relay.actions());
    let relay = Relay::to(moto.address, |asked| match asked.action {
        "part" if asked.part == Some(2) => Play::Say(error("404 Not Found", "", "NoSuchUpload")),
        _ => Play::Pass,
    });
    let upload = Upload::new(&relay.url(), SIZE);
    let answer = upload.attempt().await;
    let Answer::Advanced(end) = answer else { panic!("{answer:?}") };
    assert!(matches!(&*end, Answer::Unreachable { words } if words.contains("lost")), "{end:?}");
    assert_eq!(relay.count("create"), 2);
}

#[tokio::test]
async fn parts_that_the_store_has_lost_are_sent_again() {
    let moto = Stand::moto();
    let relay = Relay::to(moto.address, |asked| match (asked.action, asked.nth) {
        ("complete", 0) => Play::Say(error("400 Bad Request", "", "InvalidPart")),
        // Only the first is there.
        ("list", 0) => {
            let part = format!("<Part><PartNumber>1</PartNumber><ETag>\"x\"</ETag><Size>{PART}</Size></Part>");
            let list = format!("<ListPartsResult><IsTruncated>false</IsTruncated>{part}</ListPartsResult>");
            Play::Say(said("200 OK", "Content-Type: application/xml\r\n", &list))
        }
        ("complete", 1) => Play::Say(error("400 Bad Request", "", "InvalidPart")),
        _ => Play::Pass,
    });
    let mut upload = Upload::new(&relay.url(), SIZE);
    finish(&moto, &mut upload, 1, "lost parts").await;
    assert_eq!((relay.count("create"), relay.count("part")), (1, 5), "{:?}", relay.actions());
}

/// The time in a query, as seconds since the epoch.
fn signed_at(asked: &Asked) -> i64 {
    let date = asked.argument("X-Amz-Date").unwrap();
    let date: String = date.chars().filter(char::is_ascii_digit).collect();
    let part = |range: std::ops::Range<usize>| &date[range];
    let text =
        format!("{}-{}-{}T{}:{}:{}Z", part(0..4), part(4..6), part(6..8), part(8..10), part(10..12), part(12..14));
    text.parse::<jiff::Timestamp>().unwrap().as_second()
}

/// A store with another clock than ours: no test can set the device's. It looks at the time that is signed as AWS does.
#[tokio::test]
async fn a_wrong_clock_is_got_over_by_the_stores_own() {
    let moto = Stand::moto();
    for (shift, code) in
        [(3 * 3_600, "RequestTimeTooSkewed"), (-40 * 86_400, "AccessDenied"), (7_200, "SignatureDoesNotMatch")]
    {
        let relay = Relay::to(moto.address, move |asked| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64 + shift;
            if (now - signed_at(asked)).abs() < 900 {
                return Play::Pass;
            }
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(now as u64);
            Play::Say(error("403 Forbidden", &format!("Date: {}\r\n", httpdate::fmt_http_date(date)), code))
        });
        for size in [1_000, SIZE] {
            let mut upload = Upload::new(&relay.url(), size);
            finish(&moto, &mut upload, 1, code).await;
        }
        let refused = relay.asked().iter().filter(|asked| asked.status.is_none()).count();
        assert_eq!(refused, 2, "it is learnt once a backend: {:?}", relay.actions());
    }
    // A clock that is right, and a 403 that means what it says.
    let relay = Relay::to(moto.address, |_| {
        let date = httpdate::fmt_http_date(SystemTime::now());
        Play::Say(error("403 Forbidden", &format!("Date: {date}\r\n"), "AccessDenied"))
    });
    let answer = Upload::new(&relay.url(), 1_000).attempt().await;
    assert!(matches!(answer, Answer::Status { code: 403, .. }), "{answer:?}");
    assert_eq!(relay.count("put"), 1);
}

#[tokio::test]
async fn no_part_begins_while_something_is_in_the_way() {
    let moto = Stand::moto();
    let relay = Relay::to(moto.address, |_| Play::Pass);
    let upload = Upload::new(&relay.url(), SIZE);
    let cue = upload.cue.clone();
    let paused = async {
        while !relay.asked().iter().any(|asked| asked.part == Some(1)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cue.send_replace(Cue { at_chunk: AtChunk::End(Cut::Condition), ..Cue::GO });
    };
    let (answer, ()) = tokio::join!(upload.attempt(), paused);
    let Answer::Advanced(end) = answer else { panic!("{answer:?}") };
    assert_eq!(*end, Answer::Cut(Cut::Condition));
    assert_eq!(relay.count("part"), 1);
    upload.cue.send_replace(Cue::GO);
    done(upload.attempt().await);
    assert_eq!(relay.passed(), SIZE as u64, "nothing went twice: {:?}", relay.actions());
}

#[tokio::test]
async fn an_attempt_goes_on_by_itself_when_the_link_comes_back() {
    let moto = Stand::moto();
    let held = std::sync::Arc::new(std::sync::Barrier::new(2));
    let gate = std::sync::Arc::clone(&held);
    let relay = Relay::to(moto.address, move |asked| {
        if (asked.action, asked.nth) == ("part", 1) {
            gate.wait();
            return Play::CutBody(0);
        }
        Play::Pass
    });
    let upload = Upload::new(&relay.url(), SIZE);
    let cue = upload.cue.clone();
    let returns = async {
        while relay.count("part") < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        cue.send_replace(Cue { link_ups: 1, ..Cue::GO });
        tokio::task::spawn_blocking(move || held.wait()).await.unwrap();
    };
    let returns = tokio::time::timeout(PATIENCE, returns);
    let (answer, returned) = tokio::join!(upload.attempt(), returns);
    returned.expect("a second part is sent");
    done(answer);
    assert!(moto.object(&upload.key()).as_ref() == Some(&upload.bytes), "other bytes");
    assert_eq!((relay.count("part"), relay.count("create")), (4, 1), "{:?}", relay.actions());
}
