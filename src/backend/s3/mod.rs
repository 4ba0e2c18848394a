//! The `s3` backend: a file as one object of an S3-compatible store, in parts where it is large, resumed by what the store
//! has. Its requests, and every choice in it, are written down in `docs/s3-backend.md`.

mod ask;
mod keys;
mod note;
mod plan;
mod session;
mod sign;
mod store;
mod words;
mod xml;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use self::ask::Object;
use self::note::Note;
use self::session::Session;
use self::sign::Signer;
use self::store::Store;
use super::{Hands, Request, file};
use crate::http::{Addresses, Client, ClientError};
use crate::model::{Answer, BackendConfig, ObjectStore};

/// An S3-compatible store, <https://docs.aws.amazon.com/AmazonS3/latest/API/>.
#[derive(Debug)]
pub(super) struct S3Backend {
    client: Client,
    signer: Signer,
    config: ObjectStore,
    /// Whether stale uploads of this device were looked for.
    swept: AtomicBool,
}

impl S3Backend {
    pub(super) fn new(
        config: &BackendConfig,
        credentials_directory: Option<&Path>,
        addresses: &Addresses,
    ) -> Result<Self, ClientError> {
        // A request is signed, or its URL is: the secret itself goes nowhere.
        let bare = BackendConfig { url: config.target(), credential: None, ..config.clone() };
        Ok(Self {
            client: Client::new(&bare, None, addresses)?,
            signer: Signer::new(config, credentials_directory, addresses)?,
            config: config.store.clone(),
            swept: AtomicBool::new(false),
        })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn has_credential(&self) -> Result<bool, String> {
        self.signer.has_credential()
    }

    pub(super) fn forget_connections(&self) {
        self.client.forget_connections();
        self.signer.forget_connections();
    }

    pub(super) async fn attempt(&self, request: Request<'_>, hands: Hands<'_>) -> Answer {
        match file::of(request).await {
            Ok(found) => Session::new(self, request, found, hands).run().await,
            Err(answer) => answer,
        }
    }

    pub(super) async fn abandon(&self, note: &str) -> Answer {
        let Some(Note { task, name, key, upload: Some(upload), .. }) = Note::read(Some(note)) else {
            // Nothing was begun that would stay behind.
            return Answer::Results(Vec::new());
        };
        let store = Store { s3: self, client: self.client.clone(), object: Object { task, name, key } };
        store.abort(&upload).await
    }

    /// Whether stale uploads are to be looked for now: once.
    fn is_to_sweep(&self) -> bool {
        matches!(self.signer, Signer::Keys(_)) && !self.swept.swap(true, Ordering::Relaxed)
    }
}
