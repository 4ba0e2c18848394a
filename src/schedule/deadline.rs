//! The one moment at which time alone will change something. What could not start anyway wakes nobody.

use super::policy::Policy;
use super::{Scheduler, Wake, hours};
use crate::model::{LaneId, Moment, Now, Reason};

impl Scheduler {
    pub(super) fn next_wake(&self, now: Now) -> Option<(Moment, Wake)> {
        if self.stopping {
            return None;
        }
        let pause = self.pauses.next_end().map(|end| (now.moment_of(end), Wake::PauseEnds));
        let hold = self.holds.next_end().map(|end| (end, Wake::HoldEnds));
        let tidy = self.tidy_at.map(|at| (now.moment_of(at), Wake::Tidy));
        let settle = self.unsettled.next_try().map(|again| (again, Wake::SettleAgain));
        let grace = self.config.network.link_grace;
        let away = self.attempts.values().filter(|attempt| attempt.cut.is_none()).filter_map(|attempt| attempt.away);
        let away = away.min().map(|since| (since + grace, Wake::LinkGrace));
        let lanes = self.lanes.keys().filter_map(|id| self.wake_of(*id, now));
        let dates = self.lanes.keys().filter_map(|id| self.date_wake(*id, now)).chain(self.hours_end(now));
        let sleep = self.sleep_wake();
        lanes
            .chain(dates)
            .chain(self.slow_wake(now.moment))
            .chain(self.charge_wake(now))
            .chain(sleep)
            .chain(self.reach_wake(now))
            .chain(away)
            .chain(pause)
            .chain(hold)
            .chain(tidy)
            .chain(settle)
            .min()
    }

    /// When this lane can go by the passing of time alone. A lane that could go now waits for the claim under way.
    fn wake_of(&self, id: LaneId, now: Now) -> Option<(Moment, Wake)> {
        let lane = self.lanes.get(&id).filter(|lane| lane.hindrances.is_empty())?;
        let policy = self.policy_of(id).filter(|policy| self.has_slot(id, policy.strategy.kind))?;
        let ready = lane.ready_at(now).filter(|_| !self.must_ask(policy.backend))?;
        let admitted = self.admission(policy.backend)?;
        let spread = self.spread(&lane.strategy, now.moment).map(|drawn| (drawn.until, Wake::RandomizedDelay));
        let waits = [Some((ready, Wake::TaskDue)), Some((admitted, Wake::BackendProbe)), spread];
        let wake = waits.into_iter().flatten().max_by_key(|(at, wake)| (*at, std::cmp::Reverse(*wake)))?;
        let wake = self.within_hours(&policy, wake, now)?;
        (wake.0 > now.moment).then_some(wake)
    }

    /// The same wake, or a later one where the lane's hours would be over by then.
    fn within_hours(&self, policy: &Policy<'_>, wake: (Moment, Wake), now: Now) -> Option<(Moment, Wake)> {
        let (hours, zone) = (policy.strategy.conditions.with(policy.overrides).window, &self.world.as_ref()?.zone);
        let then = now.wall_of(wake.0);
        if hours::is_open(&hours, then, zone) {
            return Some(wake);
        }
        hours::next_change(&hours, then, zone).map(|begin| (now.moment_of(begin), Wake::Window))
    }

    /// When the hours of a lane come, or a day with a new budget, if it waits for nothing else.
    fn date_wake(&self, id: LaneId, now: Now) -> Option<(Moment, Wake)> {
        let lane = self.lanes.get(&id).filter(|lane| lane.waiting > 0)?;
        let (policy, zone) = (self.policy_of(id)?, &self.world.as_ref()?.zone);
        let has = |reason| lane.hindrances.contains_key(&reason);
        if !lane.hindrances.keys().all(|reason| matches!(reason, Reason::Window | Reason::Budget)) {
            return None;
        }
        let hours = &policy.strategy.conditions.window;
        let window = has(Reason::Window).then(|| Some((hours::next_change(hours, now.wall, zone)?, Wake::Window)));
        let renewed = || Some((self.budgets.renewed(&lane.strategy, now.wall, zone)?, Wake::BudgetDay));
        let budget = has(Reason::Budget).then(renewed);
        let last = window.flatten().max(budget.flatten());
        last.map(|(at, wake)| (now.moment_of(at), wake))
    }

    /// When the hours of an attempt that runs are over.
    fn hours_end(&self, now: Now) -> Option<(Moment, Wake)> {
        let zone = &self.world.as_ref()?.zone;
        let running = self.attempts.values().filter(|attempt| attempt.cut.is_none() && attempt.ending.is_none());
        let ends = running.filter_map(|attempt| hours::next_change(&attempt.conditions.window, now.wall, zone));
        ends.min().map(|end| (now.moment_of(end), Wake::Window))
    }
}
