//! The `tus` backend: a file in chunks, resumed where the server says. `docs/tus-backend.md`.

use std::path::Path;

use super::{Hands, Request};
use crate::http::{Addresses, Client, ClientError};
use crate::model::{Answer, BackendConfig};

/// A tus 1.0 server, <https://tus.io/protocols/resumable-upload>.
#[derive(Debug)]
pub(super) struct TusBackend {
    client: Client,
    chunk: u64,
}

impl TusBackend {
    pub(super) fn new(
        config: &BackendConfig,
        credentials_directory: Option<&Path>,
        addresses: &Addresses,
    ) -> Result<Self, ClientError> {
        Ok(Self { client: Client::new(config, credentials_directory, addresses)?, chunk: config.chunk })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn attempt(&self, _request: Request<'_>, _hands: Hands<'_>) -> Answer {
        Answer::Unreachable { words: format!("not built: chunks of {}", self.chunk) }
    }

    pub(super) async fn abandon(&self, _note: &str) -> Answer {
        Answer::Results(Vec::new())
    }
}
