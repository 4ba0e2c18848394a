//! Floor 2: a server-side system. One attempt, one [`Answer`]: facts only. It never sleeps, never retries, and must not
//! know what an answer means for a task: that is `schedule::outcome`.

mod compression;
mod http;

use std::path::Path;

use self::http::HttpBackend;
use crate::http::{Addresses, ClientError};
use crate::model::{Answer, BackendConfig, BackendKind, BackendName, Claimed, StrategyName};

/// What an attempt sends.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// How servers know this device.
    pub device: &'a str,
    /// The policy of the tasks.
    pub strategy: &'a StrategyName,
    /// The tasks, in order; one only for a backend whose status is the outcome.
    pub tasks: &'a [Claimed],
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
}

#[derive(Debug)]
enum Kind {
    Http(Box<HttpBackend>),
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
            BackendKind::Http => HttpBackend::new(config, credentials_directory, addresses),
        };
        match made {
            Ok(http) => Ok(Self { name, kind: Kind::Http(Box::new(http)) }),
            Err(error) => Err(BackendError { name, error }),
        }
    }

    /// Its name in config.
    pub fn name(&self) -> &BackendName {
        &self.name
    }

    /// The host that its connections go to (its proxy's, if it has one): what to ask [`Addresses`] for.
    pub fn peer(&self) -> &str {
        match &self.kind {
            Kind::Http(http) => http.client().peer(),
        }
    }

    /// Scheme, host and port of its URL: what may be shown of it.
    pub fn origin(&self) -> String {
        match &self.kind {
            Kind::Http(http) => http.client().origin(),
        }
    }

    /// Makes one attempt. Dropping the future closes its connection.
    pub async fn attempt(&self, request: Request<'_>) -> Answer {
        let answer = match &self.kind {
            Kind::Http(http) => http.attempt(request).await,
        };
        let (backend, strategy, tasks) = (&self.name, request.strategy, request.tasks.len());
        tracing::debug!(%backend, %strategy, tasks, answer = %gist(&answer), "attempt");
        answer
    }

    /// Lets go of connections kept for re-use. To be called when the network changed or the device slept.
    pub fn forget_connections(&self) {
        match &self.kind {
            Kind::Http(http) => http.client().forget_connections(),
        }
    }
}

/// An answer in a line of the log: what the server handed back for tasks that are done is their owners' alone.
fn gist(answer: &Answer) -> String {
    match answer {
        Answer::Results(results) => format!("{} results", results.len()),
        Answer::Status { code, words, .. } => format!("status {code}: {words}"),
        Answer::Foreign { words }
        | Answer::Unreachable { words }
        | Answer::Untrusted { words }
        | Answer::NoCredential { words } => words.clone(),
        Answer::Cut(cut) => format!("cut: {cut:?}"),
    }
}
