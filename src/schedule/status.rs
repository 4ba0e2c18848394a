//! What the scheduler shows of itself.

use std::collections::{BTreeMap, BTreeSet};

use super::{Scheduler, Wake};
use crate::model::{
    BackendName, CountsByStrategy, Kind, ManagerState, Moment, Network, Now, Overrides, Power, Reason, Status,
    Strategy, StrategyName, StrategyStatus, WallTime,
};

/// All that [`Scheduler::status`] shows, but for the queue's counts.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    status: Status,
    wake: Option<(Moment, Wake)>,
}

impl Scheduler {
    /// What to show. `counts` are the store's; when they change, show anew: [`Effect::Announce`](super::Effect::Announce)
    /// speaks for all the rest.
    pub fn status(&self, counts: &CountsByStrategy, now: Now) -> Status {
        let next_wake = self.wake.map(|(at, wake)| (wake.as_str(), now.wall_of(at)));
        Status { next_wake, ..self.status_but_wake(counts, now) }
    }

    /// The backends that do not work now: why, and what the last failure said.
    pub fn ill(&self) -> impl Iterator<Item = (&BackendName, Reason, &str)> {
        let each = self.backends.iter();
        each.filter_map(|(name, backend)| {
            backend.illness().map(|illness| (name, illness.reason(), illness.words.as_str()))
        })
    }

    pub(super) fn shown(&self, now: Now) -> Shown {
        Shown { status: self.status_but_wake(&CountsByStrategy::new(), now), wake: self.wake }
    }

    fn status_but_wake(&self, counts: &CountsByStrategy, now: Now) -> Status {
        let strategies: BTreeMap<_, _> = self
            .config
            .strategies
            .values()
            .map(|strategy| (strategy.name.clone(), self.strategy_status(strategy, counts, now)))
            .collect();
        let first_backend = self.config.backends.keys().next();
        Status {
            state: self.state(counts),
            pause: self.pauses.of(None).map(|paused| paused.pause),
            blocked: self.blocked_for_all(&strategies),
            next_wake: None,
            holds: u32::try_from(self.holds.iter().len()).unwrap_or(u32::MAX),
            transfers: u32::try_from(self.attempts.len()).unwrap_or(u32::MAX),
            running: BTreeMap::new(),
            network: first_backend.and_then(|name| self.network_of(name)).cloned().unwrap_or_else(Network::none),
            bandwidth: self.bandwidths.shown(first_backend.and_then(|name| self.network_of(name)?.identity()).as_ref()),
            power: self.world.as_ref().map_or_else(Power::mains, |world| world.power.clone()),
            strategies,
        }
    }

    fn state(&self, counts: &CountsByStrategy) -> ManagerState {
        if self.stopping {
            ManagerState::Stopping
        } else if self.world.is_none() {
            ManagerState::Starting
        } else if self.pauses.of(None).is_some() {
            ManagerState::Paused
        } else if !self.attempts.is_empty() {
            ManagerState::Syncing
        } else if counts.values().any(|counts| counts.pending > 0) {
            ManagerState::Waiting
        } else {
            ManagerState::Idle
        }
    }

    fn strategy_status(&self, strategy: &Strategy, counts: &CountsByStrategy, now: Now) -> StrategyStatus {
        StrategyStatus {
            priority: strategy.priority,
            counts: counts.get(&strategy.name).copied().unwrap_or_default(),
            blocked: self.blocked_of(&strategy.name, strategy.kind, now),
            next_attempt: self.next_attempt_of(&strategy.name, now),
            pause: self.pauses.of(Some(&strategy.name)).map(|paused| paused.pause),
            budget: strategy.conditions.metered_budget.map(|limit| (self.budgets.spent(&strategy.name), limit)),
        }
    }

    /// Why nothing of a strategy goes now: what hinders its lanes, if each that has work is hindered.
    fn blocked_of(&self, name: &StrategyName, kind: Kind, now: Now) -> Vec<Reason> {
        let mut busy = self.lanes.iter().filter(|(_, lane)| lane.strategy == *name && lane.waiting > 0).peekable();
        if busy.peek().is_none() {
            let ill = self.backend_of(name).and_then(|(_, backend)| backend.illness());
            return sorted(
                self.hindrances(name, &Overrides::default(), now)
                    .into_iter()
                    .chain(ill.map(|illness| illness.reason())),
            );
        }
        let runs = self.attempts.values().any(|attempt| attempt.strategy.name == *name);
        let mut reasons = BTreeSet::new();
        for (_, lane) in busy {
            let ill = self.backend_of(name).and_then(|(_, backend)| backend.illness()).map(|illness| illness.reason());
            let crowded = lane.crowded_since.filter(|_| !runs && !self.slots().free_for(kind));
            let spread = self.spread(name, now.moment).map(|_| Reason::Backoff);
            let of_lane: Vec<Reason> = lane
                .hindrances
                .keys()
                .copied()
                .chain(ill)
                .chain(spread)
                .chain(crowded.map(|_| Reason::Concurrency))
                .collect();
            if of_lane.is_empty() {
                return Vec::new();
            }
            reasons.extend(of_lane);
        }
        reasons.into_iter().collect()
    }

    /// When the next task of a strategy is due, or goes, if all that wait do so for a time.
    fn next_attempt_of(&self, name: &StrategyName, now: Now) -> Option<WallTime> {
        let lanes = self.lanes.values().filter(|lane| lane.strategy == *name && lane.waiting > 0);
        let due = lanes.filter_map(|lane| lane.first_due).min()?;
        let spread = self.spread(name, now.moment).map(|drawn| now.wall_of(drawn.until));
        spread.into_iter().chain([due]).max().filter(|due| *due > now.wall)
    }

    /// The reasons that hold for every strategy that has work; if none has, for every one that has a backend.
    fn blocked_for_all(&self, strategies: &BTreeMap<StrategyName, StrategyStatus>) -> Vec<Reason> {
        let has_work = |name: &StrategyName| self.lanes.values().any(|lane| lane.strategy == *name && lane.waiting > 0);
        let idle = !strategies.keys().any(has_work);
        let nowhere = !strategies.keys().any(|name| self.backend_of(name).is_some());
        strategies
            .iter()
            .filter(|(name, _)| if idle { self.backend_of(name).is_some() || nowhere } else { has_work(name) })
            .map(|(_, status)| status.blocked.iter().copied().collect::<BTreeSet<_>>())
            .reduce(|left, right| left.intersection(&right).copied().collect())
            .unwrap_or_default()
            .into_iter()
            .collect()
    }
}

fn sorted(reasons: impl Iterator<Item = Reason>) -> Vec<Reason> {
    reasons.collect::<BTreeSet<_>>().into_iter().collect()
}
