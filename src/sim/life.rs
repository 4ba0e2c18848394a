//! A short life that a seed decides: a device in a bad world, watched by the laws; then what one of its tasks waits for is
//! granted, then all is well, and everything must go.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::clock::at;
use super::core::Core;
use super::device::Device;
use super::laws::{Breach, Judge, Tell, all_explained, are_owed};
use super::lot::{LENGTH, Lot, MORE, some_assumption};
use crate::model::{Assume, Block, Config, Reason, State, TaskId, WallTime};
use crate::schedule::Input;

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
    /// Of them, those of what would be if something else were so.
    pub supposed: u64,
    /// Tasks that went when what they waited for was granted.
    pub granted: u64,
    /// Deaths and starts of the daemon.
    pub restarts: u64,
}

impl Lived {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            tasks: self.tasks + other.tasks,
            done: self.done + other.done,
            explained: self.explained + other.explained,
            supposed: self.supposed + other.supposed,
            granted: self.granted + other.granted,
            restarts: self.restarts + other.restarts,
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
    let Lot { config, setup, slowness } = Lot::draw(seed, config, &mut random);
    let mut device = Device::new(setup, make(Arc::clone(&config), seed), Judge::new(config, tell));
    device.disk.slowness = slowness;
    let mut life = Life { device, random, lived: Lived::default() };
    life.live()?;
    let rows = life.device.store.rows();
    let done = rows.iter().filter(|row| row.state == State::Done).count();
    let restarts = life.device.restarts;
    Ok(Lived { tasks: rows.len() as u64, done: done as u64, restarts, ..life.lived })
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
        let end = at(LENGTH + self.random.f64() * MORE);
        while self.device.step(end) {
            self.judge()?;
            self.explain()?;
        }
        self.device.freeze();
        self.device.disk.full = false;
        Ok(())
    }

    fn judge(&mut self) -> Result<(), Breach> {
        self.lived.steps += 1;
        if self.lived.steps as usize > STEPS {
            return Err(Breach { law: "every wake has a reason", words: format!("{STEPS} events in a short life") });
        }
        self.device.witness.breach().map_or(Ok(()), |breach| Err(breach.clone()))
    }

    /// One waiting task, now and then, is explained, as it is or as it would be.
    fn explain(&mut self) -> Result<(), Breach> {
        if self.random.u32(0..4) > 0 || self.device.disk.full || !self.device.is_up_to_date() {
            return Ok(());
        }
        let Some(id) = self.some_waiting() else { return Ok(()) };
        let supposed = self.random.bool();
        let assume = if supposed { some_assumption(self.device.now.wall, &mut self.random) } else { Assume::default() };
        self.explanation(id, &assume)?;
        self.lived.explained += 1;
        self.lived.supposed += u64::from(supposed);
        Ok(())
    }

    fn some_waiting(&mut self) -> Option<TaskId> {
        let rows = self.device.store.rows().iter().filter(|row| row.state == State::Pending);
        let waiting: Vec<TaskId> = rows.map(|row| row.task.id).collect();
        self.random.choice(waiting)
    }

    fn explanation(&self, id: TaskId, assume: &Assume) -> Result<Vec<Block>, Breach> {
        let Device { witness, core, store, now, .. } = &self.device;
        all_explained(witness, core, (store, id), assume, *now)
    }

    /// Grants one waiting task what it is said to wait for, and nothing else, until it goes.
    fn grant(&mut self) -> Result<(), Breach> {
        self.settle_down()?;
        let Some(id) = self.some_waiting() else { return Ok(()) };
        let mut said: Vec<Reason> = Vec::new();
        for _ in 0..GRANTS {
            if self.device.store.state(id) != Some(State::Pending) {
                self.lived.granted += 1;
                return Ok(());
            }
            if self.waits_for_the_dead(id) {
                return Ok(());
            }
            self.catch_up()?;
            let rows = self.said_of(id)?;
            said = rows.iter().map(|row| row.reason).collect();
            for reason in &said {
                self.device.grant(*reason);
            }
            self.pass_for(&rows)?;
        }
        let words = format!("{id} was granted all that it was said to wait for, at last {said:?}, and does not go");
        Err(Breach { law: "every waiting task is explained, and truly", words })
    }

    /// What is said of a task, and of those that it is said to wait for.
    fn said_of(&self, id: TaskId) -> Result<Vec<Block>, Breach> {
        let mut ids = vec![id];
        let mut said = Vec::new();
        let mut next = 0;
        while let Some(id) = ids.get(next).copied() {
            next += 1;
            if self.device.store.state(id) != Some(State::Pending) {
                continue;
            }
            for row in self.explanation(id, &Assume::default())? {
                let named = row.detail.get("waiting_for").into_iter().flat_map(|ids| ids.split(','));
                let named: Vec<TaskId> = named.filter_map(|id| TaskId::parse(id).ok()).collect();
                ids.extend(named.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
                said.push(row);
            }
        }
        Ok(said)
    }

    /// What was full, asleep or dead is over.
    fn settle_down(&mut self) -> Result<(), Breach> {
        self.run_for(Duration::from_secs(30))?;
        while self.device.is_away() {
            self.run_for(Duration::from_secs(30))?;
        }
        Ok(())
    }

    /// The core hears what time it is, and all that the disk has to say.
    fn catch_up(&mut self) -> Result<(), Breach> {
        self.device.feed(Input::Woken);
        for _ in 0..STEPS {
            if self.device.is_up_to_date() {
                break;
            }
            self.run_for(Duration::from_secs(1))?;
        }
        Ok(())
    }

    /// Whether it comes after a task that failed: it waits for a person.
    fn waits_for_the_dead(&self, id: TaskId) -> bool {
        !are_owed(&self.device.witness).contains(&id)
    }

    /// Servers and time bring what only they can.
    fn pass_for(&mut self, rows: &[Block]) -> Result<(), Breach> {
        let of_server = [
            Reason::BackendDown,
            Reason::BackendAuth,
            Reason::BackendTls,
            Reason::BackendConfig,
            // What runs may take hours at a server that thinks for a minute about every chunk, and days of short hours.
            Reason::Concurrency,
            Reason::Window,
        ];
        if rows.iter().any(|row| of_server.contains(&row.reason)) {
            self.device.server.recover();
        }
        let waits =
            |row: &Block| of_server.contains(&row.reason) || [Reason::Backoff, Reason::Order].contains(&row.reason);
        let seconds = if rows.iter().any(waits) { 200 } else { 15 };
        let hours = rows.iter().filter(|row| row.reason == Reason::Window).filter_map(|row| row.detail.get("until"));
        let begin = hours.filter_map(|until| until.parse().ok()).max().map(WallTime::from_micros);
        let until_then = begin.map_or(Duration::ZERO, |begin| begin.saturating_since(self.device.now.wall));
        self.run_for(until_then + Duration::from_secs(seconds))
    }

    fn run_for(&mut self, length: Duration) -> Result<(), Breach> {
        let end = self.device.now.moment + length;
        while self.device.step(end) {
            self.judge()?;
        }
        Ok(())
    }

    /// All is well: everything goes. A chain whose links have disjoint hours goes a link a day, so each link is waited for.
    fn drain(&mut self) -> Result<(), Breach> {
        self.device.make_good();
        let mut before = are_owed(&self.device.witness).len();
        loop {
            self.run_for(self.device.patience())?;
            self.judge()?;
            let owed = are_owed(&self.device.witness);
            let Some(first) = owed.first() else { return Ok(()) };
            if owed.len() >= before {
                let words = format!("{} tasks are left behind in a good world, {first} first", owed.len());
                return Err(Breach { law: "everything drains when the world turns good", words });
            }
            before = owed.len();
        }
    }
}
