//! What laws are judged by: a device's life once more, as plainly as it can be told. It has no lanes, no summaries and no
//! deadlines, and takes nothing from the core but the numbers of attempts.

mod scene;
mod spent;
mod tasks;
mod trips;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(super) use tasks::{Known, Stands};

use crate::model::{
    AttemptId, BackendName, Config, HoldId, Moment, Now, Overrides, Pause, State, Strategy, StrategyName, TaskId, World,
};
use crate::schedule::{Control, Wake};
use crate::sim::seen::Seen;
use spent::Spent;
use tasks::Lines;
use trips::Trip;

/// A strategy and the conditions that a task overrides.
pub(super) type Group = (StrategyName, Overrides);

/// How things stood when it was decided to make an attempt: the rows come later, and others have become ready by then.
#[derive(Debug)]
pub(super) struct Decided {
    /// Slots that were taken.
    pub(super) running: usize,
    /// Those taken by files.
    pub(super) files: usize,
    /// How long each group that lacked nothing but a slot had done so.
    pub(super) waits: BTreeMap<Group, Duration>,
}

/// All that is known of a device.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) config: Arc<Config>,
    pub(super) world: World,
    pub(super) tasks: BTreeMap<TaskId, Known>,
    /// Tasks that wait or run, in the order of enqueue.
    pub(super) alive: BTreeMap<usize, TaskId>,
    lines: Lines,
    pub(super) trips: BTreeMap<AttemptId, Trip>,
    /// How things stood when it was decided to make an attempt.
    pub(super) decided: BTreeMap<AttemptId, Decided>,
    pub(super) paused: BTreeMap<Option<StrategyName>, Pause>,
    pub(super) holds: BTreeMap<HoldId, Moment>,
    /// Metered bytes of strategies with a budget.
    pub(super) spent: Spent,
    /// Floors below which the battery is.
    low: BTreeSet<u8>,
    /// Since when each group has had a task that lacks nothing but a slot, and none of it has started.
    pub(super) crowded_since: BTreeMap<Group, Moment>,
    /// Servers whose last word was that they are not well.
    ill: BTreeSet<BackendName>,
    /// The store had nothing of them: they are asked for again after a while.
    pub(super) resting: BTreeSet<Group>,
    /// A batch was refused as a whole: whom to blame is not known yet.
    pub(super) hunted: BTreeSet<Group>,
    /// Wakes, and other events, in this hour.
    pub(super) hour: Hour,
    /// The wall clock has been slewed since the last wake.
    pub(super) slewed: bool,
}

/// What happened in an hour.
#[derive(Debug, Default)]
pub(super) struct Hour {
    number: u64,
    pub(super) wakes: u32,
    pub(super) events: u32,
}

impl Ledger {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            world: World::unknown(),
            tasks: BTreeMap::new(),
            alive: BTreeMap::new(),
            lines: Lines::default(),
            trips: BTreeMap::new(),
            decided: BTreeMap::new(),
            paused: BTreeMap::new(),
            holds: BTreeMap::new(),
            spent: Spent::default(),
            low: BTreeSet::new(),
            crowded_since: BTreeMap::new(),
            ill: BTreeSet::new(),
            resting: BTreeSet::new(),
            hunted: BTreeSet::new(),
            hour: Hour::default(),
            slewed: false,
        }
    }

    /// Forgets what is over by now.
    pub(super) fn pass(&mut self, now: Now) {
        self.paused.retain(|_, pause| match pause {
            Pause::Indefinite => true,
            Pause::Until(end) => *end > now.wall,
        });
        self.holds.retain(|_, until| *until > now.moment);
        if !self.world.clock_unset && !self.spent.is_nothing() {
            self.spent.turn_to(self.world.zone.local(now.wall).day);
        }
    }

    /// Writes down what happened, once it was judged.
    pub(super) fn note(&mut self, seen: &Seen<'_>, now: Now) {
        self.count(seen, now);
        match seen {
            Seen::Enqueued(task) => self.enqueued(task),
            Seen::Cancelled(id) => self.cancelled(*id),
            Seen::Ended { id, state, .. } => {
                let stands = if *state == State::Cancelled { Stands::Cancelled } else { Stands::Failed };
                self.ends(*id, stands);
            }
            Seen::Retried(id) => self.retried(*id, now),
            Seen::World(world) => self.world_is((*world).clone(), now),
            Seen::Control(control) => self.controlled(control),
            Seen::Claims(attempt) => drop(self.decided.insert(*attempt, self.decided_now(now))),
            Seen::HandedOver { attempt, tasks } => {
                tasks.iter().for_each(|task| self.on(task.id, |known| known.stands = Stands::HandedTo(*attempt)));
            }
            Seen::Started { attempt, tasks, .. } => {
                let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
                self.started(*attempt, ids);
            }
            Seen::Taken(id) => self.on(*id, |known| known.taken = true),
            Seen::CameFurther(id) => self.on(*id, |known| known.found = 0),
            Seen::Sent { strategy, bytes } => self.sent(strategy, *bytes, now),
            Seen::Answered { attempt, answer } => self.answered(*attempt, answer),
            Seen::Settled(settlements) => self.settled(settlements),
            Seen::Undone(id) => self.on(*id, Known::waits_anew),
            Seen::Restarted { spent } => self.restarted(spent, now),
            Seen::NothingClaimed { strategy, overrides } => {
                self.resting.insert(((*strategy).clone(), *overrides));
            }
            Seen::BroughtForward => self.brought_forward(),
            Seen::ClockSet => self.spread_anew(now),
            Seen::Slewed => self.slewed = true,
            Seen::Woke { .. } => self.slewed = false,
            Seen::Request { .. } | Seen::OnAir { .. } => {}
            Seen::AtRest { .. } => self.look(now),
        }
    }

    fn count(&mut self, seen: &Seen<'_>, now: Now) {
        let number = now.moment.elapsed_since_boot().as_secs() / 3_600;
        if number != self.hour.number {
            self.hour = Hour { number, ..Hour::default() };
        }
        if let Seen::Woke { wake, .. } = seen {
            // A battery on which something depends is read once a minute, a disk that cannot be written tried each 5 s.
            self.hour.wakes += u32::from(!matches!(wake, Wake::ReadPower | Wake::SettleAgain));
        } else if !matches!(seen, Seen::OnAir { .. } | Seen::Sent { .. } | Seen::AtRest { .. }) {
            self.hour.events += 1;
        }
    }

    fn controlled(&mut self, control: &Control) {
        match control {
            Control::Pause(strategy, pause) => drop(self.paused.insert(strategy.clone(), *pause)),
            Control::Resume(strategy) => drop(self.paused.remove(strategy)),
            Control::Hold(id, hold) => drop(self.holds.insert(*id, hold.until)),
            Control::LetGo(id) => drop(self.holds.remove(id)),
            Control::Configure(_) | Control::SyncNow(_) | Control::Stop => {}
        }
    }

    /// What only the dead daemon knew is gone: what its attempts had waits, holds ended with it, and of servers and the world
    /// nothing is known.
    fn restarted(&mut self, spent: &BTreeMap<StrategyName, crate::schedule::Spending>, now: Now) {
        self.tasks_restart();
        self.trips.clear();
        self.decided.clear();
        self.holds.clear();
        self.ill.clear();
        self.resting.clear();
        self.hunted.clear();
        self.world = World { clock_unset: true, ..World::unknown() };
        self.spent = Spent::kept(spent);
        self.spread_anew(now);
    }

    /// Notes since when groups have lacked nothing but a slot.
    fn look(&mut self, now: Now) {
        self.pass(now);
        let groups: BTreeSet<Group> = self.ready(now).map(Known::group).collect();
        self.crowded_since.retain(|group, _| groups.contains(group));
        for group in groups {
            if !self.is_free(&group, now) {
                self.crowded_since.remove(&group);
            } else {
                self.crowded_since.entry(group).or_insert(now.moment);
            }
        }
    }

    fn decided_now(&self, now: Now) -> Decided {
        let (running, files) = self.running();
        let free = self.crowded_since.iter().filter(|(group, _)| self.is_free(group, now));
        let waits = free.map(|(group, since)| (group.clone(), self.waits_for_a_slot(group, *since, now)));
        Decided { running, files, waits: waits.collect() }
    }

    /// How long the oldest ready task of a group has lacked nothing but a slot.
    pub(super) fn waits_for_a_slot(&self, group: &Group, since: Moment, now: Now) -> Duration {
        let due = self.ready(now).filter(|known| known.group() == *group).map(|known| known.due).min();
        due.map_or(Duration::ZERO, |due| now.wall.saturating_since(due)).min(now.moment.saturating_since(since))
    }

    pub(super) fn strategy(&self, group: &Group) -> Option<&Strategy> {
        self.config.strategies.get(&group.0)
    }

    pub(super) fn backend(&self, group: &Group) -> Option<&BackendName> {
        self.strategy(group)?.backend.as_ref()
    }
}
