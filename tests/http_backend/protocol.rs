//! `docs/http-backend.md` holds: its examples are what is sent and what is understood, and a server that was written by
//! it alone, in another language, gets along with the backend.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ferryd::demo::{Behaviour, Fault};
use ferryd::model::{
    Answer, AnswerMode, BackendConfig, Claimed, Credential, ItemOutcome, TaskId, TaskResult, WallTime,
};
use serde_json::Value;

use crate::setup::{attempt, backend, config, config_for, serve, task, tasks};

const PAGE: &str = include_str!("../../docs/http-backend.md");

/// The page's examples by name: first line, header fields, body.
fn examples() -> BTreeMap<&'static str, Example> {
    let marked = PAGE.split("<!-- example: ").skip(1).map(|part| {
        let (name, rest) = part.split_once(" -->\n```http\n").unwrap();
        let (text, _) = rest.split_once("\n```").unwrap();
        (name, Example::read(text))
    });
    let examples: BTreeMap<_, _> = marked.collect();
    assert_eq!(PAGE.matches("```http").count(), examples.len(), "each example has a name of its own");
    examples
}

struct Example {
    first: &'static str,
    fields: Vec<(String, String)>,
    body: &'static str,
}

impl Example {
    fn read(text: &'static str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap_or((text.trim_end(), ""));
        let (first, fields) = head.split_once('\n').unwrap();
        let fields = fields.lines().map(|line| line.split_once(": ").unwrap());
        Self { first, fields: fields.map(|(name, value)| (name.into(), value.into())).collect(), body }
    }

    fn status(&self) -> u16 {
        self.first.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// As the server's behaviour.
    fn fault(&self) -> Behaviour {
        let kept = self.fields.iter().filter(|(name, _)| name != "Content-Length");
        let headers = kept.cloned().collect();
        Behaviour::fault(Fault::Answer { status: self.status(), headers, body: self.body.as_bytes().to_vec() })
    }

    /// The tasks whose request this is.
    fn tasks(&self) -> Vec<Claimed> {
        let body: Value = serde_json::from_str(self.body).unwrap();
        let claimed = |item: &Value| Claimed {
            id: TaskId::parse(item["id"].as_str().unwrap()).unwrap(),
            created: WallTime::from_micros(item["created"].as_u64().unwrap()),
            attempts: u32::try_from(item["attempt"].as_u64().unwrap()).unwrap() - 1,
            ..task(&item["payload"].to_string())
        };
        body["items"].as_array().unwrap().iter().map(claimed).collect()
    }

    /// Whether the server's log shows this request: its line, each field, and no field that it lacks.
    fn assert_came(&self, head: &ferryd::demo::Head) {
        assert_eq!(format!("{} {} HTTP/1.1", head.method, head.target), self.first);
        for (name, value) in self.fields.iter().filter(|(name, _)| name != "Host") {
            assert_eq!(head.headers.get(&name.to_lowercase()), Some(value), "{name}");
        }
        for name in ["authorization", "idempotency-key", "content-encoding"] {
            let documented = self.fields.iter().any(|(field, _)| field.to_lowercase() == name);
            assert_eq!(head.headers.contains_key(name), documented, "{name}");
        }
    }
}

#[tokio::test]
async fn requests_are_as_documented() {
    let examples = examples();
    let server = serve(Behaviour::honest());
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "mF_9.B5f-4.1JqM\n").unwrap();
    for (name, credential) in [("batch", Some(Credential::File(token))), ("lone", None)] {
        let example = &examples[name];
        let config = BackendConfig { credential, ..config_for(&server) };
        attempt(&backend(&config), &example.tasks()).await;
        example.assert_came(&server.log(|log| log.heads().next_back().cloned()).unwrap());
    }
    let documented: Value = serde_json::from_str(examples["batch"].body).unwrap();
    let received = server.received();
    assert_eq!(documented["items"].as_array().unwrap().len(), received.len());
    for (item, got) in documented["items"].as_array().unwrap().iter().zip(&received) {
        assert_eq!(item["id"], got.id.as_str());
        assert_eq!(item["created"], got.created);
        assert_eq!(item["payload"], serde_json::from_str::<Value>(&got.payload).unwrap());
        assert_eq!(documented["device"], got.device.as_str());
        assert_eq!(documented["strategy"], got.strategy.as_str());
    }
    assert_eq!(received[2].attempt, 3);
}

#[tokio::test]
async fn answers_are_understood_as_documented() {
    let examples = examples();
    let server = serve(examples["results"].fault());
    let backend = backend(&config_for(&server));
    let Answer::Results(results) = attempt(&backend, &examples["batch"].tasks()).await else { panic!() };
    let outcomes: Vec<_> = results.into_iter().map(|result| result.outcome).collect();
    let after = Some(Duration::from_secs(30));
    assert_eq!(
        outcomes,
        [
            ItemOutcome::Ok(TaskResult { status: 200, ..TaskResult::default() }),
            ItemOutcome::Duplicate,
            ItemOutcome::Retry { after, reason: "that door is locked by an import".into() },
            ItemOutcome::Rejected { reason: "a price is not negative".into() },
            ItemOutcome::Conflict { reason: "version 7 is here already".into() },
        ]
    );

    server.behave(examples["unavailable"].fault());
    let words = "maintenance until 09:48".to_owned();
    let retry_after = Some(Duration::from_secs(120));
    assert_eq!(attempt(&backend, &tasks(1)).await, Answer::Status { code: 503, words, retry_after });

    server.behave(examples["unauthorized"].fault());
    let words = examples["unauthorized"].body.to_owned();
    assert_eq!(attempt(&backend, &tasks(1)).await, Answer::Status { code: 401, words, retry_after: None });

    server.behave(Behaviour::honest());
    server.behave_once(examples["moved"].fault());
    assert!(matches!(attempt(&backend, &tasks(1)).await, Answer::Results(_)));
    assert_eq!(server.log(|log| log.heads().next_back().map(|head| head.target.clone())).unwrap(), "/v2/sync");

    server.behave_once(examples["no-gzip"].fault());
    let large = [task(&format!("\"{}\"", "x".repeat(2000)))];
    assert!(matches!(attempt(&backend, &large).await, Answer::Results(_)));
    assert!(matches!(attempt(&backend, &large).await, Answer::Results(_)));
    let codings = server.log(|log| log.heads().filter(|head| head.headers.contains_key("content-encoding")).count());
    assert_eq!(codings, 1);
}

#[tokio::test]
async fn a_bare_payload_is_as_documented() {
    let examples = examples();
    let (request, answer) = (&examples["bare"], &examples["created"]);
    let server = serve(answer.fault());
    let config = BackendConfig {
        url: format!("http://{}/readings", server.address()),
        answer: AnswerMode::Status,
        ..config_for(&server)
    };
    let id = &request.fields.iter().find(|(name, _)| name == "Idempotency-Key").unwrap().1;
    let task = Claimed { id: TaskId::parse(id).unwrap(), ..task(request.body) };
    let Answer::Results(results) = attempt(&backend(&config), &[task]).await else { panic!() };
    request.assert_came(&server.log(|log| log.heads().next().cloned()).unwrap());
    assert_eq!(server.received()[0].payload, request.body);
    let result = TaskResult { status: answer.status(), duplicate: false, body: answer.body.into(), upload: None };
    assert_eq!(results[0].outcome, ItemOutcome::Ok(result));
}

/// `tests/servers/items.py`, running.
struct Python {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: String,
}

impl Python {
    fn start(token: &str) -> Self {
        let mut child = Command::new("python3")
            .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/items.py"), token])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed for this test");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        Self { child, lines, port }
    }

    fn config(&self, path: &str, token: &std::path::Path) -> BackendConfig {
        let credential = Some(Credential::File(token.to_owned()));
        BackendConfig { credential, ..config(&format!("http://127.0.0.1:{}{path}", self.port)) }
    }

    /// What it says of the next request.
    fn said(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn outcomes(answer: Answer) -> Vec<ItemOutcome> {
    let Answer::Results(results) = answer else { panic!("{answer:?}") };
    results.into_iter().map(|result| result.outcome).collect()
}

#[tokio::test]
async fn a_server_that_is_not_ours_gets_along() {
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    std::fs::write(&token, "open sesame").unwrap();
    let mut python = Python::start("open sesame");
    let ok = ItemOutcome::Ok(TaskResult { status: 200, ..TaskResult::default() });

    let sync = backend(&python.config("/sync", &token));
    let mut batch = vec![task(r#"{"n":1}"#), task("2"), task(r#"{"busy":true}"#), task(r#"{"text":"größe \u0000"}"#)];
    let rejected = ItemOutcome::Rejected { reason: "an object is wanted".into() };
    let later = ItemOutcome::Retry { after: Some(Duration::from_millis(1500)), reason: String::new() };
    assert_eq!(outcomes(attempt(&sync, &batch).await), [ok.clone(), rejected.clone(), later, ok.clone()]);
    python.said();
    batch[2].attempts = 1;
    let again = outcomes(attempt(&sync, &batch).await);
    assert_eq!(again, [ItemOutcome::Duplicate, rejected, ok.clone(), ItemOutcome::Duplicate]);
    let stored = &python.said()["stored"];
    for (index, task) in batch.iter().enumerate().filter(|(index, _)| *index != 1) {
        let payload: Value = serde_json::from_str(task.payload.json()).unwrap();
        assert_eq!(stored[task.id.to_string()], payload, "{index}");
    }

    let many: Vec<Claimed> = (0..100).map(|n| task(&format!(r#"{{"n":{n}}}"#))).collect();
    assert_eq!(outcomes(attempt(&sync, &many).await), vec![ok.clone(); 100]);
    assert_eq!(python.said()["coding"], "gzip");

    let moved = backend(&python.config("/moved", &token));
    assert_eq!(outcomes(attempt(&moved, &tasks(2)).await), [ok.clone(), ok]);
    assert_eq!((&python.said()["path"], &python.said()["path"]), (&"/moved".into(), &"/sync".into()));

    let nowhere = backend(&python.config("/nowhere", &token));
    assert!(matches!(attempt(&nowhere, &tasks(1)).await, Answer::Status { code: 404, .. }));
    python.said();

    let bare = backend(&BackendConfig { answer: AnswerMode::Status, ..python.config("/readings", &token) });
    let reading = task(r#"{"door":3}"#);
    for _ in 0..2 {
        let Answer::Results(results) = attempt(&bare, std::slice::from_ref(&reading)).await else { panic!() };
        assert!(matches!(&results[0].outcome, ItemOutcome::Ok(result) if result.status == 201));
    }
    python.said();
    let said = python.said();
    assert_eq!(said["stored"][reading.id.to_string()], serde_json::json!({ "door": 3 }));
    assert_eq!(said["stored"].as_object().unwrap().len(), 3 + 100 + 2 + 1, "nothing twice");

    std::fs::write(&token, "friend").unwrap();
    assert!(matches!(attempt(&sync, &tasks(1)).await, Answer::Status { code: 401, .. }));
}
