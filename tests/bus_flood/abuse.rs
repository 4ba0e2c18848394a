//! Connections that come and go without end, and messages that no library would write.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use zbus::message::{Flags, Message};

use crate::faces::Faces;
use crate::flood::Echo;
use crate::raw::{MANAGER, NAME, Options, ROOT, Raw, TASKS, enqueue, ferry, to};
use crate::tight;
use crate::usual::{Usual, median, times};

/// Connections that come and go.
const VISITS: usize = 10_000;

/// One after the other: connect, call what makes the daemon remember something, leave without reading.
fn visit(address: &str, count: usize) {
    let subscribe = ferry(MANAGER, "Subscribe", &(Options::new(),));
    for _ in 0..count {
        let mut visitor = Raw::connect(address);
        visitor.write(&subscribe);
        visitor.write(&crate::raw::keep());
    }
}

#[tokio::test]
async fn ten_thousand_connections_that_come_and_go_leave_nothing_behind() {
    let faces = Faces::serve_on(tight(128));
    let client = faces.client().await;
    let usual = Usual::start().await;
    let echo = Echo::start(faces.bus.address()).await;
    let address = faces.bus.address().to_owned();
    let visitors = thread::spawn(move || visit(&address, VISITS));
    let (mut seen, mut beside, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    while !visitors.is_finished() {
        seen.push(times(&client).await);
        beside.push(times(&usual.client).await);
        bare.push([echo.time(&client).await; 2]);
    }
    visitors.join().expect("all came and went");
    let (calls, seen, beside, bare) = (seen.len(), median(&seen), median(&beside), median(&bare)[0]);
    println!(
        "{VISITS} come and go, {calls} calls of another: {seen:?} (usually {beside:?}), the bare bus takes {bare:?}"
    );
    // The bus itself is busy with them, whomever one calls; beyond that the daemon is not.
    assert!(seen.iter().zip(beside).all(|(seen, usual)| *seen <= (usual + bare) * 2), "more than twice");
    usual.stays_within_twice("after they went", &client).await;
    // None of them counts any more: as many as a user may have subscribe again.
    let subscribers = faces.config.borrow().limits.quotas.subscribers;
    let mut again = Vec::new();
    for _ in 0..subscribers {
        let subscriber = faces.client().await;
        let options = (Options::new(),);
        subscriber.call_method(Some(NAME), ROOT, Some(MANAGER), "Subscribe", &options).await.expect("room for it");
        again.push(subscriber);
    }
}

/// Bytes that are no message of D-Bus: the bus ends such a connection, and the daemon never hears of it.
fn rubbish() -> Vec<Vec<u8>> {
    let good = enqueue();
    let good = good.data().bytes();
    let altered = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    vec![
        b"GET / HTTP/1.1\r\nHost: ferry\r\n\r\n".repeat(8),
        vec![0; 4096],
        vec![0xff; 4096],
        // Another byte order than the numbers have, no type, another version.
        altered(0, b'B'),
        altered(1, 0),
        altered(3, 9),
        // A body and header fields of 4 GB.
        altered(7, 0xff),
        altered(15, 0xff),
        // Text that is no UTF-8.
        altered(good.len() - 12, 0xff),
        good[..good.len() / 2].to_vec(),
    ]
}

/// Messages that the bus passes on, and no client should send.
fn nonsense() -> Vec<Message> {
    let call = ferry(TASKS, "Enqueue", &("metadata", "1", Options::new()));
    let header = call.header();
    let answer = Message::method_return(&header).destination(NAME).build(&"nobody asked");
    let error = Message::error(&header, "org.example.Error.Mine").destination(NAME).build(&("nobody asked",));
    let signal = |path: &str, interface: &str, member: &str| {
        Message::signal(path, interface, member).destination(NAME).build(&())
    };
    let deep = "[".repeat(60) + &"]".repeat(60);
    let unanswered = Message::method_call(ROOT, "Enqueue").destination(NAME).interface(TASKS);
    vec![
        answer.expect("a message"),
        error.expect("a message"),
        signal(ROOT, "org.freedesktop.DBus", "NameOwnerChanged").expect("a message"),
        signal(ROOT, TASKS, "StateChanged").expect("a message"),
        signal("/", "org.freedesktop.PolicyKit1.Authority", "Changed").expect("a message"),
        unanswered.with_flags(Flags::NO_REPLY_EXPECTED).build(&7u64).expect("a message"),
        to(NAME, "/", "a.b", "c", &deep),
        to(NAME, ROOT, TASKS, "Explain", &("", Options::from([("assume", deep.as_str().into())]))),
        to(NAME, ROOT, MANAGER, "Hold", &"\u{202e}\n"),
        to(NAME, ROOT, MANAGER, "SyncNow", &(vec![0u8; 1 << 16],)),
    ]
}

#[tokio::test]
async fn malformed_messages_hurt_nobody_but_their_sender() {
    let faces = Faces::serve_on(tight(128));
    let client = faces.client().await;
    let usual = Usual::start().await;
    for bytes in rubbish() {
        let mut raw = Raw::connect(faces.bus.address());
        // The bus may hang up while we write.
        let _closed = raw.0.write_all(&bytes).and_then(|()| raw.0.shutdown(std::net::Shutdown::Write));
        raw.0.set_read_timeout(Some(Duration::from_secs(30))).expect("set");
        let mut rest = Vec::new();
        let _reset = raw.0.read_to_end(&mut rest);
    }
    usual.stays_within_twice("after rubbish", &client).await;
    for _ in 0..50 {
        let mut raw = Raw::connect(faces.bus.address());
        nonsense().iter().for_each(|message| raw.write(message));
    }
    usual.stays_within_twice("after nonsense", &client).await;
    let page = client.call_method(Some(NAME), ROOT, Some(TASKS), "List", &(Options::new(), "", 1u32)).await;
    page.expect("the daemon lives");
}
