//! One device in virtual time: it jumps from event to event, and nothing is done between two. It runs a core, its queue, its
//! apps and the attempts under way; it knows nothing of laws, and counts nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::acts::Act;
use super::apps::Apps;
use super::clock::Clocks;
use super::core::Core;
use super::disk::Disk;
use super::flight::{Flight, Landing};
use super::power::Cell;
use super::seen::{Seen, Witness};
use super::server::Server;
use super::{LinkState, Scenario, Timeline, link};
use crate::model::{
    AttemptId, Config, Enqueued, HoldId, Metered, Moment, Now, Pause, StrategyName, TaskId, WallTime, World,
};
use crate::schedule::memory::Memory;
use crate::schedule::{Input, Links, Spending};

/// What a device is made of.
pub(super) struct Setup {
    /// Its configuration.
    pub config: Arc<Config>,
    /// The weather on its link.
    pub scenario: Scenario,
    /// Drives the link, and what goes wrong on it.
    pub seed: u64,
    /// Its apps.
    pub apps: Apps,
    /// Its server.
    pub server: Server,
    /// Its battery.
    pub cell: Cell,
    /// Its clocks.
    pub clocks: Clocks,
    /// What people do, and when, in order.
    pub acts: VecDeque<(Moment, Act)>,
    /// Whether a link that changes while nothing waits is told only when something does. A daemon hears of it at once, and
    /// does nothing.
    pub lazy: bool,
}

/// A device.
pub(super) struct Device<C, W> {
    pub(super) core: C,
    pub(super) witness: W,
    pub(super) store: Memory,
    pub(super) config: Arc<Config>,
    pub(super) now: Now,
    pub(super) clocks: Clocks,
    pub(super) server: Server,
    pub(super) cell: Cell,
    pub(super) link: LinkState,
    /// Of a link whose bytes cost money although its kind's do not.
    pub(super) tethered: bool,
    pub(super) roaming: bool,
    pub(super) holds: BTreeSet<HoldId>,
    /// Holds so far.
    pub(super) held: u64,
    pub(super) sleep: Sleep,
    pub(super) disk: Disk,
    /// On disk: what is paused, and what was spent of metered bytes.
    pub(super) pauses: BTreeMap<Option<StrategyName>, Pause>,
    pub(super) spent: BTreeMap<StrategyName, Spending>,
    /// Starts after a death, so far.
    pub(super) restarts: u64,
    /// The wall clock has gone a little wrong since the core was told the time.
    pub(super) slewed: bool,
    pub(super) flights: BTreeMap<AttemptId, Flight>,
    pub(super) random: Rng,
    pub(super) links: Links,
    timeline: Option<Peekable<Timeline>>,
    apps: Apps,
    acts: VecDeque<(Moment, Act)>,
    pub(super) tidy_told: Option<WallTime>,
    lazy: bool,
    /// The world has changed, and nobody was told.
    untold: bool,
}

/// Whether the device sleeps, and the daemon lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sleep {
    Awake,
    Falling { falls: Moment, wakes: Moment },
    Asleep { wakes: Moment },
    Dead { rises: Moment },
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Sleep,
    Link,
    Act,
    Apps,
    Landing(AttemptId),
    Disk,
    LinkSettles,
    Wake,
}

impl<C: Core, W: Witness> Device<C, W> {
    /// A device at the beginning of the world, and its core told how that is.
    pub(super) fn new(setup: Setup, core: C, witness: W) -> Self {
        let Setup { config, scenario, seed, apps, server, cell, clocks, acts, lazy } = setup;
        let mut device = Self {
            core,
            witness,
            store: Memory::default(),
            config,
            now: clocks.read(Moment::default()),
            clocks,
            server,
            cell,
            link: LinkState::DOWN,
            tethered: false,
            roaming: false,
            holds: BTreeSet::new(),
            held: 0,
            sleep: Sleep::Awake,
            disk: Disk::default(),
            pauses: BTreeMap::new(),
            spent: BTreeMap::new(),
            restarts: 0,
            slewed: false,
            flights: BTreeMap::new(),
            random: Rng::with_seed(seed ^ 0x5eed),
            links: Links::default(),
            timeline: Some(scenario.timeline(seed).peekable()),
            apps,
            acts,
            tidy_told: None,
            lazy,
            untold: false,
        };
        device.relink();
        device.tell_world();
        device
    }

    /// Lives through the next event if it comes by then; whether it did.
    pub(super) fn step(&mut self, until: Moment) -> bool {
        let Some((at, next)) = self.next().filter(|(at, _)| *at <= until) else {
            self.pass(until);
            return false;
        };
        let spent = self.pass(at);
        match next {
            Next::Sleep => self.fall_or_wake(),
            Next::Link => {
                self.relink();
                self.link_changed();
            }
            Next::Act => {
                if let Some((_, act)) = self.acts.pop_front() {
                    self.perform_act(act);
                }
            }
            Next::Apps => self.hand_over(),
            Next::Landing(attempt) => self.land(attempt),
            Next::Disk => self.disk_works(),
            Next::LinkSettles => self.tell_settled(),
            Next::Wake => self.wake(spent),
        }
        self.witness.see(&Seen::AtRest { store: &self.store, between: &self.disk.between }, self.now);
        true
    }

    /// Whom the device is watched by, at the end.
    pub(super) fn into_witness(self) -> W {
        self.witness
    }

    fn next(&mut self) -> Option<(Moment, Next)> {
        let falls = match self.sleep {
            Sleep::Asleep { wakes: ends } | Sleep::Dead { rises: ends } => return Some((ends, Next::Sleep)),
            Sleep::Falling { falls, .. } => Some((falls, Next::Sleep)),
            Sleep::Awake => None,
        };
        let link = self.timeline.as_mut().and_then(Peekable::peek);
        let link = link.map(|(begins, _)| (Moment::since_boot(*begins), Next::Link));
        let act = self.acts.front().map(|(at, _)| (*at, Next::Act));
        let apps = self.apps.next().map(|at| (at, Next::Apps));
        let rate = self.rate();
        let flights = self.flights.iter();
        let landing = flights.filter_map(|(id, flight)| Some((flight.lands(rate)?.0, Next::Landing(*id)))).min();
        let wake = self.core.poll_timeout().map(|(at, _)| (super::clock::in_micros(at), Next::Wake));
        let settles = self.links.poll_timeout().map(|(at, _)| (super::clock::in_micros(at), Next::LinkSettles));
        let disk = self.disk.next().map(|at| (at, Next::Disk));
        let all = [falls, link, act, apps, landing, disk, settles, wake].into_iter().flatten();
        all.min().map(|(at, next)| (at.max(self.now.moment), next))
    }

    /// Bytes a second for each request that is on its way.
    fn rate(&self) -> u64 {
        let moving = self.flights.values().filter(|flight| flight.is_moving()).count() as u64;
        self.link.up_rate / moving.max(1)
    }

    /// Time passes in which nothing happens but that bytes go; whether some of a strategy with a budget did.
    fn pass(&mut self, to: Moment) -> bool {
        let took = to.saturating_since(self.now.moment);
        self.now = self.clocks.read(to.max(self.now.moment));
        let rate = self.rate();
        let moving = self.flights.values().any(Flight::is_moving);
        let mut bytes = 0;
        let mut spent = Vec::new();
        for flight in self.flights.values_mut() {
            let sent = flight.advance(rate, to);
            bytes += sent;
            let strategy = self.config.strategies.get(&flight.strategy);
            if sent > 0 && strategy.is_some_and(|strategy| strategy.conditions.metered_budget.is_some()) {
                spent.push((flight.strategy.clone(), flight.backend.clone(), sent));
            }
        }
        if moving {
            self.witness.see(&Seen::OnAir { link: self.link.link, took, bytes }, self.now);
        }
        let any = !spent.is_empty();
        for (strategy, backend, bytes) in spent {
            self.witness.see(&Seen::Sent { strategy: &strategy, bytes }, self.now);
            self.feed(Input::Sent { strategy, backend, bytes });
        }
        any
    }

    /// The link is as the timeline says.
    pub(super) fn relink(&mut self) {
        let now = self.now.moment.elapsed_since_boot();
        while let Some((_, link)) = self.timeline.as_mut().and_then(|legs| legs.next_if(|(begins, _)| *begins <= now)) {
            self.link = link;
        }
    }

    pub(super) fn link_changed(&mut self) {
        for flight in self.flights.values_mut() {
            flight.relink(&self.link, self.now.moment);
        }
        if self.lazy && self.flights.is_empty() && !self.store.has_ready() {
            self.untold = true;
        } else {
            self.tell_world();
        }
    }

    /// What is true of the device, as far as it counts.
    pub(super) fn world(&mut self) -> World {
        World {
            networks: self.links.settled(self.now.moment),
            power: self.cell.read(self.now.moment),
            power_read: self.now.moment,
            suspending: self.sleep != Sleep::Awake,
            clock_unset: super::clock::is_unset(self.now.wall),
            zone: self.clocks.zone.clone(),
            ..World::unknown()
        }
    }

    pub(super) fn tell_world(&mut self) {
        self.untold = false;
        let mut network = link::network(&self.link, self.roaming);
        if self.tethered && network.connected {
            network.metered = Metered::Yes;
        }
        let networks = self.config.backends.keys().map(|name| (name.clone(), network.clone())).collect();
        self.links.sensed(networks, self.now.moment);
        self.tell_settled();
    }

    fn tell_settled(&mut self) {
        let world = self.world();
        self.witness.see(&Seen::World(&world), self.now);
        self.feed(Input::World(world));
    }

    fn hand_over(&mut self) {
        if self.untold {
            self.tell_world();
        }
        self.commit();
        let recent: Vec<TaskId> = self.store.rows().iter().rev().take(20).map(|row| row.task.id).collect();
        for task in self.apps.take(self.now.wall, self.now.moment, &recent) {
            if let Ok(Enqueued::Added(_)) = self.store.enqueue(self.core.file(task.clone())) {
                self.witness.see(&Seen::Enqueued(&task), self.now);
            }
        }
        self.store_changed(Vec::new());
    }

    /// A deadline has come; `spent`: and just now bytes of a budget went.
    fn wake(&mut self, spent: bool) {
        let Some((_, wake)) = self.core.poll_timeout() else { return };
        // One claim is made at a time: what the wake was for may wait for an answer of the disk. Or a budget was used up.
        let moved = self.feed(Input::Woken) || self.disk.is_busy() || spent;
        self.witness.see(&Seen::Woke { wake, moved }, self.now);
    }

    fn fall_or_wake(&mut self) {
        match self.sleep {
            Sleep::Awake => {}
            Sleep::Falling { wakes, .. } => {
                self.flights.values_mut().for_each(|flight| flight.slept(self.now.moment));
                self.sleep = Sleep::Asleep { wakes };
            }
            Sleep::Asleep { .. } => {
                self.sleep = Sleep::Awake;
                self.relink();
                self.link_changed();
            }
            Sleep::Dead { .. } => self.rise(),
        }
    }

    pub(super) fn land(&mut self, attempt: AttemptId) {
        let rate = self.rate();
        let Some((_, landing)) = self.flights.get(&attempt).and_then(|flight| flight.lands(rate)) else { return };
        match landing {
            Landing::Arrived => self.arrive(attempt),
            Landing::GaveUp => self.break_off(attempt, super::attempts::unreachable()),
            Landing::Cut(cut) => self.break_off(attempt, crate::model::Answer::Cut(cut)),
            Landing::NextChunk => self.request(attempt),
        }
    }

    /// Hands in what happened, and does all that the core wants; whether that was anything.
    pub(super) fn feed(&mut self, input: Input) -> bool {
        self.slewed = false;
        self.core.handle(input, self.now);
        self.drain()
    }

    /// Does all that the core wants; whether that was anything.
    pub(super) fn drain(&mut self) -> bool {
        let mut moved = false;
        while let Some(effect) = self.core.poll_effect() {
            moved |= effect != crate::schedule::Effect::Announce;
            self.perform(effect);
        }
        moved
    }

    /// Whether it runs nothing.
    pub(super) fn is_away(&self) -> bool {
        matches!(self.sleep, Sleep::Asleep { .. } | Sleep::Dead { .. })
    }

    /// Whether the core knows all that there is to know: it runs, has heard what the disk has to say, and what time it is.
    pub(super) fn is_up_to_date(&self) -> bool {
        let overdue = self.core.poll_timeout().is_some_and(|(at, _)| at <= self.now.moment);
        !overdue && !self.is_away() && !self.disk.is_busy() && !self.slewed
    }

    /// From now on nothing changes but what is asked for: link and server stay as they are, and nobody does anything.
    pub(super) fn freeze(&mut self) {
        self.server.stay(self.now.moment);
        self.timeline = None;
        self.acts.clear();
        self.apps.stop(self.now.moment);
    }

    /// How long the core's configuration lets a backoff be.
    pub(super) fn backoff_cap(&self) -> Duration {
        self.config.limits.backoff_cap
    }
}
