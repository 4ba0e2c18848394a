//! Against the tus project's own server.

use std::pin::pin;
use std::time::Duration;

use ferryd::model::{Answer, BackendConfig};

use crate::node::Node;
use crate::setup::{CHUNK, Upload, config, done, rejected};

const SIZE: usize = 5 * CHUNK as usize / 2;

#[tokio::test]
async fn a_file_goes_up_in_chunks_with_all_that_is_said_of_it() {
    let node = Node::start().await;
    let upload = Upload::new(&config(&node.url()), SIZE);
    let result = done(upload.attempt().await);
    let uploaded = result.upload.unwrap();
    assert_eq!((uploaded.sent, uploaded.original, result.status), (SIZE as u64, SIZE as u64, 204));
    assert_eq!(Some(&uploaded.url), upload.url().as_ref());
    assert_eq!(node.stored(&uploaded.url), upload.bytes);
    let mut seen = Vec::new();
    for _ in 0..5 {
        let logged = node.next().await;
        seen.push((logged.method, logged.offset));
    }
    let expected =
        [("POST", None), ("OPTIONS", None), ("PATCH", Some(0)), ("PATCH", Some(CHUNK)), ("PATCH", Some(2 * CHUNK))];
    assert_eq!(seen, expected.map(|(method, offset)| (method.to_owned(), offset)));

    let info = node.stored(&format!("{}.json", uploaded.url));
    let info: serde_json::Value = serde_json::from_slice(&info).unwrap();
    let said = &info["metadata"];
    assert_eq!(said["filename"], "größe 1.jpg");
    assert_eq!(said["filetype"], "image/jpeg");
    assert_eq!(said["metadata"], r#"{"album":7}"#);
    assert_eq!(said["task"], upload.task.id.to_string());
    assert_eq!(said["sha256"], "ab".repeat(32));
    assert_eq!((&said["strategy"], &said["device"]), (&"photos".into(), &"kiosk-7".into()));

    let last = *upload.reports().last().unwrap();
    assert_eq!((last.done, last.total, last.sent, last.chunk), (SIZE as u64, SIZE as u64, SIZE as u64, 0));
    assert!(upload.reports().len() <= 2 + 2 * last.took.as_secs() as usize + 2, "{:?}", upload.reports());
}

#[tokio::test]
async fn an_empty_file_is_done_when_it_is_begun() {
    let node = Node::start().await;
    let upload = Upload::new(&config(&node.url()), 0);
    let result = done(upload.attempt().await);
    assert_eq!(result.status, 201);
    assert_eq!(node.stored(&result.upload.unwrap().url), b"");
    // A crash may have come before that was written down.
    assert_eq!(done(upload.attempt().await).status, 200);
    assert_eq!(upload.notes(), 1, "it is not begun again");
}

#[tokio::test]
async fn what_the_server_has_is_not_sent_again_after_a_cut_in_mid_chunk() {
    let node = Node::start().await;
    let size = 32 << 20;
    let config = BackendConfig { chunk: size as u64, ..config(&node.url()) };
    let upload = Upload::new(&config, size);
    let (mut has, mut lost) = (0, 0);
    for cut in 1..=4 {
        {
            let mut attempt = pin!(upload.attempt());
            let grown = async {
                while upload.url().map_or(0, |url| node.stored_size(&url)) < has + (1 << 20) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                biased;
                answer = &mut attempt => panic!("done before cut {cut}: {answer:?}"),
                () = grown => {}
            }
        }
        let patch = node.until_method("PATCH").await;
        assert_eq!(patch.offset, Some(has), "it went on where the server was");
        let sent = patch.received - lost - has;
        has = settled(|| node.stored_size(&upload.url().unwrap())).await;
        lost = patch.received - has;
        println!("cut {cut}: {sent} bytes arrived, the server has {has}, and threw {lost} away until now");
    }
    let result = done(upload.attempt().await);
    let last = node.until_method("PATCH").await;
    assert_eq!(node.stored(&result.upload.unwrap().url), upload.bytes);
    assert_eq!((last.offset, last.status), (Some(has), 204));
    assert_eq!(last.received, size as u64 + lost, "no byte that the server had came again");
    assert_eq!(upload.notes(), 5, "begun once, and four times found further than it was");
}

/// What it is when it has come to rest.
async fn settled(mut what: impl FnMut() -> u64) -> u64 {
    let mut last = what();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let now = what();
        if now == last {
            return now;
        }
        last = now;
    }
}

#[tokio::test]
async fn an_upload_that_the_server_lost_begins_anew() {
    let node = Node::start().await;
    let upload = Upload::new(&config(&node.url()), SIZE);
    upload.set_note(&format!("{}/0123456789abcdef", node.url()));
    let result = done(upload.attempt().await);
    assert_eq!(node.stored(&result.upload.unwrap().url), upload.bytes);
    assert_eq!(upload.notes(), 2);
}

#[tokio::test]
async fn a_cancelled_upload_is_ended_at_the_server() {
    let node = Node::start().await;
    let upload = Upload::new(&config(&node.url()), SIZE);
    done(upload.attempt().await);
    let url = upload.url().unwrap();
    assert_eq!(upload.backend.abandon(&url).await, Answer::Results(Vec::new()));
    assert!(!node.folder.path().join(url.rsplit('/').next().unwrap()).exists());
    assert_eq!(upload.backend.abandon(&url).await, Answer::Results(Vec::new()), "gone already");
    assert_eq!(upload.backend.abandon("http://192.0.2.1/files/1").await, Answer::Results(Vec::new()));
}

#[tokio::test]
async fn a_file_that_is_gone_or_another_is_refused() {
    let upload = Upload::new(&config("http://127.0.0.1:9/files"), 10);
    std::fs::write(upload.file(), b"shorter").unwrap();
    assert_eq!(rejected(upload.attempt().await), "the file in the spool has 7 bytes, 10 were handed over");
    std::fs::remove_file(upload.file()).unwrap();
    assert_eq!(rejected(upload.attempt().await), "the file is gone from the spool");
}
