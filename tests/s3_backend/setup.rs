//! A backend, a file in a spool, what an attempt kept and reported.

use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use ferryd::backend::{Backend, Cue, Hands, Keep, Request};
use ferryd::http::Addresses;
use ferryd::model::{
    Answer, BackendConfig, BackendKind, BackendName, Claimed, Credential, FileInfo, ItemOutcome, ObjectStore, Owner,
    Payload, Quality, StrategyName, TaskId, TaskResult, Transfer, WallTime,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::sync::watch;

use crate::stand::{BUCKET, ID, SECRET};

/// Long enough for a busy machine, short enough for a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The least that S3 allows.
pub(crate) const PART: u64 = 5 << 20;

/// Some parts, the last of which is not full.
pub(crate) const SIZE: usize = 2 * PART as usize + 1_000;

/// One file under way.
pub(crate) struct Upload {
    pub(crate) backend: Backend,
    pub(crate) task: Claimed,
    pub(crate) bytes: Vec<u8>,
    pub(crate) cue: watch::Sender<Cue>,
    config: BackendConfig,
    spool: TempDir,
    notes: Mutex<Vec<String>>,
    reports: Mutex<Vec<Transfer>>,
}

pub(crate) fn config(url: &str, keys: &TempDir) -> BackendConfig {
    let file = keys.path().join("keys");
    std::fs::write(&file, format!("[default]\naws_access_key_id = {ID}\naws_secret_access_key = {SECRET}\n")).unwrap();
    BackendConfig {
        credential: Some(Credential::File(file)),
        connect_timeout: PATIENCE,
        read_timeout: PATIENCE,
        request_timeout: PATIENCE,
        chunk: 1 << 20,
        store: ObjectStore { bucket: BUCKET.to_owned(), part_size: PART, ..ObjectStore::default() },
        ..BackendConfig::new(BackendKind::S3, url)
    }
}

fn backend(config: &BackendConfig) -> Backend {
    Backend::new(BackendName::new("photos").unwrap(), config, None, &Addresses::new()).unwrap()
}

/// Bytes that differ from place to place.
fn bytes(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    fastrand::Rng::with_seed(size as u64).fill(&mut bytes);
    bytes
}

impl Upload {
    pub(crate) fn new(url: &str, size: usize) -> Self {
        Self::with(url, size, |_| {})
    }

    pub(crate) fn with(url: &str, size: usize, change: impl FnOnce(&mut BackendConfig)) -> Self {
        let (spool, bytes) = (TempDir::new().unwrap(), bytes(size));
        let mut config = config(url, &spool);
        change(&mut config);
        let info = FileInfo {
            name: "größe 1.jpg".to_owned(),
            content_type: "image/jpeg".to_owned(),
            metadata: r#"{"album":7}"#.to_owned(),
            quality: Quality::Original,
            ..FileInfo::new(size as u64, Sha256::digest(&bytes).into())
        };
        let task = Claimed {
            id: TaskId::mint(),
            owner: Owner(1000),
            payload: Payload::File(Box::new(info)),
            created: WallTime::from_micros(1_700_000_000_000_000),
            attempts: 0,
            note: None,
        };
        std::fs::write(spool.path().join(task.id.to_string()), &bytes).unwrap();
        let (notes, reports) = (Mutex::default(), Mutex::default());
        let backend = backend(&config);
        Self { backend, task, bytes, cue: watch::Sender::new(Cue::GO), config, spool, notes, reports }
    }

    pub(crate) fn key(&self) -> String {
        format!("kiosk-7/{}/gr__e_1.jpg", self.task.id)
    }

    /// One attempt, with what the last one kept.
    pub(crate) async fn attempt(&self) -> Answer {
        let strategy = StrategyName::new("photos").unwrap();
        let tasks = [Claimed { note: self.note(), ..self.task.clone() }];
        let upload = ferryd::model::Upload::default();
        let request =
            Request { device: "kiosk-7", strategy: &strategy, tasks: &tasks, spool: self.spool.path(), upload };
        let report = |transfer| self.reports.lock().unwrap().push(transfer);
        let hands = Hands { keep: self, report: &report, cue: self.cue.subscribe(), meter: None };
        tokio::time::timeout(PATIENCE, self.backend.attempt(request, hands)).await.expect("an attempt ends")
    }

    /// The file of its credential.
    pub(crate) fn credential(&self) -> std::path::PathBuf {
        self.spool.path().join("keys")
    }

    /// The daemon died and was started again.
    pub(crate) fn restart(&mut self) {
        self.backend = backend(&self.config);
    }

    pub(crate) fn note(&self) -> Option<String> {
        self.notes.lock().unwrap().last().cloned()
    }

    pub(crate) fn set_note(&self, note: &str) {
        self.notes.lock().unwrap().push(note.to_owned());
    }

    pub(crate) fn notes(&self) -> usize {
        self.notes.lock().unwrap().len()
    }

    pub(crate) fn reports(&self) -> Vec<Transfer> {
        self.reports.lock().unwrap().clone()
    }
}

impl Keep for Upload {
    fn keep(&self, task: TaskId, note: String) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        assert_eq!(task, self.task.id);
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.set_note(&note);
            Ok(())
        })
    }
}

/// What an attempt says that is done.
pub(crate) fn done(answer: Answer) -> TaskResult {
    match answer {
        Answer::Results(mut results) => match results.pop().map(|result| result.outcome) {
            Some(ItemOutcome::Ok(result)) => result,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
