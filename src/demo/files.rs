//! tus 1.0.0 (<https://tus.io/protocols/resumable-upload>) from the server's side: creation, creation-with-upload,
//! termination, expiration, checksum. Bytes count as they arrive: after a cut the offset says how many. That holds for
//! bytes with a checksum too; only a whole request whose checksum is wrong is taken back.

use std::collections::BTreeMap;
use std::io::Result;
use std::time::{Duration, SystemTime};

use ring::digest::{Algorithm, Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::log::Head;
use super::misbehave::{At, Behaviour, Fault, Treated, Wait};
use super::server::Shared;
use super::uploads::{Upload, UploadState, Writer};
use super::wire::{Body, Buffer};

/// Where uploads are created, and the beginning of their paths.
pub(super) const FOLDER: &str = "/files/";
const OFFSET_STREAM: &str = "application/offset+octet-stream";
/// How long an upload is kept that is not finished, as told.
const LIFE: Duration = Duration::from_secs(24 * 3600);

/// Whether this target is one of ours.
pub(super) fn serves(target: &str) -> bool {
    target.starts_with(FOLDER) || target == FOLDER.trim_end_matches('/')
}

/// An answer before it is written.
struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
}

impl Reply {
    fn new(status: u16) -> Self {
        Self { status, headers: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn with_expiry(self, state: UploadState) -> Self {
        match state {
            UploadState::Open => self.with("Upload-Expires", httpdate::fmt_http_date(SystemTime::now() + LIFE)),
            UploadState::Finished | UploadState::Terminated | UploadState::Expired => self,
        }
    }

    fn bytes(&self, more: &[(String, String)]) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Ferry\r\nTus-Resumable: 1.0.0\r\n", self.status);
        // RFC 9110, section 8.6: none with 204.
        if self.status != 204 {
            text += "Content-Length: 0\r\n";
        }
        self.headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        more.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
        (text + "\r\n").into_bytes()
    }
}

/// Treats a request whose head was read.
pub(super) async fn treat<S>(
    shared: &Shared,
    buffer: &mut Buffer,
    stream: &mut S,
    head: &Head,
    behaviour: &Behaviour,
) -> Result<Treated>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let fault = behaviour.fault_of(head, &[]);
    let mut request =
        Request { shared, buffer, stream, head, body: Body::of(head), fault, amid: behaviour.amid.clone() };
    tokio::select! {
        biased;
        () = shared.stop(head, &behaviour.before_applying) => {}
        () = request.buffer.gone(request.stream) => return Ok(Treated::Close),
    }
    let refusal = request.fault.refusal();
    if matches!(refusal, Some(Treated::Close)) {
        return Ok(Treated::Close);
    }
    if head.headers.get("expect").is_some_and(|expected| expected.eq_ignore_ascii_case("100-continue")) {
        request.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    }
    let reply = match refusal {
        Some(_) => Reply::new(500),
        None => match request.perform().await? {
            Some(reply) => reply,
            None => return Ok(Treated::Close),
        },
    };
    request.drain().await?;
    tokio::select! {
        biased;
        () = shared.stop(head, &behaviour.before_answering) => {}
        () = request.buffer.gone(request.stream) => return Ok(Treated::Close),
    }
    Ok(refusal.unwrap_or_else(|| request.fault.spoil(reply.bytes(&behaviour.headers))))
}

/// What comes next of a body.
enum Next {
    /// So many bytes, at the front of the buffer.
    Bytes(usize),
    /// Its end.
    End,
    /// Bytes beyond the upload's end.
    TooMuch,
    /// Nothing: the connection is to be closed, or another request has its turn.
    Close,
}

/// A request in the middle of being read.
struct Request<'a, S> {
    shared: &'a Shared,
    buffer: &'a mut Buffer,
    stream: &'a mut S,
    head: &'a Head,
    body: Body,
    fault: Fault,
    /// A stop amid the body.
    amid: Option<(u64, Wait)>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Request<'_, S> {
    /// What this server can do; one that keeps no bytes checks none.
    fn offers(&self) -> Reply {
        let reply = Reply::new(204).with("Tus-Version", "1.0.0");
        let extensions = "creation,creation-with-upload,termination,expiration";
        if self.shared.discards() {
            return reply.with("Tus-Extension", extensions);
        }
        let extensions = format!("{extensions},checksum");
        reply.with("Tus-Extension", &extensions).with("Tus-Checksum-Algorithm", "sha1,sha256")
    }

    /// Does what is asked and gives the honest answer; `None` closes the connection.
    async fn perform(&mut self) -> Result<Option<Reply>> {
        let method = self.header("x-http-method-override").unwrap_or(&self.head.method).to_owned();
        if method != "OPTIONS" && self.header("tus-resumable") != Some("1.0.0") {
            return Ok(Some(Reply::new(412).with("Tus-Version", "1.0.0")));
        }
        match method.as_str() {
            "OPTIONS" => Ok(Some(self.offers())),
            "POST" => self.create().await,
            "PATCH" => self.patch().await,
            "HEAD" => Ok(Some(self.turn().map_or_else(|gone| gone, |upload| tell(&upload)))),
            "DELETE" => Ok(Some(self.turn().map_or_else(
                |gone| gone,
                |upload| {
                    self.shared.note(|log| log.uploads.end(&upload.path, UploadState::Terminated));
                    Reply::new(204)
                },
            ))),
            _ => Ok(Some(Reply::new(405))),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(String::as_str)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.parse().ok()
    }

    /// Turns to the upload asked for; without one, the answer that says so.
    fn turn(&self) -> std::result::Result<Upload, Reply> {
        let upload = self.shared.note(|log| log.uploads.turn(&self.head.target));
        let upload = upload.ok_or_else(|| Reply::new(404))?;
        match upload.state {
            UploadState::Open | UploadState::Finished => Ok(upload),
            UploadState::Terminated | UploadState::Expired => Err(Reply::new(410)),
        }
    }

    async fn create(&mut self) -> Result<Option<Reply>> {
        let header = self.header("upload-metadata").unwrap_or_default();
        let (Some(length), Some(metadata)) = (self.number("upload-length"), metadata(header)) else {
            return Ok(Some(Reply::new(400)));
        };
        let is_stream = self.header("content-type") == Some(OFFSET_STREAM);
        if !self.body.is_over() && !is_stream {
            return Ok(Some(Reply::new(415)));
        }
        if self.head.length as u64 > length {
            return Ok(Some(Reply::new(413)));
        }
        let keep = !self.shared.discards();
        let mut upload = self.shared.note(|log| log.uploads.create(length, header, metadata, keep));
        let mut reply = Reply::new(201).with("Location", &upload.path);
        if is_stream {
            match self.receive(&upload).await? {
                Some(Reply { status: 204, .. }) => {}
                other => return Ok(other),
            }
            let now = self.shared.note(|log| log.uploads.turn(&upload.path));
            upload = now.unwrap_or(upload);
            reply = reply.with("Upload-Offset", upload.offset);
        }
        Ok(Some(reply.with_expiry(upload.state)))
    }

    async fn patch(&mut self) -> Result<Option<Reply>> {
        if self.header("content-type") != Some(OFFSET_STREAM) {
            return Ok(Some(Reply::new(415)));
        }
        let Some(from) = self.number("upload-offset") else { return Ok(Some(Reply::new(400))) };
        let upload = match self.turn() {
            Ok(upload) => upload,
            Err(gone) => return Ok(Some(gone)),
        };
        if from != upload.offset {
            return Ok(Some(Reply::new(409).with("Upload-Offset", upload.offset)));
        }
        if from + self.head.length as u64 > upload.length {
            return Ok(Some(Reply::new(413)));
        }
        self.receive(&upload).await
    }

    /// Takes the body to the end of an upload, as it comes.
    async fn receive(&mut self, upload: &Upload) -> Result<Option<Reply>> {
        let Ok(checksum) = self.header("upload-checksum").map(Checksum::parse).transpose() else {
            return Ok(Some(Reply::new(400)));
        };
        let mut digest = checksum.as_ref().map(|checksum| Context::new(checksum.algorithm));
        let writer = Writer { path: upload.path.clone(), turn: upload.turn };
        self.shared.note(|log| log.uploads.begin(&writer));
        let (mut taken, room) = (0, upload.length - upload.offset);
        loop {
            let count = match self.next(&writer, taken, room).await? {
                Next::Bytes(count) => count,
                Next::End => break,
                Next::TooMuch => return Ok(Some(Reply::new(413))),
                Next::Close => return Ok(None),
            };
            let piece = self.buffer.shown(count);
            if self.shared.note(|log| log.uploads.append(&writer, piece)).is_none() {
                return Ok(None);
            }
            if let Some(digest) = &mut digest {
                digest.update(piece);
            }
            taken += count as u64;
            self.buffer.taken(&mut self.body, count);
        }
        let wrong = digest.zip(checksum).is_some_and(|(digest, checksum)| digest.finish().as_ref() != checksum.value);
        let back_to = wrong.then_some(upload.offset);
        let Some(offset) = self.shared.note(|log| log.uploads.settle(&writer, back_to)) else { return Ok(None) };
        if wrong {
            return Ok(Some(Reply::new(460)));
        }
        let state = if offset == upload.length { UploadState::Finished } else { UploadState::Open };
        Ok(Some(Reply::new(204).with("Upload-Offset", offset).with_expiry(state)))
    }

    /// Waits for the next bytes of a body of which so many are taken, in an upload with so much room; stops where the
    /// behaviour says.
    async fn next(&mut self, writer: &Writer, taken: u64, room: u64) -> Result<Next> {
        let (shared, mut news) = (self.shared, self.shared.news.subscribe());
        if cut(&self.fault) == Some(taken) {
            return Ok(Next::Close);
        }
        let over = async {
            while shared.log().uploads.is_current(writer) {
                // The sender is ours: waiting cannot fail.
                let _ = news.changed().await;
            }
        };
        let next = async {
            if let Some((_, wait)) = self.amid.take_if(|(at, _)| *at == taken) {
                shared.stop(self.head, &wait).await;
            }
            self.buffer.piece(self.stream, &mut self.body).await
        };
        let here = tokio::select! {
            biased;
            () = over => return Ok(Next::Close),
            piece = next => piece?.len(),
        };
        let stops = [self.amid.as_ref().map(|(at, _)| *at), cut(&self.fault)];
        let stop = stops.into_iter().flatten().filter(|at| *at > taken).min().unwrap_or(u64::MAX);
        let most = usize::try_from((room - taken).min(stop - taken)).unwrap_or(usize::MAX);
        Ok(match here.min(most) {
            _ if here == 0 => Next::End,
            0 => Next::TooMuch,
            count => Next::Bytes(count),
        })
    }

    /// Reads what is left of a body that is not wanted.
    async fn drain(&mut self) -> Result<()> {
        let mut at = self.number("upload-offset");
        loop {
            let count = self.buffer.piece(self.stream, &mut self.body).await?.len();
            if count == 0 {
                return Ok(());
            }
            self.buffer.taken(&mut self.body, count);
            self.shared.note(|log| log.uploads.refuse(&self.head.target, at, count as u64));
            at = at.map(|at| at + count as u64);
        }
    }
}

fn cut(fault: &Fault) -> Option<u64> {
    match fault {
        Fault::Close(At::Body(at)) => Some(*at),
        Fault::No
        | Fault::Close(_)
        | Fault::Answer { .. }
        | Fault::Raw(_)
        | Fault::EndlessHeaders
        | Fault::EndlessBody(_)
        | Fault::Hang(_)
        | Fault::EndlessInterim => None,
    }
}

/// The answer to HEAD.
fn tell(upload: &Upload) -> Reply {
    let reply = Reply::new(200).with("Upload-Offset", upload.offset).with("Upload-Length", upload.length);
    let reply = reply.with("Cache-Control", "no-store").with_expiry(upload.state);
    if upload.header.is_empty() { reply } else { reply.with("Upload-Metadata", &upload.header) }
}

/// What `Upload-Checksum` says.
struct Checksum {
    algorithm: &'static Algorithm,
    value: Vec<u8>,
}

impl Checksum {
    fn parse(header: &str) -> std::result::Result<Self, ()> {
        let (name, value) = header.split_once(' ').ok_or(())?;
        let algorithm = match name {
            "sha1" => &SHA1_FOR_LEGACY_USE_ONLY,
            "sha256" => &SHA256,
            _ => return Err(()),
        };
        Ok(Self { algorithm, value: base64(value.trim()).ok_or(())? })
    }
}

/// `Upload-Metadata`: keys and values in base64, the value left off where it is empty.
fn metadata(header: &str) -> Option<BTreeMap<String, String>> {
    let pairs = header.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
            Some((key.to_owned(), String::from_utf8_lossy(&base64(value.trim())?).into_owned()))
        })
        .collect()
}

/// RFC 4648, section 4, with its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.trim_end_matches('=');
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for digit in digits.bytes() {
        let value = DIGITS.iter().position(|known| *known == digit)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    (text.len() - digits.len() <= 2).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_the_standard_writes_it() {
        let read = metadata("filename d29ybGRfZG9taW5hdGlvbl9wbGFuLnBkZg==,is_confidential").unwrap();
        assert_eq!(read["filename"], "world_domination_plan.pdf");
        assert_eq!(read["is_confidential"], "");
        assert_eq!(metadata("a !!!!"), None);
        assert_eq!(metadata(""), Some(BTreeMap::new()));
    }
}
