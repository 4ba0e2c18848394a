//! One method call: what a handler sees of it, whom it must ask, and how it is answered.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::Serialize;
use zbus::DynamicType;
use zbus::message::{Flags, Message};

use super::access::{Action, Caller, Interaction};
use super::desk::Desk;
use super::error::Refusal;
use super::subscribers::Subscribers;

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
    /// Whether it was certain when the call began that the caller may [manage all](Action::ManageAll).
    pub(super) manages_all: bool,
}

/// The reply to a call, or why there is none.
pub(super) type Reply = Result<Message, Refusal>;

/// What a handler makes of a call.
pub(super) enum Outcome {
    /// It is answered.
    Now(Reply),
    /// It is begun, in order, and goes on with what comes of this.
    Later(Pin<Box<dyn Future<Output = Outcome> + Send>>),
    /// It goes on when it is known whether the caller may. What stands behind it does not wait.
    Ask(Ask),
}

/// How a call goes on when it is known whether the caller may.
pub(super) type Then = Box<dyn FnOnce(&Desk, &mut Subscribers, Result<(), Refusal>) -> Outcome + Send>;

/// A question of a handler.
pub(super) struct Ask {
    /// Whether the caller may do this.
    pub(super) action: Action,
    /// Whether a person may be asked.
    pub(super) interaction: Interaction,
    /// How the call goes on.
    pub(super) then: Then,
}

impl Outcome {
    /// An answer to come.
    pub(super) fn later(reply: impl Future<Output = Reply> + Send + 'static) -> Self {
        Self::Later(Box::pin(async move { Self::Now(reply.await) }))
    }

    /// What comes of a call that goes on only if its caller may; else it is refused. The handler should have read all
    /// arguments: who calls wrongly needs no permission to hear of it.
    pub(super) fn if_allowed(
        action: Action,
        call: &Call,
        then: impl FnOnce(&Desk, &mut Subscribers, &Call) -> Result<Self, Refusal> + Send + 'static,
    ) -> Self {
        let interaction = call.interaction();
        let call = call.clone();
        let then: Then = Box::new(move |desk, subscribers, allowed| {
            allowed.and_then(|()| then(desk, subscribers, &call)).unwrap_or_else(Into::into)
        });
        Self::Ask(Ask { action, interaction, then })
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

    /// Whether the caller waits while a person is asked.
    pub(super) fn interaction(&self) -> Interaction {
        if self.message.primary_header().flags().contains(Flags::ALLOW_INTERACTIVE_AUTH) {
            Interaction::Allowed
        } else {
            Interaction::Forbidden
        }
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
