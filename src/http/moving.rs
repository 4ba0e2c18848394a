//! A body that tells when a piece of it is taken, and lets no more of it go than its meter allows.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

use super::gauge::Gauge;
use super::meter::Meter;

/// A body under way.
pub(super) struct Moving<B> {
    body: B,
    meter: Option<Meter>,
    gauge: Option<Gauge>,
    /// What the body gave and may not go yet.
    rest: Bytes,
    turn: Option<Turn>,
    /// Told of each piece, and of each wait for one; gone with the body.
    taken: watch::Sender<Duration>,
}

/// So much goes then.
struct Turn {
    size: usize,
    from: Pin<Box<Sleep>>,
}

/// Hears of a body's pieces.
pub(super) struct Moved(watch::Receiver<Duration>);

impl<B> Moving<B> {
    pub(super) fn new(body: B, meter: Option<Meter>, gauge: Option<Gauge>) -> (Self, Moved) {
        let (taken, heard) = watch::channel(Duration::ZERO);
        (Self { body, meter, gauge, rest: Bytes::new(), turn: None, taken }, Moved(heard))
    }

    /// Hands on what the meter lets go now.
    fn poll_piece(&mut self, meter: &Meter, context: &mut Context<'_>) -> Poll<Bytes> {
        let turn = self.turn.get_or_insert_with(|| {
            let now = Instant::now();
            let (size, from) = meter.reserve(self.rest.len() as u64, now);
            self.taken.send_replace(from.saturating_duration_since(now));
            Turn { size: usize::try_from(size).unwrap_or(usize::MAX), from: Box::pin(sleep_until(from)) }
        });
        ready!(turn.from.as_mut().poll(context));
        let size = turn.size.min(self.rest.len());
        self.turn = None;
        meter.handed(size as u64);
        Poll::Ready(self.rest.split_to(size))
    }

    /// So much of it was taken.
    fn gone(&self, bytes: usize) {
        self.taken.send_replace(Duration::ZERO);
        self.gauge.iter().for_each(|gauge| gauge.handed(bytes as u64));
    }
}

impl Moved {
    /// Resolves when a piece was taken since the last call, or is to be after a wait; `None`: there will be none any more.
    pub(super) async fn more(&mut self) -> Option<Duration> {
        self.0.changed().await.ok().map(|()| *self.0.borrow_and_update())
    }
}

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin> Body for Moving<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let meter = self.meter.clone();
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            match (frame, &meter) {
                (Some(Ok(frame)), Some(_)) if frame.is_data() => self.rest = frame.into_data().unwrap_or_default(),
                (frame, _) => {
                    if let Some(Ok(frame)) = &frame {
                        self.gone(frame.data_ref().map_or(0, Bytes::len));
                    }
                    return Poll::Ready(frame);
                }
            }
        }
        let Some(meter) = meter else { return Poll::Ready(None) };
        let piece = ready!(self.poll_piece(&meter, context));
        self.gone(piece.len());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        match self.body.size_hint().exact() {
            Some(left) => SizeHint::with_exact(left + rest),
            None => SizeHint::default(),
        }
    }
}

/// Bytes that are all there.
pub(super) struct Whole(pub(super) Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn piece<B: Body<Data = Bytes, Error = io::Error> + Unpin>(body: &mut B) -> Option<usize> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        Some(frame.expect("it is all there").into_data().expect("no trailers").len())
    }

    #[tokio::test]
    async fn a_body_that_is_held_back_says_for_how_long() {
        let meter = Meter::new(|| {});
        meter.set(false, Some(8 * 1024), None);
        let (mut body, mut moved) = Moving::new(Whole(Bytes::from(vec![7; 2_500])), Some(meter), None);
        let begun = Instant::now();
        assert_eq!((piece(&mut body).await, body.size_hint().exact()), (Some(1_024), Some(1_476)));
        assert_eq!(moved.more().await, Some(Duration::ZERO));
        let waited = tokio::select! {
            biased;
            wait = moved.more() => wait,
            _ = piece(&mut body) => None,
        };
        assert!(waited.is_some_and(|wait| wait > Duration::from_millis(50)), "{waited:?}");
        assert_eq!((piece(&mut body).await, piece(&mut body).await), (Some(1_024), Some(452)));
        assert!(begun.elapsed() >= Duration::from_millis(240), "two pieces of an eighth of a second");
        assert!(body.is_end_stream() && piece(&mut body).await.is_none());
        drop(body);
        while moved.more().await.is_some() {}
    }

    #[tokio::test]
    async fn what_nothing_holds_back_goes_as_it_is() {
        for meter in [None, Some(Meter::new(|| {}))] {
            let (mut body, _moved) = Moving::new(Whole(Bytes::from(vec![7; 100_000])), meter, None);
            assert_eq!((piece(&mut body).await, piece(&mut body).await), (Some(100_000), None));
        }
    }
}
