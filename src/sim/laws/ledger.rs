//! What laws are judged by: a device's life once more, as plainly as it can be told. It has no lanes, no summaries and no
//! deadlines, and takes nothing from the core but the numbers of attempts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::answers::{Subject, subject, word_about};
use crate::model::{
    Answer, AttemptId, BackendName, Battery, BatteryFloor, Conditions, Config, Connectivity, HoldId, ItemOutcome, Kind,
    LinkType, Metered, Moment, Network, NetworkNeed, NewTask, Now, Overrides, Pause, Power, Reason, Settlement, State,
    Strategy, StrategyName, TaskId, WallTime, World,
};
use crate::schedule::{Control, Wake};
use crate::sim::seen::Seen;

/// A task that was acknowledged.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) task: NewTask,
    /// Its place in the order of enqueue.
    pub(super) place: usize,
    pub(super) stands: Stands,
    /// The server has it.
    pub(super) taken: bool,
    /// What the server said of it last.
    pub(super) word: Option<ItemOutcome>,
    /// How often the server asked for another attempt.
    pub(super) counted: u32,
    /// Not before.
    pub(super) due: WallTime,
    /// Somebody wants it to go, whatever became of those it comes after.
    pub(super) by_hand: bool,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stands {
    Waits,
    Runs(AttemptId),
    /// Taken back while an attempt has it.
    Withdrawn(AttemptId),
    Done,
    Failed,
    Cancelled,
}

impl Stands {
    /// The attempt that has it.
    pub(super) fn attempt(self) -> Option<AttemptId> {
        match self {
            Self::Runs(attempt) | Self::Withdrawn(attempt) => Some(attempt),
            Self::Waits | Self::Done | Self::Failed | Self::Cancelled => None,
        }
    }
}

/// A strategy and the conditions that a task overrides.
pub(super) type Group = (StrategyName, Overrides);

/// An attempt that runs.
#[derive(Debug)]
pub(super) struct Trip {
    pub(super) group: Group,
    pub(super) tasks: Vec<TaskId>,
    answer: Option<Answer>,
}

/// All that is known of a device.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) config: Arc<Config>,
    pub(super) world: World,
    pub(super) tasks: BTreeMap<TaskId, Known>,
    /// Tasks that wait or run, in the order of enqueue.
    pub(super) alive: BTreeMap<usize, TaskId>,
    pub(super) trips: BTreeMap<AttemptId, Trip>,
    pub(super) paused: BTreeMap<Option<StrategyName>, Pause>,
    pub(super) holds: BTreeMap<HoldId, Moment>,
    /// Floors below which the battery is.
    low: BTreeSet<u8>,
    /// Since when each group has had a task that lacks nothing but a slot, and none of it has started.
    pub(super) crowded_since: BTreeMap<Group, Moment>,
    /// Servers whose last word was that they are not well.
    ill: BTreeSet<BackendName>,
    /// The store failed them: they are asked for again after a while.
    pub(super) resting: BTreeSet<Group>,
    /// A batch was refused as a whole: whom to blame is not known yet.
    pub(super) hunted: BTreeSet<Group>,
    /// Wakes, and other events, in this hour.
    pub(super) hour: Hour,
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
            trips: BTreeMap::new(),
            paused: BTreeMap::new(),
            holds: BTreeMap::new(),
            low: BTreeSet::new(),
            crowded_since: BTreeMap::new(),
            ill: BTreeSet::new(),
            resting: BTreeSet::new(),
            hunted: BTreeSet::new(),
            hour: Hour::default(),
        }
    }

    /// Forgets what is over by now.
    pub(super) fn pass(&mut self, now: Now) {
        self.paused.retain(|_, pause| match pause {
            Pause::Indefinite => true,
            Pause::Until(end) => *end > now.wall,
        });
        self.holds.retain(|_, until| *until > now.moment);
    }

    /// Writes down what happened, once it was judged.
    pub(super) fn note(&mut self, seen: &Seen<'_>, now: Now) {
        self.count(seen, now);
        match seen {
            Seen::Enqueued(task) => self.enqueued(task),
            Seen::Cancelled(id) => self.cancelled(*id),
            Seen::Ended(id, state) => {
                let stands = if *state == State::Cancelled { Stands::Cancelled } else { Stands::Failed };
                self.ends(*id, stands);
            }
            Seen::Retried(id) => self.retried(*id, now),
            Seen::World(world) => self.world_is((*world).clone()),
            Seen::Control(control) => self.decided(control),
            Seen::Started { attempt, tasks, .. } => {
                let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
                self.started(*attempt, ids);
            }
            Seen::Taken(id) => self.on(*id, |known| known.taken = true),
            Seen::Answered { attempt, answer } => self.answered(*attempt, answer),
            Seen::Settled(settlements) => self.settled(settlements),
            Seen::ClaimFailed => {
                self.resting.extend(self.alive.values().filter_map(|id| Some(self.tasks.get(id)?.group())))
            }
            Seen::BroughtForward | Seen::ClockSet => self.due_anew(),
            Seen::Request { .. } | Seen::OnAir { .. } | Seen::Woke { .. } => {}
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
        } else if !matches!(seen, Seen::OnAir { .. } | Seen::AtRest { .. }) {
            self.hour.events += 1;
        }
    }

    fn on(&mut self, id: TaskId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.tasks.get_mut(&id) {
            change(known);
        }
    }

    fn enqueued(&mut self, task: &NewTask) {
        let (id, place) = (task.id, self.tasks.len());
        let (task, due, stands) = (task.clone(), task.created, Stands::Waits);
        self.tasks.insert(id, Known { task, place, stands, taken: false, word: None, counted: 0, due, by_hand: false });
        self.alive.insert(place, id);
    }

    /// Its key waits for the attempt that has it.
    fn cancelled(&mut self, id: TaskId) {
        let attempt = self.tasks.get(&id).and_then(|known| known.stands.attempt());
        match attempt {
            Some(attempt) => self.on(id, |known| known.stands = Stands::Withdrawn(attempt)),
            None => self.ends(id, Stands::Cancelled),
        }
    }

    fn ends(&mut self, id: TaskId, stands: Stands) {
        if let Some(known) = self.tasks.get_mut(&id) {
            known.stands = stands;
            self.alive.remove(&known.place);
        }
    }

    fn retried(&mut self, id: TaskId, now: Now) {
        if let Some(known) = self.tasks.get_mut(&id) {
            (known.stands, known.counted, known.due) = (Stands::Waits, 0, now.wall);
            known.by_hand = true;
            self.alive.insert(known.place, id);
        }
    }

    fn started(&mut self, attempt: AttemptId, tasks: Vec<TaskId>) {
        for id in &tasks {
            self.on(*id, |known| known.stands = Stands::Runs(attempt));
        }
        let group = tasks.first().and_then(|id| self.tasks.get(id)).map(Known::group);
        if let Some(group) = group {
            self.crowded_since.remove(&group);
            self.resting.remove(&group);
            self.trips.insert(attempt, Trip { group, tasks, answer: None });
        }
    }

    fn answered(&mut self, attempt: AttemptId, answer: &Answer) {
        let Some(trip) = self.trips.get_mut(&attempt) else { return };
        trip.answer = Some(answer.clone());
        let (tasks, group) = (trip.tasks.clone(), trip.group.clone());
        for id in &tasks {
            let word = word_about(answer, *id, tasks.len());
            self.on(*id, |known| known.word = word);
        }
        let Some(backend) = self.strategy(&group).and_then(|strategy| strategy.backend.clone()) else { return };
        match subject(answer) {
            Subject::EachTask => {
                self.ill.remove(&backend);
                self.hunted.remove(&group);
            }
            Subject::Request => {
                self.ill.remove(&backend);
                if tasks.len() > 1 {
                    self.hunted.insert(group)
                } else {
                    self.hunted.remove(&group)
                };
            }
            Subject::Server => {
                self.ill.insert(backend);
            }
            Subject::Nothing => {}
        }
    }

    /// The trip is over when it was settled: its tasks wait again, or have ended.
    fn settled(&mut self, settlements: &[(TaskId, Settlement)]) {
        for (id, settlement) in settlements {
            let Some(known) = self.tasks.get_mut(id) else { continue };
            if let Some(attempt) = known.stands.attempt() {
                self.trips.remove(&attempt);
            }
            if !matches!(known.stands, Stands::Runs(_)) {
                self.ends(*id, Stands::Cancelled);
                continue;
            }
            match settlement {
                Settlement::Done(_) => self.ends(*id, Stands::Done),
                Settlement::Failed(_) => self.ends(*id, Stands::Failed),
                Settlement::Release { .. } => known.stands = Stands::Waits,
                Settlement::Advanced { due, .. } => {
                    (known.stands, known.counted, known.due) = (Stands::Waits, 0, *due);
                }
                Settlement::Retry { due, .. } => {
                    (known.stands, known.counted, known.due) = (Stands::Waits, known.counted + 1, *due);
                }
            }
        }
        let runs: BTreeSet<AttemptId> = self.tasks_running();
        self.trips.retain(|attempt, trip| trip.answer.is_none() || runs.contains(attempt));
    }

    fn tasks_running(&self) -> BTreeSet<AttemptId> {
        let standing = self.alive.values().filter_map(|id| self.tasks.get(id)).map(|known| known.stands);
        standing.filter_map(Stands::attempt).collect()
    }

    fn decided(&mut self, control: &Control) {
        match control {
            Control::Pause(strategy, pause) => drop(self.paused.insert(strategy.clone(), *pause)),
            Control::Resume(strategy) => drop(self.paused.remove(strategy)),
            Control::Hold(id, hold) => drop(self.holds.insert(*id, hold.until)),
            Control::LetGo(id) => drop(self.holds.remove(id)),
            Control::Configure(_) | Control::SyncNow(_) | Control::Stop => {}
        }
    }

    /// A floor is low from when the battery falls below it until it is three percent above; a first reading is believed.
    fn world_is(&mut self, world: World) {
        let read_before = matches!(self.world.power.battery, Battery::Percent(_));
        for floor in BatteryFloor::ALL {
            let Battery::Percent(percent) = world.power.battery else { continue };
            if percent < f64::from(floor) {
                self.low.insert(floor);
            } else if percent >= f64::from(floor + 3) || !read_before {
                self.low.remove(&floor);
            }
        }
        self.world = world;
    }

    /// Notes since when groups have lacked nothing but a slot.
    fn look(&mut self, now: Now) {
        self.pass(now);
        let groups: BTreeSet<Group> = self.ready(now).map(Known::group).collect();
        self.crowded_since.retain(|group, _| groups.contains(group));
        for group in groups {
            if !self.is_free(&group) {
                self.crowded_since.remove(&group);
            } else {
                self.crowded_since.entry(group).or_insert(now.moment);
            }
        }
    }

    /// The store moved due times: who waits, and since when, is looked at anew.
    fn due_anew(&mut self) {
        for known in self.tasks.values_mut() {
            known.due = known.task.created.min(known.due);
        }
        self.crowded_since.clear();
    }

    /// Whom a task waits for.
    pub(super) fn waits_for(&self, known: &Known) -> Vec<TaskId> {
        let before = known.task.key.iter().flat_map(|_| self.ahead_of(known));
        let after = known.task.after.iter().filter_map(|id| self.tasks.get(id));
        let not_done = after.filter(|other| matches!(other.stands, Stands::Waits | Stands::Runs(_) | Stands::Failed));
        before.chain(not_done).map(|other| other.task.id).collect()
    }

    /// Tasks that lack nothing but what their group lacks.
    fn ready(&self, now: Now) -> impl Iterator<Item = &Known> {
        let alive = self.alive.values().filter_map(|id| self.tasks.get(id));
        let due = alive.filter(move |known| known.stands == Stands::Waits && known.due <= now.wall);
        due.filter(|known| self.waits_for(known).is_empty())
    }

    /// How long the oldest ready task of a group has lacked nothing but a slot.
    pub(super) fn waits_for_a_slot(&self, group: &Group, since: Moment, now: Now) -> Duration {
        let due = self.ready(now).filter(|known| known.group() == *group).map(|known| known.due).min();
        due.map_or(Duration::ZERO, |due| now.wall.saturating_since(due)).min(now.moment.saturating_since(since))
    }

    /// Tasks of the same key that go before it, or go now.
    pub(super) fn ahead_of(&self, known: &Known) -> impl Iterator<Item = &Known> {
        let alive = self.alive.values().filter_map(|id| self.tasks.get(id));
        let of_key = alive.filter(|other| other.task.key == known.task.key && other.task.owner == known.task.owner);
        of_key.filter(|other| {
            let ahead = other.place < known.place || other.stands.attempt().is_some();
            ahead && other.place != known.place
        })
    }

    pub(super) fn strategy(&self, group: &Group) -> Option<&Strategy> {
        self.config.strategies.get(&group.0)
    }

    pub(super) fn network(&self, group: &Group) -> Option<&Network> {
        let backend = self.strategy(group)?.backend.as_ref()?;
        self.world.networks.get(backend).filter(|network| network.connected)
    }

    /// Whether a group lacks nothing but slots and time.
    pub(super) fn is_free(&self, group: &Group) -> bool {
        let backend = self.strategy(group).and_then(|strategy| strategy.backend.as_ref());
        backend.is_some_and(|backend| !self.ill.contains(backend)) && self.reasons(group).is_empty()
    }

    /// What keeps a group from going, but for servers, slots and time.
    pub(super) fn reasons(&self, group: &Group) -> BTreeSet<Reason> {
        let Some(strategy) = self.strategy(group) else { return BTreeSet::from([Reason::NoBackend]) };
        let mut reasons = self.missing(&strategy.conditions.with(&group.1), self.network(group));
        if self.paused.contains_key(&None) || self.paused.contains_key(&Some(group.0.clone())) {
            reasons.insert(Reason::Paused);
        }
        if !self.holds.is_empty() {
            reasons.insert(Reason::Held);
        }
        reasons
    }

    /// What is missing of conditions.
    pub(super) fn missing(&self, conditions: &Conditions, network: Option<&Network>) -> BTreeSet<Reason> {
        let Power { external, power_save, .. } = self.world.power;
        let low = self.low.contains(&conditions.min_battery.percent());
        let of_network = match network {
            None => vec![(true, Reason::Offline)],
            Some(network) => {
                let near = matches!(network.link, LinkType::Wifi | LinkType::Ethernet);
                let costs = match network.metered {
                    Metered::Yes | Metered::GuessYes => true,
                    Metered::Unknown => !near,
                    Metered::No | Metered::GuessNo => false,
                };
                vec![
                    (network.connectivity == Connectivity::Portal, Reason::CaptivePortal),
                    (costs && conditions.network == NetworkNeed::Unmetered, Reason::Metered),
                    (!near && conditions.network == NetworkNeed::Wifi, Reason::NotWifi),
                    (network.roaming && !conditions.roaming, Reason::Roaming),
                ]
            }
        };
        let of_power = [
            (conditions.charging && !external, Reason::NotCharging),
            (low && !external, Reason::LowBattery),
            (conditions.heed_power_save && power_save, Reason::PowerSave),
            (self.world.suspending, Reason::Suspending),
        ];
        of_network.into_iter().chain(of_power).filter(|(is_so, _)| *is_so).map(|(_, reason)| reason).collect()
    }

    /// Whether an attempt has not been answered yet.
    pub(super) fn is_under_way(&self, attempt: AttemptId) -> bool {
        self.trips.get(&attempt).is_some_and(|trip| trip.answer.is_none())
    }

    /// Attempts that run, and those with a file.
    pub(super) fn running(&self) -> (usize, usize) {
        let is_file = |trip: &&Trip| self.strategy(&trip.group).is_some_and(|strategy| strategy.kind == Kind::File);
        (self.trips.len(), self.trips.values().filter(is_file).count())
    }
}

impl Known {
    pub(super) fn group(&self) -> Group {
        (self.task.strategy.clone(), self.task.overrides)
    }
}
