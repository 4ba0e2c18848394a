//! What has come in on the connection, taken up in lots.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_core::Stream;
use zbus::MessageStream;
use zbus::message::Message;

use super::AT_ONCE;

/// Moves what has come in to `into`; `false` when the connection is gone.
pub(super) async fn receive(messages: &mut MessageStream, into: &mut Vec<Message>) -> bool {
    poll_fn(|context| {
        while into.len() < AT_ONCE {
            match Pin::new(&mut *messages).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => into.push(message),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(false),
                Poll::Pending if into.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(true)
    })
    .await
}

/// Moves what has come in already to `into`, without waiting for more; `false` if that is nothing.
pub(super) async fn drain(messages: &mut MessageStream, into: &mut Vec<Message>) -> bool {
    let mut receiving = std::pin::pin!(receive(messages, into));
    poll_fn(|context| Poll::Ready(receiving.as_mut().poll(context) == Poll::Ready(true))).await
}
