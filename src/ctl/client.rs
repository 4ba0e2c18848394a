//! The D-Bus contract from the caller's side. One connection; calls go out in order, and all that comes in passes through
//! one inbox, so that a signal is never lost between two calls.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use serde_json::Value;
use zbus::message::{Flags, Type};
use zbus::{Connection, DynamicType, Message, MessageStream, Variant, connection};

use super::exit::{Exit, Failure, NOT_RUNNING};
use super::wire::{Dictionary, arguments, unreadable};
use crate::daemon::BusChoice;

/// The daemon's bus name, the beginning of its interfaces' names.
pub(crate) const NAME: &str = "org.ferryd.Ferry1";
/// Its root object.
pub(crate) const ROOT: &str = "/org/ferryd/Ferry1";
const BUS_NAME: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";
/// Long enough to type a password at a polkit prompt.
const PATIENCE: Duration = Duration::from_secs(120);

/// An `a{sv}` to be sent.
pub(crate) type Options<'a> = BTreeMap<&'a str, Variant<'a>>;

/// Something that came in without being the answer to a call that waits.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// A task moved.
    Task { id: String, strategy: String, state: String, detail: Dictionary },
    /// More of a task's file has arrived.
    Progress { id: String, done: u64, total: u64, detail: Dictionary },
    /// Signals were dropped.
    Lagged(u64),
    /// Properties of an object of the daemon.
    Properties { path: String, interface: String, changed: Dictionary },
    /// The daemon came (its unique name) or went.
    Owner(Option<String>),
    /// The answer to a call that was sent by [`Client::post`].
    Answer { serial: NonZeroU32, result: Result<Vec<Value>, Failure> },
}

/// A connection to the bus, and who the daemon is there.
pub(crate) struct Client {
    connection: Connection,
    inbox: MessageStream,
    backlog: VecDeque<News>,
    owner: Option<String>,
}

impl Client {
    /// Connects as chosen; without a choice to the system bus if the daemon is or can be started there, else to the
    /// session bus. Whether the daemon is there shows with the first call.
    pub(crate) async fn connect(choice: &BusChoice) -> Result<Self, Failure> {
        let failed = |error: zbus::Error| Failure::said(Exit::Unreachable, format!("connecting to the bus: {error}"));
        match choice {
            BusChoice { address: Some(address), .. } => {
                Self::open(connection::Builder::address(address.as_str())).await.map_err(failed)
            }
            BusChoice { system: true, .. } => Self::open(connection::Builder::system()).await.map_err(failed),
            BusChoice { session: true, .. } => Self::open(connection::Builder::session()).await.map_err(failed),
            BusChoice { .. } => Self::search().await,
        }
    }

    async fn search() -> Result<Self, Failure> {
        if let Ok(mut system) = Self::open(connection::Builder::system()).await
            && system.is_known().await?
        {
            return Ok(system);
        }
        let nowhere = |_| {
            let words = "org.ferryd.Ferry1 is not on the system bus, and there is no session bus: is ferryd running?";
            Failure::said(Exit::Unreachable, words)
        };
        Self::open(connection::Builder::session()).await.map_err(nowhere)
    }

    async fn open(builder: connection::Builder<'_>) -> zbus::Result<Self> {
        let connection = builder.build().await?;
        let inbox = MessageStream::from(&connection);
        Ok(Self { connection, inbox, backlog: VecDeque::new(), owner: None })
    }

    /// Whether the bus knows the daemon: it is there or can be started.
    pub(crate) async fn is_known(&mut self) -> Result<bool, Failure> {
        if self.find_owner().await?.is_some() {
            return Ok(true);
        }
        self.is_startable(NAME).await
    }

    /// Whether the bus can start who has this name.
    pub(crate) async fn is_startable(&mut self, name: &str) -> Result<bool, Failure> {
        let names = self.bus_call("ListActivatableNames", &()).await?;
        Ok(names.first().and_then(Value::as_array).is_some_and(|names| names.contains(&Value::from(name))))
    }

    /// The unique name of the daemon, if it is there.
    pub(crate) async fn find_owner(&mut self) -> Result<Option<String>, Failure> {
        self.owner_of(NAME).await
    }

    /// The unique name of who has this name, if anybody.
    pub(crate) async fn owner_of(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match self.bus_call("GetNameOwner", &name).await {
            Ok(arguments) => Ok(first(arguments).as_str().map(str::to_owned)),
            Err(failure) if failure.is_loss() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Follows the daemon's coming and going from now on ([`News::Owner`]), and finds out whether it is there.
    pub(crate) async fn follow(&mut self) -> Result<Option<String>, Failure> {
        let rule = format!("type='signal',sender='{BUS_NAME}',member='NameOwnerChanged',arg0='{NAME}'");
        self.bus_call("AddMatch", &rule.as_str()).await?;
        self.owner = self.find_owner().await?;
        self.backlog.retain(|news| !matches!(news, News::Owner(_)));
        Ok(self.owner.clone())
    }

    /// As [`follow`](Self::follow), but lets the bus start the daemon, and fails if it is not there.
    pub(crate) async fn follow_present(&mut self) -> Result<String, Failure> {
        if let Some(owner) = self.follow().await? {
            return Ok(owner);
        }
        self.bus_call("StartServiceByName", &(NAME, 0u32)).await?;
        self.follow().await?.ok_or_else(|| Failure::said(Exit::Unreachable, NOT_RUNNING))
    }

    /// Asks the bus to start the daemon, without waiting for an answer.
    pub(crate) async fn nudge(&mut self) -> Result<(), Failure> {
        let call = Message::method_call(BUS_PATH, "StartServiceByName").destination(BUS_NAME).interface(BUS_NAME);
        let call = call.with_flags(Flags::NO_REPLY_EXPECTED).build(&(NAME, 0u32))?;
        Ok(self.connection.send(&call).await?)
    }

    /// Hears of changes of the daemon's properties from now on ([`News::Properties`]).
    pub(crate) async fn hear_properties(&mut self) -> Result<(), Failure> {
        let rule = format!(
            "type='signal',sender='{NAME}',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',path_namespace='{ROOT}'"
        );
        self.bus_call("AddMatch", &rule.as_str()).await.map(drop)
    }

    /// Has the daemon send this connection the signals of its user's tasks, or of everybody's.
    pub(crate) async fn subscribe(&mut self, everybody: bool) -> Result<(), Failure> {
        let options: Options<'_> = everybody.then(|| ("all", true.into())).into_iter().collect();
        self.call("Manager", "Subscribe", &options).await.map(drop)
    }

    /// Calls a method of one of the daemon's interfaces at its root and waits for the answer.
    pub(crate) async fn call<B>(&mut self, interface: &str, member: &str, body: &B) -> Result<Vec<Value>, Failure>
    where
        B: serde::Serialize + DynamicType,
    {
        self.call_at(ROOT, &format!("{NAME}.{interface}"), member, body).await
    }

    /// Calls a method of an object of the daemon.
    pub(crate) async fn call_at<B>(
        &mut self,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> Result<Vec<Value>, Failure>
    where
        B: serde::Serialize + DynamicType,
    {
        self.answered(to_daemon(path, interface, member, body)?).await
    }

    /// Holds everything back: nothing starts until every copy of the descriptor is closed.
    pub(crate) async fn hold(&mut self, reason: &str) -> Result<OwnedFd, Failure> {
        let answer = self.answer_to(to_daemon(ROOT, &format!("{NAME}.Manager"), "Hold", &reason)?).await?;
        let descriptor: zbus::OwnedFd = answer.body().deserialize().map_err(unreadable)?;
        Ok(descriptor.into())
    }

    /// All properties of one interface of an object of the daemon.
    pub(crate) async fn properties(&mut self, path: &str, interface: &str) -> Result<Dictionary, Failure> {
        self.properties_of(NAME, path, interface).await
    }

    /// Calls a method of the bus itself.
    pub(crate) async fn bus_call<B>(&mut self, member: &str, body: &B) -> Result<Vec<Value>, Failure>
    where
        B: serde::Serialize + DynamicType,
    {
        self.ask(BUS_NAME, BUS_PATH, BUS_NAME, member, body).await
    }

    /// Calls a method of anybody on the bus. No person is asked whether it is allowed.
    pub(crate) async fn ask<B>(
        &mut self,
        whom: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> Result<Vec<Value>, Failure>
    where
        B: serde::Serialize + DynamicType,
    {
        let call = Message::method_call(path, member).destination(whom).interface(interface);
        self.answered(call.build(body)?).await
    }

    /// All properties of one interface of anybody on the bus.
    pub(crate) async fn properties_of(
        &mut self,
        whom: &str,
        path: &str,
        interface: &str,
    ) -> Result<Dictionary, Failure> {
        let arguments = self.ask(whom, path, "org.freedesktop.DBus.Properties", "GetAll", &interface).await?;
        Ok(Dictionary::of(first(arguments)))
    }

    /// Sends a call of `Tasks` to the daemon of this unique name without waiting: its [`News::Answer`] bears the number
    /// returned. A daemon started meanwhile does not get it.
    pub(crate) async fn post<B>(&mut self, owner: &str, member: &str, body: &B) -> Result<NonZeroU32, Failure>
    where
        B: serde::Serialize + DynamicType,
    {
        let call = Message::method_call(ROOT, member).destination(owner).interface(format!("{NAME}.Tasks"));
        let call = call.build(body)?;
        self.connection.send(&call).await?;
        Ok(call.primary_header().serial_num())
    }

    async fn answered(&mut self, call: Message) -> Result<Vec<Value>, Failure> {
        arguments(&self.answer_to(call).await?)
    }

    /// The whole answer to a call; what comes in before it is kept for [`next`](Self::next).
    async fn answer_to(&mut self, call: Message) -> Result<Message, Failure> {
        self.connection.send(&call).await?;
        let serial = Some(call.primary_header().serial_num());
        let answer = async {
            loop {
                let message = self.message().await?;
                if message.header().reply_serial() != serial {
                    let news = self.news(&message);
                    self.backlog.extend(news);
                } else if message.message_type() == Type::Error {
                    return Err(failure(&message));
                } else {
                    return Ok(message);
                }
            }
        };
        let late =
            || Failure::said(Exit::Unreachable, format!("ferryd did not answer within {} s", PATIENCE.as_secs()));
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(late()))
    }

    /// The next news, in the order in which they came; waits for it.
    pub(crate) async fn next(&mut self) -> Result<News, Failure> {
        if let Some(news) = self.backlog.pop_front() {
            return Ok(news);
        }
        loop {
            let message = self.message().await?;
            if let Some(news) = self.news(&message) {
                return Ok(news);
            }
        }
    }

    /// The next message that is no call; calls are answered.
    async fn message(&mut self) -> Result<Message, Failure> {
        loop {
            let message = poll_fn(|context| Pin::new(&mut self.inbox).poll_next(context)).await;
            let gone = || Failure::said(Exit::Unreachable, "the bus closed the connection");
            let message = message.ok_or_else(gone)??;
            if message.message_type() != Type::MethodCall {
                return Ok(message);
            }
            self.answer(&message);
        }
    }

    /// Answers a call: the daemon pings its subscribers to see that they read. Whoever calls anything else is told so.
    fn answer(&self, call: &Message) {
        let header = call.header();
        let is_ping = header.member().is_some_and(|member| member.as_str() == "Ping");
        let reply = match is_ping {
            true => Message::method_return(&header).build(&()),
            false => {
                Message::error(&header, "org.freedesktop.DBus.Error.UnknownMethod").build(&"ferryctl serves nothing")
            }
        };
        let connection = self.connection.clone();
        // On its own, since the future that receives may be dropped at any time.
        if let Ok(reply) = reply {
            tokio::spawn(async move { connection.send(&reply).await });
        }
    }

    /// What a message says, if it comes from where it should: anybody may send anybody a signal.
    fn news(&mut self, message: &Message) -> Option<News> {
        let header = message.header();
        let sender = header.sender().map(|name| name.as_str()).unwrap_or_default();
        let from_daemon = self.owner.as_deref().is_none_or(|owner| owner == sender);
        match message.message_type() {
            Type::MethodReturn => Some(News::Answer { serial: header.reply_serial()?, result: arguments(message) }),
            Type::Error => Some(News::Answer { serial: header.reply_serial()?, result: Err(failure(message)) }),
            Type::Signal => {
                let (interface, member) = (header.interface()?.as_str(), header.member()?.as_str());
                let path = header.path().map(|path| path.as_str().to_owned()).unwrap_or_default();
                let arguments = arguments(message).ok()?;
                match sender == BUS_NAME {
                    true => self.owner_news(member, &arguments),
                    false if from_daemon => signal(interface, member, path, arguments),
                    false => None,
                }
            }
            Type::MethodCall => None,
        }
    }

    fn owner_news(&mut self, member: &str, arguments: &[Value]) -> Option<News> {
        let text = |index: usize| arguments.get(index).and_then(Value::as_str).unwrap_or_default();
        if member != "NameOwnerChanged" || text(0) != NAME {
            return None;
        }
        self.owner = Some(text(2).to_owned()).filter(|owner| !owner.is_empty());
        Some(News::Owner(self.owner.clone()))
    }
}

/// The first of some arguments.
pub(crate) fn first(arguments: Vec<Value>) -> Value {
    arguments.into_iter().next().unwrap_or_default()
}

/// A call of the daemon, which may ask a person whether it is allowed.
fn to_daemon<B>(path: &str, interface: &str, member: &str, body: &B) -> zbus::Result<Message>
where
    B: serde::Serialize + DynamicType,
{
    let call = Message::method_call(path, member).destination(NAME).interface(interface);
    call.with_flags(Flags::ALLOW_INTERACTIVE_AUTH).build(body)
}

fn failure(message: &Message) -> Failure {
    let header = message.header();
    let name = header.error_name().map(|name| name.as_str().to_owned()).unwrap_or_default();
    let words = arguments(message).map(first).unwrap_or_default();
    Failure::from_bus(&name, words.as_str().unwrap_or_default())
}

/// What a signal of the daemon says.
fn signal(interface: &str, member: &str, path: String, arguments: Vec<Value>) -> Option<News> {
    let mut arguments = arguments.into_iter();
    let mut next = || arguments.next().unwrap_or_default();
    let text = |value: Value| value.as_str().unwrap_or_default().to_owned();
    match (interface, member) {
        ("org.ferryd.Ferry1.Tasks", "StateChanged") => Some(News::Task {
            id: text(next()),
            strategy: text(next()),
            state: text(next()),
            detail: Dictionary::of(next()),
        }),
        ("org.ferryd.Ferry1.Tasks", "Progress") => Some(News::Progress {
            id: text(next()),
            done: next().as_u64().unwrap_or_default(),
            total: next().as_u64().unwrap_or_default(),
            detail: Dictionary::of(next()),
        }),
        ("org.ferryd.Ferry1.Manager", "Lagged") => Some(News::Lagged(next().as_u64().unwrap_or_default())),
        ("org.freedesktop.DBus.Properties", "PropertiesChanged") => {
            Some(News::Properties { path, interface: text(next()), changed: Dictionary::of(next()) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_told_apart() {
        let json = |value: Value| value.as_array().unwrap().clone();
        let moved = json(serde_json::json!(["a", "photo", "done", {"at": 7}]));
        let news = signal("org.ferryd.Ferry1.Tasks", "StateChanged", ROOT.to_owned(), moved);
        let Some(News::Task { id, strategy, state, detail }) = news else { panic!("{news:?}") };
        assert_eq!((id.as_str(), strategy.as_str(), state.as_str(), detail.number("at")), ("a", "photo", "done", 7));
        let lagged = signal("org.ferryd.Ferry1.Manager", "Lagged", ROOT.to_owned(), json(serde_json::json!([300])));
        assert!(matches!(lagged, Some(News::Lagged(300))));
        let more = json(serde_json::json!(["a", 5, 9, {"rate": 7}]));
        let news = signal("org.ferryd.Ferry1.Tasks", "Progress", ROOT.to_owned(), more);
        assert!(matches!(news, Some(News::Progress { done: 5, total: 9, .. })), "{news:?}");
        assert!(signal("org.example", "StateChanged", ROOT.to_owned(), Vec::new()).is_none());
    }
}
