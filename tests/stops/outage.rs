//! A server that is down for an hour: after the hour everything arrives, and nothing is in the dead letters.

use std::time::Duration;

use ferryd::model::{Now, WallTime};

use super::cargo::Piece;
use super::config;
use super::driver::{Daemon, Device, Ended, Fault};
use super::judge::complaints;
use super::server::{Memory, Server, Weather};

const HOUR: Duration = Duration::from_secs(3600);
const TASKS: u16 = 200;
const DEVICES: u64 = 12;

/// The shipped strategies.
const CONFIG: &str = r#"
    [device]
    name = "test"
    [backend.main]
    url = "http://192.0.2.1/sync"
"#;

/// Refused for an hour from the device's first moment.
fn weather(_: usize, now: Now) -> Weather {
    let end = Device::BEGIN.wall + HOUR;
    if now.wall < end { Weather::Refused } else { Weather::Fair }
}

/// A quarter of the tasks each: without a key, under one of four keys, after the task before, and of another strategy.
fn cargo(now: Now) -> Vec<Piece> {
    let piece = |number: u16| {
        let strategy = if number % 4 == 3 { "analytics" } else { "metadata" };
        let mut piece = Piece::new(number, strategy, now);
        match number % 4 {
            1 => piece.task.key = Some(format!("key {}", number % 16)),
            2 => piece.task.after = vec![super::cargo::id(number - 1)],
            _ => {}
        }
        piece
    };
    (0..TASKS).map(piece).collect()
}

/// One device's hour; `stop_after` effects it dies once. Gives the times of its requests during the outage, and how long
/// after its end the last task arrived.
fn hour(seed: u64, stop_after: usize) -> (Vec<WallTime>, Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut device = Device::new(config(CONFIG), seed, Fault::None);
    let mut server = Server::new(Memory::Honours, weather);
    let pieces = cargo(device.now);
    let mut stops = 0;
    let mut daemon = Daemon::start(&mut device, &mut server, folder.path());
    daemon.enqueue(pieces.iter().map(|piece| piece.task.clone()).collect());
    if daemon.run(stop_after) == Ended::Stopped {
        stops += 1;
        drop(daemon);
        daemon = Daemon::start(&mut device, &mut server, folder.path());
        assert_eq!(daemon.run(usize::MAX), Ended::Quiet);
    }
    let tasks = daemon.tasks();
    drop(daemon);
    assert_eq!(complaints(&pieces, &server, &tasks, stops), [""; 0], "seed {seed}");
    assert!(tasks.iter().all(|task| task.attempts == 0), "an attempt was counted that nobody answered");
    let end = Device::BEGIN.wall + HOUR;
    let last = server.log.last().expect("requests").at.wall;
    let during = server.log.iter().filter(|request| request.weather == Weather::Refused);
    (during.map(|request| request.at.wall).collect(), last.saturating_since(end))
}

/// Full jitter from one second to a quarter of an hour: about seventeen probes in an hour, never a storm.
#[test]
fn an_hour_of_refused_connections_kills_no_task() {
    let hours: Vec<_> = (0..DEVICES).map(|seed| hour(seed, usize::MAX)).collect();
    let requests: Vec<_> = hours.iter().map(|(requests, _)| requests.len()).collect();
    let late: Vec<_> = hours.iter().map(|(_, late)| late.as_secs()).collect();
    println!("an hour of refused connections, {DEVICES} devices of {TASKS} tasks: requests {requests:?}");
    println!("all tasks on the server so many seconds after its end: {late:?}");
    for (requests, late) in &hours {
        assert!((8..=45).contains(&requests.len()), "{} requests in an hour", requests.len());
        assert!(*late <= Duration::from_secs(16 * 60), "the last task arrived {late:?} after the outage");
        let minute = |at: &&WallTime| at.saturating_since(Device::BEGIN.wall) >= HOUR / 2;
        assert!(requests.iter().filter(minute).count() <= 30, "a storm in the second half hour");
    }
    // Jitter: no two devices that fell ill at the same moment probe at the same moments.
    for (n, (one, _)) in hours.iter().enumerate() {
        for (other, _) in &hours[n + 1..] {
            let shared = one.iter().skip(3).filter(|at| other.contains(at)).count();
            assert_eq!(shared, 0, "two devices probe together");
        }
    }
}

/// The daemon may die in the hour as well.
#[test]
fn a_stop_within_the_hour_kills_no_task_either() {
    for stop_after in [1, 5, 10, 20, 30, 40] {
        let (requests, _) = hour(99, stop_after);
        assert!((8..=60).contains(&requests.len()), "{} requests in an hour", requests.len());
    }
}
