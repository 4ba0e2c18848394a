//! The `http` backend; its protocol is written down in `docs/http-backend.md`.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::Request;
use super::compression::Compression;
use super::reading::{LONGEST_WAIT, is_html, retry_after, unanswered};
use crate::http::{Addresses, Call, Client, ClientError, Meter, Reply, SendError, plain};
use crate::model::{Answer, AnswerMode, BackendConfig, Claimed, ItemOutcome, ItemResult, TaskId, TaskResult};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A JSON endpoint.
#[derive(Debug)]
pub(super) struct HttpBackend {
    client: Client,
    mode: AnswerMode,
    compression: Compression,
}

impl HttpBackend {
    pub(super) fn new(
        config: &BackendConfig,
        credentials_directory: Option<&Path>,
        addresses: &Addresses,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            client: Client::new(config, credentials_directory, addresses)?,
            mode: config.answer,
            compression: Compression::new(config.gzip),
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn attempt(&self, request: Request<'_>, meter: Option<Meter>) -> Answer {
        let client = self.client.metered(meter);
        debug_assert!(!request.tasks.is_empty(), "an attempt has tasks");
        debug_assert!(self.mode == AnswerMode::Items || request.tasks.len() == 1, "one task a request");
        let body = match (self.mode, request.tasks) {
            (AnswerMode::Status, [task]) => task.payload.json().as_bytes().to_vec(),
            (AnswerMode::Status | AnswerMode::Items, _) => envelope(request),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let [task] = request.tasks
            && let Ok(key) = HeaderValue::try_from(task.id.to_string())
        {
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        match self.exchange(&client, headers, body).await {
            Ok(reply) => self.read(&reply, request.tasks),
            Err(error) => unanswered(error),
        }
    }

    /// Sends the body, gzipped where the server takes that; a refusal that gzip may be to blame for is asked again
    /// without.
    async fn exchange(&self, client: &Client, headers: HeaderMap, body: Vec<u8>) -> Result<Reply, SendError> {
        let Some(packed) = self.compression.pack(&body) else {
            let reply = post(client, headers, body).await?;
            self.compression.heed(&reply);
            return Ok(reply);
        };
        let mut marked = headers.clone();
        marked.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let reply = post(client, marked, packed).await?;
        if !self.compression.is_suspect(&reply) {
            self.compression.learn(&reply);
            return Ok(reply);
        }
        let again = post(client, headers, body).await?;
        self.compression.compare(reply.status, &again);
        Ok(again)
    }

    fn read(&self, reply: &Reply, tasks: &[Claimed]) -> Answer {
        let text = String::from_utf8_lossy(&reply.body);
        if !reply.is_success() {
            return Answer::Status { code: reply.status, words: plain(text.trim()), retry_after: retry_after(reply) };
        }
        if is_html(reply.header("content-type"), &text) {
            return foreign(reply, "an HTML page, as a captive portal or a proxy gives");
        }
        match (self.mode, tasks) {
            (AnswerMode::Status, [task]) => {
                let result = TaskResult { status: reply.status, duplicate: false, body: plain(&text), upload: None };
                Answer::Results(vec![ItemResult { id: task.id, outcome: ItemOutcome::Ok(result) }])
            }
            (AnswerMode::Status | AnswerMode::Items, _) if !reply.whole => {
                Answer::Unreachable { words: format!("{}: an answer over 1 MiB", self.client.origin()) }
            }
            (AnswerMode::Status | AnswerMode::Items, tasks) => match results(reply, tasks) {
                Ok(results) => Answer::Results(results),
                Err(words) => foreign(reply, &words),
            },
        }
    }
}

async fn post(client: &Client, headers: HeaderMap, body: Vec<u8>) -> Result<Reply, SendError> {
    client.send(Call { method: Method::POST, headers, body }).await
}

/// The request's body. Payloads are JSON text already and go in as they are.
fn envelope(request: Request<'_>) -> Vec<u8> {
    let payloads: usize = request.tasks.iter().map(|task| task.payload.json().len() + 128).sum();
    let mut body = String::with_capacity(payloads + 128);
    body.push_str("{\"device\":");
    body.push_str(&serde_json::Value::from(request.device).to_string());
    body.push_str(",\"strategy\":\"");
    body.push_str(request.strategy.as_str());
    body.push_str("\",\"items\":[");
    for (index, task) in request.tasks.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (id, created, attempt) = (task.id, task.created.as_micros(), task.attempts.saturating_add(1));
        body.push_str(&format!("{comma}{{\"id\":\"{id}\",\"created\":{created},\"attempt\":{attempt},\"payload\":"));
        body.push_str(task.payload.json());
        body.push('}');
    }
    body.push_str("]}");
    body.into_bytes()
}

/// The documented answer; fields it does not know are a later version's.
#[derive(Deserialize)]
struct Results {
    results: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    outcome: Word,
    after: Option<f64>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Ok,
    Duplicate,
    Retry,
    Rejected,
    Conflict,
}

/// One result for each task, in the order of the tasks; the error says what is not as documented.
fn results(reply: &Reply, tasks: &[Claimed]) -> Result<Vec<ItemResult>, String> {
    let answer: Results =
        serde_json::from_slice(&reply.body).map_err(|error| format!("not the documented body: {error}"))?;
    let mut rows: HashMap<TaskId, Row> = HashMap::with_capacity(tasks.len());
    for row in answer.results {
        let id = TaskId::parse(&row.id).map_err(|error| format!("a result's {error}"))?;
        if rows.insert(id, row).is_some() {
            return Err(format!("two results for {id}"));
        }
    }
    let mut results = Vec::with_capacity(tasks.len());
    for task in tasks {
        let row = rows.remove(&task.id).ok_or_else(|| format!("no result for {}", task.id))?;
        results.push(ItemResult { id: task.id, outcome: outcome(row, reply.status) });
    }
    match rows.into_keys().min() {
        Some(id) => Err(format!("a result for {id}, which was not sent")),
        None => Ok(results),
    }
}

fn outcome(row: Row, status: u16) -> ItemOutcome {
    let reason = plain(row.reason.as_deref().unwrap_or_default());
    match row.outcome {
        Word::Ok => ItemOutcome::Ok(TaskResult { status, duplicate: false, body: String::new(), upload: None }),
        Word::Duplicate => ItemOutcome::Duplicate,
        Word::Retry => ItemOutcome::Retry { after: row.after.map(bounded), reason },
        Word::Rejected => ItemOutcome::Rejected { reason },
        Word::Conflict => ItemOutcome::Conflict { reason },
    }
}

/// Seconds as a server writes them: a past wait is none, one over a day is a day.
fn bounded(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.clamp(0.0, LONGEST_WAIT.as_secs_f64())).unwrap_or_default()
}

fn foreign(reply: &Reply, what: &str) -> Answer {
    Answer::Foreign { words: plain(&format!("status {} with {what}", reply.status)) }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::tests::{URL, assert_sensible, config, tasks};
    use super::*;
    use crate::fuzz::fuzz;
    use crate::model::BackendKind;

    fn backend(answer: AnswerMode) -> HttpBackend {
        let config = BackendConfig { answer, ..config(BackendKind::Http, URL) };
        HttpBackend::new(&config, None, &Addresses::new()).expect("a backend")
    }

    /// What is documented, said in another way: a result for each task and for no other.
    fn is_documented(body: &[u8], tasks: &[Claimed]) -> bool {
        let Ok(body) = serde_json::from_slice::<Value>(body) else { return true };
        let Some(results) = body["results"].as_array() else { return false };
        let about = |task: &Claimed| {
            let id = |result: &&Value| result["id"].as_str().is_some_and(|id| TaskId::parse(id) == Ok(task.id));
            results.iter().filter(id).count() == 1
        };
        results.len() == tasks.len() && tasks.iter().all(about)
    }

    #[test]
    fn any_answer_is_read_and_only_the_documented_one_ends_tasks() {
        let (items, status) = (backend(AnswerMode::Items), backend(AnswerMode::Status));
        fuzz!("items", |input: &[u8]| {
            let Ok(reply) = Reply::written(URL, input) else { return };
            let all = tasks(2);
            let answer = items.read(&reply, &all);
            assert_sensible(&answer, &all);
            if matches!(answer, Answer::Results(_)) {
                assert!(reply.is_success() && reply.whole && is_documented(&reply.body, &all));
            }
            let answer = status.read(&reply, &all[..1]);
            assert_sensible(&answer, &all[..1]);
            assert_eq!(matches!(answer, Answer::Status { .. }), !reply.is_success());
            items.compression.learn(&reply);
        });
    }
}
