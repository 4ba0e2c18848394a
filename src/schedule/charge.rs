//! When the battery must be looked at: most send no word of a percent. On battery, before a claim that asks for a charge,
//! and once a minute while one runs or waits for it; never else.

use std::time::Duration;

use super::choose::{Candidate, choose};
use super::{Effect, Scheduler, Wake};
use crate::model::{LaneId, Moment, Now, Reason};

/// How old a reading may be when something is claimed by it.
const FRESH: Duration = Duration::from_secs(10);
/// How long a reading takes at most, as a rule: what is urgent waits for it so long.
const PATIENCE: Duration = Duration::from_secs(1);
/// How old it may become while something depends on it.
const OLD: Duration = Duration::from_secs(60);

impl Scheduler {
    /// The lane to claim from: the urgent one if enough is known for it. Else it waits for a reading, and everything with
    /// it for a moment, since a slot given away costs an attempt's time; if that does not come, another goes.
    pub(super) fn by_charge(&mut self, urgent: LaneId, candidates: &[Candidate], now: Now) -> Option<LaneId> {
        if self.knows_charge(urgent, now) {
            return Some(urgent);
        }
        self.read_power(now);
        if self.patience_ends().is_some_and(|end| now.moment < end) {
            return None;
        }
        let known = candidates.iter().copied().filter(|candidate| self.knows_charge(candidate.lane, now));
        choose(known).map(|candidate| candidate.lane)
    }

    /// Whether what is known of the battery is enough to claim from this lane. If not, it waits for a reading.
    pub(super) fn knows_charge(&self, lane: LaneId, now: Now) -> bool {
        let read = self.power_read().filter(|_| self.asks_for_charge(lane));
        read.is_none_or(|read| now.moment.saturating_since(read) <= FRESH)
    }

    /// Looks at the battery if something depends on it and has for long.
    pub(super) fn look_at_charge(&mut self, now: Now) {
        if self.charge_is_old_at().is_some_and(|at| at <= now.moment) {
            self.read_power(now);
        }
    }

    /// When the battery is to be looked at again.
    pub(super) fn charge_wake(&self, now: Now) -> Option<(Moment, Wake)> {
        let at = match self.patience_ends() {
            Some(end) => Some(end).filter(|end| *end > now.moment),
            None => self.charge_is_old_at(),
        };
        at.map(|at| (at, Wake::ReadPower))
    }

    fn patience_ends(&self) -> Option<Moment> {
        self.reading_power.map(|since| since + PATIENCE)
    }

    fn charge_is_old_at(&self) -> Option<Moment> {
        let read = self.power_read()?;
        let runs = || self.attempts.values().any(|attempt| attempt.conditions.min_battery.percent() > 0);
        let waits = || {
            self.lanes.iter().any(|(id, lane)| {
                let only_that = lane.hindrances.keys().all(|reason| *reason == Reason::LowBattery);
                lane.waiting > 0 && !lane.hindrances.is_empty() && only_that && self.asks_for_charge(*id)
            })
        };
        (runs() || waits()).then(|| read + OLD)
    }

    /// When power was read, if the device is on battery.
    fn power_read(&self) -> Option<Moment> {
        self.world.as_ref().filter(|world| !world.power.external).map(|world| world.power_read)
    }

    fn asks_for_charge(&self, lane: LaneId) -> bool {
        self.policy_of(lane)
            .is_some_and(|policy| policy.strategy.conditions.with(policy.overrides).min_battery.percent() > 0)
    }

    fn read_power(&mut self, now: Now) {
        if self.reading_power.is_none() {
            self.reading_power = Some(now.moment);
            self.effects.push_back(Effect::ReadPower);
        }
    }
}
