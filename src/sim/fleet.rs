//! Many devices for days: each lives alone, on as many threads as there are processors, and all send to one server, whose
//! moods they share. One seed, one result.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use fastrand::Rng;

use super::Scenario;
use super::acts::Act;
use super::apps::{App, Apps, Habits, Pattern};
use super::clock::{Clocks, at};
use super::core::Core;
use super::device::{Device, Setup};
use super::fifo::{Fifo, GivesUp};
use super::figures::{Counter, Figures};
use super::power::Cell;
use super::server::{Mood, Moods, Server};
use crate::model::{Config, Kind, Moment, Strategy};
use crate::schedule::Scheduler;

const HOUR: f64 = 3_600.0;
const DAY: f64 = 24.0 * HOUR;

/// Which queue the devices have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Ferry's.
    Ferry,
    /// The spec's.
    Fifo,
    /// The spec's, but that it never gives a task up.
    Patient,
}

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Fleet {
    /// The weather on every link; each device has its own of it.
    pub scenario: Scenario,
    /// How many days.
    pub days: u32,
    /// How many devices.
    pub devices: u64,
    /// Tasks a device hands over a day, on the average: six in ten JSON now and then, one a file, three JSON once a day.
    pub tasks_per_day: f64,
    /// The devices' configuration.
    pub config: Arc<Config>,
    /// Decides everything else.
    pub seed: u64,
}

impl Fleet {
    /// Lives through all of it.
    pub fn simulate(&self, queue: Queue) -> Figures {
        self.simulate_with(queue, &self.moods())
    }

    /// The same with a server of other moods.
    pub(super) fn simulate_with(&self, queue: Queue, moods: &Moods) -> Figures {
        let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
        let fleet = self;
        let shard = move |first: u64| {
            let numbers = (first..fleet.devices).step_by(threads as usize);
            numbers.fold(Figures::default(), |all, number| all.and(&fleet.device(number, moods, queue)))
        };
        thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || shard(first))).collect();
            let ends = running.into_iter().map(|shard| shard.join());
            let ends = ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            ends.fold(Figures::default(), |all, shard| all.and(&shard))
        })
    }

    /// The server has one outage a day, of 5 to 30 minutes; in half of them it answers 503.
    fn moods(&self) -> Moods {
        let mut random = Rng::with_seed(self.seed);
        let mut moods = Vec::new();
        for day in 0..self.days {
            let begins = f64::from(day) * DAY + random.f64() * (DAY - HOUR);
            let mood = if random.bool() { Mood::Down } else { Mood::Busy(503, None) };
            moods.push((at(begins), mood));
            moods.push((at(begins + (5.0 + 25.0 * random.f64()) * 60.0), Mood::Well));
        }
        moods.into()
    }

    fn device(&self, number: u64, moods: &Moods, queue: Queue) -> Figures {
        // SplitMix64's increment: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
        let seed = self.seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let setup = self.setup(number, seed, moods);
        match queue {
            Queue::Ferry => self.live(setup, Scheduler::new(Arc::clone(&self.config), seed)),
            Queue::Fifo => self.live(setup, Fifo::new(Arc::clone(&self.config), GivesUp::AfterAttempts)),
            Queue::Patient => self.live(setup, Fifo::new(Arc::clone(&self.config), GivesUp::Never)),
        }
    }

    fn live(&self, setup: Setup, core: impl Core) -> Figures {
        let end = self.end();
        let mut device = Device::new(setup, core, Counter::default());
        while device.step(end) {}
        device.into_witness().close(end)
    }

    fn end(&self) -> Moment {
        at(f64::from(self.days) * DAY)
    }

    fn setup(&self, number: u64, seed: u64, moods: &Moods) -> Setup {
        let mut random = Rng::with_seed(seed);
        let apps = self.apps(&mut random);
        Setup {
            config: Arc::clone(&self.config),
            scenario: self.scenario,
            seed,
            apps: Apps::new(apps, Habits::Plain, number, self.end(), random.fork()),
            server: Server::new(Arc::clone(moods), false),
            cell: Cell::battery(60.0 + 40.0 * random.f64()),
            clocks: Clocks::default(),
            acts: self.nights(&mut random),
            lazy: true,
            told_of_reach: false,
        }
    }

    fn apps(&self, random: &mut Rng) -> Vec<App> {
        let strategies = || self.config.strategies.values().filter(|strategy| strategy.backend.is_some());
        let all: f64 = strategies().map(|strategy| habit(strategy).1).sum();
        strategies()
            .map(|strategy| {
                let (pattern, share) = habit(strategy);
                App::new(strategy, pattern, self.tasks_per_day * share / all, random)
            })
            .collect()
    }

    /// Charged from about ten in the evening until about six.
    fn nights(&self, random: &mut Rng) -> VecDeque<(Moment, Act)> {
        let mut acts = VecDeque::new();
        for day in 0..self.days {
            for (hour, plugged) in [(5.5, false), (21.5, true)] {
                let time = f64::from(day) * DAY + (hour + random.f64()) * HOUR;
                acts.push_back((at(time), Act::Plug(plugged)));
            }
        }
        acts
    }
}

/// When apps hand over a strategy's tasks, and their share of all.
fn habit(strategy: &Strategy) -> (Pattern, f64) {
    match (strategy.kind, strategy.max_wait) {
        (Kind::File, _) => (Pattern::Bursts, 1.0),
        (Kind::Json, Some(_)) => (Pattern::Daily, 3.0),
        (Kind::Json, None) => (Pattern::Steady, 6.0),
    }
}
