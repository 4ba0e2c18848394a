//! The `tus` backend: a file in chunks, resumed where the server says. Its protocol, and every choice in it, is written
//! down in `docs/tus-backend.md`.

mod offers;
mod protocol;
mod session;

use std::path::Path;

use tokio::sync::OnceCell;

use self::offers::Offers;
use self::session::Session;
use super::file;
use super::measure::{self, BYTES};
use super::{Hands, Request};
use crate::http::{Addresses, Client, ClientError};
use crate::model::{Answer, BackendConfig};

/// A tus 1.0 server, <https://tus.io/protocols/resumable-upload>.
#[derive(Debug)]
pub(super) struct TusBackend {
    client: Client,
    /// Bytes of a file in one request, at most.
    chunk: u64,
    /// Asked for once.
    offers: OnceCell<Offers>,
}

impl TusBackend {
    pub(super) fn new(
        config: &BackendConfig,
        credentials_directory: Option<&Path>,
        addresses: &Addresses,
    ) -> Result<Self, ClientError> {
        let client = Client::new(config, credentials_directory, addresses)?;
        Ok(Self { client, chunk: config.chunk.max(1), offers: OnceCell::new() })
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) async fn attempt(&self, request: Request<'_>, hands: Hands<'_>) -> Answer {
        match file::of(request).await {
            Ok(found) => Session::new(self, request, found, hands).run().await,
            Err(answer) => answer,
        }
    }

    pub(super) async fn abandon(&self, note: &str) -> Answer {
        match self.place_of(session::Note::read(note).url) {
            Some(place) => protocol::delete(&self.client, &place).await,
            // Nothing was begun, or at another server than config names now: nothing of ours to end.
            None => Answer::Results(Vec::new()),
        }
    }

    /// Begins an upload, sends all of it and ends it.
    pub(super) async fn measure(&self) -> Result<(), String> {
        let place = protocol::create_for(&self.client, BYTES as u64, "measurement").await;
        let (place, _) = place.map_err(|answer| words(&answer))?;
        let sent = protocol::send_whole(&self.client, &place, measure::bytes()).await;
        if let answer @ (Answer::Status { .. } | Answer::Foreign { .. }) = protocol::delete(&self.client, &place).await
        {
            tracing::info!("what was uploaded to measure stays until it expires: {}", words(&answer));
        }
        sent.map_err(|answer| words(&answer))
    }

    /// The place of a URL that was kept; none takes back an earlier one.
    fn place_of(&self, url: &str) -> Option<crate::http::Place> {
        let refused =
            |words: String| tracing::warn!("the kept URL of an upload cannot be used, it starts anew: {words}");
        Some(url).filter(|url| !url.is_empty()).and_then(|url| self.client.place(url).map_err(refused).ok())
    }

    /// What the server offers; an answer to that is remembered, its absence is not.
    async fn offers(&self) -> Offers {
        let ask = || async { protocol::options(&self.client).await.ok_or(()) };
        self.offers.get_or_try_init(ask).await.copied().unwrap_or(Offers::NOTHING)
    }
}

/// An answer that is none to be had, as the end of a sentence.
fn words(answer: &Answer) -> String {
    match answer {
        Answer::Status { code, words, .. } if words.is_empty() => format!("status {code}"),
        Answer::Status { code, words, .. } => format!("status {code}: {words}"),
        Answer::Foreign { words }
        | Answer::Unreachable { words }
        | Answer::Untrusted { words }
        | Answer::NoCredential { words }
        | Answer::Unauthorized { words }
        | Answer::Misplaced { words }
        | Answer::Unready { words, .. }
        | Answer::Withheld { words } => words.clone(),
        Answer::Advanced(end) => self::words(end),
        Answer::Results(_) | Answer::Cut(_) => String::new(),
    }
}
