//! One method call: what a handler sees of it and how it is answered.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use zbus::DynamicType;
use zbus::message::{Flags, Message};

use super::access::Caller;
use super::error::Refusal;

/// A method as an interface declares it; checked against `dbus/*.xml` by a test.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Method {
    /// Its name.
    pub(super) name: &'static str,
    /// The signature of its arguments, without parentheses.
    pub(super) takes: &'static str,
    /// The signature of its reply, without parentheses.
    pub(super) gives: &'static str,
    /// What it does to the order of calls.
    pub(super) effect: Effect,
}

/// What a method does to the order of the calls of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Changes tasks: begun in the order sent; does not wait for the one before it to be on disk.
    Write,
    /// Hands a file over, which is copied first: begun in the order sent; the writes and files behind it wait for its
    /// answer, so that its task has its place before theirs.
    File,
    /// Reads tasks: waits until what the same connection wrote before is on disk, and holds up nothing.
    Read,
    /// Neither.
    None,
}

/// A method call and who makes it.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// The message.
    pub(super) message: Message,
    /// Who.
    pub(super) caller: Arc<Caller>,
}

/// The reply to a call, or why there is none.
pub(super) type Reply = Result<Message, Refusal>;

/// What a handler makes of a call.
pub(super) enum Outcome {
    /// It is answered.
    Now(Reply),
    /// It is begun, in order, and will be answered.
    Later(Pin<Box<dyn Future<Output = Reply> + Send>>),
}

impl Outcome {
    /// An answer to come.
    pub(super) fn later(reply: impl Future<Output = Reply> + Send + 'static) -> Self {
        Self::Later(Box::pin(reply))
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Now(Err(refusal))
    }
}

impl Call {
    /// The sender's unique name, empty on a connection without a bus.
    pub(super) fn sender(&self) -> String {
        sender(&self.message)
    }

    /// The reply with these values; `()` for none.
    pub(super) fn reply<B: Serialize + DynamicType>(&self, body: &B) -> Reply {
        Message::method_return(&self.message.header())
            .build(body)
            .map_err(|error| Refusal::internal(format!("the reply cannot be written: {error}")))
    }
}

/// The unique name of who sent a message.
pub(super) fn sender(message: &Message) -> String {
    message.header().sender().map(|name| name.as_str().to_owned()).unwrap_or_default()
}

/// The message that answers `call`; `None` if its sender asked for no answer.
pub(super) fn answer(call: &Message, reply: Reply) -> Option<Message> {
    if call.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED) {
        return None;
    }
    let refusal = match reply {
        Ok(message) => return Some(message),
        Err(refusal) => refusal,
    };
    let message = Message::error(&call.header(), refusal.name).build(&(refusal.message,));
    message.inspect_err(|error| tracing::error!("an error reply cannot be written: {error}")).ok()
}
