//! Counts what leaves for a strategy at a backend, and holds it back to a rate. Clones are the same meter.
//!
//! What left is the kernel's word about the connections that were made for it: with what was sent again, with all headers,
//! and without what lies in buffers. Where the kernel does not tell, it is what was handed over, and an estimate of the rest.

use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::tally::{Tally, look};

/// So many bytes may be handed over before the kernel is asked what left.
const LOOK_EACH: u64 = 128 * 1024;

/// What goes at once when little went before: so long a time's worth.
const BURST: Duration = Duration::from_millis(50);

/// The sizes of pieces that a rate lets go at once.
const PIECE: std::ops::RangeInclusive<u64> = 1_024..=65_536;

/// Where the kernel does not tell: for what was handed over, the headers of its packets beside it, in percent, and a
/// request's own head.
const BESIDE: u64 = 5;
const HEAD: u64 = 600;

/// Counts and paces.
#[derive(Clone)]
pub struct Meter(Arc<Shared>);

struct Shared {
    book: Mutex<Book>,
    /// Called when more has left.
    heard: Box<dyn Fn() + Send + Sync>,
}

#[derive(Debug, Default)]
struct Book {
    lines: Vec<Line>,
    /// What left and was not taken note of.
    sent: u64,
    /// What was handed over since the kernel was asked.
    handed: u64,
    /// The kernel does not tell.
    blind: bool,
    counts: bool,
    rate: Option<u64>,
    /// When what was let go has all gone, at the rate.
    even: Option<Instant>,
}

/// A connection.
#[derive(Debug)]
struct Line {
    local: SocketAddr,
    remote: SocketAddr,
    counted: Tally,
    /// Its link is gone.
    lost: bool,
}

impl Meter {
    /// `heard` is called when more has left, from any task; it must not block.
    pub fn new(heard: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { book: Mutex::default(), heard: Box::new(heard) }))
    }

    /// From now on it counts or does not, and lets so many bytes a second go at most; `None`: any number.
    pub fn set(&self, counts: bool, rate: Option<u64>) {
        let mut book = self.book();
        (book.counts, book.rate) = (counts, rate);
    }

    /// What has left since this was last asked.
    pub fn take(&self) -> u64 {
        let mut book = self.book();
        book.look();
        std::mem::take(&mut book.sent)
    }

    /// The link is gone: what lies in buffers does not leave.
    pub fn link_lost(&self) {
        let mut book = self.book();
        book.look();
        book.lines.iter_mut().for_each(|line| line.lost = true);
    }

    /// There is a link: what lies in buffers leaves after all, if connections have their addresses still.
    pub fn link_back(&self) {
        let mut book = self.book();
        book.look();
        book.lines.iter_mut().for_each(|line| line.lost = UdpSocket::bind((line.local.ip(), 0)).is_err());
    }

    /// Its connections are not known: what leaves is estimated from now on.
    pub(super) fn estimate(&self) {
        self.book().blind = true;
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn counts(&self) -> bool {
        self.book().counts
    }

    pub(super) fn is_limited(&self) -> bool {
        self.book().rate.is_some()
    }

    /// A request goes, or goes again: its head, and its body if that is handed over at once.
    pub(super) fn begins(&self, body: u64) {
        self.handed(HEAD + body);
    }

    /// So much of a body was handed over.
    pub(super) fn handed(&self, bytes: u64) {
        let mut book = self.book();
        book.handed += bytes;
        if book.counts && book.handed >= LOOK_EACH {
            book.look();
            drop(book);
            (self.0.heard)();
        }
    }

    /// How much of `wanted` bytes may go, and from when on: at once if nothing limits it.
    pub(super) fn reserve(&self, wanted: u64, now: Instant) -> (u64, Instant) {
        let mut book = self.book();
        let Some(rate) = book.rate else { return (wanted, now) };
        let worth = u64::try_from(BURST.as_millis()).unwrap_or_default() * rate / 1_000;
        let size = wanted.min(worth.clamp(*PIECE.start(), *PIECE.end()));
        let from = book.even.unwrap_or(now).max(now);
        book.even = Some(from + Duration::from_secs_f64(size as f64 / rate as f64));
        (size, from)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that holds it can panic half-way.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Asks the kernel what left of each connection. What a connection that was closed still had to send has left, unless
    /// its link was gone.
    fn look(&mut self) {
        if !self.counts {
            return;
        }
        let handed = std::mem::take(&mut self.handed);
        let mut blind = self.blind;
        let mut sent = 0;
        self.lines.retain_mut(|line| match look(line.local, line.remote) {
            Ok(Some(now)) => {
                sent += now.sent.saturating_sub(line.counted.sent);
                line.counted = now;
                true
            }
            Ok(None) => {
                sent += if line.lost { 0 } else { line.counted.unsent };
                false
            }
            Err(error) => {
                if !blind {
                    tracing::warn!("what left of a connection is estimated, the kernel does not tell: {error}");
                }
                blind = true;
                false
            }
        });
        self.blind = blind;
        self.sent += if blind { handed + handed * BESIDE / 100 } else { sent };
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Meter").field(&*self.book()).finish()
    }
}

/// Notes the connections that a client makes.
#[derive(Debug, Clone)]
pub(super) struct Noting(pub(super) Meter);

impl<S> Layer<S> for Noting {
    type Service = Noted<S>;

    fn layer(&self, connector: S) -> Noted<S> {
        Noted { connector, meter: self.0.clone() }
    }
}

/// A connector whose connections are noted.
#[derive(Debug, Clone)]
pub(super) struct Noted<S> {
    connector: S,
    meter: Meter,
}

impl<S, R> Service<R> for Noted<S>
where
    S: Service<R>,
    S::Response: Connection,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let (connecting, meter) = (self.connector.call(request), self.meter.clone());
        Box::pin(async move {
            let connection = connecting.await?;
            let mut said = http::Extensions::new();
            connection.connected().get_extras(&mut said);
            let mut book = meter.book();
            match said.get::<HttpInfo>() {
                Some(ends) => {
                    let (local, remote) = (ends.local_addr(), ends.remote_addr());
                    book.lines.push(Line { local, remote, counted: Tally::default(), lost: false });
                }
                None => book.blind = true,
            }
            drop(book);
            Ok(connection)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spaces_pieces_whoever_asks() {
        let (meter, start) = (Meter::new(|| {}), Instant::now());
        assert_eq!(meter.reserve(1 << 20, start), (1 << 20, start), "nothing limits it");
        meter.set(false, Some(100 * 1024));
        let mut gone = 0;
        let mut now = start;
        while gone < 1 << 20 {
            let (size, from) = meter.clone().reserve(1 << 20, now);
            assert_eq!(size, 5_120, "50 ms worth");
            gone += size;
            now = now.max(from);
        }
        let took = now - start;
        assert!((10.0..10.3).contains(&took.as_secs_f64()), "1 MiB at 100 KiB/s in {took:?}");
        assert_eq!(meter.reserve(10, now + Duration::from_secs(60)), (10, now + Duration::from_secs(60)));
        meter.set(false, Some(8 * 1024));
        assert_eq!(meter.reserve(1 << 20, now + Duration::from_secs(99)).0, 1_024);
        meter.set(false, Some(1 << 30));
        assert_eq!(meter.reserve(1 << 20, now + Duration::from_secs(999)).0, 65_536);
    }
}
