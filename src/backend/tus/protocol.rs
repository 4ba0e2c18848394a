//! The requests of tus 1.0 and what their answers say.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use super::super::Request;
use super::super::file::Chunk;
use super::super::reading::{is_html, retry_after, unanswered};

use super::offers::Offers;
use crate::http::{Call, Client, Head, Place, Reply, plain};
use crate::model::{Answer, Claimed, FileInfo};

const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_METADATA: HeaderName = HeaderName::from_static("upload-metadata");
const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
const UPLOAD_CHECKSUM: HeaderName = HeaderName::from_static("upload-checksum");

const VERSION: &str = "1.0.0";

/// What `HEAD` says of an upload.
#[derive(Debug)]
pub(super) enum Found {
    /// The server has so many bytes of it; the status that said so.
    Offset(u64, u16),
    /// The server does not know it any more.
    Gone,
    /// It is of no use: it seems another file than ours: what is wrong with it.
    Damaged(String),
}

/// How a chunk fared that was not taken as it should be.
#[derive(Debug)]
pub(super) struct Trouble {
    /// What came.
    pub(super) answer: Answer,
    /// Whether the chunk may be sent again at once.
    pub(super) again: bool,
}

/// `POST`: begins an upload.
pub(super) async fn create(
    client: &Client,
    request: Request<'_>,
    task: &Claimed,
    file: &FileInfo,
) -> Result<(Place, u16), Answer> {
    create_for(client, file.size, &metadata(request, task, file)).await
}

/// The same for so many bytes with this metadata.
pub(super) async fn create_for(client: &Client, size: u64, metadata: &str) -> Result<(Place, u16), Answer> {
    let mut headers = headers();
    headers.insert(UPLOAD_LENGTH, size.into());
    headers.insert(UPLOAD_METADATA, value(metadata.to_owned())?);
    let call = Call { method: Method::POST, headers, body: Vec::new() };
    let reply = client.send(call).await.map_err(unanswered)?;
    expect(&reply, &[201])?;
    match client.located(&reply) {
        Ok(place) => Ok((place, reply.status)),
        Err(words) => Err(foreign(&reply, &words)),
    }
}

/// `HEAD`: how far an upload has come.
pub(super) async fn find(client: &Client, place: &Place, file: &FileInfo) -> Result<Found, Answer> {
    let call = Call { method: Method::HEAD, headers: headers(), body: Vec::new() };
    let reply = client.send_to(place, call).await.map_err(unanswered)?;
    if matches!(reply.status, 403 | 404 | 410) {
        return Ok(Found::Gone);
    }
    expect(&reply, &[200, 204])?;
    let offset = offset(&reply)?;
    match number(&reply, "upload-length").map_err(|words| foreign(&reply, &words))? {
        Some(length) if length != file.size => {
            Ok(Found::Damaged(format!("the upload is of {length} bytes, the file of {}", file.size)))
        }
        Some(_) | None if offset > file.size => {
            Ok(Found::Damaged(format!("an Upload-Offset of {offset}, beyond the file's end at {}", file.size)))
        }
        Some(_) | None => Ok(Found::Offset(offset, reply.status)),
    }
}

/// `PATCH`: sends a chunk. Ok if the server has it now.
pub(super) async fn send(
    client: &Client,
    place: &Place,
    chunk: Chunk,
    checksum: Option<String>,
) -> Result<u16, Trouble> {
    let mut headers = headers();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/offset+octet-stream"));
    headers.insert(UPLOAD_OFFSET, chunk.offset.into());
    if let Some(checksum) = checksum {
        let checksum = value(checksum).map_err(|answer| Trouble { answer, again: false })?;
        headers.insert(UPLOAD_CHECKSUM, checksum);
    }
    let end = chunk.end();
    let reply = client
        .stream(place, Head { method: Method::PATCH, headers }, chunk.stream())
        .await
        .map_err(|error| Trouble { answer: unanswered(error), again: true })?;
    taken(&reply, end).map_err(|answer| Trouble { answer, again: may_come_again(reply.status) })
}

/// `PATCH`: sends all of an upload at once.
pub(super) async fn send_whole(client: &Client, place: &Place, body: Vec<u8>) -> Result<(), Answer> {
    let mut headers = headers();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/offset+octet-stream"));
    headers.insert(UPLOAD_OFFSET, 0.into());
    let end = body.len() as u64;
    let reply = client.send_to(place, Call { method: Method::PATCH, headers, body }).await.map_err(unanswered)?;
    taken(&reply, end).map(drop)
}

/// `DELETE`: ends an upload.
pub(super) async fn delete(client: &Client, place: &Place) -> Answer {
    let call = Call { method: Method::DELETE, headers: headers(), body: Vec::new() };
    let reply = match client.send_to(place, call).await {
        Ok(reply) => reply,
        Err(error) => return unanswered(error),
    };
    if matches!(reply.status, 404 | 410) {
        return Answer::Results(Vec::new());
    }
    match expect(&reply, &[204]) {
        Ok(()) => Answer::Results(Vec::new()),
        Err(answer) => answer,
    }
}

/// `OPTIONS`: what the server offers; `None` if that is not to be learnt now.
pub(super) async fn options(client: &Client) -> Option<Offers> {
    // The only request that has no Tus-Resumable.
    let call = Call { method: Method::OPTIONS, headers: HeaderMap::new(), body: Vec::new() };
    client.send(call).await.ok().as_ref().and_then(Offers::read)
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(TUS_RESUMABLE, HeaderValue::from_static(VERSION))])
}

fn value(text: String) -> Result<HeaderValue, Answer> {
    HeaderValue::try_from(text)
        .map_err(|error| Answer::Unreachable { words: format!("a header field of ours: {error}") })
}

/// `Upload-Metadata`: pairs of a key and a value in base64; a key alone has the empty value.
fn metadata(request: Request<'_>, task: &Claimed, file: &FileInfo) -> String {
    let id = task.id.to_string();
    let sha256: String = file.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    let photo = file.variant.map(|variant| variant.photo.to_string()).unwrap_or_default();
    let pairs = [
        ("filename", file.name.as_str()),
        ("filetype", &file.content_type),
        ("metadata", &file.metadata),
        ("photo", &photo),
        ("variant", file.variant.map_or("", |variant| variant.quality.as_str())),
    ];
    let said = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    let ours = [
        ("task", id.as_str()),
        ("sha256", &sha256),
        ("strategy", request.strategy.as_str()),
        ("device", request.device),
    ];
    let pair = |(key, value): (&str, &str)| match value {
        "" => key.to_owned(),
        value => format!("{key} {}", BASE64_STANDARD.encode(value)),
    };
    said.chain(ours).map(pair).collect::<Vec<_>>().join(",")
}

/// Whether the server took a chunk that ends there.
fn taken(reply: &Reply, end: u64) -> Result<u16, Answer> {
    if reply.status == 409 {
        return Err(foreign(reply, "the word that the chunk's offset is not the server's"));
    }
    expect(reply, &[204])?;
    match offset(reply)? {
        offset if offset == end => Ok(reply.status),
        offset => Err(foreign(reply, &format!("an Upload-Offset of {offset} where {end} was to come"))),
    }
}

/// Statuses after which `HEAD` may show that nothing is wrong any more; others speak about more than this chunk.
fn may_come_again(status: u16) -> bool {
    matches!(status, 200..=299 | 403 | 404 | 409 | 410 | 423 | 460)
}

/// Whether the answer is a tus server's, with one of these statuses.
fn expect(reply: &Reply, statuses: &[u16]) -> Result<(), Answer> {
    if !reply.is_success() {
        return Err(refusal(reply));
    }
    if is_html(reply.header("content-type"), &String::from_utf8_lossy(&reply.body)) {
        return Err(foreign(reply, "an HTML page, as a captive portal or a proxy gives"));
    }
    if !statuses.contains(&reply.status) {
        let [first, ..] = statuses else { return Ok(()) };
        return Err(foreign(reply, &format!("no more, where {first} was to come")));
    }
    match reply.header(TUS_RESUMABLE.as_str()) {
        Some(VERSION) => Ok(()),
        Some(other) => Err(foreign(reply, &format!("a Tus-Resumable of {other:?}"))),
        None => Err(foreign(reply, "no Tus-Resumable")),
    }
}

/// What a status says that is no success.
fn refusal(reply: &Reply) -> Answer {
    let (code, words) = (reply.status, plain(String::from_utf8_lossy(&reply.body).trim()));
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    match code {
        300..=399 => foreign(reply, "a redirect, which a chunk does not follow"),
        // Most likely by a request of our own that died on the way: the server has not noticed yet.
        423 => Answer::Unreachable { words: format!("status 423, the upload is locked by another request{said}") },
        460 => Answer::Foreign { words: format!("status 460, the chunk's checksum does not match{said}") },
        code => Answer::Status { code, words, retry_after: retry_after(reply) },
    }
}

fn offset(reply: &Reply) -> Result<u64, Answer> {
    match number(reply, UPLOAD_OFFSET.as_str()) {
        Ok(Some(offset)) => Ok(offset),
        Ok(None) => Err(foreign(reply, "no Upload-Offset")),
        Err(words) => Err(foreign(reply, &words)),
    }
}

/// A header field that is a number; the error says how it is none.
fn number(reply: &Reply, name: &str) -> Result<Option<u64>, String> {
    let mut fields = reply.headers.get_all(name).iter();
    let Some(field) = fields.next() else { return Ok(None) };
    if fields.any(|other| other != field) {
        return Err(format!("two {name} that differ"));
    }
    let text = field.to_str().unwrap_or_default().trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(Some(number)),
        Ok(_) | Err(_) => Err(format!("a {name} that is no number, {field:?}")),
    }
}

fn foreign(reply: &Reply, what: &str) -> Answer {
    Answer::Foreign { words: plain(&format!("status {} with {what}", reply.status)) }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{URL, config};
    use super::*;
    use crate::fuzz::fuzz;
    use crate::http::Addresses;
    use crate::model::BackendKind;

    #[test]
    fn any_answer_is_read_and_a_chunk_is_taken_by_the_word_alone() {
        let client = Client::new(&config(BackendKind::Tus, URL), None, &Addresses::new()).expect("a client");
        fuzz!("tus_reply", |input: &[u8]| {
            let Ok(reply) = Reply::written(URL, input) else { return };
            if let Ok(status) = taken(&reply, 1000) {
                let word =
                    |name, word| reply.header(name).is_some_and(|field| field.trim().trim_start_matches('0') == word);
                assert_eq!(status, 204);
                assert!(word("upload-offset", "1000") && word("tus-resumable", "1.0.0"));
            }
            if let Ok(place) = client.located(&reply) {
                assert!(place.as_str().starts_with("http://up.example/"), "{}", place.as_str());
                assert_eq!(client.place(place.as_str()), Ok(place), "what is kept can be used again");
            }
            drop((number(&reply, "upload-length"), Offers::read(&reply), retry_after(&reply)));
        });
    }
}
