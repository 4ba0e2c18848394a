//! Polkit (`org.freedesktop.PolicyKit1.Authority`, polkit's D-Bus API reference): questions and answers as messages, and
//! what is known from them. It sends nothing and waits for nothing: messages go in, and what is due comes out. What an
//! answer means for a call is not its matter (`access`).

mod book;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::time::Instant;

use zbus::Variant;
use zbus::message::{Flags, Message, Type};

use super::access::{Action, Interaction, watch};
use super::error::quoted;
pub(super) use book::{Answer, Subject};
use book::{Asked, Book, GivenUp, Number, silence};

const NAME: &str = "org.freedesktop.PolicyKit1";
const PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const INTERFACE: &str = "org.freedesktop.PolicyKit1.Authority";
const BUS: &str = "org.freedesktop.DBus";

/// What is to be done now.
#[derive(Debug)]
#[must_use]
pub(super) struct Due<W> {
    /// Messages to send.
    pub(super) send: Vec<Message>,
    /// Who waits no longer, in the order in which they asked, and what they are told.
    pub(super) answered: Vec<(W, Answer)>,
}

/// What we know of polkit. Each call that waits for an answer is a `W`.
#[derive(Debug)]
pub(super) struct Polkit<W> {
    book: Book<W>,
    /// Questions by the serial numbers of their messages.
    asked: BTreeMap<NonZeroU32, Number>,
    /// The unique name of polkit, as far as it is known.
    authority: Option<String>,
    /// Whether the bus was asked to tell when polkit comes, goes or says that something changed.
    is_watched: bool,
    /// Whether the last question failed; said once in the log.
    fails: bool,
}

impl<W> Default for Polkit<W> {
    fn default() -> Self {
        Self { book: Book::default(), asked: BTreeMap::new(), authority: None, is_watched: false, fails: false }
    }
}

impl<W> Default for Due<W> {
    fn default() -> Self {
        Self { send: Vec::new(), answered: Vec::new() }
    }
}

impl<W> Polkit<W> {
    /// What is known without asking.
    pub(super) fn known(
        &self,
        client: &str,
        action: Action,
        interaction: Interaction,
        now: Instant,
    ) -> Option<&Answer> {
        self.book.known(client, action, interaction, now)
    }

    /// Asks whether a connection may, unless that is being asked.
    pub(super) fn ask(
        &mut self,
        subject: &Subject,
        action: Action,
        interaction: Interaction,
        waiter: W,
        now: Instant,
    ) -> Due<W> {
        let number = match self.book.ask(subject, action, interaction, waiter, now) {
            Asked::Joined => return Due::default(),
            Asked::New(number) => number,
            Asked::Full(waiter) => {
                let answer = Answer::Failed("too many earlier questions are not answered yet".into());
                return Due { send: Vec::new(), answered: vec![(waiter, answer)] };
            }
        };
        match self.question(number, subject, action, interaction) {
            Ok(send) => Due { send, answered: Vec::new() },
            Err(error) => self.settle(number, Answer::Failed(format!("the question cannot be written: {error}")), now),
        }
    }

    /// An answer or error came in; `None` if it answers none of our questions.
    pub(super) fn on_reply(&mut self, message: &Message, now: Instant) -> Option<Due<W>> {
        let header = message.header();
        let number = self.asked.remove(&header.reply_serial()?)?;
        let sender = header.sender().map(|name| name.as_str()).filter(|name| *name != BUS);
        if let Some(sender) = sender.filter(|name| self.authority.as_deref() != Some(name)) {
            self.authority = Some(sender.to_owned());
        }
        Some(self.settle(number, answer(message), now))
    }

    /// A signal came in: whether it was about polkit.
    pub(super) fn on_signal(&mut self, message: &Message) -> bool {
        let header = message.header();
        let (Some(sender), Some(member)) = (header.sender(), header.member()) else { return false };
        let body = message.body();
        match member.as_str() {
            "NameOwnerChanged" if sender == BUS => match body.deserialize::<(&str, &str, &str)>() {
                Ok((NAME, _, owner)) => self.authority = (!owner.is_empty()).then(|| owner.to_owned()),
                _ => return false,
            },
            // Anybody may send us a signal of this name.
            "Changed" if self.authority.as_deref().is_none_or(|authority| *sender == authority) => {}
            _ => return false,
        }
        self.book.forget();
        true
    }

    /// A client left.
    pub(super) fn left(&mut self, client: &str) -> Due<W> {
        let given_up = self.book.left(client);
        cancelled(given_up, |_| Answer::Failed("the caller left".into()))
    }

    /// When the next question has waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.book.deadline()
    }

    /// That time may have come.
    pub(super) fn on_deadline(&mut self, now: Instant) -> Due<W> {
        let given_up = self.book.expired(now);
        if given_up.iter().any(|question| question.interaction == Interaction::Forbidden) {
            self.note(&silence(Interaction::Forbidden));
        }
        cancelled(given_up, silence)
    }

    /// Gives up all questions.
    pub(super) fn close(&mut self) -> Due<W> {
        cancelled(self.book.close(), |_| Answer::Failed("the daemon is stopping".into()))
    }

    fn settle(&mut self, number: Number, answer: Answer, now: Instant) -> Due<W> {
        let waited = self.book.answered(number, &answer, now);
        if !waited.is_empty() {
            self.note(&answer);
        }
        let answered = waited.into_iter().map(|waiter| (waiter, answer.clone())).collect();
        Due { send: Vec::new(), answered }
    }

    fn note(&mut self, answer: &Answer) {
        let fails = match answer {
            Answer::Failed(why) if !self.fails => {
                tracing::warn!("polkit does not say who may, and who needs its word is refused: {why}");
                true
            }
            Answer::Failed(_) => true,
            Answer::Yes | Answer::No { .. } | Answer::Absent => false,
        };
        self.fails = fails;
    }

    /// The message that asks, and before the first one those that have the bus tell us what changes.
    fn question(
        &mut self,
        number: Number,
        subject: &Subject,
        action: Action,
        interaction: Interaction,
    ) -> zbus::Result<Vec<Message>> {
        /// `AllowUserInteraction` of `CheckAuthorizationFlags`.
        const ALLOW_USER_INTERACTION: u32 = 1;
        let whom = ("system-bus-name", HashMap::from([("name", Variant::from(&*subject.client))]));
        let flags = match interaction {
            Interaction::Allowed => ALLOW_USER_INTERACTION,
            Interaction::Forbidden => 0,
        };
        let details = HashMap::<&str, &str>::new();
        let question = Message::method_call(PATH, "CheckAuthorization")
            .destination(NAME)
            .interface(INTERFACE)
            .build(&(whom, action.id(), details, flags, cancellation(number)))?;
        let mut send = Vec::new();
        if !self.is_watched {
            send.extend([watch(NAME, true)?, watch_changes()?]);
            self.is_watched = true;
        }
        self.asked.insert(question.primary_header().serial_num(), number);
        send.push(question);
        Ok(send)
    }
}

/// What the answer to a question says. Only the bus itself can say that there is no polkit: polkit's own errors may have
/// the same names.
fn answer(message: &Message) -> Answer {
    let (header, body) = (message.header(), message.body());
    if message.message_type() == Type::Error {
        let name = header.error_name().map(|name| name.as_str()).unwrap_or_default();
        let is_from_the_bus = header.sender().is_some_and(|sender| *sender == BUS);
        return match name.strip_prefix("org.freedesktop.DBus.Error.") {
            Some("ServiceUnknown" | "NameHasNoOwner") if is_from_the_bus => Answer::Absent,
            Some("NoReply") if is_from_the_bus => Answer::Failed("it ended before it answered".into()),
            _ => Answer::Failed(match body.deserialize::<&str>() {
                Ok(words) => format!("{name}: {}", quoted(words)),
                Err(_) => name.to_owned(),
            }),
        };
    }
    match body.deserialize::<((bool, bool, HashMap<&str, &str>),)>() {
        Ok(((true, ..),)) => Answer::Yes,
        Ok(((false, challenge, _),)) => Answer::No { challenge },
        Err(error) => Answer::Failed(format!("its answer cannot be read: {error}")),
    }
}

/// Tells polkit of questions that were given up, and those who waited for them.
fn cancelled<W>(given_up: Vec<GivenUp<W>>, answer: impl Fn(Interaction) -> Answer) -> Due<W> {
    let mut due = Due::default();
    for GivenUp { number, interaction, by } in given_up {
        let message = Message::method_call(PATH, "CancelCheckAuthorization")
            .destination(NAME)
            .interface(INTERFACE)
            .with_flags(Flags::NO_REPLY_EXPECTED | Flags::NO_AUTO_START)
            .build(&cancellation(number));
        match message {
            Ok(message) => due.send.push(message),
            Err(error) => tracing::error!("a message cannot be written: {error}"),
        }
        due.answered.extend(by.into_iter().map(|waiter| (waiter, answer(interaction))));
    }
    due
}

fn cancellation(number: Number) -> String {
    format!("ferryd-{number}")
}

/// The message that asks the bus for polkit's signal `Changed`. It expects no reply.
fn watch_changes() -> zbus::Result<Message> {
    let rule = format!("type='signal',sender='{NAME}',path='{PATH}',interface='{INTERFACE}',member='Changed'");
    Message::method_call("/org/freedesktop/DBus", "AddMatch")
        .destination(BUS)
        .interface(BUS)
        .with_flags(Flags::NO_REPLY_EXPECTED)
        .build(&(rule,))
}
