//! What is true now: who may go, by which policy, and what hinders the others.

use super::backend::{Backend, Role};
use super::choose::Slots;
use super::{Scheduler, Situation, blocked};
use crate::model::{
    AnswerMode, BackendConfig, BackendName, Kind, LaneId, Moment, Network, Now, Overrides, Reason, Strategy,
    StrategyName, World,
};

/// What an attempt of a lane would be made by.
pub(super) struct Policy<'a> {
    pub(super) strategy: &'a Strategy,
    pub(super) overrides: &'a Overrides,
    pub(super) backend: &'a BackendName,
    pub(super) role: Role,
    /// The backend shows a certificate.
    pub(super) certified: bool,
    /// The most tasks it may carry.
    pub(super) limit: usize,
}

impl Scheduler {
    /// Whether an attempt of this lane may start, if something of it is due.
    pub(super) fn may_go(&self, id: LaneId, now: Now) -> bool {
        let Some((lane, policy)) = self.lanes.get(&id).zip(self.policy_of(id)) else {
            return false;
        };
        !self.stopping
            && self.hindrances(&lane.strategy, &lane.overrides, now).is_empty()
            && self.has_slot(id, policy.strategy.kind)
            && !self.must_ask(policy.backend)
            && self.spread(&lane.strategy, now.moment).is_none()
            && self.admission(policy.backend).is_some_and(|from| from <= now.moment)
    }

    /// Whether a slot is free for an attempt of this lane.
    pub(super) fn has_slot(&self, id: LaneId, kind: Kind) -> bool {
        let searching = self.lanes.get(&id).is_some_and(|lane| lane.search_limit().is_some());
        let alone = !self.attempts.values().any(|attempt| attempt.lane == id);
        self.slots().free_for(kind) && (alone || !searching)
    }

    /// Whether due tasks of this lane lack nothing but a slot.
    pub(super) fn is_crowded(&self, id: LaneId, now: Now) -> bool {
        self.lanes.get(&id).zip(self.policy_of(id)).is_some_and(|(lane, policy)| {
            lane.is_ready(now)
                && lane.hindrances.is_empty()
                && self.spread(&lane.strategy, now.moment).is_none()
                && policy.role == Role::Ordinary
                && !self.has_slot(id, policy.strategy.kind)
        })
    }

    /// From when on a backend takes another request; `None` while one tells whether its outage is over.
    pub(super) fn admission(&self, name: &BackendName) -> Option<Moment> {
        match self.backends.get(name)?.illness() {
            None => Some(Moment::default()),
            Some(illness) => {
                let asked = self.attempts.values().any(|attempt| attempt.backend == *name)
                    || self.claim.as_ref().is_some_and(|claim| claim.backend == *name);
                (!asked).then_some(illness.until)
            }
        }
    }

    pub(super) fn slots(&self) -> Slots {
        let running = self.attempts.values().map(|attempt| attempt.strategy.kind);
        let claimed = self.claim.iter().map(|claim| claim.kind);
        let mut slots = Slots { max_concurrent: self.config.limits.max_concurrent, json: 0, file: 0 };
        for kind in running.chain(claimed) {
            match kind {
                Kind::Json => slots.json += 1,
                Kind::File => slots.file += 1,
            }
        }
        slots
    }

    /// How an attempt of this lane would be made; `None` if it has no strategy or no backend.
    pub(super) fn policy_of(&self, id: LaneId) -> Option<Policy<'_>> {
        let lane = self.lanes.get(&id)?;
        let strategy = self.config.strategies.get(&lane.strategy)?;
        let (backend, state) = self.backend_of(&lane.strategy)?;
        let section = self.config.backends.get(backend)?;
        let batch = match (strategy.kind, section.answer) {
            (Kind::Json, AnswerMode::Items) => strategy.batch,
            (Kind::Json, AnswerMode::Status) | (Kind::File, AnswerMode::Items | AnswerMode::Status) => 1,
        };
        let limit = lane.search_limit().map_or(batch, |limit| limit.min(batch)).max(1);
        let role = if state.illness().is_some() { Role::Probe } else { Role::Ordinary };
        let certified = section.is_certified();
        Some(Policy { strategy, overrides: &lane.overrides, backend, role, certified, limit })
    }

    /// The backend that a strategy names, if there is one of this name.
    pub(super) fn backend_of(&self, strategy: &StrategyName) -> Option<(&BackendName, &Backend)> {
        let name = self.config.strategies.get(strategy)?.backend.as_ref()?;
        Some((name, self.backends.get(name)?))
    }

    pub(super) fn network_of(&self, backend: &BackendName) -> Option<&Network> {
        self.world.as_ref()?.networks.get(backend)
    }

    /// What keeps tasks with these conditions from going, apart from their backend's health, slots and time.
    pub(super) fn hindrances(&self, strategy: &StrategyName, overrides: &Overrides, now: Now) -> Vec<Reason> {
        match &self.world {
            Some(world) => self.hindrances_in(world, strategy, overrides, now),
            None => self.hindrances_in(&World::unknown(), strategy, overrides, now),
        }
    }

    /// The same in another world, or at another time.
    pub(super) fn hindrances_in(
        &self,
        world: &World,
        strategy: &StrategyName,
        overrides: &Overrides,
        now: Now,
    ) -> Vec<Reason> {
        let mut reasons = match (self.config.strategies.get(strategy), self.backend_of(strategy)) {
            (Some(policy), Some((backend, _))) => {
                let network = world.networks.get(backend);
                let spent = self.budgets.spent_at(strategy, now.wall, world);
                let certified = self.config.backends.get(backend).is_some_and(BackendConfig::is_certified);
                let slow = network.is_some_and(|network| self.is_slow(network, now.moment));
                let situation = Situation { network, world, now: now.wall, spent, certified, slow };
                blocked(&policy.conditions.with(overrides), situation)
            }
            (Some(_) | None, _) => vec![Reason::NoBackend],
        };
        if self.pauses.hold(strategy) {
            reasons.push(Reason::Paused);
        }
        if !self.holds.are_none() {
            reasons.push(Reason::Held);
        }
        reasons
    }
}
