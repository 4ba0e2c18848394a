//! An app that floods, or never reads what it is sent, hurts itself only: on a bus that stops reading from a sender when
//! 1 MB of its messages wait for a receiver (`max_incoming_bytes`), another client's calls stay within twice their usual
//! median. The daemon's loop is a stand-in (see `common/faces.rs`).

#![expect(clippy::print_stdout, reason = "the figures are for people")]

#[path = "common/bus.rs"]
mod bus;
#[path = "common/faces.rs"]
#[expect(dead_code, reason = "shared with tests/bus.rs")]
mod faces;

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bus::PrivateBus;
use faces::Faces;
use futures_core::Stream;
use rustix::process::{Pid, Signal, kill_process};
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, Variant};

const NAME: &str = "org.ferryd.Ferry1";
const ROOT: &str = "/org/ferryd/Ferry1";
const TASKS: &str = "org.ferryd.Ferry1.Tasks";
const MANAGER: &str = "org.ferryd.Ferry1.Manager";

type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// A bus on which 1 MB of one sender may wait, and so many of its calls for answers.
fn tight(replies: u64) -> PrivateBus {
    PrivateBus::with_limits(&[("max_incoming_bytes", 1 << 20), ("max_replies_per_connection", replies)])
}

/// A client that speaks D-Bus by hand, so that it can write without ever reading.
struct Raw(UnixStream);

impl Raw {
    fn connect(address: &str) -> Self {
        let path = address.split(',').find_map(|part| part.strip_prefix("unix:path=")).expect("a path");
        let mut stream = UnixStream::connect(path).expect("connected");
        let uid: String =
            rustix::process::geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes()).expect("sent");
        let mut line = String::new();
        BufReader::with_capacity(1, &stream).read_line(&mut line).expect("an answer");
        assert!(line.starts_with("OK "), "{line}");
        stream.write_all(b"BEGIN\r\n").expect("sent");
        let mut raw = Self(stream);
        raw.write(&to("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", &()));
        raw
    }

    fn write(&mut self, message: &Message) {
        self.0.write_all(message.data()).expect("written");
    }
}

fn to<B: serde::Serialize + zbus::DynamicType>(
    name: &str,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> Message {
    Message::method_call(path, method).destination(name).interface(interface).build(body).expect("a call")
}

fn ferry<B: serde::Serialize + zbus::DynamicType>(interface: &str, method: &str, body: &B) -> Message {
    to(NAME, ROOT, interface, method, body)
}

fn enqueue() -> Message {
    ferry(TASKS, "Enqueue", &("metadata", "{\"n\": 1}", Options::new()))
}

/// An Enqueue that adds nothing after the first: quotas are not what a flood is to meet here.
fn keep() -> Message {
    let options = Options::from([("key", "one".into()), ("on_existing", "keep".into())]);
    ferry(TASKS, "Enqueue", &("metadata", "1", options))
}

/// The times of one Enqueue and one Get.
async fn times(client: &Connection) -> [Duration; 2] {
    let within = Duration::from_secs(20);
    let start = Instant::now();
    let body = ("metadata", "1", Options::new());
    let call = client.call_method(Some(NAME), ROOT, Some(TASKS), "Enqueue", &body);
    let reply = tokio::time::timeout(within, call).await.expect("in time").expect("taken");
    let enqueue = start.elapsed();
    let id: String = reply.body().deserialize().expect("an id");
    let start = Instant::now();
    let call = client.call_method(Some(NAME), ROOT, Some(TASKS), "Get", &id);
    tokio::time::timeout(within, call).await.expect("in time").expect("a task");
    [enqueue, start.elapsed()]
}

/// The same daemon on another bus, where nobody misbehaves: what calls usually take, measured in the same moments.
struct Usual {
    _faces: Faces,
    client: Connection,
}

impl Usual {
    async fn start() -> Self {
        let faces = Faces::serve_on(tight(50_000));
        Self { client: faces.client().await, _faces: faces }
    }

    /// The medians of this many pairs: of `client`'s Enqueue and Get, and the usual ones.
    async fn medians(&self, client: &Connection, count: usize) -> ([Duration; 2], [Duration; 2]) {
        let (mut seen, mut usual) = (Vec::new(), Vec::new());
        for _ in 0..count {
            usual.push(times(&self.client).await);
            seen.push(times(client).await);
        }
        (median(&seen), median(&usual))
    }

    /// Fails if calls take more than twice their usual median; a machine that is busy with other things gets three tries.
    async fn stays_within_twice(&self, what: &str, client: &Connection) {
        for last in [false, false, true] {
            let (seen, usual) = self.medians(client, 100).await;
            println!(
                "{what}: Enqueue {:?} (usually {:?}), Get {:?} (usually {:?})",
                seen[0], usual[0], seen[1], usual[1]
            );
            if seen.iter().zip(usual).all(|(seen, usual)| *seen <= usual * 2) {
                return;
            }
            assert!(!last, "{what}: more than twice the usual median");
        }
    }
}

fn median(times: &[[Duration; 2]]) -> [Duration; 2] {
    [0, 1].map(|which| {
        let mut times: Vec<_> = times.iter().map(|times| times[which]).collect();
        times.sort();
        times[times.len() / 2]
    })
}

#[tokio::test]
async fn calls_that_nobody_reads_the_answers_of_hold_up_nobody_else() {
    let faces = Faces::serve_on(tight(50_000));
    let client = faces.client().await;
    let usual = Usual::start().await;
    let list = || ferry(TASKS, "List", &(Options::new(), "", 1000u32));
    let batch = ("metadata", vec!["1"; 400], Options::new());
    client.call_method(Some(NAME), ROOT, Some(TASKS), "EnqueueBatch", &batch).await.expect("taken");
    // Each List answers with some 200 KB: a handful would use up what may wait.
    let mut deaf = Raw::connect(faces.bus.address());
    (0..50).for_each(|_| deaf.write(&list()));
    usual.stays_within_twice("50 Lists unread", &client).await;
    let mut chatty = Raw::connect(faces.bus.address());
    for _ in 0..10_000 {
        chatty.write(&ferry("org.freedesktop.DBus.Introspectable", "Introspect", &()));
    }
    usual.stays_within_twice("10,000 Introspects unread", &client).await;
    let mut eager = Raw::connect(faces.bus.address());
    (0..2000).for_each(|_| eager.write(&enqueue()));
    usual.stays_within_twice("2,000 Enqueues unread", &client).await;

    // One that reads after all gets every answer.
    let mut answered = 0;
    deaf.0.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    while answered < 50 {
        let read = deaf.0.read(&mut buffer).expect("more answers");
        assert_ne!(read, 0, "the bus closed the connection");
        bytes.extend_from_slice(&buffer[..read]);
        while let Some(length) = message_length(&bytes) {
            // Type 2 is METHOD_RETURN; Hello's answer is small.
            answered += usize::from(bytes[1] == 2 && length > 100_000);
            bytes.drain(..length);
        }
    }
}

/// The length of the first message in `bytes`, if it is complete (D-Bus specification, "Message Format").
fn message_length(bytes: &[u8]) -> Option<usize> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let length = 16 + number(12)?.next_multiple_of(8) + number(4)?;
    (bytes.len() >= length).then_some(length)
}

/// A client that calls as fast as it can, and reads its answers.
struct Flood {
    stop: Arc<AtomicBool>,
    writer: thread::JoinHandle<()>,
    reader: thread::JoinHandle<u32>,
    start: Instant,
}

impl Flood {
    fn start(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut flood = Raw::connect(address);
        let mut answers = flood.0.try_clone().expect("a copy");
        let stopped = stop.clone();
        let writer = thread::spawn(move || {
            let ping = ferry("org.freedesktop.DBus.Peer", "Ping", &());
            while !stopped.load(Ordering::Relaxed) {
                flood.write(&ping);
                flood.write(&keep());
            }
            flood.0.shutdown(std::net::Shutdown::Both).expect("closed");
        });
        let reader = thread::spawn(move || {
            let (mut buffer, mut bytes, mut count) = (vec![0; 1 << 16], Vec::new(), 0u32);
            while let Ok(read @ 1..) = answers.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..read]);
                while let Some(length) = message_length(&bytes) {
                    count += 1;
                    bytes.drain(..length);
                }
            }
            count
        });
        Self { stop, writer, reader, start: Instant::now() }
    }

    /// Ends it and says how many answers a second it got.
    fn end(self) -> f64 {
        let elapsed = self.start.elapsed();
        self.stop.store(true, Ordering::Relaxed);
        self.writer.join().expect("no panic");
        f64::from(self.reader.join().expect("no panic")) / elapsed.as_secs_f64()
    }
}

/// A service that answers everything at once: what it takes to call it is what the bus takes.
struct Echo(Connection);

impl Echo {
    async fn start(address: &str) -> Self {
        let connection = faces::client(address).await;
        let mut calls = MessageStream::from(&connection);
        let answering = connection.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut calls).poll_next(context)).await {
                if message.message_type() == Type::MethodCall {
                    let _ = answering.reply(&message.header(), &()).await;
                }
            }
        });
        Self(connection)
    }

    async fn time(&self, client: &Connection) -> Duration {
        let name = self.0.unique_name().expect("a name").as_str();
        let start = Instant::now();
        let call = client.call_method(Some(name), "/", Some("org.freedesktop.DBus.Peer"), "Ping", &());
        tokio::time::timeout(Duration::from_secs(20), call).await.expect("in time").expect("an answer");
        start.elapsed()
    }
}

/// Medians while another client floods: of our calls, of the same calls where nobody floods, and of the bare bus.
async fn flooded(faces: &Faces, usual: &Usual, client: &Connection) -> ([Duration; 2], [Duration; 2], Duration, f64) {
    let echo = Echo::start(faces.bus.address()).await;
    let flood = Flood::start(faces.bus.address());
    let (mut seen, mut beside, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..150 {
        seen.push(times(client).await);
        beside.push(times(&usual.client).await);
        bare.push([echo.time(client).await; 2]);
    }
    (median(&seen), median(&beside), median(&bare)[0], flood.end())
}

#[tokio::test]
async fn a_flood_of_calls_takes_its_turns() {
    // As on the system's bus, which lets 128 calls of a connection wait, and as on a session's.
    for replies in [128, 50_000] {
        let faces = Faces::serve_on(tight(replies));
        let client = faces.client().await;
        let usual = Usual::start().await;
        for last in [false, false, true] {
            let (seen, beside, bare, rate) = flooded(&faces, &usual, &client).await;
            println!(
                "{replies} may wait: {rate:.0} calls a second of another are answered, the bare bus takes {bare:?}"
            );
            println!(
                "flooded: Enqueue {:?} (usually {:?}), Get {:?} (usually {:?})",
                seen[0], beside[0], seen[1], beside[1]
            );
            // However many calls flood, few of them pass before another's; a socket's buffer between bus and daemon alone
            // holds some 300.
            let passed = seen.map(|time| time.as_secs_f64() * rate);
            assert!(passed.iter().all(|passed| *passed < 1500.0), "{passed:?}");
            // A flooded bus is slow for everybody, whomever they call; beyond that the daemon is not.
            if seen.iter().zip(beside).all(|(seen, usual)| *seen <= (usual + bare) * 2) {
                break;
            }
            assert!(!last, "more than twice what calls usually take and the flooded bus takes");
        }
        usual.stays_within_twice("after the flood", &client).await;
    }
}

/// Not a test by itself: the client process that the next test stops.
#[test]
fn subscriber_process() {
    let Ok(address) = std::env::var("FERRY_TEST_SUBSCRIBER") else { return };
    let mut raw = Raw::connect(&address);
    raw.write(&ferry(MANAGER, "Subscribe", &(HashMap::from([("all", Variant::from(true))]),)));
    raw.write(&enqueue());
    println!("calling");
    let mut buffer = vec![0; 1 << 16];
    while raw.0.read(&mut buffer).is_ok_and(|read| read > 0) {}
}

struct Subscriber(Child);

impl Subscriber {
    fn start(address: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "subscriber_process", "--nocapture"])
            .env("FERRY_TEST_SUBSCRIBER", address)
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("calling"))), "the subscriber ended early");
        Self(child)
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.0.id()).expect("a pid")).expect("not 0");
        kill_process(pid, signal).expect("signalled");
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn subscribers_stopped_by_sigstop_hold_up_nobody_else() {
    let faces = Faces::serve_on(tight(50_000));
    let client = faces.client().await;
    let usual = Usual::start().await;
    let stopped: Vec<_> = (0..4).map(|_| Subscriber::start(faces.bus.address())).collect();
    // Their own task is stored behind their subscription: once it is there, they are subscribed.
    let start = Instant::now();
    loop {
        let body = (Options::new(), "", 1000u32);
        let reply = client.call_method(Some(NAME), ROOT, Some(TASKS), "List", &body).await.expect("a page");
        let (tasks, _): (Vec<HashMap<String, zbus::OwnedVariant>>, String) = reply.body().deserialize().expect("tasks");
        if tasks.len() == 4 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "the subscribers do not get to subscribe: {}", tasks.len());
    }
    stopped.iter().for_each(|subscriber| subscriber.signal(Signal::STOP));
    // 6,000 signals of some 300 bytes for each of four: 7 MB if all were sent.
    for _ in 0..12 {
        let body = ("metadata", vec!["1"; 500], Options::new());
        client.call_method(Some(NAME), ROOT, Some(TASKS), "EnqueueBatch", &body).await.expect("taken");
    }
    usual.stays_within_twice("four subscribers stopped", &client).await;
}
