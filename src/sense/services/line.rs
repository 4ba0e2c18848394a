//! The senses' line to the bus: questions go out, answers and hints come in. It knows nothing of what services say, and
//! starts none of them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_core::Stream as _;
use tokio::sync::Notify;
use zbus::message::{Flags, Message, Type};
use zbus::{Connection, MessageStream, OwnedVariant, connection};

use super::questions::Questions;

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// So many characters of what an error says are enough.
const WORDS: usize = 200;

/// How long the bus may take to let us in; it is a process beside us.
const CONNECTING: Duration = Duration::from_secs(25);

/// Which bus the services are on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServicesAt {
    /// The machine's system bus: the one in `DBUS_SYSTEM_BUS_ADDRESS`, else the usual one.
    System,
    /// The bus at this D-Bus address.
    Address(String),
}

/// Why nothing is known of what a service has to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// It took too long.
    #[error("it does not answer")]
    Silent,
    /// It, or the bus, answered with an error.
    #[error("{member} is refused: {words}")]
    Refused {
        /// The method.
        member: String,
        /// What the error says.
        words: String,
    },
    /// The answer is not what this service's interface promises.
    #[error("what it says of {what} makes no sense: {why}")]
    Nonsense {
        /// The method or property.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// Nobody has that name: the service is not running.
    Absent,
    /// The service has no such object: it has gone since it was told of; or the service has just taken its name.
    NoObject,
    /// Something is wrong.
    Failed(ServiceError),
}

impl From<ServiceError> for Unanswered {
    fn from(error: ServiceError) -> Self {
        Self::Failed(error)
    }
}

/// What makes no sense.
pub(super) fn nonsense(what: &str, why: impl std::fmt::Display) -> ServiceError {
    ServiceError::Nonsense { what: what.to_owned(), why: why.to_string() }
}

/// Where a service is found, and which of its signals are hints.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) names: &'static [&'static str],
    /// Its objects lie at and below these.
    pub(super) paths: &'static [&'static str],
    /// The signals, as match rules.
    pub(super) hints: &'static [&'static str],
}

/// Hears the hints about one service.
#[derive(Debug)]
pub(super) struct Ear {
    service: &'static Service,
    hint: Notify,
}

impl Ear {
    pub(super) fn of(service: &'static Service) -> Self {
        Self { service, hint: Notify::new() }
    }

    /// Resolves at the next hint; one that came since the last is enough.
    pub(super) async fn hinted(&self) {
        self.hint.notified().await;
    }

    /// Whether a signal hints at this service: of the bus about its names, or from one of its objects. Who sent it does not
    /// matter, since nothing in it is believed.
    fn is_meant(&self, signal: &Message) -> bool {
        let header = signal.header();
        if header.sender().is_some_and(|sender| *sender == BUS) {
            return signal
                .body()
                .deserialize::<(&str, &str, &str)>()
                .is_ok_and(|(name, ..)| self.service.names.contains(&name));
        }
        let Some(path) = header.path() else { return false };
        let below = |root: &&str| path.strip_prefix(*root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.service.paths.iter().any(below)
    }
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) service: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
}

/// A connection to the bus.
#[derive(Debug)]
pub(super) struct Line {
    connection: Connection,
    questions: Mutex<Questions>,
}

impl Line {
    /// Connects, with what will come in. The error says why not.
    pub(super) async fn open(at: &ServicesAt) -> Result<(Self, MessageStream), String> {
        let builder = match at {
            ServicesAt::System => connection::Builder::system(),
            ServicesAt::Address(address) => connection::Builder::address(address.as_str()),
        };
        let connection = tokio::time::timeout(CONNECTING, builder.build()).await;
        let connection = connection.map_err(|_| "it takes too long".to_owned())?.map_err(|error| error.to_string())?;
        let incoming = MessageStream::from(&connection);
        Ok((Self { connection, questions: Mutex::default() }, incoming))
    }

    /// Hands what comes in to whom it is for, until the bus is gone.
    pub(super) async fn hear(&self, mut incoming: MessageStream, ears: &[&Ear]) {
        while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut incoming).poll_next(context)).await {
            match message.message_type() {
                Type::Signal => hint(ears, |ear| ear.is_meant(&message)),
                Type::MethodReturn | Type::Error => {
                    let late = self.questions().answered(message);
                    hint(ears, |ear| late.is_some_and(|late| std::ptr::eq(ear.service, late)));
                }
                Type::MethodCall => self.called(&message).await,
            }
        }
    }

    /// Nothing is served here; but whoever wants to know whether we are alive is told (D-Bus specification,
    /// org.freedesktop.DBus.Peer).
    async fn called(&self, call: &Message) {
        let header = call.header();
        if call.primary_header().flags().contains(Flags::NO_REPLY_EXPECTED) {
            return;
        }
        let peer = header.interface().is_none_or(|interface| *interface == "org.freedesktop.DBus.Peer");
        // A caller who has gone needs no answer.
        if peer && header.member().is_some_and(|member| *member == "Ping") {
            self.connection.reply(&header, &()).await.ok();
        } else {
            let unknown = "org.freedesktop.DBus.Error.UnknownMethod";
            self.connection.reply_error(&header, unknown, &("nothing is served on this connection",)).await.ok();
        }
    }

    /// Has the bus tell when a service comes and goes, and what hints at changes of it.
    pub(super) async fn watch(&self, ear: &Ear) {
        for name in ear.service.names {
            let from = format!("type='signal',sender='{BUS}',path='{BUS_PATH}',interface='{BUS}'");
            self.heed(&format!("{from},member='NameOwnerChanged',arg0='{name}'"), true).await;
        }
        for rule in ear.service.hints {
            self.heed(rule, true).await;
        }
    }

    /// Has the bus tell of what matches, or tell no more.
    pub(super) async fn heed(&self, rule: &str, on: bool) {
        let message = Message::method_call(BUS_PATH, if on { "AddMatch" } else { "RemoveMatch" })
            .destination(BUS)
            .interface(BUS)
            .with_flags(Flags::NO_REPLY_EXPECTED)
            .build(&(rule,));
        // A bus that is gone has nothing to tell.
        if let Ok(message) = message {
            self.connection.send(&message).await.ok();
        }
    }

    /// Asks a service, if it runs, and waits for the answer. Whoever gives up drops this; the answer is a hint then.
    pub(super) async fn ask<B>(&self, ear: &Ear, question: Question<'_>, body: &B) -> Result<Message, Unanswered>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let Question { service, path, interface, member } = question;
        let message = Message::method_call(path, member)
            .destination(service)
            .interface(interface)
            .with_flags(Flags::NO_AUTO_START)
            .build(body)
            .map_err(|error| nonsense(path, error))?;
        let serial = message.primary_header().serial_num();
        let answer = self.questions().ask(serial, ear.service).ok_or(ServiceError::Silent)?;
        let refused = |words: String| ServiceError::Refused { member: member.to_owned(), words };
        self.connection.send(&message).await.map_err(|error| refused(error.to_string()))?;
        let answer = answer.await.map_err(|_| refused("the bus is gone".to_owned()))?;
        if answer.message_type() != Type::Error {
            return Ok(answer);
        }
        Err(unanswered(&answer, refused))
    }

    /// All properties of one interface of an object.
    pub(super) async fn properties(
        &self,
        ear: &Ear,
        service: &str,
        path: &str,
        interface: &str,
    ) -> Result<Properties, Unanswered> {
        let question = Question { service, path, interface: PROPERTIES, member: "GetAll" };
        let answer = self.ask(ear, question, &interface).await?;
        let all = answer.body().deserialize().map_err(|error| nonsense(interface, error))?;
        Ok(Properties(all))
    }

    /// One property of an interface, of this type. The object is given as its service, path and interface.
    pub(super) async fn property<T>(
        &self,
        ear: &Ear,
        (service, path, interface): (&str, &str, &str),
        name: &str,
    ) -> Result<T, Unanswered>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: std::fmt::Display,
    {
        let question = Question { service, path, interface: PROPERTIES, member: "Get" };
        let answer = self.ask(ear, question, &(interface, name)).await?;
        let value: OwnedVariant = answer.body().deserialize().map_err(|error| nonsense(name, error))?;
        Ok(value.try_into().map_err(|error: T::Error| nonsense(name, error))?)
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn hint(ears: &[&Ear], is_meant: impl Fn(&Ear) -> bool) {
    ears.iter().filter(|ear| is_meant(ear)).for_each(|ear| ear.hint.notify_one());
}

/// What an error means. Only the bus itself can say that a service is not there.
fn unanswered(answer: &Message, refused: impl FnOnce(String) -> ServiceError) -> Unanswered {
    let (header, body) = (answer.header(), answer.body());
    let name = header.error_name().map(|name| name.as_str()).unwrap_or_default();
    let is_from_the_bus = header.sender().is_some_and(|sender| *sender == BUS);
    let words = match body.deserialize::<&str>() {
        Ok(words) => format!("{name}: {}", words.chars().take(WORDS).collect::<String>().escape_debug()),
        Err(_) => name.to_owned(),
    };
    match name.strip_prefix("org.freedesktop.DBus.Error.") {
        // It ended, or ends, before it answered.
        Some("ServiceUnknown" | "NameHasNoOwner" | "NoReply") if is_from_the_bus => Unanswered::Absent,
        Some("UnknownObject" | "UnknownMethod" | "UnknownInterface") => Unanswered::NoObject,
        _ => Unanswered::Failed(refused(words)),
    }
}

/// The properties of an interface.
#[derive(Debug)]
pub(super) struct Properties(pub(super) HashMap<String, OwnedVariant>);

impl Properties {
    /// One that must be there, of this type.
    pub(super) fn take<T>(&mut self, name: &str) -> Result<T, ServiceError>
    where
        T: TryFrom<OwnedVariant>,
        T::Error: std::fmt::Display,
    {
        let value = self.0.remove(name).ok_or_else(|| nonsense(name, "it is missing"))?;
        value.try_into().map_err(|error| nonsense(name, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ONE: Service = Service { names: &["org.example.One"], paths: &["/org/example/One"], hints: &[] };
    static TWO: Service = Service { names: &["org.example.Two"], paths: &["/org/example/Two"], hints: &[] };

    #[test]
    fn a_signal_hints_at_the_service_of_its_path_or_of_the_name_that_it_tells_of() {
        let from = |path: &str| Message::signal(path, "org.example.X", "Changed").build(&()).unwrap();
        let owner = |name: &str| {
            let signal = Message::signal(BUS_PATH, BUS, "NameOwnerChanged");
            signal.sender(BUS).build(&(name, "", ":1.2")).unwrap()
        };
        let ears = [Ear::of(&ONE), Ear::of(&TWO)];
        let meant = |message: &Message| ears.each_ref().map(|ear| ear.is_meant(message));
        assert_eq!(meant(&from("/org/example/One")), [true, false]);
        assert_eq!(meant(&from("/org/example/Two/Devices/1")), [false, true]);
        assert_eq!(meant(&from("/org/example/Other")), [false, false]);
        assert_eq!(meant(&from("/org/example/OneMore")), [false, false]);
        assert_eq!(meant(&owner("org.example.Two")), [false, true]);
        assert_eq!(meant(&owner("org.example.Three")), [false, false]);
    }
}
