//! A server that says what no tus server should: never done, always explained, and never asked without end.

use ferryd::model::{Answer, BackendConfig};

use crate::liar::{Asked, Liar, Play};
use crate::setup::{CHUNK, Upload, config, done};

const SIZE: usize = 2 * CHUNK as usize;

/// One attempt against this script.
async fn attempt(script: impl Fn(&Asked) -> Play + Send + Sync + 'static) -> (Liar, Upload, Answer) {
    let liar = Liar::start(script).await;
    let upload = Upload::new(&config(&liar.url()), SIZE);
    let answer = upload.attempt().await;
    assert!(liar.methods().len() <= 12, "{:?}", liar.methods());
    if let Answer::Results(_) = answer {
        liar.state(|state| assert_eq!(state.stored, upload.bytes));
    }
    (liar, upload, answer)
}

/// Plays it for this method, always.
fn always(method: &'static str, play: impl Fn() -> Play + Send + Sync + 'static) -> impl Fn(&Asked) -> Play {
    move |asked| if asked.method == method { play() } else { Play::Honest }
}

/// Plays it for this method, the first time.
fn once(method: &'static str, play: impl Fn() -> Play + Send + Sync + 'static) -> impl Fn(&Asked) -> Play {
    move |asked| if asked.method == method && asked.nth == 0 { play() } else { Play::Honest }
}

fn foreign(answer: Answer) -> String {
    match answer {
        Answer::Foreign { words } => words,
        other => panic!("{other:?}"),
    }
}

fn unreachable(answer: Answer) -> String {
    match answer {
        Answer::Unreachable { words } => words,
        other => panic!("{other:?}"),
    }
}

fn further(answer: Answer) -> Answer {
    match answer {
        Answer::Advanced(end) => *end,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_creation_that_is_none_is_foreign() {
    let said = [
        ("201 Created\r\nContent-Length: 0", "status 201 with no Location"),
        (
            "201 Created\r\nLocation: https://127.0.0.1/files/1\r\nContent-Length: 0",
            "on another origin, https://127.0.0.1",
        ),
        ("201 Created\r\nLocation: http://\r\nContent-Length: 0", "a Location that is no URL"),
        ("201 Created\r\nLocation: javascript:1\r\nContent-Length: 0", "a Location that is a javascript URL"),
        ("200 OK\r\nLocation: /files/1\r\nContent-Length: 0", "status 200 with no more, where 201 was to come"),
        ("200 OK\r\nContent-Type: text/html\r\nContent-Length: 0", "an HTML page"),
        ("302 Found\r\nLocation: /login\r\nContent-Length: 0", "status 302 redirects"),
    ];
    for (text, words) in said {
        let (liar, upload, answer) = attempt(always("POST", move || Play::Say(text))).await;
        let said = foreign(answer);
        assert!(said.contains(words), "{text:?}: {said}");
        assert_eq!((upload.notes(), liar.methods().len()), (0, 1));
    }
}

#[tokio::test]
async fn no_other_origin_hears_of_the_credential() {
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/files/1", other.local_addr().unwrap());
    let location: &'static str = format!("201 Created\r\nLocation: {url}\r\nContent-Length: 0").leak();
    let (_, upload, answer) = attempt(always("POST", move || Play::Say(location))).await;
    assert!(foreign(answer).contains("on another origin"));
    assert_eq!(upload.backend.abandon(&url).await, Answer::Results(Vec::new()));
    // Nor does one that a note names; the upload begins anew.
    let liar = Liar::start(|_| Play::Honest).await;
    let upload = Upload::new(&config(&liar.url()), SIZE);
    upload.set_note(&url);
    done(upload.attempt().await);
    let came = tokio::time::timeout(std::time::Duration::from_millis(50), other.accept()).await;
    assert!(came.is_err(), "nobody came");
}

#[tokio::test]
async fn a_refusal_of_the_file_is_told_as_it_came() {
    let (_, upload, answer) =
        attempt(always("POST", || Play::Say("413 Payload Too Large\r\nContent-Length: 7\r\n\r\ntoo big"))).await;
    assert!(matches!(answer, Answer::Status { code: 413, .. }), "{answer:?}");
    assert_eq!(upload.notes(), 0);
}

#[tokio::test]
async fn a_chunk_that_is_not_taken_as_it_should_be_is_never_done() {
    let said = [
        ("200 OK\r\nUpload-Offset: 65536\r\nContent-Length: 0", "status 200 with no more, where 204 was to come"),
        ("204 No Content", "no Upload-Offset"),
        ("204 No Content\r\nUpload-Offset: many", "that is no number"),
        ("204 No Content\r\nUpload-Offset: +65536", "that is no number"),
        ("204 No Content\r\nUpload-Offset: 18446744073709551616", "that is no number"),
        ("204 No Content\r\nUpload-Offset: 1\r\nUpload-Offset: 2", "two upload-offset that differ"),
        ("204 No Content\r\nUpload-Offset: 0", "an Upload-Offset of 0 where 65536 was to come"),
        ("204 No Content\r\nUpload-Offset: 9999999", "an Upload-Offset of 9999999 where 65536"),
        ("409 Conflict\r\nContent-Length: 0", "status 409"),
        ("460 Checksum Mismatch\r\nContent-Length: 0", "status 460, the chunk's checksum"),
        ("308 Permanent Redirect\r\nLocation: /x\r\nContent-Length: 0", "status 308"),
    ];
    for (text, words) in said {
        let (liar, _, answer) = attempt(always("PATCH", move || Play::Say(text))).await;
        let said = foreign(answer);
        assert!(said.contains(words), "{text:?}: {said}");
        assert!(liar.count("PATCH") <= 2 && liar.count("HEAD") == liar.count("PATCH"), "{:?}", liar.methods());
    }
}

#[tokio::test]
async fn what_comes_right_in_time_is_done() {
    let texts = [
        "200 OK\r\nContent-Length: 0",
        "409 Conflict\r\nContent-Length: 0",
        "423 Locked\r\nContent-Length: 0",
        "460 Checksum Mismatch\r\nContent-Length: 0",
    ];
    for text in texts {
        let (liar, _, answer) = attempt(once("PATCH", move || Play::Say(text))).await;
        done(answer);
        assert_eq!((liar.count("PATCH"), liar.count("HEAD")), (3, 1), "{text:?}");
    }
    // The server has the bytes and says otherwise: they are not sent again.
    let lie = || Play::KeepAndSay("204 No Content\r\nUpload-Offset: 0".to_owned());
    let (liar, _, answer) = attempt(once("PATCH", lie)).await;
    done(answer);
    assert_eq!(liar.state(|state| state.kept), SIZE);
}

#[tokio::test]
async fn another_status_ends_the_attempt_once_the_offset_is_known() {
    let script = |asked: &Asked| match (asked.method.as_str(), asked.nth) {
        ("PATCH", 1) => Play::Say("503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0"),
        _ => Play::Honest,
    };
    let (liar, _, answer) = attempt(script).await;
    let wait = std::time::Duration::from_secs(7);
    let Answer::Status { code: 503, retry_after, .. } = further(answer) else { panic!("no 503") };
    assert_eq!(retry_after, Some(wait));
    assert_eq!((liar.count("PATCH"), liar.count("HEAD")), (2, 1));
}

#[tokio::test]
async fn each_request_carries_the_credential() {
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("token"), "s3cret-s3cret\n").unwrap();
    let credential = Some(ferryd::model::Credential::File(folder.path().join("token")));
    let liar = Liar::start(|asked| match (asked.method.as_str(), asked.nth) {
        ("PATCH", 0) => Play::CutBody(10),
        _ => Play::Honest,
    })
    .await;
    let upload = Upload::new(&BackendConfig { credential, ..config(&liar.url()) }, SIZE);
    done(upload.attempt().await);
    assert!(liar.count("HEAD") == 1 && liar.count("OPTIONS") == 1);
    liar.state(|state| {
        let said = |asked: &Asked| asked.field("authorization") == Some("Bearer s3cret-s3cret");
        assert!(state.asked.iter().all(said), "{:?}", state.asked);
    });
}

#[tokio::test]
async fn a_lock_that_stays_is_an_outage_that_names_it() {
    let (liar, _, answer) = attempt(always("PATCH", || Play::Say("423 Locked\r\nContent-Length: 0"))).await;
    assert_eq!(unreachable(answer), "status 423, the upload is locked by another request");
    assert_eq!(liar.count("PATCH"), 2);
    let lock = |asked: &Asked| match (asked.method.as_str(), asked.nth) {
        ("PATCH", 1) => Play::CutBody(100),
        ("HEAD", _) => Play::Say("423 Locked"),
        _ => Play::Honest,
    };
    let (_, _, answer) = attempt(lock).await;
    assert!(unreachable(further(answer)).contains("locked"), "the request that died holds it");
}

#[tokio::test]
async fn an_upload_gone_in_the_middle_begins_anew_once() {
    let gone = "410 Gone\r\nContent-Length: 0";
    let middle = move |asked: &Asked| match (asked.method.as_str(), asked.nth) {
        ("PATCH", 1) | ("HEAD", 0) => Play::Say(gone),
        _ => Play::Honest,
    };
    let (liar, upload, answer) = attempt(middle).await;
    done(answer);
    assert_eq!((liar.count("POST"), upload.notes()), (2, 2));
    let always = move |asked: &Asked| match asked.method.as_str() {
        "PATCH" | "HEAD" => Play::Say(gone),
        _ => Play::Honest,
    };
    let (liar, _, answer) = attempt(always).await;
    assert!(unreachable(answer).contains("the server has lost the upload"));
    assert_eq!(liar.count("POST"), 2);
}

#[tokio::test]
async fn an_offset_out_of_bounds_or_going_back_is_foreign() {
    let script = |head: &'static str| {
        move |asked: &Asked| match (asked.method.as_str(), asked.nth) {
            ("PATCH", 1) => Play::CutBody(100),
            ("HEAD", _) => Play::Say(head),
            _ => Play::Honest,
        }
    };
    let (_, upload, answer) = attempt(script("200 OK\r\nUpload-Offset: 131073")).await;
    assert!(foreign(further(answer)).contains("beyond the file's end at 131072"));
    assert_eq!(upload.note().as_deref(), Some(""), "the next attempt begins anew");
    let (_, upload, answer) = attempt(script("200 OK\r\nUpload-Offset: 0\r\nUpload-Length: 5")).await;
    assert!(foreign(further(answer)).contains("the upload is of 5 bytes, the file of 131072"));
    assert_eq!(upload.note().as_deref(), Some(""));
    let (_, _, answer) = attempt(script("200 OK\r\nUpload-Offset: 1")).await;
    assert!(foreign(further(answer)).contains("an Upload-Offset of 1, back from 65536"));
    let (_, _, answer) = attempt(script("200 OK")).await;
    assert!(foreign(further(answer)).contains("no Upload-Offset"));
    let (_, _, answer) = attempt(script("401 Unauthorized")).await;
    assert!(matches!(further(answer), Answer::Status { code: 401, .. }));
}

#[tokio::test]
async fn a_chunk_is_vouched_for_where_the_server_asks_for_it() {
    for (algorithms, begins, length) in [("md5,sha1,sha256", "sha256 ", 7 + 44), ("md5,sha1", "sha1 ", 5 + 28)] {
        let offer =
            format!("204 No Content\r\nTus-Extension: creation,checksum\r\nTus-Checksum-Algorithm: {algorithms}");
        let offer: &'static str = offer.leak();
        let (liar, _, answer) = attempt(always("OPTIONS", move || Play::Say(offer))).await;
        done(answer);
        let sums: Vec<String> = liar.state(|state| {
            state.asked.iter().filter_map(|asked| asked.field("upload-checksum")).map(str::to_owned).collect()
        });
        assert_eq!(sums.len(), 2);
        assert!(sums.iter().all(|sum| sum.starts_with(begins) && sum.len() == length), "{sums:?}");
        assert_ne!(sums[0], sums[1]);
        if begins == "sha256 " {
            use base64::Engine;
            use sha2::Digest;
            let digest = sha2::Sha256::digest(&crate::setup::bytes(SIZE)[..CHUNK as usize]);
            assert_eq!(sums[0], format!("sha256 {}", base64::prelude::BASE64_STANDARD.encode(digest)));
        }
        assert_eq!(liar.count("OPTIONS"), 1);
    }
}

#[tokio::test]
async fn a_server_without_options_is_fine() {
    let (_, _, answer) = attempt(always("OPTIONS", || Play::CutAnswer(0))).await;
    done(answer);
    let (_, _, answer) = attempt(always("OPTIONS", || Play::Say("405 Method Not Allowed\r\nContent-Length: 0"))).await;
    done(answer);
}

#[tokio::test]
async fn the_metadata_leaves_out_what_the_app_did_not_say() {
    use ferryd::model::Payload;
    let liar = Liar::start(|_| Play::Honest).await;
    let config = BackendConfig { chunk: 0, ..config(&liar.url()) };
    let mut upload = Upload::new(&config, 3);
    if let Payload::File(info) = &mut upload.task.payload {
        (info.name, info.content_type, info.metadata) = Default::default();
    }
    done(upload.attempt().await);
    let said = liar.state(|state| state.asked[0].field("upload-metadata").unwrap().to_owned());
    let keys: Vec<&str> = said.split(',').filter_map(|pair| pair.split(' ').next()).collect();
    assert_eq!(keys, ["task", "sha256", "strategy", "device"]);
}
