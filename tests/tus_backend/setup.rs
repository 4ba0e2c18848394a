//! A backend, a file in a spool, what an attempt kept and reported.

use std::path::Path;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use ferryd::backend::{Backend, Cue, Hands, Keep, Request};
use ferryd::http::Addresses;
use ferryd::model::{
    Answer, BackendConfig, BackendKind, BackendName, Claimed, FileInfo, ItemOutcome, Owner, Payload, Quality,
    StrategyName, TaskId, TaskResult, Transfer, WallTime,
};
use tempfile::TempDir;
use tokio::sync::watch;

/// Long enough for a busy machine, short enough for a test that hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const CHUNK: u64 = 64 * 1024;

/// One file under way.
pub(crate) struct Upload {
    pub(crate) backend: Backend,
    pub(crate) spool: TempDir,
    pub(crate) task: Claimed,
    pub(crate) bytes: Vec<u8>,
    pub(crate) cue: watch::Sender<Cue>,
    notes: Mutex<Vec<String>>,
    reports: Mutex<Vec<Transfer>>,
}

pub(crate) fn config(url: &str) -> BackendConfig {
    BackendConfig {
        connect_timeout: PATIENCE,
        read_timeout: PATIENCE,
        request_timeout: PATIENCE,
        chunk: CHUNK,
        ..BackendConfig::new(BackendKind::Tus, url)
    }
}

pub(crate) fn backend(config: &BackendConfig) -> Backend {
    Backend::new(BackendName::new("photos").unwrap(), config, None, &Addresses::new()).unwrap()
}

/// Bytes that differ from place to place.
pub(crate) fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

impl Upload {
    pub(crate) fn new(config: &BackendConfig, size: usize) -> Self {
        let (spool, bytes) = (TempDir::new().unwrap(), bytes(size));
        let info = FileInfo {
            name: "größe 1.jpg".to_owned(),
            content_type: "image/jpeg".to_owned(),
            metadata: r#"{"album":7}"#.to_owned(),
            quality: Quality::Original,
            ..FileInfo::new(size as u64, [0xab; 32])
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
        Self { backend: backend(config), spool, task, bytes, cue: watch::Sender::new(Cue::GO), notes, reports }
    }

    /// One attempt, with what the last one kept.
    pub(crate) async fn attempt(&self) -> Answer {
        let strategy = StrategyName::new("photos").unwrap();
        let tasks = [Claimed { note: self.note(), ..self.task.clone() }];
        // Chunks as large as config lets them be.
        let upload = ferryd::model::Upload { chunk: u64::MAX, ..Default::default() };
        let spool = self.spool.path();
        let request = Request { device: "kiosk-7", strategy: &strategy, tasks: &tasks, spool, upload };
        let report = |transfer| self.reports.lock().unwrap().push(transfer);
        let hands = Hands { keep: self, report: &report, cue: self.cue.subscribe(), meter: None };
        tokio::time::timeout(PATIENCE, self.backend.attempt(request, hands)).await.expect("an attempt ends")
    }

    pub(crate) fn note(&self) -> Option<String> {
        self.notes.lock().unwrap().last().cloned()
    }

    /// The URL that was kept: a note also says how far the upload was.
    pub(crate) fn url(&self) -> Option<String> {
        Some(self.note()?.split(' ').next()?.to_owned())
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

    pub(crate) fn file(&self) -> std::path::PathBuf {
        Path::new(self.spool.path()).join(self.task.id.to_string())
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

/// Why an attempt was refused for good.
pub(crate) fn rejected(answer: Answer) -> String {
    match answer {
        Answer::Results(mut results) => match results.pop().map(|result| result.outcome) {
            Some(ItemOutcome::Rejected { reason }) => reason,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
