//! A body that tells when a piece of it is taken.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;

/// A body under way.
pub(super) struct Moving<B> {
    body: B,
    /// Marked changed by each piece; gone with the body.
    taken: watch::Sender<()>,
}

/// Hears of a body's pieces.
pub(super) struct Moved(watch::Receiver<()>);

impl<B> Moving<B> {
    pub(super) fn new(body: B) -> (Self, Moved) {
        let (taken, heard) = watch::channel(());
        (Self { body, taken }, Moved(heard))
    }
}

impl Moved {
    /// Resolves when a piece was taken since the last call (true), or when there will be none any more (false).
    pub(super) async fn more(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl<B: Body<Data = Bytes, Error = io::Error> + Unpin> Body for Moving<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(_))) = frame {
            self.taken.send_replace(());
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
