//! A stand-in for any service with properties: shows what it is told to, tells of changes, counts what it is asked, and
//! misbehaves at will. It answers on a thread of its own.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::io::{PipeReader, Read as _};
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_core::Stream as _;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use zbus::message::{Message, Type};
use zbus::{Connection, DynamicType, MessageStream, ObjectPath, OwnedVariant, Variant};

/// Far beyond what a loaded machine needs.
const HANG: Duration = Duration::from_secs(120);

/// What the service manager gives for a unit that is to start.
pub(crate) const JOB: &str = "/org/freedesktop/systemd1/job/1";

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Honest,
    /// Takes questions and never answers.
    Silent,
    /// Answers each with this error.
    Error(&'static str),
    /// Answers each with a text that nobody asked for.
    Babble,
}

type Interfaces = BTreeMap<String, BTreeMap<String, OwnedVariant>>;

#[derive(Debug)]
struct State {
    mood: Mood,
    objects: BTreeMap<String, Interfaces>,
    /// The methods that were called, as they came.
    asked: Vec<String>,
    /// Questions left without an answer.
    open: Vec<Message>,
    /// Our ends of the inhibitors handed out.
    inhibitors: Vec<PipeReader>,
    /// Whether `Inhibit` is refused.
    refuses: bool,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A service on the bus. It leaves when dropped.
pub(crate) struct Mock {
    shared: Arc<Shared>,
    connection: Connection,
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Mock {
    /// Takes these names on the bus; its objects are those that `prepare` sets.
    pub(crate) fn start(address: &str, names: &'static [&'static str], prepare: impl FnOnce(&mut Objects<'_>)) -> Self {
        Self::start_that(address, names, false, prepare)
    }

    /// The same; `refuses` says whether nobody may inhibit.
    pub(crate) fn start_that(
        address: &str,
        names: &'static [&'static str],
        refuses: bool,
        prepare: impl FnOnce(&mut Objects<'_>),
    ) -> Self {
        let (objects, asked, open) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut state = State { mood: Mood::Honest, objects, asked, open, inhibitors: Vec::new(), refuses };
        prepare(&mut Objects(&mut state.objects));
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (stop, stopped) = oneshot::channel();
        let (told, started) = std::sync::mpsc::channel();
        let (address, serving) = (address.to_owned(), Arc::clone(&shared));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let connection = zbus::connection::Builder::address(&*address).build().await.expect("a bus");
                let messages = MessageStream::from(&connection);
                for name in names {
                    connection.request_name(*name).await.expect("the name is free");
                }
                told.send((connection.clone(), Handle::current())).expect("it is waited for");
                tokio::select! {
                    () = serve(&connection, messages, &serving) => {}
                    _ = stopped => {}
                }
                // Whoever left questions open goes without a word.
                drop(connection.close().await);
            });
        });
        let (connection, handle) = started.recv_timeout(HANG).expect("it starts");
        Self { shared, connection, handle, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn be(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// Changes what it shows and says nothing of it.
    pub(crate) fn quietly(&self, change: impl FnOnce(&mut Objects<'_>)) {
        change(&mut Objects(&mut self.state().objects));
    }

    /// Changes a property and tells of it.
    pub(crate) fn set<'v>(&self, path: &str, interface: &str, property: &str, value: impl Into<Variant<'v>>) {
        let value = value.into();
        let owned = value.try_to_owned().expect("no descriptor");
        self.quietly(|objects| objects.set(path, interface, property, owned));
        self.tell(path, interface, property, &value);
    }

    /// Tells of a property, whatever it shows.
    pub(crate) fn tell(&self, path: &str, interface: &str, property: &str, value: &Variant<'_>) {
        let changed = HashMap::from([(property, value)]);
        self.emit(path, PROPERTIES, "PropertiesChanged", &(interface, changed, Vec::<&str>::new()));
    }

    /// Sends a signal; returns when the bus has it.
    pub(crate) fn emit<B>(&self, path: &str, interface: &str, member: &str, body: &B)
    where
        B: serde::Serialize + DynamicType,
    {
        let sent = self.connection.emit_signal(None::<&str>, path, interface, member, body);
        self.handle.block_on(sent).expect("sent");
    }

    /// Blocks until this method was called.
    pub(crate) fn until_called(&self, member: &str) {
        self.until(member, |state| state.asked.iter().any(|asked| asked == member));
    }

    /// How often it was asked anything.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked.len()
    }

    /// Blocks until it was asked more than so many times.
    pub(crate) fn until_asked_more_than(&self, times: usize) {
        self.until("it is asked", |state| state.asked.len() > times);
    }

    /// Answers, now that it is late, what it left open.
    pub(crate) fn answer_what_is_open(&self) {
        let open = std::mem::take(&mut self.state().open);
        assert!(!open.is_empty(), "nothing was asked");
        for message in open {
            self.handle.block_on(answer(&self.connection, &message, &self.shared));
        }
    }

    /// How many inhibitors are held.
    pub(crate) fn inhibitors(&self) -> usize {
        self.state().held()
    }

    /// Blocks until so many inhibitors are held, or fails after `limit`.
    pub(crate) fn until_inhibitors(&self, count: usize, limit: Duration) -> bool {
        let deadline = std::time::Instant::now() + limit;
        // The other end of a pipe says when it is closed; only one who reads hears it.
        while self.inhibitors() != count {
            if std::time::Instant::now() > deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
        true
    }

    fn until(&self, what: &str, mut wanted: impl FnMut(&mut State) -> bool) {
        let (_state, waited) = self
            .shared
            .changed
            .wait_timeout_while(self.state(), HANG, |state| !wanted(state))
            .expect("no thread has panicked");
        assert!(!waited.timed_out(), "waited in vain until {what}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no thread has panicked")
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the stand-in was asked for what it is not");
    }
}

impl State {
    fn held(&mut self) -> usize {
        self.inhibitors.retain_mut(|reader| !matches!(reader.read(&mut [0; 1]), Ok(0)));
        self.inhibitors.len()
    }
}

/// The objects of a mock.
pub(crate) struct Objects<'s>(&'s mut BTreeMap<String, Interfaces>);

impl Objects<'_> {
    pub(crate) fn set<V>(&mut self, path: &str, interface: &str, property: &str, value: V)
    where
        V: TryInto<OwnedVariant>,
        V::Error: std::fmt::Debug,
    {
        let interfaces = self.0.entry(path.to_owned()).or_default();
        let properties = interfaces.entry(interface.to_owned()).or_default();
        properties.insert(property.to_owned(), value.try_into().expect("no descriptor"));
    }

    pub(crate) fn remove(&mut self, path: &str) {
        self.0.remove(path);
    }
}

/// A value that can be shown.
pub(crate) fn owned<'v>(value: impl Into<Variant<'v>>) -> OwnedVariant {
    value.into().try_to_owned().expect("no descriptor")
}

/// Whether logind asks the service manager. The daemon asks nobody in a way that would start a service.
fn is_of_logind(message: &Message) -> bool {
    message.header().path().is_some_and(|path| path.starts_with("/org/freedesktop/systemd1"))
}

async fn serve(connection: &Connection, mut messages: MessageStream, shared: &Shared) {
    while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await {
        if message.message_type() != Type::MethodCall {
            continue;
        }
        let starts_none = message.primary_header().flags().contains(zbus::message::Flags::NO_AUTO_START);
        assert!(starts_none || is_of_logind(&message), "no service is started for the daemon's sake");
        let mood = {
            let mut state = shared.state.lock().expect("no thread has panicked");
            let member = message.header().member().expect("a member").to_string();
            state.asked.push(member);
            if state.mood == Mood::Silent {
                state.open.push(message.clone());
            }
            state.mood
        };
        shared.changed.notify_all();
        match mood {
            Mood::Honest => answer(connection, &message, shared).await,
            Mood::Silent => {}
            Mood::Error(name) => drop(connection.reply_error(&message.header(), name, &("no\nno",)).await),
            Mood::Babble => drop(connection.reply(&message.header(), &("Guten Tag",)).await),
        }
    }
}

/// Answers a question; who asked may have gone.
async fn answer(connection: &Connection, message: &Message, shared: &Shared) {
    let header = message.header();
    let path = header.path().expect("a path").to_string();
    let (objects, refuses) = {
        let state = shared.state.lock().expect("no thread has panicked");
        (state.objects.clone(), state.refuses)
    };
    match header.member().expect("a member").as_str() {
        "GetAll" => {
            let interface: String = message.body().deserialize().expect("an interface");
            match objects.get(&path).and_then(|interfaces| interfaces.get(&interface)) {
                Some(properties) => drop(connection.reply(&header, properties).await),
                None => {
                    let unknown = "org.freedesktop.DBus.Error.UnknownObject";
                    drop(connection.reply_error(&header, unknown, &("no such object",)).await);
                }
            }
        }
        "Get" => {
            let (interface, property): (String, String) = message.body().deserialize().expect("two texts");
            let object = objects.get(&path).and_then(|interfaces| interfaces.get(&interface));
            match object.and_then(|properties| properties.get(&property)) {
                Some(value) => drop(connection.reply(&header, value).await),
                None => {
                    let unknown = "org.freedesktop.DBus.Error.UnknownObject";
                    drop(connection.reply_error(&header, unknown, &("no such object",)).await);
                }
            }
        }
        "StartUnit" => {
            let job = ObjectPath::try_from(JOB).expect("a path");
            drop(connection.reply(&header, &job).await);
        }
        "GetManagedObjects" => {
            let objects: BTreeMap<ObjectPath<'_>, &Interfaces> = objects
                .iter()
                .map(|(path, interfaces)| (ObjectPath::try_from(path.as_str()).expect("a path"), interfaces))
                .collect();
            drop(connection.reply(&header, &objects).await);
        }
        "Inhibit" if refuses => {
            let denied = "org.freedesktop.DBus.Error.AccessDenied";
            drop(connection.reply_error(&header, denied, &("Permission denied",)).await);
        }
        "Inhibit" => {
            let what: (String, String, String, String) = message.body().deserialize().expect("four texts");
            assert_eq!((what.0.as_str(), what.1.as_str(), what.3.as_str()), ("sleep", "ferryd", "delay"));
            let (reader, writer) = std::io::pipe().expect("a pipe");
            rustix::io::ioctl_fionbio(&reader, true).expect("it need not block");
            shared.state.lock().expect("no thread has panicked").inhibitors.push(reader);
            drop(connection.reply(&header, &zbus::Fd::from(OwnedFd::from(writer))).await);
        }
        _ if is_of_logind(message) => {}
        other => panic!("it is asked for {other}"),
    }
}
