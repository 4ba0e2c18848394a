//! Against the stores as they are.

use ferryd::model::{Answer, ObjectChecksum};

use crate::relay::{Play, Relay};
use crate::setup::{PART, SIZE, Upload, done};
use crate::stand::Stand;

fn honest(stand: &Stand) -> Relay {
    Relay::to(stand.address, |_| Play::Pass)
}

#[tokio::test]
async fn a_small_file_goes_up_in_one_request_with_all_that_is_said_of_it() {
    let moto = Stand::moto();
    for size in [0, 1, 1_000, usize::try_from(PART).unwrap()] {
        let relay = honest(&moto);
        let upload = Upload::new(&relay.url(), size);
        let result = done(upload.attempt().await);
        let uploaded = result.upload.unwrap();
        assert_eq!((uploaded.sent, uploaded.original, result.status), (size as u64, size as u64, 200));
        assert_eq!(uploaded.url, format!("{}/photos/{}", relay.url(), upload.key()));
        assert_eq!(moto.object(&upload.key()).as_ref(), Some(&upload.bytes));
        assert_eq!((relay.actions(), upload.notes()), (vec!["put"], 0));
        let head = moto.head(&upload.key()).to_lowercase();
        for line in [
            "content-type: image/jpeg",
            "x-amz-meta-filename: gr%c3%b6%c3%9fe%201.jpg",
            "x-amz-meta-metadata: {\"album\":7}",
            "x-amz-meta-strategy: photos",
            "x-amz-meta-device: kiosk-7",
        ] {
            assert!(head.contains(line), "{line} in {head}");
        }
        let last = *upload.reports().last().unwrap();
        assert_eq!((last.done, last.total, last.chunk), (size as u64, size as u64, 0));
    }
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_and_is_one_object() {
    let moto = Stand::moto();
    let relay = honest(&moto);
    let upload = Upload::new(&relay.url(), SIZE);
    let result = done(upload.attempt().await);
    assert_eq!(result.upload.unwrap().url, format!("{}/photos/{}", relay.url(), upload.key()));
    assert!(moto.object(&upload.key()).as_ref() == Some(&upload.bytes), "other bytes");
    assert_eq!(relay.actions(), ["uploads", "create", "part", "part", "part", "complete"]);
    assert!(moto.uploads().is_empty());
    let asked = relay.asked();
    assert!(asked[2].field("x-amz-checksum-sha256").is_some_and(|sum| sum.len() == 44), "{}", asked[2].head);
    assert!(asked.iter().all(|asked| asked.argument("X-Amz-Signature").is_some()));
    assert!(moto.head(&upload.key()).to_lowercase().contains("x-amz-meta-sha256: "));
    // Another upload begins where the first is known: it need not look for stale ones.
    done(Upload::new(&relay.url(), 10).attempt().await);
    assert_eq!(upload.notes(), 4, "the id, and each part");
}

#[tokio::test]
async fn what_a_store_has_is_not_sent_again_after_a_crash() {
    let moto = Stand::moto();
    for lost in 0..=3 {
        let relay = Relay::to(moto.address, |asked| match (asked.action, asked.nth) {
            ("complete", 0) => Play::Say(crate::relay::error("503 Slow Down", "", "SlowDown")),
            // Its list comes in pages.
            ("list", _) => Play::PassEdited("max-parts=500", "max-parts=1"),
            _ => Play::Pass,
        });
        let mut upload = Upload::new(&relay.url(), SIZE);
        let answer = upload.attempt().await;
        let Answer::Advanced(end) = answer else { panic!("{answer:?}") };
        assert!(matches!(*end, Answer::Status { code: 503, .. }), "{end:?}");
        // What was kept of the parts is lost: only the store knows them.
        let mut note: serde_json::Value = serde_json::from_str(&upload.note().unwrap()).unwrap();
        let etags = note["etags"].as_array_mut().unwrap();
        etags.truncate(etags.len().saturating_sub(lost));
        upload.set_note(&note.to_string());
        upload.restart();
        done(upload.attempt().await);
        assert!(moto.object(&upload.key()).as_ref() == Some(&upload.bytes), "other bytes");
        assert_eq!((relay.count("part"), relay.count("list")), (3, 3));
        assert_eq!(relay.count("create"), 1);
    }
}

#[tokio::test]
async fn a_strict_store_takes_what_is_signed_and_vouched_for() {
    let Some(s3s) = Stand::s3s() else { return };
    for size in [0, 1_000, SIZE] {
        let relay = honest(&s3s);
        let upload = Upload::new(&relay.url(), size);
        done(upload.attempt().await);
        assert!(s3s.object(&upload.key()).as_ref() == Some(&upload.bytes), "other bytes");
        let refused = relay.asked().into_iter().find(|asked| asked.status.is_none_or(|status| status >= 300));
        assert!(
            refused.is_none_or(|asked| asked.action == "uploads"),
            "it does not list uploads, but all else it does"
        );
    }
    let wrong = Upload::with(&s3s.url(), 10, |config| {
        let file = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
        std::fs::write(&file, "aws_access_key_id = S3RVER\naws_secret_access_key = wrong\n").unwrap();
        config.credential = Some(ferryd::model::Credential::File(file));
    });
    let answer = wrong.attempt().await;
    assert!(matches!(&answer, Answer::Unauthorized { words } if words.contains("SignatureDoesNotMatch")), "{answer:?}");
}

/// It lists no name of a part, and says 403 of an upload that it has not any more.
#[tokio::test]
async fn a_strict_store_whose_lists_are_wrong_is_resumed_by_what_it_said_before() {
    let Some(s3s) = Stand::s3s() else { return };
    let relay = Relay::to(s3s.address, |asked| match (asked.action, asked.nth) {
        ("part", 1) => Play::CutBody(1_000_000),
        ("part", 2) => Play::CutBody(1_000_000),
        ("complete", 0) => Play::LoseAnswer,
        _ => Play::Pass,
    });
    let mut upload = Upload::new(&relay.url(), SIZE);
    let answer = upload.attempt().await;
    assert!(matches!(answer, Answer::Advanced(_)), "{answer:?}");
    upload.restart();
    done(upload.attempt().await);
    assert!(s3s.object(&upload.key()).as_ref() == Some(&upload.bytes), "other bytes");
    let first = relay.asked().iter().filter(|asked| asked.part == Some(1)).count();
    assert_eq!(first, 1, "{:?}", relay.actions());
    // Killed after the upload was completed, before that was written down.
    upload.restart();
    done(upload.attempt().await);
    assert_eq!(relay.count("complete"), 1);
}

#[tokio::test]
async fn a_poor_store_that_lists_and_ends_nothing_is_resumed_by_what_was_kept() {
    let poor = Stand::s3rver();
    let relay = Relay::to(poor.address, |asked| match (asked.action, asked.nth) {
        ("part", 1 | 2) => Play::CutBody(1_000_000),
        _ => Play::Pass,
    });
    let mut upload = Upload::with(&relay.url(), SIZE, |config| config.store.checksum = ObjectChecksum::None);
    let answer = upload.attempt().await;
    assert!(matches!(answer, Answer::Advanced(_)), "{answer:?}");
    upload.restart();
    done(upload.attempt().await);
    assert!(poor.object(&upload.key()).as_ref() == Some(&upload.bytes), "other bytes");
    let first = relay.asked().iter().filter(|asked| asked.part == Some(1)).count();
    assert_eq!(first, 1, "{:?}", relay.actions());
    assert_eq!(relay.count("create"), 1);
    let small = Upload::new(&relay.url(), 1_000);
    done(small.attempt().await);
    assert_eq!(poor.object(&small.key()), Some(small.bytes.clone()));
}

#[tokio::test]
async fn a_cancelled_upload_is_ended_at_the_store() {
    let moto = Stand::moto();
    let relay = Relay::to(moto.address, |asked| match (asked.action, asked.nth) {
        ("part", n) if n > 0 => Play::CutBody(1_000),
        _ => Play::Pass,
    });
    let upload = Upload::new(&relay.url(), SIZE);
    let answer = upload.attempt().await;
    assert!(matches!(answer, Answer::Advanced(_)), "{answer:?}");
    assert_eq!(moto.uploads().len(), 1);
    let note = upload.note().unwrap();
    for _ in 0..2 {
        assert_eq!(upload.backend.abandon(&note).await, Answer::Results(Vec::new()));
        assert!(moto.uploads().is_empty());
    }
    // Of what was sent in one request, and of another backend's, nothing is to be ended.
    for note in ["", "http://h/files/1 100"] {
        assert_eq!(upload.backend.abandon(note).await, Answer::Results(Vec::new()));
    }
    assert_eq!(relay.count("abort"), 2);
}

/// moto says of every upload that it was begun in 2010.
#[tokio::test]
async fn uploads_of_this_device_that_nobody_finished_are_ended_once_they_are_old() {
    let moto = Stand::moto();
    for key in ["kiosk-7/old/a", "kiosk-7/older/b", "kiosk-70/other/c", "other/kiosk-7/d"] {
        moto.begin(key);
    }
    let relay = honest(&moto);
    let never = Upload::with(&relay.url(), SIZE, |config| config.store.sweep_after = None);
    done(never.attempt().await);
    assert_eq!(moto.uploads().len(), 4);
    let upload = Upload::new(&relay.url(), SIZE);
    done(upload.attempt().await);
    assert_eq!(moto.uploads().len(), 2, "{:?}", relay.actions());
    // Once until configuration is read again: nothing is looked for on a tick.
    assert_eq!((relay.count("uploads"), relay.count("abort")), (1, 2));
}
