//! A flood of calls.

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use zbus::message::Type;
use zbus::{Connection, MessageStream};

use crate::faces::{self, Faces};
use crate::raw::{Raw, ferry, keep, message_length};
use crate::tight;
use crate::usual::{Usual, median, times};

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
pub(crate) struct Echo(Connection);

impl Echo {
    pub(crate) async fn start(address: &str) -> Self {
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

    pub(crate) async fn time(&self, client: &Connection) -> Duration {
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
