//! One attempt at one file: in one request, or in parts. After anything but success the store is asked what it has; what it
//! took it has said itself, and that is kept.

use std::fs::File;
use std::io;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::super::file::{Chunk, Guide, Link, Progress};
use super::super::{Hands, Keep, Request};
use super::S3Backend;
use super::ask::{About, Object};
use super::note::Note;
use super::plan::{Part, Plan, Row, Span, standing};
use super::store::{Store, Stored, is_stale};
use super::words::{Remedy, Trouble};
use super::xml;
use crate::model::{Answer, Claimed, FileInfo, ItemOutcome, ItemResult, ObjectChecksum, TaskId, TaskResult, Uploaded};

/// How many requests in a row may bring the store nothing.
const FRUITLESS: u32 = 2;

/// How many requests of an attempt may fail at all.
const TROUBLES: u32 = 32;

/// How many stale uploads are ended at once.
const SWEPT: usize = 16;

/// An attempt.
pub(super) struct Session<'a> {
    store: Store<'a>,
    about: About<'a>,
    info: &'a FileInfo,
    task: TaskId,
    /// What the last attempt left.
    note: Option<Note>,
    /// What uploads of this device begin with.
    prefix: Option<String>,
    file: Arc<File>,
    keep: &'a dyn Keep,
    guide: Guide<'a>,
    fruitless: u32,
    troubles: u32,
    /// Whether an upload was lost to it and begun anew.
    renewed: bool,
}

/// An upload in parts.
struct Upload {
    id: String,
    plan: Plan,
    /// Those that the store has.
    parts: Vec<Option<Part>>,
}

/// How an upload in parts stands.
enum Stands {
    Done(Stored),
    /// Something is to be sent, or the end to be asked for once more.
    Open,
    /// The store does not know it.
    Gone,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        s3: &'a S3Backend,
        request: Request<'a>,
        (task, info, file): (&'a Claimed, &'a FileInfo, File),
        hands: Hands<'a>,
    ) -> Self {
        let Hands { keep, report, cue, meter } = hands;
        let Request { device, strategy, .. } = request;
        let note = Note::read(task.note.as_deref()).filter(|note| note.task == task.id.to_string());
        // What was begun under a key goes on under it, though config may name another by now.
        let key = note.as_ref().map(|note| note.key.clone());
        let key = key.unwrap_or_else(|| s3.config.key.render(device, strategy, task.id, &info.name));
        let object = Object { task: task.id.to_string(), name: info.name.clone(), key };
        Self {
            store: Store { s3, client: s3.client.metered(meter), object },
            about: About { device, strategy: strategy.as_str(), info },
            info,
            task: task.id,
            note,
            prefix: s3.config.key.own_prefix(device, strategy),
            file: Arc::new(file),
            keep,
            guide: Guide::new(Link::new(cue), Progress::new(report, info.size, request.upload)),
            fruitless: 0,
            troubles: 0,
            renewed: false,
        }
    }

    pub(super) async fn run(mut self) -> Answer {
        let end = self.upload().await;
        self.guide.progress.end();
        match end {
            Ok(stored) => {
                let size = self.info.size;
                let upload = Some(Uploaded { url: stored.url, sent: size, original: size, ..Uploaded::default() });
                let result = TaskResult { status: stored.status, upload, ..TaskResult::default() };
                Answer::Results(vec![ItemResult { id: self.task, outcome: ItemOutcome::Ok(result) }])
            }
            Err(answer) if self.guide.progress.is_advance() => Answer::Advanced(Box::new(answer)),
            Err(answer) => answer,
        }
    }

    async fn upload(&mut self) -> Result<Stored, Answer> {
        let plan = Plan::new(self.info.size, self.store.s3.config.part_size);
        let note = self.note.take();
        let begun =
            note.as_ref().and_then(|note| Some((note.upload.clone()?, Plan::begun(self.info.size, note.part)?)));
        match (begun, note) {
            (Some((id, plan)), Some(note)) => self.go_on(Upload { id, plan, parts: Vec::new() }, &note.etags).await,
            (_, note) if plan.is_whole() => self.whole(note.is_some()).await,
            _ => {
                let upload = self.create(plan).await?;
                self.in_parts(upload).await
            }
        }
    }

    /// In one request. `tried`: an earlier one was not answered.
    async fn whole(&mut self, tried: bool) -> Result<Stored, Answer> {
        let mut kept = tried;
        if tried && let Some(stored) = self.find().await? {
            return Ok(stored);
        }
        self.guide.progress.confirmed(0);
        loop {
            self.clear().await?;
            self.guide.progress.begins(self.info.size);
            let span = Span { number: 1, offset: 0, size: self.info.size };
            let sending = self.store.put(self.about, self.chunk(span));
            let trouble = match self.guide.through(&self.store.client, sending).await {
                Some(Ok(stored)) => {
                    self.guide.progress.confirmed(self.info.size);
                    return Ok(stored);
                }
                Some(Err(trouble)) if trouble.remedy != Remedy::Again => return Err(trouble.answer),
                Some(Err(trouble)) => Some(trouble),
                None => None,
            };
            if !kept {
                // If this is not to be mended now, the next attempt looks before it sends the file again.
                self.keep(&Note::default()).await?;
                kept = true;
            }
            self.clear().await?;
            if let Some(stored) = self.find().await? {
                return Ok(stored);
            }
            self.count(trouble)?;
        }
    }

    /// Where an earlier attempt left off.
    async fn go_on(&mut self, mut upload: Upload, noted: &[String]) -> Result<Stored, Answer> {
        let had = upload.plan.count();
        upload.parts = standing(upload.plan, noted, None);
        let all_sent = upload.parts.iter().all(Option::is_some);
        // It was to be completed, and may be: what a store says of an upload that it has not any more differs.
        if all_sent && let Some(stored) = self.find().await? {
            return Ok(stored);
        }
        match self.list(&upload).await? {
            Listed::Parts(rows) => upload.parts = standing(upload.plan, noted, Some(&rows)),
            Listed::Unable => {}
            Listed::Gone => {
                let Some(stored) = self.find().await? else {
                    let plan = Plan::new(self.info.size, self.store.s3.config.part_size);
                    self.renewed = true;
                    let upload = self.create(plan).await?;
                    return self.in_parts(upload).await;
                };
                return Ok(stored);
            }
        }
        debug_assert_eq!(upload.parts.len(), usize::try_from(had).unwrap_or_default());
        self.vouch(&mut upload).await?;
        self.guide.progress.confirmed(upload.bytes());
        if upload.parts.iter().flatten().count() > noted.iter().filter(|etag| !etag.is_empty()).count() {
            // What is written anew says that the task has come further, however its attempts ended.
            self.note(&upload).await?;
        }
        self.in_parts(upload).await
    }

    async fn in_parts(&mut self, mut upload: Upload) -> Result<Stored, Answer> {
        loop {
            let stands = match self.fill(&mut upload).await? {
                Stands::Open => self.complete(&mut upload).await?,
                other @ (Stands::Done(_) | Stands::Gone) => other,
            };
            match stands {
                Stands::Done(stored) => return Ok(stored),
                Stands::Open => {}
                Stands::Gone => {
                    if let Some(stored) = self.find().await? {
                        return Ok(stored);
                    }
                    if self.renewed {
                        let words = "the store has lost the upload, and the one begun in its place".to_owned();
                        return Err(Answer::Unreachable { words });
                    }
                    self.renewed = true;
                    upload = self.create(upload.plan).await?;
                }
            }
        }
    }

    /// Sends the parts that the store has not.
    async fn fill(&mut self, upload: &mut Upload) -> Result<Stands, Answer> {
        for (span, at) in upload.plan.spans().zip(0..) {
            while upload.parts.get(at).is_some_and(Option::is_none) {
                self.clear().await?;
                let (part, trouble) = match self.send(upload, span).await {
                    Some(Ok(part)) => (Some(part), None),
                    Some(Err(Trouble { remedy: Remedy::Gone, .. })) => return Ok(Stands::Gone),
                    Some(Err(trouble)) if trouble.remedy != Remedy::Again => return Err(trouble.answer),
                    Some(Err(trouble)) => (None, Some(trouble)),
                    None => (None, None),
                };
                let part = match part {
                    Some(part) => Some(part),
                    // It may have arrived all the same.
                    None => {
                        self.clear().await?;
                        match self.look(upload, span).await? {
                            Looked::Has(part) => Some(part),
                            Looked::Lacks => None,
                            Looked::Gone => return Ok(Stands::Gone),
                        }
                    }
                };
                match part {
                    Some(part) => {
                        upload.parts[at] = Some(part);
                        self.fruitless = 0;
                        self.guide.progress.confirmed(upload.bytes());
                        self.note(upload).await?;
                    }
                    None => self.count(trouble)?,
                }
            }
        }
        Ok(Stands::Open)
    }

    /// Makes the parts one object.
    async fn complete(&mut self, upload: &mut Upload) -> Result<Stands, Answer> {
        let vouched = self.vouches();
        let digests: Vec<_> = upload.parts.iter().flatten().map(|part| part.sha256.filter(|_| vouched)).collect();
        let rows = upload.parts.iter().flatten().zip(1..).zip(&digests);
        let body = xml::complete(rows.map(|((part, number), sha256)| (number, part.etag.as_str(), *sha256)));
        let asking = self.store.complete(&upload.id, body);
        let trouble = match self.guide.through(&self.store.client, asking).await {
            Some(Ok((stored, said))) => {
                return match composite(&digests) {
                    Some(ours) if said.as_ref().is_some_and(|said| *said != ours) => {
                        let words = "the store's checksum of the whole object is another".to_owned();
                        Err(Answer::Foreign { words })
                    }
                    _ => Ok(Stands::Done(stored)),
                };
            }
            Some(Err(trouble)) => Some(trouble),
            None => None,
        };
        // Its answer may be lost, late or an error after the fact: what counts is whether the object is there.
        if let Some(stored) = self.find().await? {
            return Ok(Stands::Done(stored));
        }
        match trouble {
            Some(Trouble { remedy: Remedy::Gone, .. }) => Ok(Stands::Gone),
            Some(Trouble { remedy: Remedy::Parts, answer }) => {
                self.count(Some(Trouble { answer, remedy: Remedy::Again }))?;
                match self.list(upload).await? {
                    // Now its list counts more than what it said before.
                    Listed::Parts(rows) => upload.parts = standing(upload.plan, &[], Some(&rows)),
                    Listed::Unable => upload.parts.fill(None),
                    Listed::Gone => return Ok(Stands::Gone),
                }
                self.vouch(upload).await?;
                self.guide.progress.confirmed(upload.bytes());
                Ok(Stands::Open)
            }
            Some(trouble) if trouble.remedy != Remedy::Again => Err(trouble.answer),
            trouble => {
                self.count(trouble)?;
                Ok(Stands::Open)
            }
        }
    }

    /// Begins an upload. Its id is on disk before a byte of it goes: what is begun twice stays behind, and its parts were
    /// sent for nothing.
    async fn create(&mut self, plan: Plan) -> Result<Upload, Answer> {
        if self.store.s3.is_to_sweep() {
            self.sweep().await;
        }
        let (store, about) = (&self.store, self.about);
        let id = self.guide.steadily(&store.client, || store.create(about)).await.map_err(|trouble| trouble.answer)?;
        let upload = Upload { id, plan, parts: standing(plan, &[], None) };
        if let Err(answer) = self.note(&upload).await {
            self.store.abort(&upload.id).await;
            return Err(answer);
        }
        self.guide.progress.confirmed(0);
        Ok(upload)
    }

    /// Ends uploads of this device that nobody finished. That it cannot is no reason not to go on.
    async fn sweep(&mut self) {
        let (Some(after), Some(prefix)) = (self.store.s3.config.sweep_after, self.prefix.clone()) else { return };
        let Ok((begun, Some(now))) = self.store.uploads(&prefix).await else { return };
        let stale = begun.into_iter().filter(|begun| begun.key.starts_with(&prefix) && is_stale(begun, now, after));
        for begun in stale.take(SWEPT) {
            let object = Object { key: begun.key, ..self.store.object.clone() };
            let other = Store { s3: self.store.s3, client: self.store.client.clone(), object };
            let ended = other.abort(&begun.upload).await;
            tracing::debug!("an upload begun at {} that nobody finished: {ended:?}", begun.initiated);
        }
    }

    /// All that the store has of an upload.
    async fn list(&mut self, upload: &Upload) -> Result<Listed, Answer> {
        let mut rows = Vec::new();
        let mut after = 0;
        loop {
            let store = &self.store;
            match self.guide.steadily(&store.client, || store.page(&upload.id, after)).await {
                Ok(page) => {
                    rows.extend(page.rows);
                    match page.more_after {
                        Some(more) if more < upload.plan.count() => after = more,
                        Some(_) | None => return Ok(Listed::Parts(rows)),
                    }
                }
                Err(Trouble { remedy: Remedy::Unable, .. }) => return Ok(Listed::Unable),
                Err(Trouble { remedy: Remedy::Gone, .. }) => return Ok(Listed::Gone),
                Err(trouble) => return Err(trouble.answer),
            }
        }
    }

    /// Whether a part that was under way has arrived.
    async fn look(&mut self, upload: &Upload, span: Span) -> Result<Looked, Answer> {
        let store = &self.store;
        let page = self.guide.steadily(&store.client, || store.page(&upload.id, span.number - 1)).await;
        let row = match page {
            Ok(page) => page.rows.into_iter().find(|row| row.number == span.number && row.size == span.size),
            Err(Trouble { remedy: Remedy::Unable, .. }) => None,
            Err(Trouble { remedy: Remedy::Gone, .. }) => return Ok(Looked::Gone),
            Err(trouble) => return Err(trouble.answer),
        };
        let Some(row) = row.filter(|row| !row.etag.is_empty()) else { return Ok(Looked::Lacks) };
        let mut part = Some(Part { etag: row.etag, sha256: row.sha256, is_vouched: false });
        self.vouch_one(span, &mut part).await?;
        Ok(part.map_or(Looked::Lacks, Looked::Has))
    }

    /// Whether the store has the file already.
    async fn find(&mut self) -> Result<Option<Stored>, Answer> {
        let (store, info) = (&self.store, self.info);
        let found = self.guide.steadily(&store.client, || store.find(info)).await.map_err(|trouble| trouble.answer)?;
        if found.is_some() {
            self.guide.progress.confirmed(info.size);
        }
        Ok(found)
    }

    /// Knows the digest of each part, and lets go of those whose bytes at the store are others than ours.
    async fn vouch(&self, upload: &mut Upload) -> Result<(), Answer> {
        for (span, part) in upload.plan.spans().zip(&mut upload.parts) {
            self.vouch_one(span, part).await?;
        }
        Ok(())
    }

    async fn vouch_one(&self, span: Span, part: &mut Option<Part>) -> Result<(), Answer> {
        let Some(known) = part.as_mut().filter(|_| self.vouches()) else { return Ok(()) };
        if known.is_vouched && known.sha256.is_some() {
            return Ok(());
        }
        let ours = digest(&self.chunk(span)).await?;
        if known.sha256.is_some_and(|theirs| theirs != ours) {
            *part = None;
            return Ok(());
        }
        (known.sha256, known.is_vouched) = (Some(ours), true);
        Ok(())
    }

    async fn send(&mut self, upload: &Upload, span: Span) -> Option<Result<Part, Trouble>> {
        self.guide.progress.begins(span.size);
        let (chunk, vouches, store) = (self.chunk(span), self.vouches(), &self.store);
        let sending = async {
            let none = |answer| Trouble { answer, remedy: Remedy::None };
            let sha256 = if vouches { Some(digest(&chunk).await.map_err(none)?) } else { None };
            store.part(&upload.id, span, sha256, chunk).await
        };
        self.guide.through(&store.client, sending).await
    }

    /// Keeps which upload it is and what the store took.
    async fn note(&self, upload: &Upload) -> Result<(), Answer> {
        let etags = if Note::names(upload.plan.count()) {
            upload.parts.iter().map(|part| part.as_ref().map(|part| part.etag.clone()).unwrap_or_default()).collect()
        } else {
            Vec::new()
        };
        let done = u32::try_from(upload.parts.iter().flatten().count()).unwrap_or(u32::MAX);
        let (upload, part) = (Some(upload.id.clone()), upload.plan.part());
        self.keep(&Note { upload, part, etags, done, ..Note::default() }).await
    }

    async fn keep(&self, note: &Note) -> Result<(), Answer> {
        let Object { task, name, key } = self.store.object.clone();
        let note = Note { task, name, key, ..note.clone() };
        let unkept = |words| Answer::Unreachable { words: format!("the upload's id cannot be kept: {words}") };
        self.keep.keep(self.task, note.write()).await.map_err(unkept)
    }

    /// Waits until something new may begin; ends the attempt where nothing may any more.
    async fn clear(&mut self) -> Result<(), Answer> {
        self.guide.clear().await.map_err(Answer::Cut)
    }

    /// A request brought the store nothing; the error: it is enough. That the link came back is no trouble.
    fn count(&mut self, trouble: Option<Trouble>) -> Result<(), Answer> {
        let Some(Trouble { answer, .. }) = trouble else { return Ok(()) };
        self.fruitless += 1;
        self.troubles += 1;
        if self.fruitless == FRUITLESS || self.troubles == TROUBLES { Err(answer) } else { Ok(()) }
    }

    fn vouches(&self) -> bool {
        self.store.s3.config.checksum == ObjectChecksum::Sha256
    }

    fn chunk(&self, span: Span) -> Chunk {
        Chunk { file: Arc::clone(&self.file), offset: span.offset, size: span.size }
    }
}

impl Upload {
    /// Bytes that the store has of it.
    fn bytes(&self) -> u64 {
        self.plan.spans().zip(&self.parts).filter(|(_, part)| part.is_some()).map(|(span, _)| span.size).sum()
    }
}

/// What a store lists.
enum Listed {
    Parts(Vec<Row>),
    /// It does not list, or not for us, or nothing that can be read.
    Unable,
    /// It does not know the upload.
    Gone,
}

/// What a store says of one part.
enum Looked {
    Has(Part),
    Lacks,
    Gone,
}

async fn digest(chunk: &Chunk) -> Result<[u8; 32], Answer> {
    let unread = |error: io::Error| Answer::Unreachable { words: format!("reading the file in the spool: {error}") };
    let digest = chunk.digest::<Sha256>().await.map_err(unread)?;
    digest.try_into().map_err(|_| Answer::Unreachable { words: "a digest that is none".to_owned() })
}

/// The checksum of an object of these parts, as S3 makes it: that of its parts' checksums, and their number.
fn composite(digests: &[Option<[u8; 32]>]) -> Option<String> {
    let digests = digests.iter().copied().collect::<Option<Vec<_>>>()?;
    let whole = Sha256::digest(digests.concat());
    Some(format!("{}-{}", BASE64_STANDARD.encode(whole), digests.len()))
}
