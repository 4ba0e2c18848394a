//! kill -9 of the daemon, and the server's connections cut, at random bytes.

use ferryd::demo::{At, Behaviour, Fault, Server};

use super::files::{assert_arrived, config, file, put};
use crate::device::{Device, HANG, tell};

const KILLS: usize = 100;
const SIZE: usize = 1_500_000;
const CHUNK: usize = 64 * 1024;

fn server() -> Server {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    Server::start(listener, Behaviour::honest()).expect("a server")
}

#[test]
fn a_hundred_kills_at_random_bytes_lose_and_double_nothing() {
    let server = server();
    let mut device = Device::start(&config(&server, CHUNK));
    let mut random = fastrand::Rng::with_seed(7);
    let mut files = Vec::new();
    let (mut kills, mut received) = (0, 0);
    while kills < KILLS {
        let (path, bytes) = file(&device, &format!("{}.bin", files.len()), SIZE + files.len());
        let ids = put(&device, &[path]);
        // Between kills some of it arrives: found running three times without that, it would fail as crashed.
        let mut at = 0;
        while kills < KILLS && at + 100_000 < SIZE as u64 {
            at += random.u64(1..100_000);
            let uploads = files.len() + 1;
            let is_there = |log: &ferryd::demo::Log| {
                log.uploads().len() >= uploads && log.uploads().last().is_some_and(|upload| upload.offset >= at)
            };
            assert!(server.wait_until(is_there, HANG), "{:?}\n{}", server.uploads(), device.log());
            device.kill();
            kills += 1;
            at = server.uploads().last().map_or(0, |upload| upload.offset);
            device.switch_on();
        }
        device.until_done(&ids);
        files.push(bytes);
        assert_arrived(&server, &files);
        received = server.uploads().iter().map(|upload| upload.received).sum::<u64>();
    }
    let total: usize = files.iter().map(Vec::len).sum();
    tell(format_args!("{kills} kills over {} files: {total} bytes, {received} received, none twice", files.len()));
    assert_eq!(device.strategy("photo")["Failed"], 0);
}

#[test]
fn a_connection_cut_at_random_bytes_of_a_chunk_costs_what_was_in_flight() {
    let server = server();
    let mut device = Device::start(&config(&server, CHUNK));
    let (path, bytes) = file(&device, "cut.bin", SIZE);
    let mut random = fastrand::Rng::with_seed(9);
    for _ in 0..20 {
        let cut = Behaviour {
            waiting: Some("PATCH"),
            ..Behaviour::fault(Fault::Close(At::Body(random.u64(1..CHUNK as u64))))
        };
        server.behave_once(cut);
    }
    let ids = put(&device, &[path]);
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
}
