//! One attempt at one file: find or begin its upload, then chunk after chunk. After anything but success the server is
//! asked how far it is; our own idea of that is never trusted.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha1::Sha1;
use sha2::Sha256;

use super::super::file::{Chunk, Guide, Link, Progress};
use super::super::{Hands, Keep, Request};
use super::TusBackend;
use super::offers::Checksum;
use super::protocol::{self, Found, Trouble};
use crate::http::{Client, Place};
use crate::model::{Answer, Claimed, FileInfo, ItemOutcome, ItemResult, TaskResult, Uploaded};
use crate::schedule::quality::next_chunk;

/// How many chunks in a row may bring the server no byte further.
const FRUITLESS: u32 = 2;

/// How many chunks of an attempt may fail at all: one that gets a little further each time ends as an advance.
const TROUBLES: u32 = 32;

/// An attempt.
pub(super) struct Session<'a> {
    tus: &'a TusBackend,
    /// The backend's, as metered as this attempt.
    client: Client,
    request: Request<'a>,
    task: &'a Claimed,
    info: &'a FileInfo,
    file: Arc<File>,
    keep: &'a dyn Keep,
    guide: Guide<'a>,
    /// Bytes of the next chunk.
    chunk: u64,
    /// Whether an upload was lost to it and begun anew.
    renewed: bool,
}

/// How far an upload is, by the server's word.
#[derive(Debug)]
struct Standing {
    place: Place,
    offset: u64,
    /// The status that said so.
    status: u16,
}

/// What is kept of an upload: its URL, and after a space how far it was when that was last written.
pub(super) struct Note<'n> {
    pub(super) url: &'n str,
    offset: u64,
}

impl<'n> Note<'n> {
    pub(super) fn read(text: &'n str) -> Self {
        let (url, offset) = text.split_once(' ').unwrap_or((text, ""));
        Self { url, offset: offset.parse().unwrap_or_default() }
    }
}

impl std::fmt::Display for Note<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.url, self.offset)
    }
}

/// How the sending of a chunk ended.
enum Sent {
    /// The status that said so, and how long it took.
    Taken(u16, Duration),
    Troubled(Trouble),
    /// The link came back meanwhile.
    LinkReturned,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        tus: &'a TusBackend,
        request: Request<'a>,
        (task, info, file): (&'a Claimed, &'a FileInfo, File),
        hands: Hands<'a>,
    ) -> Self {
        let Hands { keep, report, cue, meter } = hands;
        let client = tus.client.metered(meter);
        let progress = Progress::new(report, info.size, request.upload);
        Self {
            tus,
            client,
            request,
            task,
            info,
            file: Arc::new(file),
            keep,
            guide: Guide::new(Link::new(cue), progress),
            chunk: request.upload.chunk.min(tus.chunk),
            renewed: false,
        }
    }

    pub(super) async fn run(mut self) -> Answer {
        let end = self.upload().await;
        self.guide.progress.end();
        match end {
            Ok(result) => Answer::Results(vec![ItemResult { id: self.task.id, outcome: ItemOutcome::Ok(result) }]),
            Err(answer) if self.guide.progress.is_advance() => Answer::Advanced(Box::new(answer)),
            Err(answer) => answer,
        }
    }

    async fn upload(&mut self) -> Result<TaskResult, Answer> {
        let mut now = self.begin().await?;
        let (mut fruitless, mut troubles) = (0, 0);
        while now.offset < self.info.size {
            self.clear().await?;
            let trouble = match self.send(&now).await {
                Sent::Taken(status, took) => {
                    let size = self.chunk_at(now.offset).size;
                    (now.offset, now.status) = (now.offset + size, status);
                    self.guide.progress.confirmed(now.offset);
                    self.chunk = next_chunk(size, took).min(self.tus.chunk);
                    fruitless = 0;
                    continue;
                }
                Sent::Troubled(trouble) => Some(trouble),
                Sent::LinkReturned => None,
            };
            self.clear().await?;
            let before = now.offset;
            now = self.look(now).await?;
            let Some(Trouble { answer, again }) = trouble else { continue };
            troubles += 1;
            fruitless = if now.offset == before { fruitless + 1 } else { 0 };
            if now.offset < self.info.size && (!again || fruitless == FRUITLESS || troubles == TROUBLES) {
                return Err(answer);
            }
        }
        let size = self.info.size;
        let upload = Uploaded { url: now.place.as_str().to_owned(), sent: size, original: size, ..Uploaded::default() };
        Ok(TaskResult { status: now.status, upload: Some(upload), ..TaskResult::default() })
    }

    /// Where an earlier attempt left off, or else the start of a new upload.
    async fn begin(&mut self) -> Result<Standing, Answer> {
        let note = Note::read(self.task.note.as_deref().unwrap_or_default());
        let Some(place) = self.tus.place_of(note.url) else { return self.create().await };
        let now = self.look(Standing { place, offset: 0, status: 0 }).await?;
        if now.offset > note.offset {
            // What is written anew says that the task has come further, however its attempts ended.
            self.note(&now).await?;
        }
        Ok(now)
    }

    /// Keeps where the upload is and how far.
    async fn note(&self, now: &Standing) -> Result<(), Answer> {
        let note = Note { url: now.place.as_str(), offset: now.offset };
        let unkept = |words| Answer::Unreachable { words: format!("the upload's URL cannot be kept: {words}") };
        self.keep.keep(self.task.id, note.to_string()).await.map_err(unkept)
    }

    /// Begins an upload. Where it is is on disk before a byte of it goes: what is begun twice stays behind at the
    /// server, and its bytes were sent for nothing.
    async fn create(&mut self) -> Result<Standing, Answer> {
        let (client, request, task, info) = (self.client.clone(), self.request, self.task, self.info);
        let made = self.guide.steadily(&client, || protocol::create(&client, request, task, info)).await;
        let (place, status) = made?;
        let now = Standing { place, offset: 0, status };
        if let Err(answer) = self.note(&now).await {
            protocol::delete(&client, &now.place).await;
            return Err(answer);
        }
        self.guide.progress.confirmed(0);
        Ok(now)
    }

    /// Asks the server how far it is.
    async fn look(&mut self, last: Standing) -> Result<Standing, Answer> {
        let (client, info, place) = (self.client.clone(), self.info, &last.place);
        match self.guide.steadily(&client, || protocol::find(&client, place, info)).await? {
            Found::Offset(offset, _) if offset < last.offset => {
                let words = format!("HEAD with an Upload-Offset of {offset}, back from {}", last.offset);
                Err(Answer::Foreign { words })
            }
            Found::Offset(offset, status) => {
                self.guide.progress.confirmed(offset);
                Ok(Standing { place: last.place, offset, status })
            }
            Found::Gone if self.renewed => Err(Answer::Unreachable {
                words: "the server has lost the upload, and the one begun in its place".into(),
            }),
            // It expired, or the server was set up anew.
            Found::Gone => {
                self.renewed = true;
                self.create().await
            }
            Found::Damaged(words) => {
                // No attempt would get further with it: the next one begins anew.
                if let Err(error) = self.keep.keep(self.task.id, String::new()).await {
                    tracing::warn!(task = %self.task.id, reason = error, "forgetting a damaged upload of task {}: {error}", self.task.id);
                }
                Err(Answer::Foreign { words: format!("HEAD: {words}") })
            }
        }
    }

    /// Waits until something new may begin; ends the attempt where nothing may any more.
    async fn clear(&mut self) -> Result<(), Answer> {
        self.guide.clear().await.map_err(Answer::Cut)
    }

    async fn send(&mut self, now: &Standing) -> Sent {
        let chunk = self.chunk_at(now.offset);
        self.guide.progress.begins(chunk.size);
        let began = Instant::now();
        let sending = send(self.tus, &self.client, &now.place, chunk);
        match self.guide.through(&self.client, sending).await {
            None => Sent::LinkReturned,
            Some(end) => end.map_or_else(Sent::Troubled, |status| Sent::Taken(status, began.elapsed())),
        }
    }

    fn chunk_at(&self, offset: u64) -> Chunk {
        Chunk { file: Arc::clone(&self.file), offset, size: self.chunk.min(self.info.size - offset) }
    }
}

/// Sends a chunk, vouched for where the server asks for that.
async fn send(tus: &TusBackend, client: &Client, place: &Place, chunk: Chunk) -> Result<u16, Trouble> {
    let unread = |error: io::Error| {
        let answer = Answer::Unreachable { words: format!("reading the file in the spool: {error}") };
        Trouble { answer, again: false }
    };
    let checksum = match tus.offers().await.checksum {
        Some(with) => Some(checksum(&chunk, with).await.map_err(unread)?),
        None => None,
    };
    protocol::send(client, place, chunk, checksum).await
}

/// The value of `Upload-Checksum`.
async fn checksum(chunk: &Chunk, with: Checksum) -> io::Result<String> {
    let digest = match with {
        Checksum::Sha256 => chunk.digest::<Sha256>().await?,
        Checksum::Sha1 => chunk.digest::<Sha1>().await?,
    };
    Ok(format!("{} {}", with.as_str(), BASE64_STANDARD.encode(digest)))
}
