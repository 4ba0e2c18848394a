//! A device: a private bus, the built `ferryd` with a configuration of its own, and somebody on the bus who watches it.
//! Waits are for events, never for time; [`HANG`] only ends a test that would wait for ever.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::future::poll_fn;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use futures_core::Stream as _;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::{Map, Number, Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use zbus::message::Type;
use zbus::{Connection, DynamicType, Message, MessageStream, Structure, Variant};

use crate::bus::PrivateBus;
use crate::netns::Netns;

/// Far beyond anything that a loaded machine needs.
pub(crate) const HANG: Duration = Duration::from_secs(120);

pub(crate) const NAME: &str = "org.ferryd.Ferry1";
pub(crate) const ROOT: &str = "/org/ferryd/Ferry1";
const DRIVER: &str = "org.freedesktop.DBus";
const DRIVER_PATH: &str = "/org/freedesktop/DBus";

/// Shows a figure. Not by `println!`, which the test harness keeps to itself if the test passes.
pub(crate) fn tell(words: std::fmt::Arguments<'_>) {
    let _closed = writeln!(io::stderr(), "{words}");
}

/// The options of a call that has none.
pub(crate) fn none() -> BTreeMap<&'static str, Variant<'static>> {
    BTreeMap::new()
}

/// An error reply: its name without `org.ferryd.Ferry1.Error.`, and its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) message: String,
}

/// A bus, a state directory and a configuration; a daemon, if one runs.
pub(crate) struct Device<'n> {
    netns: Option<&'n Netns>,
    daemon: Option<Child>,
    pub(crate) bus: PrivateBus,
    pub(crate) folder: TempDir,
    environment: Vec<(&'static str, String)>,
    watcher: Watcher,
}

impl<'n> Device<'n> {
    /// A device that is configured and not yet switched on.
    pub(crate) fn off(netns: Option<&'n Netns>, config: &str) -> Self {
        Self::on_bus(PrivateBus::start(), netns, config)
    }

    /// The same on a bus of another kind.
    pub(crate) fn on_bus(bus: PrivateBus, netns: Option<&'n Netns>, config: &str) -> Self {
        let folder = TempDir::with_prefix("ferry-device-").expect("a folder");
        let watcher = Watcher::connect(bus.address());
        let device = Self { netns, daemon: None, bus, folder, environment: Vec::new(), watcher };
        device.configure(config);
        device
    }

    /// A device on this machine's network, its daemon ready.
    pub(crate) fn start(config: &str) -> Self {
        let mut device = Self::off(None, config);
        device.switch_on();
        device
    }

    /// A device in this namespace, its daemon ready.
    pub(crate) fn start_in(netns: &'n Netns, config: &str) -> Self {
        let mut device = Self::off(Some(netns), config);
        device.switch_on();
        device
    }

    /// Sets a variable of the environment of daemons to come.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.environment.push((name, value.into()));
    }

    /// Writes the configuration; a daemon that runs does not know yet.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.config(), config).expect("a configuration");
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.file("ferryd.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.file("state")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// All that the daemons of this device have logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.file("log")).unwrap_or_default()
    }

    /// How `ferryd` is started here, with its log at the end of the device's.
    pub(crate) fn command(&self) -> Command {
        self.command_with(&["--config", &self.config().display().to_string()], &self.state())
    }

    pub(crate) fn command_with(&self, arguments: &[&str], state: &Path) -> Command {
        let mut command = self.logged(env!("CARGO_BIN_EXE_ferryd"));
        command.args(["--address", self.bus.address()]).args(arguments).arg("--state-dir").arg(state);
        command
    }

    /// Any program with the environment and the log of this device's daemons.
    pub(crate) fn logged(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let log = File::options().create(true).append(true).open(self.file("log")).expect("a log");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command
    }

    /// Starts the daemon and waits until it owns its name.
    pub(crate) fn switch_on(&mut self) {
        let command = self.command();
        self.switch_on_by(command);
    }

    /// The same by another command.
    pub(crate) fn switch_on_by(&mut self, command: Command) {
        assert!(self.starts_by(command), "it ended before it was ready:\n{}", self.log());
    }

    /// The same, but it may end before it owns its name; whether it got there.
    pub(crate) fn starts_by(&mut self, mut command: Command) -> bool {
        assert!(self.daemon.is_none(), "it runs already");
        let daemon = match self.netns {
            Some(netns) => netns.spawn(&mut command),
            None => command.spawn(),
        };
        self.daemon = Some(daemon.expect("ferryd runs"));
        let deadline = Instant::now() + HANG;
        while !self.watcher.is_owned() {
            if self.has_ended() {
                return false;
            }
            assert!(
                self.watcher.hear(deadline.min(Instant::now() + Duration::from_millis(100)))
                    || Instant::now() < deadline
            );
        }
        self.watcher.follow();
        true
    }

    /// Whether the daemon has ended by itself, or never ran.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.daemon.as_mut().is_none_or(|daemon| daemon.try_wait().expect("our child").is_some())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.daemon.as_ref().expect("it runs").id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(self.pid()), signal).expect("it runs");
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended();
    }

    /// Waits for the daemon's end by itself; how long it took.
    pub(crate) fn ended(&mut self) -> (ExitStatus, Duration) {
        let daemon = self.daemon.take().expect("it runs");
        ended(daemon, || self.log())
    }

    /// SIGTERM and its end, which must be a good one.
    pub(crate) fn switch_off(&mut self) -> Duration {
        self.signal(Signal::TERM);
        let (status, took) = self.ended();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        took
    }

    /// Calls a method of the root object.
    pub(crate) fn call<B>(&mut self, interface: &str, member: &str, body: &B) -> Result<Vec<Value>, Refused>
    where
        B: serde::Serialize + DynamicType,
    {
        self.watcher.call(NAME, ROOT, &format!("{NAME}.{interface}"), member, body)
    }

    /// Calls a method of a strategy's object.
    pub(crate) fn call_strategy<B>(&mut self, strategy: &str, member: &str, body: &B) -> Result<Vec<Value>, Refused>
    where
        B: serde::Serialize + DynamicType,
    {
        self.watcher.call(NAME, &path(strategy), &format!("{NAME}.Strategy"), member, body)
    }

    /// Sends a call whose answer nobody waits for.
    pub(crate) fn call_unanswered<B>(&mut self, interface: &str, member: &str, body: &B) -> std::num::NonZeroU32
    where
        B: serde::Serialize + DynamicType,
    {
        self.watcher.send(NAME, ROOT, &format!("{NAME}.{interface}"), member, body)
    }

    /// The answer to such a call, that came or comes.
    pub(crate) fn answer(&mut self, serial: std::num::NonZeroU32) -> Result<Vec<Value>, Refused> {
        self.watcher.answer(serial)
    }

    /// Holds everything back; gives the descriptor that does it.
    pub(crate) fn hold(&mut self, reason: &str) -> Result<OwnedFd, Refused> {
        let serial = self.call_unanswered("Manager", "Hold", &reason);
        let answer = self.watcher.answer_message(serial);
        read(&answer)?;
        let descriptor: zbus::OwnedFd = answer.body().deserialize().expect("a descriptor");
        Ok(descriptor.into())
    }

    /// All properties of one interface of the root object.
    pub(crate) fn shown(&mut self, interface: &str) -> Value {
        self.watcher.properties(ROOT, &format!("{NAME}.{interface}"))
    }

    /// All properties of a strategy.
    pub(crate) fn strategy(&mut self, name: &str) -> Value {
        self.watcher.properties(&path(name), &format!("{NAME}.Strategy"))
    }

    /// The strategies that have an object.
    pub(crate) fn strategies(&mut self) -> Vec<String> {
        let objects = self.watcher.call(NAME, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &());
        let objects = objects.expect("an answer").remove(0);
        let names = objects.as_object().expect("objects").keys();
        names.map(|path| path.rsplit('/').next().unwrap_or_default().to_owned()).collect()
    }

    /// Looks at once and after each signal of the daemon until something is found.
    pub(crate) fn until<T>(&mut self, what: &str, mut find: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + HANG;
        loop {
            self.watcher.heard = false;
            if let Some(found) = find(self) {
                return found;
            }
            while !self.watcher.heard {
                assert!(self.watcher.hear(deadline), "waited in vain until {what}:\n{}", self.log());
            }
        }
    }

    /// Changes something and waits until something is found after a signal: what is seen before it is told may change back
    /// untold.
    pub(crate) fn until_told(&mut self, what: &str, change: impl FnOnce(), mut find: impl FnMut(&mut Self) -> bool) {
        self.watcher.heard = false;
        change();
        let deadline = Instant::now() + HANG;
        while !self.watcher.heard || !find(self) {
            assert!(self.watcher.hear(deadline), "waited in vain until {what}:\n{}", self.log());
        }
    }

    /// Waits until the daemon shows this.
    pub(crate) fn until_shown(&mut self, property: &str, value: impl Into<Value>) {
        let value = value.into();
        self.until(&format!("{property} is {value}"), |device| {
            (device.shown("Manager")[property] == value).then_some(())
        });
    }

    /// Waits until a strategy shows this.
    pub(crate) fn until_strategy(&mut self, strategy: &str, property: &str, value: impl Into<Value>) {
        let value = value.into();
        let what = format!("{property} of {strategy} is {value}");
        self.until(&what, |device| (device.strategy(strategy)[property] == value).then_some(()));
    }

    /// Hands tasks of the strategy metadata over, payloads `{"n":0}` and so on; gives their ids.
    pub(crate) fn enqueue(&mut self, count: usize) -> Vec<String> {
        self.enqueue_to("metadata", count)
    }

    pub(crate) fn enqueue_to(&mut self, strategy: &str, count: usize) -> Vec<String> {
        let payloads: Vec<String> = (0..count).map(|n| json!({ "n": n }).to_string()).collect();
        let mut ids = Vec::with_capacity(count);
        for payloads in payloads.chunks(500) {
            let answer = self.call("Tasks", "EnqueueBatch", &(strategy, payloads, none())).expect("they are taken");
            ids.extend(answer[0].as_array().expect("ids").iter().map(|id| id.as_str().expect("an id").to_owned()));
        }
        ids
    }

    pub(crate) fn enqueue_one(&mut self) -> String {
        self.enqueue(1).remove(0)
    }

    pub(crate) fn task(&mut self, id: &str) -> Value {
        self.call("Tasks", "Get", &id).expect("the task").remove(0)
    }

    /// Waits until a task is in this state; gives it.
    pub(crate) fn until_task(&mut self, id: &str, state: &str) -> Value {
        self.until(&format!("{id} is {state}"), |device| Some(device.task(id)).filter(|task| task["state"] == state))
    }

    /// Waits until all these are done.
    pub(crate) fn until_done(&mut self, ids: &[String]) {
        for id in ids {
            self.until_task(id, "done");
        }
    }

    /// The rows of Explain.
    pub(crate) fn explain(&mut self, id: &str) -> Vec<Row> {
        let rows = self.call("Tasks", "Explain", &(id, none())).expect("rows").remove(0);
        rows.as_array().expect("rows").iter().map(Row::of).collect()
    }

    /// Waits until a task waits for this reason; gives its row.
    pub(crate) fn until_waits_for(&mut self, id: &str, reason: &str) -> Row {
        self.until(&format!("{id} waits for {reason}"), |device| {
            device.explain(id).into_iter().find(|row| row.reason == reason)
        })
    }

    /// Everything that happened to a task, as words.
    pub(crate) fn history(&mut self, id: &str) -> String {
        let history = BTreeMap::from([("history", Variant::from(true))]);
        self.call("Tasks", "Explain", &(id, history)).expect("rows").remove(0).to_string()
    }

    /// Runs `ferryctl` with arguments split at spaces: both outputs and the exit code.
    pub(crate) fn ctl(&self, arguments: &str) -> (String, i32) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
        command.args(["--address", self.bus.address()]).args(arguments.split_whitespace()).stdin(Stdio::null());
        let output = command.output().expect("ferryctl runs");
        let text = [output.stdout, output.stderr].concat();
        (String::from_utf8(text).expect("UTF-8"), output.status.code().expect("no signal"))
    }
}

impl Drop for Device<'_> {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

/// One row of Explain.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) reason: String,
    pub(crate) since: u64,
    pub(crate) clears: String,
    pub(crate) detail: Value,
}

impl Row {
    fn of(row: &Value) -> Self {
        let text = |index: usize| row[index].as_str().expect("text").to_owned();
        Self { reason: text(0), since: row[1].as_u64().expect("a time"), clears: text(2), detail: row[3].clone() }
    }
}

/// Waits for the end of a process, which must not take for ever.
pub(crate) fn ended(mut child: Child, log: impl Fn() -> String) -> (ExitStatus, Duration) {
    let begun = Instant::now();
    let (told, heard) = std::sync::mpsc::channel();
    let waited = pid(child.id());
    std::thread::spawn(move || {
        // Leaves the status for `Child::wait`.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let _ = waitid(WaitId::Pid(waited), options);
        let _ = told.send(());
    });
    if heard.recv_timeout(HANG).is_err() {
        drop(child.kill());
        panic!("it does not end:\n{}", log());
    }
    (child.wait().expect("our child"), begun.elapsed())
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id")
}

fn path(strategy: &str) -> String {
    format!("{ROOT}/strategies/{strategy}")
}

/// A connection to the bus. All that comes in passes through one inbox, so no signal is lost between two calls.
struct Watcher {
    runtime: Runtime,
    connection: Connection,
    inbox: MessageStream,
    answers: BTreeMap<u32, Message>,
    /// A signal of the daemon came since this was last set to false.
    heard: bool,
}

impl Watcher {
    fn connect(address: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connect = async {
            let connection = zbus::connection::Builder::address(address).build().await.expect("a bus");
            let inbox = MessageStream::from(&connection);
            (connection, inbox)
        };
        let (connection, inbox) = runtime.block_on(connect);
        let mut watcher = Self { runtime, connection, inbox, answers: BTreeMap::new(), heard: false };
        for rule in [
            format!("type='signal',sender='{DRIVER}',member='NameOwnerChanged',arg0='{NAME}'"),
            format!("type='signal',sender='{NAME}'"),
        ] {
            watcher.call(DRIVER, DRIVER_PATH, DRIVER, "AddMatch", &rule).expect("a match rule");
        }
        watcher
    }

    fn is_owned(&mut self) -> bool {
        let answer = self.call(DRIVER, DRIVER_PATH, DRIVER, "NameHasOwner", &NAME).expect("the bus answers");
        answer[0] == true
    }

    /// Hears of tasks.
    fn follow(&mut self) {
        self.call(NAME, ROOT, &format!("{NAME}.Manager"), "Subscribe", &none()).expect("subscribed");
    }

    fn properties(&mut self, path: &str, interface: &str) -> Value {
        let answer = self.call(NAME, path, "org.freedesktop.DBus.Properties", "GetAll", &interface);
        answer.expect("properties").remove(0)
    }

    fn call<B>(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> Result<Vec<Value>, Refused>
    where
        B: serde::Serialize + DynamicType,
    {
        let serial = self.send(destination, path, interface, member, body);
        self.answer(serial)
    }

    fn send<B>(
        &mut self,
        destination: &str,
        path: &str,
        interface: &str,
        member: &str,
        body: &B,
    ) -> std::num::NonZeroU32
    where
        B: serde::Serialize + DynamicType,
    {
        let call = Message::method_call(path, member).destination(destination).interface(interface);
        let call = call.build(body).expect("a message");
        self.runtime.block_on(self.connection.send(&call)).expect("the bus lives");
        call.primary_header().serial_num()
    }

    fn answer(&mut self, serial: std::num::NonZeroU32) -> Result<Vec<Value>, Refused> {
        read(&self.answer_message(serial))
    }

    fn answer_message(&mut self, serial: std::num::NonZeroU32) -> Message {
        let deadline = Instant::now() + HANG;
        loop {
            if let Some(answer) = self.answers.remove(&serial.get()) {
                return answer;
            }
            assert!(self.hear(deadline), "a call was not answered");
        }
    }

    /// Takes in the next message; `false` if none came in time.
    fn hear(&mut self, deadline: Instant) -> bool {
        let next = poll_fn(|context| Pin::new(&mut self.inbox).poll_next(context));
        let next = async { tokio::time::timeout_at(deadline.into(), next).await };
        let Ok(message) = self.runtime.block_on(next) else { return false };
        let message = message.expect("the bus lives").expect("readable");
        match message.message_type() {
            Type::MethodReturn | Type::Error => {
                let serial = message.header().reply_serial().expect("an answer");
                self.answers.insert(serial.get(), message);
            }
            Type::Signal => self.heard = true,
            // The daemon sees whether we read on.
            Type::MethodCall => {
                let reply = Message::method_return(&message.header()).build(&()).expect("a message");
                self.runtime.block_on(self.connection.send(&reply)).expect("the bus lives");
            }
        }
        true
    }
}

fn read(answer: &Message) -> Result<Vec<Value>, Refused> {
    let body = answer.body();
    let arguments = if body.is_empty() {
        Vec::new()
    } else {
        let arguments: Structure<'_> = body.deserialize().expect("readable");
        arguments.fields().iter().map(json_of).collect()
    };
    if answer.message_type() == Type::MethodReturn {
        return Ok(arguments);
    }
    let header = answer.header();
    let name = header.error_name().map(|name| name.as_str().to_owned()).unwrap_or_default();
    let name = name.rsplit('.').next().unwrap_or_default().to_owned();
    Err(Refused { name, message: arguments.first().and_then(Value::as_str).unwrap_or_default().to_owned() })
}

fn json_of(variant: &Variant<'_>) -> Value {
    match variant {
        Variant::U8(value) => (*value).into(),
        Variant::Bool(value) => (*value).into(),
        Variant::I16(value) => (*value).into(),
        Variant::U16(value) => (*value).into(),
        Variant::I32(value) => (*value).into(),
        Variant::U32(value) => (*value).into(),
        Variant::I64(value) => (*value).into(),
        Variant::U64(value) => (*value).into(),
        Variant::F64(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
        Variant::Str(text) => text.as_str().into(),
        Variant::Signature(signature) => signature.to_string().into(),
        Variant::ObjectPath(path) => path.as_str().into(),
        Variant::Variant(inner) => json_of(inner),
        Variant::Array(array) => array.inner().iter().map(json_of).collect(),
        Variant::Dict(dict) => {
            let entry = |(key, value): (&Variant<'_>, &Variant<'_>)| {
                (json_of(key).as_str().unwrap_or_default().to_owned(), json_of(value))
            };
            Value::Object(dict.iter().map(entry).collect::<Map<_, _>>())
        }
        Variant::Structure(structure) => structure.fields().iter().map(json_of).collect(),
        Variant::Fd(_) => Value::Null,
    }
}
