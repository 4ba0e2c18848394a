//! Whether request bodies are gzipped: where config allows it, until the server shows that it does not take them.
//!
//! There is no way in HTTP to ask first, so the first body over 1 KiB is sent gzipped and what comes back tells:
//!
//! - a success: the server takes gzip, and from then on only 415 (RFC 9110 §15.5.16) can take that back;
//! - 415, or (as long as none was a success) 400, 422, 500 or 501, which servers that cannot read the body give: the
//!   request is sent again as it is within the same attempt. Did that fare differently, gzip was at fault, and no more
//!   is sent until the config is loaded again;
//! - any answer with an `Accept-Encoding` field that leaves gzip out (RFC 9110 §12.5.3): no more is sent.

use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};

use flate2::Compression as Level;
use flate2::write::GzEncoder;

use crate::http::Reply;

/// Bodies up to this are never gzipped.
pub(super) const THRESHOLD: usize = 1024;

const UNTRIED: u8 = 0;
const TAKEN: u8 = 1;
const REFUSED: u8 = 2;

/// What is known of the server.
#[derive(Debug)]
pub(super) struct Compression(AtomicU8);

impl Compression {
    pub(super) fn new(allowed: bool) -> Self {
        Self(AtomicU8::new(if allowed { UNTRIED } else { REFUSED }))
    }

    /// The gzipped body, if it is to be sent so.
    pub(super) fn pack(&self, body: &[u8]) -> Option<Vec<u8>> {
        if body.len() <= THRESHOLD || self.0.load(Ordering::Relaxed) == REFUSED {
            return None;
        }
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Level::fast());
        encoder.write_all(body).ok()?;
        encoder.finish().ok().filter(|packed| packed.len() < body.len())
    }

    /// Whether the answer to a gzipped body is to be asked for again with the plain one.
    pub(super) fn is_suspect(&self, reply: &Reply) -> bool {
        match reply.status {
            415 => true,
            400 | 422 | 500 | 501 => self.0.load(Ordering::Relaxed) == UNTRIED,
            _ => false,
        }
    }

    /// Learns from the answer to a gzipped body.
    pub(super) fn learn(&self, reply: &Reply) {
        if reply.is_success() {
            self.0.store(TAKEN, Ordering::Relaxed);
        }
        self.heed(reply);
    }

    /// Learns from a suspect answer and the one to the same body as it is.
    pub(super) fn compare(&self, packed: u16, plain: &Reply) {
        if packed != plain.status {
            self.0.store(REFUSED, Ordering::Relaxed);
        }
        self.heed(plain);
    }

    /// Heeds what any answer says that the server accepts.
    pub(super) fn heed(&self, reply: &Reply) {
        if let Some(accepted) = reply.header("accept-encoding")
            && !accepts_gzip(accepted)
        {
            self.0.store(REFUSED, Ordering::Relaxed);
        }
    }
}

/// Whether an `Accept-Encoding` field names gzip, or anything, with a weight above 0.
fn accepts_gzip(field: &str) -> bool {
    field.split(',').any(|member| {
        let (coding, weight) = member.split_once(';').unwrap_or((member, ""));
        let coding = coding.trim().to_ascii_lowercase();
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0));
        matches!(coding.as_str(), "gzip" | "x-gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_encoding_is_read() {
        for (field, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.5", true),
            ("*", true),
            ("", false),
            ("identity", false),
            ("gzip;q=0", false),
            ("br;q=1.0, gzip; q=0.000", false),
        ] {
            assert_eq!(accepts_gzip(field), takes, "{field:?}");
        }
    }

    #[test]
    fn small_and_incompressible_bodies_stay_as_they_are() {
        let compression = Compression::new(true);
        assert!(compression.pack(&[b'a'; THRESHOLD]).is_none());
        assert!(compression.pack(&[b'a'; THRESHOLD + 1]).is_some());
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = (0..4096).map(|_| rng.u8(..)).collect();
        assert!(compression.pack(&noise).is_none());
        assert!(Compression::new(false).pack(&[b'a'; 4096]).is_none());
    }
}
