//! Rates and delays, measured. That something is not sooner than asked is asserted closely; that it is not later, hardly: the
//! machine may be busy. The figures are told.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::bent::{Bent, ask, echo, server};
use crate::device::tell;

/// Reads to the end; how many bytes came until when.
fn receive(mut stream: &TcpStream) -> (usize, Instant) {
    let (mut bytes, mut read) = (vec![0; 64 * 1024], 0);
    while let Ok(more @ 1..) = stream.read(&mut bytes) {
        read += more;
    }
    (read, Instant::now())
}

/// Sends so much and says that it was all. Whoever closes his end before the other has all may take it back.
fn send(mut stream: &TcpStream, size: usize) {
    stream.write_all(&vec![7; size]).expect("all is taken");
    stream.shutdown(std::net::Shutdown::Write).expect("a socket");
}

/// All of `sent` came, and since `begun`, which was before it could, no faster than asked for.
fn assert_rate(what: &str, sent: usize, (came, ended): (usize, Instant), begun: Instant, asked: f64) {
    assert_eq!(came, sent, "{what}");
    let ratio = came as f64 / (ended - begun).as_secs_f64() / asked;
    tell(format_args!("{what}: {ratio:.3} of the rate asked for"));
    assert!(ratio <= 1.0, "{what}: {ratio} of what was asked for");
    assert!(ratio > 0.5, "{what}: {ratio} of what was asked for");
}

/// A server that sends so much down while it takes what comes up, which it tells of.
fn both_ways(size: usize) -> (SocketAddr, Receiver<(usize, Instant)>) {
    let (told, heard) = channel();
    let address = server(move |stream| {
        thread::scope(|scope| {
            scope.spawn(|| send(&stream, size));
            told.send(receive(&stream)).expect("somebody asks");
        });
    });
    (address, heard)
}

#[test]
fn each_way_has_the_rate_asked_for_and_no_more() {
    // 3 s each, at the same time.
    let (up, down) = (1_500_000, 3_000_000);
    let (server, arrived) = both_ways(down);
    let mut bent = Bent::without_losses(server, "");
    bent.order("delay 0ms");
    bent.order("rate 4 8");
    let begun = Instant::now();
    let client = bent.connect();
    thread::scope(|scope| {
        scope.spawn(|| send(&client, up));
        assert_rate("down", down, receive(&client), begun, 1_000_000.0);
    });
    assert_rate("up", up, arrived.recv().expect("it arrived"), begun, 500_000.0);
}

#[test]
fn a_fast_link_is_as_fast_as_it_is_long() {
    let (server, arrived) = both_ways(0);
    let mut bent = Bent::without_losses(server, "");
    // 50 Mbit/s, 25 ms and more there: much is under way.
    let begun = Instant::now();
    let client = bent.connect();
    send(&client, 12_500_000);
    assert_rate("50 Mbit/s up", 12_500_000, arrived.recv().expect("it arrived"), begun, 6_250_000.0);
    drop(client);
    bent.until_connections(0);
}

#[test]
fn connections_share_the_link() {
    let (server, arrived) = both_ways(0);
    let mut bent = Bent::without_losses(server, "");
    bent.order("delay 0ms");
    bent.order("rate 4 4");
    let begun = Instant::now();
    let clients: Vec<TcpStream> = (0..4).map(|_| bent.connect()).collect();
    thread::scope(|scope| {
        for client in &clients {
            scope.spawn(move || send(client, 250_000));
        }
        for place in 1..4 {
            assert_eq!(arrived.recv().expect("it arrived").0, 250_000, "of client {place}");
        }
    });
    let (last, ended) = arrived.recv().expect("it arrived");
    assert_rate("four together", 1_000_000, (750_000 + last, ended), begun, 500_000.0);
}

#[test]
fn a_round_trip_takes_the_delay_asked_for_and_no_less() {
    let mut bent = Bent::without_losses(echo(), "");
    let asked = Duration::from_millis(80);
    bent.order("delay 80ms");
    let begun = Instant::now();
    let mut client = bent.connect();
    ask(&mut client).expect("an answer");
    assert!(begun.elapsed() >= asked * 2, "a connection costs a round trip: {:?}", begun.elapsed());
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let begun = Instant::now();
        ask(&mut client).expect("an answer");
        assert!(begun.elapsed() >= asked, "{:?}", begun.elapsed());
        best = best.min(begun.elapsed());
    }
    tell(format_args!("a round trip: {:.3} of the delay asked for, at best", best.as_secs_f64() / asked.as_secs_f64()));
    assert!(best < asked * 4, "{best:?}");
}

#[test]
fn what_nobody_reads_is_not_heaped_up() {
    let mut bent = Bent::without_losses(server(|_stream| thread::sleep(crate::device::HANG)), "");
    bent.order("rate 10000 10000");
    let mut client = bent.connect();
    client.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket");
    let mut sent = 0;
    // Until nothing has been taken for a second: our socket's, the bent network's and the server's queues are full.
    while let Ok(taken) = client.write(&[7; 64 * 1024]) {
        sent += taken;
        assert!(sent < 64_000_000, "it takes all that it is given");
    }
    tell(format_args!("{sent} bytes are taken that nobody reads"));
}
