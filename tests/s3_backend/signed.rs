//! An app's server signs, by another program than ours (boto3): no key is on the device.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use ferryd::model::{Answer, BackendConfig, Credential};
use tempfile::TempDir;

use crate::relay::{Play, Relay, said};
use crate::setup::{PATIENCE, SIZE, Upload, done};
use crate::stand::{BUCKET, ID, SECRET, Stand};

const TOKEN: &str = "let-me-in";

struct Signing {
    process: Child,
    port: u16,
    said: mpsc::Receiver<String>,
    folder: TempDir,
}

impl Signing {
    /// For the store at this URL.
    fn start(store: &str) -> Self {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/moto");
        let mut command = Command::new(here.join("venv/bin/python3"));
        command.arg(here.join("sign.py")).args([store, BUCKET, ID, SECRET, TOKEN]);
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("tests/all.sh installs it");
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (tell, said) = mpsc::channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let port = said.recv_timeout(PATIENCE).expect("it says its port").parse().unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("token"), TOKEN).unwrap();
        Self { process, port, said, folder }
    }

    fn config(&self, config: &mut BackendConfig) {
        config.store.sign_url = Some(format!("http://127.0.0.1:{}/sign", self.port));
        config.store.bucket = String::new();
        config.credential = Some(Credential::File(self.folder.path().join("token")));
    }

    fn actions(&self) -> Vec<String> {
        self.said.try_iter().collect()
    }
}

impl Drop for Signing {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

#[tokio::test]
async fn files_go_up_by_urls_that_an_apps_server_signs() {
    let stands = [Some(Stand::moto()), Stand::s3s()];
    for stand in stands.iter().flatten() {
        let relay = Relay::to(stand.address, |asked| match (asked.action, asked.nth) {
            ("part", 1 | 2) => Play::CutBody(1_000),
            _ => Play::Pass,
        });
        let signing = Signing::start(&relay.url());
        for size in [1_000, SIZE] {
            let mut upload = Upload::with(&relay.url(), size, |config| signing.config(config));
            if size == SIZE {
                let answer = upload.attempt().await;
                assert!(matches!(answer, Answer::Advanced(_)), "{answer:?}");
                upload.restart();
            }
            let uploaded = done(upload.attempt().await).upload.unwrap();
            let key = format!("in/{}", upload.task.id);
            assert_eq!(uploaded.url, format!("{}/{BUCKET}/{key}", relay.url()));
            assert!(stand.object(&key).as_ref() == Some(&upload.bytes), "other bytes");
            let ended = upload.backend.abandon(upload.note().as_deref().unwrap_or("")).await;
            // s3s-fs says 403 of an upload that it has not any more.
            assert!(matches!(ended, Answer::Results(_) | Answer::Status { code: 403, .. }), "{ended:?}");
        }
        assert!(
            relay.asked().iter().all(|asked| asked.field("authorization").is_none()),
            "the token is the app's alone"
        );
        assert!(relay.asked().iter().all(|asked| !asked.query.contains(TOKEN)));
        let actions = signing.actions();
        assert_eq!(actions.iter().filter(|action| *action == "create").count(), 1, "{actions:?}");
        assert!(!actions.iter().any(|action| action == "uploads"), "{actions:?}");
    }
}

#[tokio::test]
async fn a_server_that_signs_may_lead_nowhere_else_and_say_no() {
    let moto = Stand::moto();
    for (answer, expected) in [
        (said("200 OK", "", r#"{"url":"http://elsewhere.example/photos/a"}"#), "origin"),
        (
            said("200 OK", "", &format!(r#"{{"url":"{}/photos/a","headers":{{"Host":"x"}}}}"#, moto.url())),
            "may not ask for",
        ),
        (said("200 OK", "", r#"{"href":7"#), "not the documented body"),
        (said("200 OK", "Content-Type: text/html\r\n", "<html>"), "HTML"),
    ] {
        let signing = Relay::to(moto.address, move |_| Play::Say(answer.clone()));
        let upload = Upload::with(&moto.url(), 1_000, |config| config.store.sign_url = Some(signing.url()));
        std::fs::write(upload.credential(), TOKEN).unwrap();
        let answer = upload.attempt().await;
        assert!(matches!(&answer, Answer::Foreign { words } if words.contains(expected)), "{answer:?}");
    }
    for status in [401, 503] {
        let signing = Relay::to(moto.address, move |_| Play::Say(said(&format!("{status} No"), "", "no")));
        let upload = Upload::with(&moto.url(), 1_000, |config| config.store.sign_url = Some(signing.url()));
        std::fs::write(upload.credential(), TOKEN).unwrap();
        let answer = upload.attempt().await;
        assert!(matches!(&answer, Answer::Status { code, .. } if *code == status), "{answer:?}");
    }
    let signing = Relay::to(moto.address, |_| Play::Say(said("200 OK", "", r#"{"url":null}"#)));
    let upload = Upload::with(&moto.url(), 1_000, |config| config.store.sign_url = Some(signing.url()));
    std::fs::write(upload.credential(), TOKEN).unwrap();
    let answer = upload.attempt().await;
    assert!(matches!(&answer, Answer::Status { code: 501, .. }), "{answer:?}");
}
