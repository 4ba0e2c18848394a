//! The way out: one task writes, so that nobody else ever waits for the bus to take a message.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zbus::Connection;
use zbus::message::Message;

/// How many messages go out in one write at most.
const TOGETHER: usize = 64;

/// Where messages are put to be sent, in order. What is in it is bounded by what may be put in: replies by the calls in
/// flight, signals by what subscribers have not acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Outbox(mpsc::UnboundedSender<Message>);

impl Outbox {
    /// An outbox and the task that empties it until all handles are gone or the bus is.
    pub(super) fn open(bus: Connection) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), tokio::spawn(write(bus, receiver)))
    }

    /// Sends one message; if the bus is gone it goes nowhere, as the loop will hear.
    pub(super) fn send(&self, message: Message) {
        let _ = self.0.send(message);
    }
}

async fn write(bus: Connection, mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut batch = Vec::with_capacity(TOGETHER);
    while messages.recv_many(&mut batch, TOGETHER).await > 0 {
        if let Err(error) = bus.send_all(&batch).await {
            tracing::debug!(%error, "the bus takes no more messages");
            return;
        }
        batch.clear();
    }
}
