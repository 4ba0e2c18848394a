//! The way out: one task writes, so that nobody else ever waits for the bus to take a message.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use zbus::Connection;
use zbus::message::Message;

use super::clients::Ticket;

/// How many messages go out in one write at most.
const TOGETHER: usize = 32;

/// Where messages are put to be sent, in order. What is in it is bounded by what may be put in: replies by the calls in
/// flight, signals by what subscribers have not acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Outbox(mpsc::UnboundedSender<(Message, Option<Ticket>)>);

impl Outbox {
    /// An outbox and the task that empties it until all handles are gone or the bus is. `written` hears of the tickets
    /// whose messages the bus has taken.
    pub(super) fn open(bus: Connection, written: impl Fn(Ticket) + Send + 'static) -> (Self, JoinHandle<()>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), tokio::spawn(write(bus, receiver, written)))
    }

    /// Sends one message; if the bus is gone it goes nowhere, as the loop will hear.
    pub(super) fn send(&self, message: Message) {
        let _ = self.0.send((message, None));
    }

    /// Sends the answer to a call, which is in flight until it is written.
    pub(super) fn answer(&self, message: Message, ticket: Ticket) {
        let _ = self.0.send((message, Some(ticket)));
    }
}

async fn write(
    bus: Connection,
    mut waiting: mpsc::UnboundedReceiver<(Message, Option<Ticket>)>,
    written: impl Fn(Ticket),
) {
    let (mut batch, mut messages, mut tickets) = (Vec::new(), Vec::new(), Vec::new());
    while waiting.recv_many(&mut batch, TOGETHER).await > 0 {
        for (message, ticket) in batch.drain(..) {
            messages.push(message);
            tickets.extend(ticket);
        }
        if let Err(error) = bus.send_all(&messages).await {
            tracing::debug!("the bus takes no more messages: {error}");
            return;
        }
        messages.clear();
        tickets.drain(..).for_each(&written);
    }
}
