//! An answer, read within bounds.

use std::io::Read;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};
use reqwest::{Response, Url};
use tokio::time::Instant;

use super::error::SendError;

/// The most bytes of an answer that are read, on the wire and after decompression.
pub const ANSWER_LIMIT: usize = 1024 * 1024;

/// The most of an answer that is no success: enough for its words.
const WORDS_ON_THE_WIRE: usize = 64 * 1024;

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The URL that was asked: another than the request's after a redirect.
    pub(super) url: Url,
    /// The header fields.
    pub headers: HeaderMap,
    /// The body, decompressed, at most [`ANSWER_LIMIT`].
    pub body: Vec<u8>,
    /// Whether that is all of it; the connection of a longer one is closed.
    pub whole: bool,
    /// Bytes of it on the wire after its first piece, and how long they took.
    pub(super) trickle: (u64, Duration),
}

impl Reply {
    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The URL that was asked, without its query.
    pub fn resource(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.into()
    }

    /// A header field's first value, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Reads a response, waiting at most `patience` for each next piece of it.
    pub(super) async fn read(mut response: Response, patience: Duration) -> Result<Self, SendError> {
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let limit = if response.status().is_success() { ANSWER_LIMIT } else { WORDS_ON_THE_WIRE };
        let url = response.url().clone();
        let mut reply = Self { status, url, headers, body: Vec::new(), whole: true, trickle: Default::default() };
        let mut first: Option<Instant> = None;
        loop {
            let piece = tokio::time::timeout(patience, response.chunk())
                .await
                .map_err(|_| SendError::Unreachable(format!("the answer stopped for {patience:?}")))?
                .map_err(SendError::of)?;
            let Some(piece) = piece else { break };
            match first {
                Some(first) => reply.trickle = (reply.trickle.0 + piece.len() as u64, first.elapsed()),
                None => first = Some(Instant::now()),
            }
            let room = limit - reply.body.len();
            reply.body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
            if piece.len() > room {
                reply.whole = false;
                break;
            }
        }
        reply.decompressed()
    }

    fn decompressed(self) -> Result<Self, SendError> {
        let coding = self.headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
        match coding.as_deref() {
            None | Some(b"" | b"identity") => Ok(self),
            Some(b"gzip" | b"x-gzip") => self.gunzipped(),
            Some(_) if !self.is_success() => Ok(Self { body: Vec::new(), ..self }),
            Some(_) => Err(SendError::Coding("the answer has a content coding that was not asked for".to_owned())),
        }
    }

    fn gunzipped(mut self) -> Result<Self, SendError> {
        let packed = std::mem::take(&mut self.body);
        if packed.is_empty() {
            return Ok(self);
        }
        let end = MultiGzDecoder::new(packed.as_slice()).take(ANSWER_LIMIT as u64 + 1).read_to_end(&mut self.body);
        match end {
            Ok(_) => {}
            // What came of a cut or unsuccessful answer is enough for its words.
            Err(_) if !self.whole || !self.is_success() => self.whole = false,
            Err(error) => return Err(SendError::Coding(format!("the answer's gzip: {error}"))),
        }
        if self.body.len() > ANSWER_LIMIT {
            self.body.truncate(ANSWER_LIMIT);
            self.whole = false;
        }
        Ok(self)
    }
}

#[cfg(test)]
impl Reply {
    /// What is made of an answer written so: its status and its header fields, a line each, an empty line, its body.
    pub(crate) fn written(url: &str, text: &[u8]) -> Result<Self, SendError> {
        let end = text.windows(2).position(|two| two == b"\n\n").unwrap_or(text.len());
        let head = String::from_utf8_lossy(&text[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.parse().ok()).filter(|status| (100..1000).contains(status));
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.trim().parse::<reqwest::header::HeaderName>().ok()?, value.trim().parse().ok()?))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in lines.filter_map(field) {
            headers.append(name, value);
        }
        let body = text.get(end + 2..).unwrap_or_default();
        let (url, whole) = (Url::parse(url).expect("a URL"), body.len() <= ANSWER_LIMIT);
        Self { status: status.unwrap_or(200), url, headers, body: body.to_vec(), whole, trickle: Default::default() }
            .decompressed()
    }
}
