//! A stop after every single effect of the core, reopened and run on: nothing lost, nothing doubled.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cargo::{End, Piece, id};
use super::config;
use super::driver::{Daemon, Device, Ended, Fault};
use super::judge::complaints;
use super::server::{Manner, Memory, Server, Weather};
use ferryd::model::{AttemptId, Claimed, Failure, NewTask, Now, Task};
use tempfile::TempDir;

const SEED: u64 = 0x5eed_0001;

/// Voyages with two stops each.
const VOYAGES: u64 = 40;

/// Small batches and few attempts, so that a short queue sees every turn.
const CONFIG: &str = r#"
    [device]
    name = "test"
    [backend.main]
    url = "http://192.0.2.1/sync"
    [strategy.metadata]
    batch = 4
    max_attempts = 3
    [strategy.analytics]
    batch = 5
"#;

/// Lost answers, an outage of two requests, a refused connection: by the request's place in the log.
fn weather(request: usize, _: Now) -> Weather {
    match request {
        1 | 6 | 13 => Weather::AnswerLost,
        3 | 4 => Weather::Unavailable,
        9 => Weather::Refused,
        _ => Weather::Fair,
    }
}

/// What the app hands over at first, and what it hands over later.
fn cargo(now: Now) -> (Vec<Piece>, Vec<Piece>) {
    let mut pieces = Vec::new();
    let mut add = |strategy: &str, change: &dyn Fn(&mut Piece)| {
        let mut piece = Piece::new(u16::try_from(pieces.len()).expect("few"), strategy, now);
        change(&mut piece);
        pieces.push(piece);
    };
    // 0–4: one key; the second is asked for again.
    for n in 0..5 {
        add("metadata", &|piece| {
            piece.task.key = Some("a".to_owned());
            piece.manner = if n == 1 { Manner::AsksAgain(1) } else { Manner::Takes };
        });
    }
    // 5–8: a key whose second task is refused; the third goes on.
    for n in 0..4 {
        add("metadata", &|piece| {
            piece.task.key = Some("b".to_owned());
            if n == 1 {
                piece.manner = Manner::Rejects;
                piece.end = End::Dead(Failure::Rejected);
            }
        });
    }
    // 9–11: the first spoils every batch it is in.
    add("metadata", &|piece| {
        piece.manner = Manner::Stumbles;
        piece.end = End::Dead(Failure::Exhausted);
    });
    add("metadata", &|_| {});
    add("metadata", &|_| {});
    // 12–13: after one task, and after two of different keys.
    add("metadata", &|piece| piece.task.after = vec![id(10)]);
    add("metadata", &|piece| piece.task.after = vec![id(4), id(7)]);
    // 14: behind a dead letter.
    add("metadata", &|piece| {
        piece.task.after = vec![id(6)];
        piece.end = End::Waits;
    });
    // 15–20: another strategy, with a key, an order across strategies, and one that is asked for until it fails.
    for _ in 0..3 {
        add("analytics", &|piece| piece.task.key = Some("c".to_owned()));
    }
    add("analytics", &|piece| piece.task.after = vec![id(0)]);
    add("analytics", &|piece| {
        piece.manner = Manner::AsksAgain(9);
        piece.end = End::Dead(Failure::Exhausted);
    });
    add("analytics", &|_| {});
    // 21: waits for a charger until its time has passed.
    add("metadata", &|piece| {
        piece.task.overrides.charging = Some(true);
        piece.task.expires = Some(now.wall + Duration::from_secs(5));
        piece.end = End::Dead(Failure::Expired);
    });
    // Later, 22–26: behind what is on its way by then.
    add("metadata", &|piece| piece.task.key = Some("a".to_owned()));
    add("metadata", &|piece| piece.task.key = Some("b".to_owned()));
    add("analytics", &|piece| {
        piece.task.key = Some("c".to_owned());
        piece.task.after = vec![id(1)];
    });
    add("metadata", &|piece| piece.manner = Manner::AsksAgain(1));
    add("analytics", &|_| {});
    let later = pieces.split_off(22);
    (pieces, later)
}

/// The app hands its second lot over when this many effects have been performed, or else after the next start.
const LATER: usize = 12;

/// How the daemon dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Its store is closed.
    Closed,
    /// The folder is copied as it is at that instant, and the copy is what the next start finds.
    PowerCut,
}

/// One voyage: a device with its folder, a server, and what is handed over.
struct Voyage {
    device: Device,
    server: Server,
    root: TempDir,
    folder: PathBuf,
    pieces: Vec<Piece>,
    /// Not handed over yet.
    later: Option<Vec<NewTask>>,
    performed: Vec<String>,
    stops: u32,
    tasks: Vec<Task>,
}

impl Voyage {
    /// Opens a fresh queue and hands the first lot over.
    fn new(seed: u64, memory: Memory, fault: Fault) -> Self {
        let mut device = Device::new(config(CONFIG), seed, fault);
        let mut server = Server::new(memory, weather);
        let (mut pieces, later) = cargo(device.now);
        let tasks = |pieces: &[Piece]| pieces.iter().map(|piece| piece.task.clone()).collect::<Vec<_>>();
        let (first, second) = (tasks(&pieces), tasks(&later));
        pieces.extend(later);
        for piece in &pieces {
            server.treat(piece.task.id, piece.manner);
        }
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("0");
        fs::create_dir(&folder).expect("a folder");
        Daemon::start(&mut device, &mut server, &folder).enqueue(first);
        let (performed, tasks) = (Vec::new(), Vec::new());
        Self { device, server, root, folder, pieces, later: Some(second), performed, stops: 0, tasks }
    }

    /// Starts the daemon, lets it perform `effects` of its core, and lets it die if it was not done by then.
    fn run(&mut self, effects: usize, death: Death) -> Ended {
        let mut daemon = Daemon::start(&mut self.device, &mut self.server, &self.folder);
        let alone = if self.stops == 0 { LATER } else { 0 };
        let mut ended = daemon.run(effects.min(alone));
        if effects > alone {
            if let Some(later) = self.later.take() {
                daemon.enqueue(later);
            }
            ended = daemon.run(effects);
        }
        self.performed.append(&mut daemon.performed);
        match ended {
            Ended::Quiet => self.tasks = daemon.tasks(),
            Ended::Stopped => {
                self.stops += 1;
                if death == Death::PowerCut {
                    let copy = self.root.path().join(self.stops.to_string());
                    copy_folder(&self.folder, &copy);
                    self.folder = copy;
                }
            }
        }
        drop(daemon);
        self.device.now = self.device.now + Duration::from_secs(3);
        ended
    }

    fn finish(&mut self) {
        assert_eq!(self.run(usize::MAX, Death::Closed), Ended::Quiet);
    }

    fn complaints(&self) -> Vec<String> {
        complaints(&self.pieces, &self.server, &self.tasks, self.stops)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a readable folder").map(|entry| entry.expect("an entry")) {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// The whole voyage without a stop: all effects there are.
fn whole() -> Vec<String> {
    let mut voyage = Voyage::new(SEED, Memory::Honours, Fault::None);
    voyage.finish();
    assert_eq!(voyage.complaints(), [""; 0]);
    for weather in [Weather::Fair, Weather::AnswerLost, Weather::Unavailable, Weather::Refused] {
        assert!(voyage.server.log.iter().any(|request| request.weather == weather), "no request met {weather:?}");
    }
    voyage.performed
}

/// Stops after each effect of these kinds.
fn stop_after_every(kinds: &[&str], death: Death) {
    let whole = whole();
    let is_kind = |effect: &String| kinds.iter().any(|kind| effect.starts_with(kind));
    let stops = (1..=whole.len()).filter(|effects| is_kind(&whole[effects - 1]));
    for effects in stops {
        let mut voyage = Voyage::new(SEED, Memory::Honours, Fault::None);
        assert_eq!(voyage.run(effects, death), Ended::Stopped);
        assert_eq!(voyage.performed, whole[..effects], "the same seed, another run");
        voyage.finish();
        let last = whole[..effects].last();
        assert_eq!(voyage.complaints(), [""; 0], "after {effects} effects, the last of them {last:?}");
    }
    let count = |kind: &&str| whole.iter().filter(|effect| effect.starts_with(kind)).count();
    let counts: Vec<_> = kinds.iter().map(|kind| format!("{} {kind}", count(kind))).collect();
    println!("{death:?}: {} stops ({})", kinds.iter().map(count).sum::<usize>(), counts.join(", "));
    assert!(kinds.iter().all(|kind| count(kind) > 0));
}

#[test]
fn a_stop_after_every_effect_loses_and_doubles_nothing() {
    stop_after_every(&["Claim", "Start", "Settle", "Tidy", "Announce"], Death::Closed);
}

/// An announcement touches neither disk nor server: a power cut after it finds what it would have found before.
#[test]
fn a_power_cut_after_every_effect_loses_and_doubles_nothing() {
    stop_after_every(&["Claim", "Start", "Settle", "Tidy"], Death::PowerCut);
}

/// Another seed for each voyage: another order of things, other stops.
#[test]
fn two_stops_at_any_two_effects_lose_and_double_nothing() {
    let (effects, mut stops) = (whole().len(), 0);
    for seed in 0..VOYAGES {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut voyage = Voyage::new(seed, Memory::Honours, Fault::None);
        let (first, second) = (rng.usize(..effects), rng.usize(..effects));
        if voyage.run(first, Death::PowerCut) == Ended::Stopped && voyage.run(second, Death::Closed) == Ended::Stopped {
            voyage.finish();
        }
        assert_eq!(voyage.complaints(), [""; 0], "seed {seed}, after {first} and {second} effects");
        stops += voyage.stops;
    }
    println!("two stops in a voyage: {stops} stops in {VOYAGES} voyages");
}

/// The judge finds what a daemon loses that writes a task down as done before it sends it.
#[test]
fn settling_before_sending_is_found_out() {
    let mut voyage = Voyage::new(SEED, Memory::Honours, Fault::SettlesFirst);
    voyage.finish();
    let lost = |complaint: &String| complaint.ends_with("lost");
    let found_out = (0..voyage.performed.len()).any(|effects| {
        let mut voyage = Voyage::new(SEED, Memory::Honours, Fault::SettlesFirst);
        voyage.run(effects, Death::Closed);
        voyage.finish();
        voyage.complaints().iter().any(lost)
    });
    assert!(found_out, "no stop between settling and sending was found out");
}

/// The judge finds what a server does twice that knows nothing of task ids.
#[test]
fn a_server_without_memory_is_found_out() {
    let mut voyage = Voyage::new(SEED, Memory::Forgets, Fault::None);
    voyage.finish();
    assert!(voyage.complaints().iter().any(|complaint| complaint.contains("applied 2 times")));
}

/// The judge finds tasks of one key that overtake one another or go at once.
#[test]
fn tasks_out_of_order_are_found_out() {
    let mut voyage = Voyage::new(SEED, Memory::Honours, Fault::None);
    voyage.finish();
    let mut server = Server::new(Memory::Honours, |_, _| Weather::Fair);
    let send = |server: &mut Server, attempt, piece: &Piece| {
        let (id, payload) = (piece.task.id, piece.task.payload.clone());
        let claimed =
            Claimed { id, owner: piece.task.owner, payload, created: piece.task.created, attempts: 0, note: None };
        server.serve(AttemptId(attempt), &[claimed], Now::default());
    };
    send(&mut server, 1, &voyage.pieces[1]);
    send(&mut server, 2, &voyage.pieces[0]);
    let found = complaints(&voyage.pieces[..2], &server, &voyage.tasks, 0);
    assert!(found.iter().any(|complaint| complaint.contains("arrived before")), "{found:?}");
    assert!(found.iter().any(|complaint| complaint.contains("at once")), "{found:?}");
}
