//! The queue in memory beside the one on disk: the same random calls, the same answers, the same rows.

use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;

use crate::model::{
    Failure, Filter, LaneId, Quotas, Settlement, Standing, State, Task, TaskError, TaskId, TaskResult, Waivers,
    WallTime,
};
use crate::schedule::memory::{Memory, Refused};
use crate::sim::apps::{App, Apps, Habits, Pattern};
use crate::sim::clock::{Clocks, at};
use crate::sim::config;
use crate::store::{EnqueueError, Options, Scope, Store};

const CAP: Duration = Duration::from_secs(900);

struct Pair {
    random: Rng,
    /// `None` while the daemon is dead.
    disk: Option<Store>,
    memory: Memory,
    apps: Apps,
    seconds: f64,
    running: Vec<TaskId>,
    seed: u64,
    dir: TempDir,
}

#[test]
fn the_queue_in_memory_does_what_the_one_on_disk_does() {
    let (mut ends, mut crashed) = ([0; 5], 0);
    for seed in 0..12 {
        let mut pair = Pair::new(seed);
        for step in 0..200 {
            pair.step();
            pair.compare(&format!("seed {seed}, step {step}"));
        }
        for row in pair.memory.rows() {
            crashed += u32::from(row.error.as_ref().is_some_and(|error| error.failure == Failure::Crashed));
            ends[State::ALL.iter().position(|state| *state == row.state).expect("a state")] += 1;
        }
    }
    assert!(ends.iter().all(|count| *count > 10) && crashed > 3, "{ends:?}, {crashed} crashed");
}

/// In memory where there is such a place: these tests commit often and cut no power.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory")
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn open(dir: &TempDir, now: WallTime, seed: u64) -> Store {
    let options = Options {
        quotas: Quotas { tasks: 100_000, bytes: 1 << 40, subscribers: 1, holds: 1 },
        keep_done: Duration::from_secs(1 << 30),
        reserve: 0,
        backoff_cap: CAP,
    };
    Store::open(dir.path(), options, now, seed, |_| ()).expect("it opens").0
}

impl Pair {
    fn new(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let dir = scratch();
        let disk = open(&dir, Clocks::default().read(at(0.0)).wall, seed);
        let config = config().expect("it is valid");
        let json = config.strategies.values().filter(|strategy| strategy.name.as_str() != "photo");
        let apps = json.map(|strategy| App::new(strategy, Pattern::Bursts, 1e6, &mut random)).collect();
        let apps = Apps::new(apps, Habits::Elaborate, seed, at(1e9), random.fork());
        Self { random, disk: Some(disk), memory: Memory::default(), apps, seconds: 0.0, running: Vec::new(), seed, dir }
    }

    fn disk(&self) -> &Store {
        self.disk.as_ref().expect("it is open")
    }

    fn now(&self) -> WallTime {
        Clocks::default().read(at(self.seconds)).wall
    }

    fn step(&mut self) {
        self.seconds += self.random.f64() * 60.0;
        let now = self.now();
        match self.random.u32(0..22) {
            0..4 => self.enqueue(),
            4..10 => self.claim(),
            10..15 => self.settle(),
            15 | 16 => self.cancel(),
            17 => self.retry(),
            18 => self.keep(),
            19 => self.restart(),
            20 => {
                wait(self.disk().tidy(now)).expect("it tidies");
                self.memory.tidy(now);
            }
            _ => self.bring_forward(),
        }
    }

    fn bring_forward(&mut self) {
        let now = self.now();
        wait(self.disk().bring_forward(Scope::All, None, Waivers::default(), now)).expect("it brings forward");
        self.memory.bring_forward(None, now);
    }

    fn keep(&mut self) {
        let Some(id) = self.random.choice(&self.running).copied() else { return };
        let backend = crate::model::BackendName::new("main").expect("a name");
        wait(self.disk().keep(id, backend, "note".to_owned())).expect("it keeps");
        self.memory.keep(id, "note".to_owned());
    }

    /// The daemon dies and starts again. Each draws the backoffs that are over for itself; then they are ended by hand.
    fn restart(&mut self) {
        let now = self.now();
        self.running.clear();
        self.disk = None;
        self.disk = Some(open(&self.dir, now, self.seed));
        self.memory.recover(now, 3);
        self.memory.respread(now, CAP, &mut self.random);
        self.bring_forward();
    }

    fn enqueue(&mut self) {
        let recent: Vec<TaskId> = self.memory.rows().iter().rev().take(20).map(|row| row.task.id).collect();
        let now = self.now();
        for task in self.apps.take(now, at(self.seconds), &recent).into_iter().take(3) {
            let on_disk =
                wait(self.disk().enqueue(vec![task.clone()])).map(|all| all[0]).map_err(|error| match error {
                    EnqueueError::RequestConflict { id } => Refused::RequestConflict(id),
                    EnqueueError::UnknownAfter { id } => Refused::UnknownAfter(id),
                    EnqueueError::QueueFull { .. } | EnqueueError::NoSpace | EnqueueError::Store(_) => {
                        panic!("{error}")
                    }
                });
            assert_eq!(self.memory.enqueue(task), on_disk);
        }
    }

    fn claim(&mut self) {
        let (lane, limit, now) = (LaneId(self.random.i64(1..9)), self.random.usize(1..5), self.now());
        let on_disk = wait(self.disk().claim(lane, limit, now)).expect("it claims");
        assert_eq!(self.memory.claim(lane, limit, now), on_disk);
        self.running.extend(on_disk.iter().map(|task| task.id));
    }

    fn settle(&mut self) {
        let now = self.now();
        let Some(id) = self.random.choice(&self.running).copied() else { return };
        self.running.retain(|other| *other != id);
        let error = |failure| TaskError { failure, words: "words".to_owned() };
        let settlement = match self.random.u32(0..7) {
            0 | 1 => Settlement::Done(TaskResult::default()),
            2 => Settlement::Retry { due: now + Duration::from_secs(self.random.u64(0..100)), error: String::new() },
            3 => Settlement::Advanced { due: now, error: String::new() },
            4 => Settlement::Postponed { due: now, error: String::new() },
            5 => Settlement::Release { cause: String::new() },
            _ => Settlement::Failed(error(Failure::Rejected)),
        };
        let settlements = vec![(id, settlement)];
        self.memory.settle(&settlements, now);
        wait(self.disk().settle(settlements, now)).expect("it settles");
    }

    fn some_task(&mut self) -> Option<TaskId> {
        let ids: Vec<TaskId> = self.memory.rows().iter().rev().take(30).map(|row| row.task.id).collect();
        self.random.choice(ids)
    }

    fn cancel(&mut self) {
        let (Some(id), now) = (self.some_task(), self.now()) else { return };
        let on_disk = wait(self.disk().cancel(Scope::All, vec![id], now)).expect("a task");
        assert_eq!(self.memory.cancel(id, now).is_some(), on_disk == 1);
    }

    fn retry(&mut self) {
        let (Some(id), now) = (self.some_task(), self.now()) else { return };
        let on_disk = wait(self.disk().retry(Scope::All, vec![id], now)).expect("a task");
        assert_eq!(self.memory.retry(id, now), on_disk == 1);
    }

    fn compare(&mut self, when: &str) {
        let page = wait(self.disk().list(Filter::default(), None, 1_000)).expect("it lists");
        assert_eq!((page.tasks.len(), page.next), (self.memory.rows().len(), None), "{when}");
        for task in &page.tasks {
            let shown = self.memory.shown(task.id).expect("the same tasks");
            assert_eq!(comparable(&shown), comparable(task), "{when}: {}", task.id);
        }
    }
}

/// What of a task both queues know.
fn comparable(task: &Task) -> (State, u32, Option<WallTime>, Vec<TaskId>) {
    let (due, mut waits_for) = match &task.standing {
        Standing::Pending { due, waits_for } => (Some(*due), waits_for.clone()),
        Standing::Running { .. } | Standing::Done { .. } | Standing::Failed { .. } | Standing::Cancelled { .. } => {
            (None, Vec::new())
        }
    };
    waits_for.sort_unstable();
    waits_for.dedup();
    (task.standing.state(), task.attempts, due, waits_for)
}
