//! Clients that do not read what they are sent.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use zbus::Variant;

use crate::faces::Faces;
use crate::raw::{MANAGER, NAME, Options, ROOT, Raw, TASKS, enqueue, ferry, message_length};
use crate::tight;
use crate::usual::Usual;

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
            .args(["--exact", "unread::subscriber_process", "--nocapture"])
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
