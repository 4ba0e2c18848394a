//! As much of HTTP/1.1 (RFC 9112) as the embedded server needs, by hand, so that it can be broken at any byte.

use std::io::{Error, Read, Result, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::log::Head;

/// The longest head and body that are read.
const LIMIT: usize = 64 * 1024 * 1024;

/// How much of a body is read at once, at most.
const READ: usize = 256 * 1024;

/// A request as it came.
pub(super) struct Asked {
    pub(super) head: Head,
    /// Decompressed.
    pub(super) body: Vec<u8>,
}

/// What was read and belongs to the next request.
#[derive(Default)]
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    /// Waits for the first bytes of a request; `false` at the end of the connection.
    pub(super) async fn begun(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<bool> {
        if self.0.is_empty() { self.more(stream).await } else { Ok(true) }
    }

    /// Reads the head of the request that has begun.
    pub(super) async fn head(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<Head> {
        let end = loop {
            if let Some(at) = self.0.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.0.iter().take(1).all(u8::is_ascii_uppercase) {
                return Err(Error::other("not HTTP"));
            }
            self.demand(stream).await?;
        };
        let mut head = parse(&self.0[..end]).ok_or_else(|| Error::other("not a request"))?;
        self.0.drain(..end);
        head.length = match head.headers.get("content-length") {
            Some(length) => length.parse().map_err(|_| Error::other("not a length"))?,
            None => 0,
        };
        Ok(head)
    }

    /// Reads the whole body that follows this head.
    pub(super) async fn body(&mut self, stream: &mut (impl AsyncRead + Unpin), head: Head) -> Result<Asked> {
        if head.headers.contains_key("transfer-encoding") {
            return Err(Error::other("a chunked request"));
        }
        while self.0.len() < head.length {
            self.demand(stream).await?;
        }
        let rest = self.0.split_off(head.length);
        let body = std::mem::replace(&mut self.0, rest);
        let gzipped = head.headers.get("content-encoding").is_some_and(|coding| coding == "gzip");
        let body = if gzipped { gunzip(&body)? } else { body };
        Ok(Asked { head, body })
    }

    /// Waits for the next bytes of a body and shows them; none at its end. They stay until they are [`taken`](Self::taken).
    pub(super) async fn piece(&mut self, stream: &mut (impl AsyncRead + Unpin), body: &mut Body) -> Result<&[u8]> {
        while body.left == 0 && body.goes_on {
            self.chunk(stream, body).await?;
        }
        if body.left == 0 {
            return Ok(&[]);
        }
        if self.0.is_empty() {
            self.0.reserve(READ);
            self.demand(stream).await?;
        }
        let here = usize::try_from(body.left).unwrap_or(usize::MAX).min(self.0.len());
        Ok(&self.0[..here])
    }

    /// So many of the bytes that a body's [`piece`](Self::piece) has shown.
    pub(super) fn shown(&self, count: usize) -> &[u8] {
        &self.0[..count]
    }

    /// Removes bytes that a body's [`piece`](Self::piece) has shown.
    pub(super) fn taken(&mut self, body: &mut Body, count: usize) {
        body.left -= count as u64;
        if count == self.0.len() {
            self.0.clear();
        } else {
            self.0.drain(..count);
        }
    }

    /// Waits until the client has gone, reading ahead what it still sends; not for more than a piece.
    pub(super) async fn gone(&mut self, stream: &mut (impl AsyncRead + Unpin)) {
        while self.0.len() < READ {
            // An error is an end as well.
            if !self.more(stream).await.unwrap_or(false) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Reads the line before the next chunk (RFC 9112, section 7.1); after the last one also the trailer.
    async fn chunk(&mut self, stream: &mut (impl AsyncRead + Unpin), body: &mut Body) -> Result<()> {
        let line = self.line(stream).await?;
        if line.is_empty() && body.inside {
            body.inside = false;
            return Ok(());
        }
        let size = line.split(';').next().unwrap_or_default().trim();
        body.left = u64::from_str_radix(size, 16).map_err(|_| Error::other("not a chunk"))?;
        body.inside = true;
        if body.left == 0 {
            body.goes_on = false;
            while !self.line(stream).await?.is_empty() {}
        }
        Ok(())
    }

    async fn line(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<String> {
        loop {
            if let Some(at) = self.0.windows(2).position(|window| window == b"\r\n") {
                let line = String::from_utf8_lossy(&self.0[..at]).into_owned();
                self.0.drain(..at + 2);
                return Ok(line);
            }
            self.demand(stream).await?;
        }
    }

    async fn demand(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<()> {
        if self.0.len() <= LIMIT && self.more(stream).await? {
            return Ok(());
        }
        Err(Error::other("cut off in a request, or too long"))
    }

    async fn more(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> Result<bool> {
        Ok(stream.read_buf(&mut self.0).await? > 0)
    }
}

/// How much of a body is still to come.
#[derive(Debug)]
pub(super) struct Body {
    /// Bytes until its end or the end of its chunk.
    left: u64,
    /// More chunks follow.
    goes_on: bool,
    /// A chunk was read, whose line end is still to come.
    inside: bool,
}

impl Body {
    /// The body that follows this head, none of it read yet.
    pub(super) fn of(head: &Head) -> Self {
        let goes_on = head.headers.contains_key("transfer-encoding");
        Self { left: if goes_on { 0 } else { head.length as u64 }, goes_on, inside: false }
    }

    /// Whether no byte of it is to come.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0 && !self.goes_on
    }
}

fn parse(head: &[u8]) -> Option<Head> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let mut parsed = Head { method: first.next()?.into(), target: first.next()?.into(), ..Head::default() };
    for line in lines.filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        parsed.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    Some(parsed)
}

/// A whole answer.
pub(super) fn answer(status: u16, headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Ferry\r\nContent-Length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// The bytes gzipped.
pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to a Vec cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    GzDecoder::new(bytes).take(LIMIT as u64).read_to_end(&mut body)?;
    Ok(body)
}
