//! A short life that a seed decides: a device in a bad world, watched by the laws; then what one of its tasks waits for is
//! granted, then all is well, and everything must go.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::Scenario;
use super::acts::Act;
use super::apps::{App, Apps, Habits, Pattern};
use super::clock::{Clocks, at};
use super::core::Core;
use super::device::{Device, Setup};
use super::laws::{Breach, Judge, Tell, all_explained, are_owed};
use super::power::Cell;
use super::server::{Mood, Server, always, moody};
use crate::model::{Config, Kind, Moment, Reason, State, StrategyName, TaskId};

/// How long apps hand work over.
const LENGTH: f64 = 1_800.0;
/// No life has more steps: a core that spins is found out.
const STEPS: usize = 60_000;
/// What is granted, one after another, before the task must go.
const GRANTS: usize = 60;

/// What a life was made of: a test of nothing proves nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lived {
    /// Events.
    pub steps: u64,
    /// Tasks handed over.
    pub tasks: u64,
    /// Of them, done.
    pub done: u64,
    /// Explanations that were held against what is known.
    pub explained: u64,
    /// Tasks that went when what they waited for was granted.
    pub granted: u64,
}

impl Lived {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            tasks: self.tasks + other.tasks,
            done: self.done + other.done,
            explained: self.explained + other.explained,
            granted: self.granted + other.granted,
        }
    }
}

/// Lives the life of a seed with the core that `make` makes of a configuration and a seed; `tell` hears all of it.
pub fn live<C: Core>(
    seed: u64,
    config: &Config,
    make: impl FnOnce(Arc<Config>, u64) -> C,
    tell: Option<Tell>,
) -> Result<Lived, Breach> {
    let mut random = Rng::with_seed(seed);
    let config = some_config(config, &mut random);
    let crowded = random.u32(0..8) == 0;
    let setup =
        if crowded { crowded_setup(seed, &config, &mut random) } else { some_setup(seed, &config, &mut random) };
    let device = Device::new(setup, make(Arc::clone(&config), seed), Judge::new(config, tell));
    let mut life = Life { device, random, lived: Lived::default() };
    life.live()?;
    let rows = life.device.store.rows();
    let done = rows.iter().filter(|row| row.state == State::Done).count();
    Ok(Lived { tasks: rows.len() as u64, done: done as u64, ..life.lived })
}

struct Life<C> {
    device: Device<C, Judge>,
    random: Rng,
    lived: Lived,
}

impl<C: Core> Life<C> {
    fn live(&mut self) -> Result<(), Breach> {
        self.suffer()?;
        self.grant()?;
        self.drain()
    }

    /// The bad time.
    fn suffer(&mut self) -> Result<(), Breach> {
        let end = at(LENGTH + self.random.f64() * 600.0);
        while self.device.step(end) {
            self.judge()?;
            self.explain()?;
        }
        self.device.freeze();
        self.device.disk_full = false;
        Ok(())
    }

    fn judge(&mut self) -> Result<(), Breach> {
        self.lived.steps += 1;
        if self.lived.steps as usize > STEPS {
            return Err(Breach { law: "every wake has a reason", words: format!("{STEPS} events in a short life") });
        }
        self.device.witness.breach().map_or(Ok(()), |breach| Err(breach.clone()))
    }

    /// One waiting task, now and then, is explained.
    fn explain(&mut self) -> Result<(), Breach> {
        // Nobody can ask a device that sleeps, nor one that has just woken before it has looked at its deadlines.
        let unable = self.device.disk_full || self.device.is_asleep() || self.device.is_overdue();
        if self.random.u32(0..4) > 0 || unable {
            return Ok(());
        }
        match self.some_waiting() {
            Some(id) => self.explanation(id).map(|_| self.lived.explained += 1),
            None => Ok(()),
        }
    }

    fn some_waiting(&mut self) -> Option<TaskId> {
        let rows = self.device.store.rows().iter().filter(|row| row.state == State::Pending);
        let waiting: Vec<TaskId> = rows.map(|row| row.task.id).collect();
        self.random.choice(waiting)
    }

    fn explanation(&self, id: TaskId) -> Result<Vec<crate::model::Block>, Breach> {
        let Device { witness, core, store, now, .. } = &self.device;
        all_explained(witness, core, store, id, *now)
    }

    /// Grants one waiting task what it is said to wait for, and nothing else, until it goes.
    fn grant(&mut self) -> Result<(), Breach> {
        self.settle_down()?;
        let Some(id) = self.some_waiting() else { return Ok(()) };
        let mut said = Vec::new();
        for _ in 0..GRANTS {
            if self.device.store.state(id) != Some(State::Pending) {
                self.lived.granted += 1;
                return Ok(());
            }
            if self.waits_for_the_dead(id) {
                return Ok(());
            }
            said = self.said_of(id)?;
            for reason in &said {
                self.device.grant(*reason);
            }
            self.pass_for(&said)?;
        }
        let words = format!("{id} was granted all that it was said to wait for, at last {said:?}, and does not go");
        Err(Breach { law: "every waiting task is explained, and truly", words })
    }

    /// What is said of a task, and of those that it is said to wait for.
    fn said_of(&self, id: TaskId) -> Result<Vec<Reason>, Breach> {
        let mut ids = vec![id];
        let mut said = Vec::new();
        let mut next = 0;
        while let Some(id) = ids.get(next).copied() {
            next += 1;
            if self.device.store.state(id) != Some(State::Pending) {
                continue;
            }
            for row in self.explanation(id)? {
                said.push(row.reason);
                let named = row.detail.get("waiting_for").into_iter().flat_map(|ids| ids.split(','));
                let named: Vec<TaskId> = named.filter_map(|id| TaskId::parse(id).ok()).collect();
                ids.extend(named.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
            }
        }
        Ok(said)
    }

    /// What was full or asleep is over.
    fn settle_down(&mut self) -> Result<(), Breach> {
        self.run_for(Duration::from_secs(30))
    }

    /// Whether it comes after a task that failed: it waits for a person.
    fn waits_for_the_dead(&self, id: TaskId) -> bool {
        !are_owed(&self.device.witness).contains(&id)
    }

    /// Servers and time bring what only they can.
    fn pass_for(&mut self, said: &[Reason]) -> Result<(), Breach> {
        let of_server = [
            Reason::BackendDown,
            Reason::BackendAuth,
            Reason::BackendTls,
            Reason::BackendConfig,
            // What runs may take hours at a server that thinks for a minute about every chunk.
            Reason::Concurrency,
        ];
        if said.iter().any(|reason| of_server.contains(reason)) {
            self.device.server.recover();
        }
        let waits = [Reason::Backoff, Reason::Order];
        let waits = said.iter().any(|reason| of_server.contains(reason) || waits.contains(reason));
        self.run_for(Duration::from_secs(if waits { 200 } else { 15 }))
    }

    fn run_for(&mut self, length: Duration) -> Result<(), Breach> {
        let end = self.device.now.moment + length;
        while self.device.step(end) {
            self.judge()?;
        }
        Ok(())
    }

    /// All is well: everything goes.
    fn drain(&mut self) -> Result<(), Breach> {
        self.device.make_good();
        self.run_for(self.device.patience())?;
        self.judge()?;
        let owed = are_owed(&self.device.witness);
        match owed.first() {
            None => Ok(()),
            Some(first) => {
                let words = format!("{} tasks are left behind in a good world, {first} first", owed.len());
                Err(Breach { law: "everything drains when the world turns good", words })
            }
        }
    }
}

/// A configuration a little different from the one given.
fn some_config(config: &Config, random: &mut Rng) -> Arc<Config> {
    let mut config = config.clone();
    config.limits.max_concurrent = random.usize(2..5);
    config.network.link_grace = Duration::from_secs([0, 3][random.usize(0..2)]);
    for backend in config.backends.values_mut() {
        backend.chunk = 1 << random.u32(16..22);
    }
    for strategy in config.strategies.values_mut() {
        strategy.batch = random.usize(1..8);
        strategy.conditions.charging = random.u32(0..8) == 0;
        strategy.max_wait = strategy.max_wait.map(|_| Duration::from_secs(random.u64(60..600)));
    }
    config.into()
}

fn some_setup(seed: u64, config: &Arc<Config>, random: &mut Rng) -> Setup {
    let scenario = Scenario::ALL[random.usize(0..Scenario::ALL.len())];
    let battery = random.bool();
    Setup {
        config: Arc::clone(config),
        scenario,
        seed,
        apps: some_apps(config, seed, random),
        server: Server::new(moody(random, LENGTH + 600.0, 600.0), random.bool()),
        cell: if battery { Cell::battery(random.f64() * 100.0) } else { Cell::mains() },
        clocks: Clocks::default(),
        acts: some_acts(config, random),
        lazy: false,
        told_of_reach: true,
    }
}

/// More work than a slow server can take.
fn crowded_setup(seed: u64, config: &Arc<Config>, random: &mut Rng) -> Setup {
    let mut apps = Vec::new();
    for strategy in config.strategies.values().filter(|strategy| strategy.backend.is_some()) {
        let per_hour = if strategy.max_wait.is_none() { 240.0 } else { 12.0 };
        apps.push(App::new(strategy, Pattern::Steady, per_hour * 24.0, random));
    }
    Setup {
        scenario: Scenario::Wifi,
        apps: Apps::new(apps, Habits::Elaborate, seed, at(LENGTH), random.fork()),
        server: Server::new(always(Mood::Late(60)), false),
        cell: Cell::mains(),
        acts: VecDeque::new(),
        ..some_setup(seed, config, random)
    }
}

fn some_apps(config: &Config, seed: u64, random: &mut Rng) -> Apps {
    let apps = config.strategies.values().filter(|strategy| strategy.backend.is_some()).map(|strategy| {
        let pattern = if random.bool() { Pattern::Steady } else { Pattern::Bursts };
        let per_hour = random.u64(2..30) as f64 / if strategy.kind == Kind::File { 4.0 } else { 1.0 };
        (strategy.clone(), pattern, per_hour * 24.0)
    });
    let apps: Vec<_> = apps.collect();
    let apps = apps.iter().map(|(strategy, pattern, per_day)| App::new(strategy, *pattern, *per_day, random)).collect();
    Apps::new(apps, Habits::Elaborate, seed, at(LENGTH), random.fork())
}

fn some_acts(config: &Config, random: &mut Rng) -> VecDeque<(Moment, Act)> {
    let strategies: Vec<StrategyName> = config.strategies.keys().cloned().collect();
    let mut acts = VecDeque::new();
    let mut time = 0.0;
    let calm = [20.0, 60.0, 400.0][random.usize(0..3)];
    while time < LENGTH {
        time += random.f64() * calm;
        acts.push_back((at(time), some_act(&strategies, random)));
    }
    acts
}

fn some_act(strategies: &[StrategyName], random: &mut Rng) -> Act {
    let seconds = |random: &mut Rng, most| Duration::from_secs(random.u64(1..most));
    match random.u32(0..22) {
        0 | 1 => Act::Plug(random.bool()),
        2 => Act::Save(random.bool()),
        3 => Act::Roam(random.bool()),
        4 | 5 => Act::Tether(random.bool()),
        6 => Act::Sleep(seconds(random, 300)),
        7 => {
            let most = [900, 60_000, 4_000_000][random.usize(0..3)];
            Act::SetClock(random.i64(-most..most))
        }
        8 | 9 => {
            let whose = random.bool().then(|| random.choice(strategies).cloned()).flatten();
            Act::Pause(whose, random.bool().then(|| seconds(random, 600)))
        }
        10..=12 => Act::Resume,
        13 | 14 => Act::Hold(seconds(random, 600)),
        15 => Act::LetGo,
        16 => Act::SyncNow,
        17 | 18 => Act::Cancel(random.usize(0..1_000)),
        19 => Act::Retry(random.usize(0..1_000)),
        20 => Act::FillDisk(true),
        _ => Act::FillDisk(false),
    }
}
