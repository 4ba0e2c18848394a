//! Floor 2: a server-side system. One attempt, one [`Answer`]: facts only. It never sleeps, never retries, and must not
//! know what an answer means for a task: that is `schedule::outcome`.

mod compression;
mod file;
mod http;
mod measure;
mod reading;
mod s3;
#[cfg(test)]
mod tests;
mod tus;

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;

use self::http::HttpBackend;
use self::s3::S3Backend;
use self::tus::TusBackend;
use crate::http::{Addresses, Client, ClientError, Gauge, Meter};
use crate::model::{
    Answer, AtChunk, BackendConfig, BackendKind, BackendName, Claimed, Cut, StrategyName, TaskId, Transfer, Upload,
};

/// What an attempt sends.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// How servers know this device.
    pub device: &'a str,
    /// The policy of the tasks.
    pub strategy: &'a StrategyName,
    /// The tasks, in order; one only for a backend whose status is the outcome, and for files.
    pub tasks: &'a [Claimed],
    /// The folder where files lie, each named by its task's id.
    pub spool: &'a Path,
    /// How a file goes.
    pub upload: Upload,
}

/// What an attempt may ask of the daemon while it runs.
pub struct Hands<'a> {
    /// Remembers.
    pub keep: &'a dyn Keep,
    /// Hears how far a file has come; to be told at most twice a second, and of the last of it.
    pub report: &'a (dyn Fn(Transfer) + Send + Sync),
    /// What the attempt should heed.
    pub cue: watch::Receiver<Cue>,
    /// What counts and paces its bytes.
    pub meter: Option<Meter>,
}

/// Durable memory of one attempt's tasks.
pub trait Keep: Send + Sync {
    /// Resolves when the note is on disk in place of an earlier one. The next attempt gets it with the task. A note in
    /// place of another says that the task has come further: earlier starts that found it running do not count any more.
    fn keep(&self, task: TaskId, note: String) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>>;
}

/// What the loop tells a running attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cue {
    /// Whether a new chunk may begin: not while something more urgent runs, nor while the link is away, nor when a
    /// condition has gone missing.
    pub at_chunk: AtChunk,
    /// How often the link has come back since the attempt started: what is on its way may be lost.
    pub link_ups: u64,
}

impl Cue {
    /// Nothing is in the way.
    pub const GO: Self = Self { at_chunk: AtChunk::GoOn, link_ups: 0 };
}

/// A backend cannot be made from its config.
#[derive(Debug, thiserror::Error)]
#[error("backend.{name}: {error}")]
pub struct BackendError {
    /// Which.
    pub name: BackendName,
    /// Why.
    #[source]
    pub error: ClientError,
}

/// A backend that config names.
#[derive(Debug)]
pub struct Backend {
    name: BackendName,
    kind: Kind,
    /// Where something may be sent to see how fast it goes.
    measure_url: Option<String>,
}

#[derive(Debug)]
enum Kind {
    Http(Box<HttpBackend>),
    Tus(Box<TusBackend>),
    S3(Box<S3Backend>),
}

impl Backend {
    /// The backend of this config. `credentials_directory` is systemd's `$CREDENTIALS_DIRECTORY`.
    pub fn new(
        name: BackendName,
        config: &BackendConfig,
        credentials_directory: Option<&Path>,
        addresses: &Addresses,
    ) -> Result<Self, BackendError> {
        let made = match config.kind {
            BackendKind::Http => {
                HttpBackend::new(config, credentials_directory, addresses).map(|http| Kind::Http(Box::new(http)))
            }
            BackendKind::Tus => {
                TusBackend::new(config, credentials_directory, addresses).map(|tus| Kind::Tus(Box::new(tus)))
            }
            BackendKind::S3 => {
                S3Backend::new(config, credentials_directory, addresses).map(|s3| Kind::S3(Box::new(s3)))
            }
        };
        match made {
            Ok(kind) => Ok(Self { name, kind, measure_url: config.measure_url.clone() }),
            Err(error) => Err(BackendError { name, error }),
        }
    }

    /// From now on this gauge sees what its connections carry.
    pub fn gauge(&self, gauge: Gauge) {
        self.client().gauge(gauge);
    }

    /// What goes to it from now on goes over another network: connections kept for re-use lead nowhere.
    pub fn moved_on(&self) {
        self.client().moved_on();
    }

    /// The link went away under an attempt.
    pub fn link_broke(&self) {
        self.client().link_broke();
    }

    /// Its name in config.
    pub fn name(&self) -> &BackendName {
        &self.name
    }

    /// The host that its connections go to (its proxy's, if it has one): what to ask [`Addresses`] for.
    pub fn peer(&self) -> &str {
        self.client().peer()
    }

    /// Scheme, host and port of its URL: what may be shown of it.
    pub fn origin(&self) -> String {
        self.client().origin()
    }

    /// Makes one attempt. Dropping the future closes its connection.
    pub async fn attempt(&self, request: Request<'_>, hands: Hands<'_>) -> Answer {
        match &self.kind {
            Kind::Http(http) => tokio::select! {
                answer = http.attempt(request, hands.meter) => answer,
                () = lost_for_good(hands.cue) => Answer::Cut(Cut::Link),
            },
            Kind::Tus(tus) => tus.attempt(request, hands).await,
            Kind::S3(s3) => s3.attempt(request, hands).await,
        }
    }

    /// Sends something to see how fast it goes: to the URL that config names for that, else, to a tus server, as an upload that
    /// is ended again. The error is the end of a sentence.
    pub async fn measure(&self) -> Result<(), String> {
        match (&self.measure_url, &self.kind) {
            (Some(url), _) => measure::post(self.client(), url).await,
            (None, Kind::Tus(tus)) => tus.measure().await,
            (None, Kind::Http(_) | Kind::S3(_)) => Err(format!("backend.{}.measure_url is not set", self.name)),
        }
    }

    /// Lets go of connections kept for re-use. To be called when the network changed or the device slept.
    pub fn forget_connections(&self) {
        match &self.kind {
            Kind::Http(_) | Kind::Tus(_) => self.client().forget_connections(),
            Kind::S3(s3) => s3.forget_connections(),
        }
    }

    /// Whether a request made now would carry a credential. The error names its file and what is wrong with it, never what
    /// is in it.
    pub fn has_credential(&self) -> Result<bool, String> {
        match &self.kind {
            Kind::Http(_) | Kind::Tus(_) => self.client().has_credential(),
            Kind::S3(s3) => s3.has_credential(),
        }
    }

    /// Tells the server that a task it has a part of was cancelled: `note` is what an attempt had kept.
    pub async fn abandon(&self, note: &str) -> Answer {
        match &self.kind {
            // It keeps no notes.
            Kind::Http(_) => Answer::Results(Vec::new()),
            Kind::Tus(tus) => tus.abandon(note).await,
            Kind::S3(s3) => s3.abandon(note).await,
        }
    }

    fn client(&self) -> &Client {
        match &self.kind {
            Kind::Http(http) => http.client(),
            Kind::Tus(tus) => tus.client(),
            Kind::S3(s3) => s3.client(),
        }
    }
}

/// How long what was on its way before a link came back has to show that it still is: TCP tries again on its own, but
/// after seconds of silence only seconds later.
const STILL_ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Resolves when the link came back and an answer should have come.
async fn lost_for_good(mut cue: watch::Receiver<Cue>) {
    if cue.wait_for(|cue| cue.link_ups > 0).await.is_err() {
        // The loop has ended, and with it the attempt.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep(STILL_ON_ITS_WAY).await;
}
