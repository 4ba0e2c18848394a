//! Counts what leaves for a strategy at a backend, and holds it back to a rate: its own, and its network's that it shares
//! with others. Clones are the same meter.
//!
//! What left is the kernel's word about the connections that were made for it: with what was sent again, with all headers,
//! and without what lies in buffers. Where the kernel does not tell, it is what was handed over, and an estimate of the rest.

use std::net::UdpSocket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::noting::Ends;
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
    own: Option<Turns>,
    shared: Option<Rate>,
}

/// A rate that several meters share. Clones are the same.
#[derive(Debug, Clone)]
pub struct Rate(Arc<Mutex<Turns>>);

/// Who may go when, at a rate.
#[derive(Debug)]
struct Turns {
    /// Bytes a second.
    rate: u64,
    /// When what was let go has all gone.
    even: Option<Instant>,
}

impl Turns {
    /// The most that goes at once.
    fn piece(&self) -> u64 {
        let worth = u64::try_from(BURST.as_millis()).unwrap_or_default() * self.rate / 1_000;
        worth.clamp(*PIECE.start(), *PIECE.end())
    }

    /// From when on so much may go.
    fn take(&mut self, size: u64, now: Instant) -> Instant {
        let from = self.even.unwrap_or(now).max(now);
        self.even = Some(from + Duration::from_secs_f64(size as f64 / self.rate as f64));
        from
    }
}

impl Rate {
    /// So many bytes a second.
    pub fn new(rate: u64) -> Self {
        Self(Arc::new(Mutex::new(Turns { rate, even: None })))
    }

    /// From now on it is another.
    pub fn set(&self, rate: u64) {
        self.turns().rate = rate;
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection.
#[derive(Debug)]
struct Line {
    ends: Ends,
    counted: Tally,
    /// Its link is gone.
    lost: bool,
}

impl Meter {
    /// `heard` is called when more has left, from any task; it must not block.
    pub fn new(heard: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { book: Mutex::default(), heard: Box::new(heard) }))
    }

    /// From now on it counts or does not, and lets so many bytes a second go at most, and of what shares a rate; `None`:
    /// any number.
    pub fn set(&self, counts: bool, rate: Option<u64>, shared: Option<Rate>) {
        let mut book = self.book();
        let even = book.own.take().and_then(|own| own.even);
        book.own = rate.map(|rate| Turns { rate, even });
        (book.counts, book.shared) = (counts, shared);
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
        book.lines.iter_mut().for_each(|line| line.lost = UdpSocket::bind((line.ends.local.ip(), 0)).is_err());
    }

    /// A connection was made for it; `None`: nobody can tell which.
    pub(super) fn note(&self, ends: Option<Ends>) {
        match ends {
            Some(ends) => self.book().lines.push(Line { ends, counted: Tally::default(), lost: false }),
            None => self.estimate(),
        }
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
        let book = self.book();
        book.own.is_some() || book.shared.is_some()
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
        let Book { own, shared, .. } = &mut *book;
        let mut shared = shared.as_ref().map(Rate::turns);
        let limits = || [own.as_ref().map(Turns::piece), shared.as_deref().map(Turns::piece)];
        let size = limits().into_iter().flatten().fold(wanted, u64::min);
        let turns = [own.as_mut(), shared.as_deref_mut()];
        let from = turns.into_iter().flatten().map(|turns| turns.take(size, now)).max();
        (size, from.unwrap_or(now))
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
        self.lines.retain_mut(|line| match look(line.ends.local, line.ends.remote) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spaces_pieces_whoever_asks() {
        let (meter, start) = (Meter::new(|| {}), Instant::now());
        assert_eq!(meter.reserve(1 << 20, start), (1 << 20, start), "nothing limits it");
        assert!(!meter.is_limited());
        meter.set(false, Some(100 * 1024), None);
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
        meter.set(false, Some(8 * 1024), None);
        assert_eq!(meter.reserve(1 << 20, now + Duration::from_secs(99)).0, 1_024);
        meter.set(false, Some(1 << 30), None);
        assert_eq!(meter.reserve(1 << 20, now + Duration::from_secs(999)).0, 65_536);
    }

    #[test]
    fn a_network_s_rate_is_shared_and_a_meter_keeps_to_its_own_too() {
        let (one, two, start) = (Meter::new(|| {}), Meter::new(|| {}), Instant::now());
        let network = Rate::new(100 * 1024);
        one.set(false, None, Some(network.clone()));
        two.set(false, Some(20 * 1024), Some(network.clone()));
        assert!(one.is_limited() && two.is_limited());
        let (mut gone, mut ends) = ([0, 0], [start, start]);
        while ends.iter().min() < Some(&(start + Duration::from_secs(10))) {
            let next = usize::from(ends[1] < ends[0]);
            let (size, from) = [&one, &two][next].reserve(1 << 20, ends[next]);
            gone[next] += size;
            ends[next] = from.max(ends[next]);
        }
        let kib_a_second = |bytes: u64| bytes / 1024 / 10;
        assert!((95..=105).contains(&kib_a_second(gone[0] + gone[1])), "{gone:?}");
        assert!((10..=21).contains(&kib_a_second(gone[1])), "{gone:?}");
        network.set(1 << 30);
        one.reserve(1, start + Duration::from_secs(99));
        assert_eq!(one.reserve(1 << 20, start + Duration::from_secs(100)).0, 65_536);
    }
}
