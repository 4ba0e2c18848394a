//! An app that enqueues over D-Bus and keeps so many calls in flight: as light as zbus allows, since its time counts.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::time::Instant;

use futures_core::Stream as _;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, Variant};

use crate::Failed;
use crate::tasks::payload;

/// Where tasks are enqueued.
pub(crate) const PATH: &str = "/org/ferryd/Ferry1";
/// The interface that does it.
pub(crate) const INTERFACE: &str = "org.ferryd.Ferry1.Tasks";

/// One connection.
pub(crate) struct Client {
    connection: Connection,
    replies: MessageStream,
    enqueued: usize,
}

impl Client {
    /// A client on this connection.
    pub(crate) fn new(connection: Connection) -> Self {
        let mut replies = MessageStream::from(&connection);
        replies.set_max_queued(NonZeroUsize::MIN.saturating_add(1024));
        Self { connection, replies, enqueued: 0 }
    }

    /// Enqueues `calls` tasks at `name`, always `in_flight` of them unanswered; how many a second.
    pub(crate) async fn enqueue(&mut self, name: &str, calls: usize, in_flight: usize) -> Result<f64, Failed> {
        let began = Instant::now();
        let mut first = Vec::with_capacity(in_flight);
        for _ in 0..in_flight.min(calls) {
            first.push(self.call(name)?);
        }
        let mut sent = first.len();
        self.connection.send_all(&first).await?;
        for _ in 0..calls {
            self.answer().await?;
            if sent < calls {
                let call = self.call(name)?;
                self.connection.send(&call).await?;
                sent += 1;
            }
        }
        Ok(calls as f64 / began.elapsed().as_secs_f64())
    }

    fn call(&mut self, name: &str) -> Result<Message, Failed> {
        self.enqueued += 1;
        let options: HashMap<&str, Variant<'_>> = HashMap::new();
        let call = Message::method_call(PATH, "Enqueue").interface(INTERFACE).destination(name);
        Ok(call.build(&("metadata", payload(self.enqueued), options))?)
    }

    /// Waits for the next reply, which is to be a good one.
    async fn answer(&mut self) -> Result<(), Failed> {
        loop {
            let message = next(&mut self.replies).await?;
            match message.message_type() {
                Type::MethodReturn => return Ok(()),
                Type::Error => {
                    return Err(format!("refused: {message:?}: {:?}", message.body().deserialize::<&str>()).into());
                }
                Type::Signal | Type::MethodCall => {}
            }
        }
    }
}

/// The next message of a stream.
pub(crate) async fn next(stream: &mut MessageStream) -> Result<Message, Failed> {
    let message = std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await;
    Ok(message.ok_or("the bus is gone")??)
}
