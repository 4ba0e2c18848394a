//! The senses' line to the bus: questions go out, answers and hints come in. It knows nothing of what services say, and
//! starts none of them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_core::Stream as _;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use zbus::message::{Flags, Message, Type};
use zbus::{Connection, MessageStream, OwnedVariant, connection};

const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// How long the bus may take to let us in; it is a process beside us.
const CONNECTING: Duration = Duration::from_secs(25);

/// However many hints come, a service is looked at no more often than this, but for a few looks in a row.
const PACE: Duration = Duration::from_millis(100);
const IN_A_ROW: u32 = 5;

/// How long a service may take for all that one look asks of it; twice as long after each time in vain.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// A service that owes so many answers is asked nothing more until it gives one: the bus lets us have 128 questions open,
/// and others are to be asked too.
const MOST_OWED: usize = 8;

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
    /// The service knows no such object; it may have gone since it was told of.
    Vanished(ServiceError),
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

/// A question that was asked: who waits, if anybody still does, and whom the answer tells that the service is alive.
#[derive(Debug)]
struct Asked {
    waits: oneshot::Sender<Message>,
    of: &'static Service,
}

/// A connection to the bus.
#[derive(Debug)]
pub(super) struct Line {
    connection: Connection,
    asked: Mutex<HashMap<NonZeroU32, Asked>>,
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
        Ok((Self { connection, asked: Mutex::default() }, incoming))
    }

    /// Hands what comes in to whom it is for, until the bus is gone.
    pub(super) async fn hear(&self, mut incoming: MessageStream, ears: &[&Ear]) {
        while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut incoming).poll_next(context)).await {
            match message.message_type() {
                Type::Signal => ears.iter().filter(|ear| ear.is_meant(&message)).for_each(|ear| ear.hint.notify_one()),
                Type::MethodReturn | Type::Error => self.answered(message, ears),
                Type::MethodCall => {}
            }
        }
    }

    /// An answer that nobody waits for any more is a hint: the service has found its voice again.
    fn answered(&self, message: Message, ears: &[&Ear]) {
        let serial = message.header().reply_serial();
        let Some(Asked { waits, of }) = serial.and_then(|serial| self.asked().remove(&serial)) else { return };
        if waits.send(message).is_err() {
            ears.iter().filter(|ear| std::ptr::eq(ear.service, of)).for_each(|ear| ear.hint.notify_one());
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
        let (waits, answer) = oneshot::channel();
        {
            let mut asked = self.asked();
            if asked.values().filter(|asked| std::ptr::eq(asked.of, ear.service) && asked.waits.is_closed()).count()
                >= MOST_OWED
            {
                return Err(ServiceError::Silent.into());
            }
            asked.insert(message.primary_header().serial_num(), Asked { waits, of: ear.service });
        }
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
        let question = Question { service, path, interface: "org.freedesktop.DBus.Properties", member: "GetAll" };
        let answer = self.ask(ear, question, &interface).await?;
        let all = answer.body().deserialize().map_err(|error| nonsense(interface, error))?;
        Ok(Properties(all))
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<NonZeroU32, Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an error means. Only the bus itself can say that a service is not there.
fn unanswered(answer: &Message, refused: impl FnOnce(String) -> ServiceError) -> Unanswered {
    let (header, body) = (answer.header(), answer.body());
    let name = header.error_name().map(|name| name.as_str()).unwrap_or_default();
    let is_from_the_bus = header.sender().is_some_and(|sender| *sender == BUS);
    let words = match body.deserialize::<&str>() {
        Ok(words) => format!("{name}: {}", words.escape_debug()),
        Err(_) => name.to_owned(),
    };
    match name.strip_prefix("org.freedesktop.DBus.Error.") {
        // It ended, or ends, before it answered.
        Some("ServiceUnknown" | "NameHasNoOwner" | "NoReply") if is_from_the_bus => Unanswered::Absent,
        Some("UnknownObject" | "UnknownMethod" | "UnknownInterface") => Unanswered::Vanished(refused(words)),
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

/// Something that one service says.
pub(super) trait Source {
    /// What it says; the default if the service is not there.
    type Word: Default + Clone + PartialEq;

    /// Reads the whole.
    fn read(&self, line: &Line, ear: &Ear) -> impl Future<Output = Result<Self::Word, Unanswered>> + Send;
}

/// How a service is followed.
#[derive(Debug)]
pub(super) struct Following<W> {
    last: Option<Result<W, ServiceError>>,
    patience: Duration,
    /// Where its looks would be by now if all had been a [`PACE`] apart.
    paced: Option<Instant>,
}

impl<W: Default + Clone + PartialEq> Following<W> {
    pub(super) const fn new() -> Self {
        Self { last: None, patience: PATIENCE, paced: None }
    }

    /// Reads what the service says: the first word, and then any that differs from the one before.
    pub(super) async fn look<S: Source<Word = W>>(
        &mut self,
        source: &S,
        line: &Line,
        ear: &Ear,
    ) -> Option<Result<W, ServiceError>> {
        let now = Instant::now();
        self.paced = Some(self.paced.map_or(now, |paced| paced.max(now)) + PACE);
        let found = match tokio::time::timeout(self.patience, source.read(line, ear)).await {
            Ok(Ok(word)) => Ok(word),
            Ok(Err(Unanswered::Absent)) => Ok(W::default()),
            Ok(Err(Unanswered::Vanished(error) | Unanswered::Failed(error))) => Err(error),
            Err(_) => Err(ServiceError::Silent),
        };
        self.patience = match &found {
            Err(ServiceError::Silent) => (self.patience * 2).min(MOST_PATIENCE),
            Ok(_) | Err(_) => PATIENCE,
        };
        if self.last.as_ref() == Some(&found) {
            return None;
        }
        self.last = Some(found.clone());
        Some(found)
    }

    /// Whether this was its last word.
    pub(super) fn says(&self, word: &W) -> bool {
        self.last.as_ref().is_some_and(|last| last.as_ref() == Ok(word))
    }

    /// Resolves at the next hint, though not too soon after many looks.
    pub(super) async fn hint(&self, ear: &Ear) {
        ear.hint.notified().await;
        let ahead = self.paced.map(|paced| paced.saturating_duration_since(Instant::now())).unwrap_or_default();
        let wait = ahead.saturating_sub(PACE * IN_A_ROW);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Tells what a service says: at once, and whenever it differs. Never ends.
pub(super) async fn follow<S: Source>(source: S, line: &Line, ear: &Ear, tell: impl Fn(Result<S::Word, ServiceError>)) {
    let mut following = Following::new();
    loop {
        if let Some(word) = following.look(&source, line, ear).await {
            tell(word);
        }
        following.hint(ear).await;
    }
}
