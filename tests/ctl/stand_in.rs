//! A stand-in for the daemon that says what a test wants and dies when a test wants: what `ferryctl` does when calls are
//! left without an answer can be shown only with one that leaves them so.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::Read as _;
use std::pin::Pin;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use futures_core::Stream as _;
use tokio::sync::mpsc;
use zbus::message::{Header, Type};
use zbus::{Connection, Message, MessageStream, ObjectPath, Variant};

use crate::bus::PrivateBus;

const ROOT: &str = "/org/ferryd/Ferry1";

type Options<'a> = BTreeMap<&'a str, Variant<'a>>;

/// How long one life lasts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    /// It dies once it has kept so many tasks in this life.
    pub(crate) keeps: usize,
    /// It answers the first so many Enqueue calls of this life.
    pub(crate) answers: usize,
}

impl Life {
    /// One that ends only by [`Say::Die`].
    pub(crate) const LONG: Self = Self { keeps: usize::MAX, answers: usize::MAX };
}

/// What a test has it do.
#[derive(Debug, Clone)]
pub(crate) enum Say {
    /// Tell the subscriber that a task is now in this state.
    Moved(String, &'static str),
    /// Tell the subscriber how far a task's file is.
    Progress(String, u64, u64),
    /// Tell the subscriber that signals were left out.
    Lagged(u64),
    /// Ping the subscriber; the answer is awaited and kept as an event.
    Ping,
    /// End this life.
    Die,
}

/// What it remembers from life to life.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Tasks: request id, payload and options as text; the id is the place.
    pub(crate) tasks: Vec<(String, String, String)>,
    /// Calls other than Enqueue, and other things that happened, as text.
    pub(crate) events: Vec<String>,
    /// The state in which Get shows every task.
    pub(crate) state: &'static str,
}

/// The stand-in on a bus of its own.
pub(crate) struct StandIn {
    pub(crate) bus: PrivateBus,
    pub(crate) memory: Arc<Mutex<Memory>>,
    say: mpsc::UnboundedSender<Say>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    /// Lives these lives one after the other, from when the first is on the bus.
    pub(crate) fn live(lives: &[Life]) -> Self {
        let bus = PrivateBus::start();
        let memory = Arc::new(Mutex::new(Memory { state: "pending", ..Memory::default() }));
        let (say, said) = mpsc::unbounded_channel();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (address, lives, shared) = (bus.address().to_owned(), lives.to_vec(), memory.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(live(address, lives, shared, said, ready));
        });
        is_ready.recv().expect("the first life begins");
        Self { bus, memory, say, thread: Some(thread) }
    }

    /// Has it do something.
    pub(crate) fn say(&self, what: Say) {
        self.say.send(what).expect("it lives");
    }

    /// `ferryctl` with these arguments, split at spaces, ready to run on this bus.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
        command.args(["--address", self.bus.address()]).args(arguments.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs `ferryctl` to its end.
    pub(crate) fn ferryctl(&self, arguments: &str) -> Output {
        self.command(arguments).output().expect("ferryctl runs")
    }

    /// The payloads kept, in order.
    pub(crate) fn payloads(&self) -> Vec<String> {
        self.memory.lock().expect("no panic").tasks.iter().map(|(_, payload, _)| payload.clone()).collect()
    }

    /// Waits until what happened is so.
    pub(crate) fn until(&self, is_so: impl Fn(&[String]) -> bool) {
        while !is_so(&self.events()) {
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    }

    /// What happened.
    pub(crate) fn events(&self) -> Vec<String> {
        self.memory.lock().expect("no panic").events.clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.bus.kill();
        if let Some(thread) = self.thread.take()
            && !std::thread::panicking()
        {
            thread.join().expect("the stand-in does not panic");
        }
    }
}

async fn live(
    address: String,
    lives: Vec<Life>,
    memory: Arc<Mutex<Memory>>,
    mut said: mpsc::UnboundedReceiver<Say>,
    ready: std::sync::mpsc::Sender<()>,
) {
    for life in lives {
        let Ok(connection) = zbus::connection::Builder::address(address.as_str()).build().await else { return };
        let mut inbox = MessageStream::from(&connection);
        match connection.request_name("org.ferryd.Ferry1").await {
            // The test is over, and its bus with it.
            Err(zbus::Error::InputOutput(_)) => return,
            named => named.expect("the name is free"),
        }
        let _ = ready.send(());
        let mut daemon = Daemon { connection, memory: memory.clone(), life, kept: 0, subscriber: None };
        loop {
            let goes_on = tokio::select! {
                message = next(&mut inbox) => match message {
                    Some(Ok(message)) => daemon.hear(&message).await,
                    _ => return,
                },
                Some(what) = said.recv() => daemon.obey(what).await,
            };
            if !goes_on {
                break;
            }
        }
        drop(inbox);
        daemon.connection.close().await.expect("closed");
    }
}

async fn next(inbox: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|context| Pin::new(&mut *inbox).poll_next(context)).await
}

/// One life.
struct Daemon {
    connection: Connection,
    memory: Arc<Mutex<Memory>>,
    life: Life,
    kept: usize,
    subscriber: Option<String>,
}

impl Daemon {
    /// Takes a message; false ends this life.
    async fn hear(&mut self, message: &Message) -> bool {
        let header = message.header();
        if message.message_type() == Type::MethodReturn
            && header.sender().map(|name| name.to_string()) == self.subscriber
        {
            self.memory.lock().expect("no panic").events.push("pong".to_owned());
        }
        if message.message_type() != Type::MethodCall {
            return true;
        }
        let member = header.member().expect("a member").to_string();
        if member == "Enqueue" {
            let body = message.body();
            let (strategy, payload, options) = body.deserialize().expect("the contract's types");
            return self.enqueue(&header, strategy, payload, options).await;
        }
        if member == "EnqueueFile" {
            let body = message.body();
            let (strategy, file, options): (&str, zbus::OwnedFd, Options<'_>) =
                body.deserialize().expect("the contract's types");
            let mut content = String::new();
            std::fs::File::from(std::os::fd::OwnedFd::from(file)).read_to_string(&mut content).expect("readable");
            return self.enqueue(&header, strategy, &content, options).await;
        }
        if member == "Subscribe" {
            self.subscriber = header.sender().map(|name| name.to_string());
        }
        // Before it is answered: then the test looks.
        let arguments = message.body().deserialize::<zbus::Structure<'_>>().map(|body| format!("{body}"));
        let path = header.path().expect("a path").as_str().trim_start_matches(ROOT).to_owned();
        self.memory.lock().expect("no panic").events.push(format!("{path}{member}{}", arguments.unwrap_or_default()));
        self.answer(message, &header, &member).await.expect("sent");
        true
    }

    async fn enqueue(&mut self, header: &Header<'_>, strategy: &str, payload: &str, options: Options<'_>) -> bool {
        if payload.contains("bad") {
            let name = "org.ferryd.Ferry1.Error.InvalidArgument";
            self.connection.reply_error(header, name, &format!("{strategy}: no JSON")).await.expect("sent");
            return true;
        }
        let request =
            options.get("request_id").map(|id| id.to_string().trim_matches('"').to_owned()).unwrap_or_default();
        let id = {
            let mut memory = self.memory.lock().expect("no panic");
            let known = memory.tasks.iter().position(|(known, ..)| !request.is_empty() && *known == request);
            known.unwrap_or_else(|| {
                memory.tasks.push((request, payload.to_owned(), format!("{options:?}")));
                memory.tasks.len() - 1
            })
        };
        self.kept += 1;
        if self.kept <= self.life.answers {
            self.connection.reply(header, &id.to_string()).await.expect("sent");
        }
        self.kept < self.life.keeps
    }

    async fn answer(&self, message: &Message, header: &Header<'_>, member: &str) -> zbus::Result<()> {
        let (bus, body) = (&self.connection, message.body());
        let task = |id: &str| {
            let state = self.memory.lock().expect("no panic").state;
            Options::from([("id", id.to_owned().into()), ("state", state.into()), ("strategy", "metadata".into())])
        };
        match member {
            "Get" | "Show" | "Explain" if body.deserialize::<&str>().is_ok_and(|id| id == "missing") => {
                bus.reply_error(header, "org.ferryd.Ferry1.Error.NotFound", &"there is no task \"missing\"").await
            }
            "Get" => bus.reply(header, &task(body.deserialize()?)).await,
            "List" => {
                let (filter, cursor, limit): (Options<'_>, &str, u32) = body.deserialize()?;
                assert!(filter.len() <= 6 && limit <= 1000);
                let from: u32 = cursor.parse().unwrap_or(0);
                let to = (from + limit).min(2_500);
                let tasks: Vec<_> = (from..to).map(|id| task(&id.to_string())).collect();
                let next = if to < 2_500 { to.to_string() } else { String::new() };
                bus.reply(header, &(tasks, next)).await
            }
            "Cancel" | "Retry" | "Discard" => {
                let count = body.deserialize::<Vec<&str>>()?.len();
                bus.reply(header, &u32::try_from(count).expect("few")).await
            }
            "Explain" => {
                let detail = Options::from([("interface", "wlan0".into())]);
                let past = Options::from([("event", "retry".into()), ("detail", "503".into())]);
                bus.reply(header, &vec![("offline", 1u64, "it is online", detail), ("history", 2, "", past)]).await
            }
            "Reload" => {
                bus.reply_error(header, "org.ferryd.Ferry1.Error.InvalidArgument", &"f.toml:3: limits.x: no").await
            }
            "SyncNow" if body.deserialize::<(&str, Options<'_>)>()?.1.contains_key("all") => {
                bus.reply_error(header, "org.ferryd.Ferry1.Error.NotAuthorized", &"user 7 is no admin").await
            }
            "Hold" => {
                let (mut held, descriptor) = std::io::pipe().expect("a pipe");
                bus.reply(header, &zbus::Fd::from(std::os::fd::OwnedFd::from(descriptor))).await?;
                let memory = self.memory.clone();
                std::thread::spawn(move || {
                    held.read_to_end(&mut Vec::new()).expect("readable");
                    memory.lock().expect("no panic").events.push("the hold is over".to_owned());
                });
                Ok(())
            }
            "Pause" | "Resume" if header.path().expect("a path").as_str() == ROOT => {
                bus.reply_error(header, "org.ferryd.Ferry1.Error.NotAuthorized", &"user 7 is no admin").await
            }
            "GetAll" if header.path().expect("a path").as_str().ends_with("/nothing") => {
                bus.reply_error(header, "org.freedesktop.DBus.Error.UnknownObject", &"no object").await
            }
            "GetAll" => {
                let properties = Options::from([
                    ("Version", "9.9".into()),
                    ("State", "waiting".into()),
                    ("NextWake", Variant::new(("task-due", 7u64))),
                    ("Connected", true.into()),
                    ("Type", "wifi".into()),
                ]);
                bus.reply(header, &properties).await
            }
            "GetManagedObjects" => {
                let photo = Options::from([("Name", "photo".into()), ("Pending", 3u32.into())]);
                let interfaces = BTreeMap::from([("org.ferryd.Ferry1.Strategy", photo)]);
                let path = ObjectPath::try_from("/org/ferryd/Ferry1/strategies/photo")?;
                bus.reply(header, &BTreeMap::from([(path, interfaces)])).await
            }
            _ => bus.reply(header, &()).await,
        }
    }

    async fn obey(&mut self, what: Say) -> bool {
        let subscriber = self.subscriber.clone().unwrap_or_default();
        let signal = |interface: &str, member: &'static str| {
            Message::signal(ROOT, format!("org.ferryd.Ferry1.{interface}"), member).destination(subscriber.clone())
        };
        let message = match what {
            Say::Moved(id, state) => {
                let detail = Options::from([("at", 5u64.into()), ("error", "rejected: no".into())]);
                signal("Tasks", "StateChanged").build(&(id, "metadata", state, detail))
            }
            Say::Progress(id, done, total) => {
                let detail = Options::from([("rate", 250_000u64.into()), ("chunk_size", 65_536u32.into())]);
                signal("Tasks", "Progress").build(&(id, done, total, detail))
            }
            Say::Lagged(count) => signal("Manager", "Lagged").build(&count),
            Say::Ping => {
                let ping = Message::method_call("/", "Ping").interface("org.freedesktop.DBus.Peer");
                ping.destination(subscriber.clone()).build(&())
            }
            Say::Die => return false,
        };
        self.connection.send(&message.expect("a message")).await.expect("sent");
        true
    }
}
