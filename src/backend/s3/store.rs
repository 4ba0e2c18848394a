//! The requests of S3 and what their answers say. It must not know what an upload does next.

use std::time::{Duration, SystemTime};

use super::super::file::Chunk;
use super::super::reading::{is_html, retry_after, unanswered};
use super::S3Backend;
use super::ask::{About, Ask, Object, hex};
use super::plan::{Part, Span};
use super::words::{Remedy, Trouble, refusal};
use super::xml::{self, Begun, Page};
use crate::http::{Call, Client, Head, Reply, SendError, plain};
use crate::model::{Answer, FileInfo};

/// A store, as one attempt sees it.
pub(super) struct Store<'a> {
    pub(super) s3: &'a S3Backend,
    /// The backend's, as metered as this attempt.
    pub(super) client: Client,
    pub(super) object: Object,
}

/// An object that is there: its URL, and the status that said so.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) url: String,
    pub(super) status: u16,
}

/// What goes with a request.
#[derive(Debug, Clone)]
enum Body {
    Empty,
    Text(String),
    Chunk(Chunk),
}

impl Store<'_> {
    /// The whole file in one request.
    pub(super) async fn put(&self, about: About<'_>, file: Chunk) -> Result<Stored, Trouble> {
        let reply = self.ask(&Ask::Put(about), Body::Chunk(file)).await?;
        taken(&reply, Some(about.info.sha256))?;
        Ok(Stored { url: reply.resource(), status: reply.status })
    }

    /// Whether the file is there already, as far as the store tells us; it need not.
    pub(super) async fn find(&self, info: &FileInfo) -> Result<Option<Stored>, Trouble> {
        match self.ask(&Ask::Head, Body::Empty).await {
            Ok(reply) if is_ours(&reply, info) => Ok(Some(Stored { url: reply.resource(), status: reply.status })),
            Ok(_) => Ok(None),
            Err(Trouble { remedy: Remedy::Unable, .. }) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Begins an upload; its id.
    pub(super) async fn create(&self, about: About<'_>) -> Result<String, Trouble> {
        let reply = self.ask(&Ask::Create(about), Body::Empty).await?;
        xml::created(&reply.body).ok_or_else(|| foreign(&reply, "no UploadId"))
    }

    /// Sends a part.
    pub(super) async fn part(
        &self,
        upload: &str,
        span: Span,
        sha256: Option<[u8; 32]>,
        part: Chunk,
    ) -> Result<Part, Trouble> {
        let reply = self.ask(&Ask::Part { upload, span, sha256 }, Body::Chunk(part)).await?;
        let etag = taken(&reply, sha256)?;
        Ok(Part { etag, sha256, is_vouched: true })
    }

    /// A page of the parts that the store has.
    pub(super) async fn page(&self, upload: &str, after: u32) -> Result<Page, Trouble> {
        let reply = self.ask(&Ask::List { upload, after }, Body::Empty).await?;
        let unable = || Trouble { remedy: Remedy::Unable, ..foreign(&reply, "no list of parts that can be read") };
        xml::parts(&reply.body, after).filter(|_| reply.whole).ok_or_else(unable)
    }

    /// Makes the parts one object; what the store says of its checksum.
    pub(super) async fn complete(&self, upload: &str, parts: String) -> Result<(Stored, Option<String>), Trouble> {
        let reply = self.ask(&Ask::Complete { upload }, Body::Text(parts)).await?;
        let again = || Trouble { remedy: Remedy::Again, ..foreign(&reply, "no word that the upload is complete") };
        let checksum = xml::completed(&reply.body).ok_or_else(again)?;
        Ok((Stored { url: reply.resource(), status: reply.status }, checksum))
    }

    /// Ends an upload.
    pub(super) async fn abort(&self, upload: &str) -> Answer {
        match self.ask(&Ask::Abort { upload }, Body::Empty).await {
            Ok(_) | Err(Trouble { remedy: Remedy::Gone, .. }) => Answer::Results(Vec::new()),
            Err(trouble) => trouble.answer,
        }
    }

    /// Uploads under a prefix that nobody finished, and what time it is at the store.
    pub(super) async fn uploads(&self, prefix: &str) -> Result<(Vec<Begun>, Option<SystemTime>), Trouble> {
        let reply = self.ask(&Ask::Uploads { prefix }, Body::Empty).await?;
        Ok((xml::uploads(&reply.body).unwrap_or_default(), date(&reply)))
    }

    /// Signs, sends and reads; signs anew, once, if the store's clock shows that ours is to blame.
    async fn ask(&self, ask: &Ask<'_>, body: Body) -> Result<Reply, Trouble> {
        match self.once(ask, body.clone()).await? {
            Ok(reply) => Ok(reply),
            Err((reply, _)) if matches!(reply.status, 400 | 403) && self.s3.signer.learn(date(&reply)) => {
                self.once(ask, body).await?.map_err(|(_, trouble)| trouble)
            }
            Err((_, trouble)) => Err(trouble),
        }
    }

    /// An answer that is a success, or else one with what it means.
    async fn once(&self, ask: &Ask<'_>, body: Body) -> Result<Result<Reply, (Reply, Trouble)>, Trouble> {
        let none = |answer| Trouble { answer, remedy: Remedy::None };
        let signed = self.s3.signer.sign(&self.client, ask, &self.object).await.map_err(none)?;
        let Some(signed) = signed else {
            let words = format!("the server that signs does not sign {:?}", ask.action());
            return Err(Trouble {
                answer: Answer::Status { code: 501, words, retry_after: None },
                remedy: Remedy::Unable,
            });
        };
        let (method, headers) = (ask.method(), signed.headers);
        let sent = match body {
            Body::Chunk(chunk) => self.client.stream(&signed.place, Head { method, headers }, chunk.stream()).await,
            Body::Text(text) => {
                self.client.send_signed(&signed.place, Call { method, headers, body: text.into_bytes() }).await
            }
            Body::Empty => self.client.send_signed(&signed.place, Call { method, headers, body: Vec::new() }).await,
        };
        let reply = sent.map_err(lost)?;
        Ok(match trouble(&reply) {
            None => Ok(reply),
            Some(trouble) => Err((reply, trouble)),
        })
    }
}

fn lost(error: SendError) -> Trouble {
    Trouble { answer: unanswered(error), remedy: Remedy::Again }
}

/// What is wrong with an answer, if anything is.
fn trouble(reply: &Reply) -> Option<Trouble> {
    // Some stores call everything HTML that they have no type for.
    if is_html(None, &String::from_utf8_lossy(&reply.body)) && reply.is_success() {
        return Some(foreign(reply, "an HTML page, as a captive portal or a proxy gives"));
    }
    let said = xml::error(&reply.body);
    (!reply.is_success() || said.is_some()).then(|| refusal(reply.status, said, retry_after(reply)))
}

/// What the store calls the bytes that it took.
fn taken(reply: &Reply, sha256: Option<[u8; 32]>) -> Result<String, Trouble> {
    if !reply.body.trim_ascii().is_empty() {
        return Err(foreign(reply, "words where no store has any"));
    }
    let etag = reply.header("etag").unwrap_or_default();
    if etag.is_empty() || etag.len() > 256 {
        return Err(foreign(reply, "no ETag"));
    }
    match (reply.header("x-amz-checksum-sha256").and_then(xml::digest), sha256) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            Err(Trouble { remedy: Remedy::Again, ..foreign(reply, "the checksum of other bytes") })
        }
        _ => Ok(etag.to_owned()),
    }
}

/// Whether an object is our file: by its size, and by what was said of it when it was begun or its bytes' own checksum.
fn is_ours(reply: &Reply, info: &FileInfo) -> bool {
    let size = reply.header("content-length").and_then(|size| size.trim().parse().ok());
    let said = reply.header("x-amz-meta-sha256");
    // That of an upload in parts, whose name has a dash, is of its parts' checksums and no digest of the file.
    let in_parts = reply.header("etag").is_some_and(|etag| etag.contains('-'));
    let checksum = reply.header("x-amz-checksum-sha256").and_then(xml::digest).filter(|_| !in_parts);
    let says = said.map(|said| said == hex(&info.sha256));
    let shows = checksum.map(|checksum| checksum == info.sha256);
    size == Some(info.size) && says != Some(false) && shows != Some(false) && (says.is_some() || shows.is_some())
}

fn foreign(reply: &Reply, what: &str) -> Trouble {
    let words = plain(&format!("status {} with {what}", reply.status));
    Trouble { answer: Answer::Foreign { words }, remedy: Remedy::None }
}

/// What time it is at the store.
fn date(reply: &Reply) -> Option<SystemTime> {
    httpdate::parse_http_date(reply.header("date")?.trim()).ok()
}

/// Whether an upload was begun so long before `now` that nobody will finish it.
pub(super) fn is_stale(begun: &Begun, now: SystemTime, after: Duration) -> bool {
    let Ok(initiated) = begun.initiated.parse::<jiff::Timestamp>() else { return false };
    let initiated = Duration::from_secs(u64::try_from(initiated.as_second()).unwrap_or_default());
    now.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|now| now.saturating_sub(initiated) >= after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_stale_by_the_stores_own_times() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let begun = |initiated: &str| Begun { key: "k".into(), upload: "u".into(), initiated: initiated.into() };
        let day = Duration::from_secs(86_400);
        assert!(is_stale(&begun("2001-09-08T01:46:40.000Z"), now, day));
        assert!(!is_stale(&begun("2001-09-08T01:46:41.000Z"), now, day));
        assert!(!is_stale(&begun("2002-09-08T01:46:40Z"), now, day));
        assert!(!is_stale(&begun("yesterday"), now, day));
    }
}
