//! Sees how fast a backend's own transfers go, and how well: what its connections carried while requests were under way,
//! by the kernel's word. It sends nothing and wakes nobody. Clones are the same gauge.
//!
//! What goes over several connections at once is one measurement, since they share the link.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::noting::Ends;
use super::reply::Reply;
use super::tally::{Tally, look};
use crate::model::{Flow, Passage, Sample};

/// A transfer that goes on is looked at when so much was handed over, and so much time has passed.
const LOOK_EACH: u64 = 64 * 1024;
const NOT_BEFORE: Duration = Duration::from_secs(1);

/// The kernel's clock of what was on its way ticks in hundredths of a second or so: a shorter time is taken by ours, and
/// says only that the link bears at least that.
const COARSE: Duration = Duration::from_millis(50);

/// Measures.
#[derive(Clone)]
pub struct Gauge(Arc<Shared>);

struct Shared {
    book: Mutex<Book>,
    /// Called with each sample.
    heard: Box<dyn Fn(Sample) + Send + Sync>,
}

#[derive(Debug, Default)]
struct Book {
    lines: Vec<Line>,
    /// Requests under way.
    under_way: usize,
    /// Since when this measurement runs.
    since: Option<Instant>,
    /// What was handed over in it.
    handed: u64,
    /// Something in it was held back to a rate.
    held: bool,
    /// Requests under way that are.
    held_ones: usize,
    /// It is the first of these requests.
    begins: bool,
    /// The kernel does not tell.
    blind: bool,
    /// Counts the networks: what began on another than the present one says nothing of it.
    network: u64,
}

/// A connection, and what it had carried when it was last looked at.
#[derive(Debug)]
struct Line {
    ends: Ends,
    counted: Tally,
}

/// A request under way. Dropped, it was ended by ourselves.
pub(super) struct UnderWay {
    gauge: Gauge,
    network: u64,
    held: bool,
    passage: Passage,
    received: (u64, Duration),
}

impl Gauge {
    /// `heard` is called with each sample, from any task; it must not block.
    pub fn new(heard: impl Fn(Sample) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { book: Mutex::default(), heard: Box::new(heard) }))
    }

    /// What goes from now on goes over another network.
    pub(super) fn moved_on(&self) {
        let mut book = self.book();
        book.network += 1;
        book.lines.clear();
        book.start(Instant::now());
    }

    /// A connection was made; `None`: nobody can tell which.
    pub(super) fn note(&self, ends: Option<Ends>) {
        let mut book = self.book();
        match ends {
            Some(ends) => book.lines.push(Line { ends, counted: Tally::default() }),
            None => book.blind = true,
        }
    }

    /// A request goes, with a body of so many bytes that are handed over at once.
    pub(super) fn begins(&self, body: u64, held: bool) -> UnderWay {
        let mut book = self.book();
        if book.under_way == 0 {
            book.start(Instant::now());
            book.begins = true;
        }
        book.under_way += 1;
        book.handed += body;
        book.held |= held;
        book.held_ones += usize::from(held);
        let network = book.network;
        UnderWay { gauge: self.clone(), network, held, passage: Passage::Open, received: Default::default() }
    }

    /// So much of a body was handed over.
    pub(super) fn handed(&self, bytes: u64) {
        self.handed_at(bytes, Instant::now());
    }

    /// The link went away under a request, or came back as if it had been away.
    pub(super) fn broke(&self) {
        (self.0.heard)(Sample { passage: Passage::Broke, ..Sample::default() });
    }

    fn handed_at(&self, bytes: u64, now: Instant) {
        let mut book = self.book();
        book.handed += bytes;
        if book.is_due(now) {
            let sample = book.close(now);
            drop(book);
            (self.0.heard)(sample);
        }
    }

    fn ended(&self, end: &UnderWay) {
        let now = Instant::now();
        let mut book = self.book();
        book.under_way -= 1;
        book.held_ones -= usize::from(end.held);
        let current = book.network == end.network;
        let measured =
            if current && (book.under_way == 0 || book.is_due(now)) { book.close(now) } else { Sample::default() };
        drop(book);
        let (received, receiving) = end.received;
        let sample = Sample { received, receiving, passage: end.passage, ..measured };
        if current && sample != Sample::default() {
            (self.0.heard)(sample);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Nothing that holds it can panic half-way.
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    /// It ended so.
    pub(super) fn ends(mut self, passage: Passage, reply: Option<&Reply>) {
        self.passage = passage;
        self.received = reply.map(|reply| reply.trickle).unwrap_or_default();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.gauge.ended(self);
    }
}

impl Book {
    fn start(&mut self, now: Instant) {
        (self.since, self.handed, self.held, self.begins) = (Some(now), 0, self.held_ones > 0, false);
    }

    fn is_due(&self, now: Instant) -> bool {
        self.handed >= LOOK_EACH && self.since.is_some_and(|since| now >= since + NOT_BEFORE)
    }

    /// What was carried since this measurement began; the next begins.
    fn close(&mut self, now: Instant) -> Sample {
        let wall = self.since.map(|since| now - since).unwrap_or_default();
        let mut sample = Sample { limited: true, ..Sample::default() };
        let (mut busy, mut cold, mut delivery) = (Duration::ZERO, false, 0);
        let mut blind = self.blind;
        self.lines.retain_mut(|Line { ends, counted }| match look(ends.local, ends.remote) {
            Ok(Some(tally)) => {
                let carried = tally.acked - counted.acked.min(tally.acked);
                if carried > 0 {
                    sample.sent += carried;
                    sample.limited &= tally.limited;
                    busy += tally.busy.saturating_sub(counted.busy);
                    cold |= *counted == Tally::default();
                    delivery += tally.delivery;
                }
                sample.segments += tally.segments.saturating_sub(counted.segments);
                sample.lost += tally.lost.saturating_sub(counted.lost);
                let least = Some(tally.round_trip).filter(|time| !time.is_zero());
                sample.round_trip = sample.round_trip.into_iter().chain(least).min();
                *counted = tally;
                true
            }
            Ok(None) => false,
            Err(_) => {
                blind = true;
                false
            }
        });
        self.blind = blind;
        sample.limited |= self.held;
        sample.flow = match (cold, self.begins) {
            (true, _) => Flow::Cold,
            (false, true) => Flow::Warm,
            (false, false) => Flow::Going,
        };
        (sample.sending, sample.delivery) = (busy.min(wall), delivery);
        if self.held || sample.limited {
            // A small piece may go at once that a shaped link lets through.
            sample.delivery = 0;
        }
        if sample.limited || sample.sending < COARSE {
            (sample.sending, sample.limited) = (wall, true);
        }
        if blind {
            (sample.sent, sample.sending, sample.limited) = (self.handed, wall, self.held);
        }
        self.start(now);
        sample
    }
}

impl std::fmt::Debug for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Gauge").field(&*self.book()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;

    use super::*;

    /// A gauge and what it tells.
    fn gauge() -> (Gauge, mpsc::Receiver<Sample>) {
        let (tell, told) = mpsc::channel();
        (Gauge::new(move |sample| tell.send(sample).expect("heard")), told)
    }

    fn connection() -> (TcpStream, TcpStream, Ends) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (far, _) = listener.accept().expect("a connection");
        let ends = Ends { local: near.local_addr().expect("bound"), remote: near.peer_addr().expect("connected") };
        (near, far, ends)
    }

    fn carry(near: &mut TcpStream, far: &mut TcpStream, bytes: usize) {
        let writing = near.try_clone().expect("a socket");
        std::thread::scope(|scope| {
            scope.spawn(move || (&writing).write_all(&vec![7; bytes]).expect("sent"));
            far.read_exact(&mut vec![0; bytes]).expect("received");
        });
        // What was received is acknowledged at the latest by what comes back.
        far.write_all(b"1").and_then(|()| near.read_exact(&mut [0])).expect("answered");
    }

    #[test]
    fn what_several_requests_carry_is_one_measurement() {
        let (gauge, told) = gauge();
        let [mut one, mut two] = [(); 2].map(|()| connection());
        let first = gauge.begins(0, false);
        gauge.note(Some(one.2));
        carry(&mut one.0, &mut one.1, 300_000);
        let second = gauge.begins(0, false);
        gauge.note(Some(two.2));
        carry(&mut two.0, &mut two.1, 200_000);
        first.ends(Passage::Through, None);
        let end = told.try_recv().expect("an end");
        assert_eq!((end.passage, end.sent), (Passage::Through, 0), "the other goes on");
        second.ends(Passage::Broke, None);
        let sample = told.try_recv().expect("a sample");
        assert!((500_000..500_100).contains(&sample.sent), "{sample:?}");
        assert_eq!((sample.passage, sample.flow), (Passage::Broke, Flow::Cold));
        assert!(sample.segments > 0 && sample.round_trip.is_some() && !sample.sending.is_zero(), "{sample:?}");

        let third = gauge.begins(0, true);
        carry(&mut one.0, &mut one.1, 100_000);
        drop(third);
        let sample = told.try_recv().expect("a sample");
        assert!((100_000..100_100).contains(&sample.sent), "what was counted is not counted again: {sample:?}");
        assert_eq!((sample.passage, sample.flow, sample.limited), (Passage::Open, Flow::Warm, true));
        assert!(told.try_recv().is_err());
    }

    #[test]
    fn what_began_on_another_network_says_nothing() {
        let (gauge, told) = gauge();
        let (mut near, mut far, ends) = connection();
        let old = gauge.begins(0, false);
        gauge.note(Some(ends));
        carry(&mut near, &mut far, 300_000);
        gauge.moved_on();
        old.ends(Passage::Broke, None);
        assert!(told.try_recv().is_err());
        gauge.begins(0, false).ends(Passage::Through, None);
        assert_eq!(told.try_recv().map(|sample| (sample.sent, sample.passage)), Ok((0, Passage::Through)));
    }

    #[test]
    fn a_transfer_that_goes_on_is_looked_at_now_and_then() {
        let (gauge, told) = gauge();
        let under_way = gauge.begins(0, true);
        let began = Instant::now();
        gauge.handed_at(LOOK_EACH, began);
        assert!(told.try_recv().is_err(), "too early");
        gauge.handed_at(1, began + NOT_BEFORE);
        assert_eq!(told.try_recv().map(|sample| sample.passage), Ok(Passage::Open));
        assert!(gauge.book().held, "it is held back as long as it goes");
        gauge.handed_at(LOOK_EACH - 1, began + 2 * NOT_BEFORE);
        assert!(told.try_recv().is_err(), "too little");
        drop(under_way);
    }
}
