//! The one moment at which time alone will change something. What could not start anyway wakes nobody.

use super::{Scheduler, Wake};
use crate::model::{LaneId, Moment, Now};

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
        let sleep = self.sleep_wake();
        lanes
            .chain(self.charge_wake(now))
            .chain(sleep)
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
        let ready = lane.ready_at(now)?;
        let admitted = self.admission(policy.backend)?;
        let wake = if admitted > ready { (admitted, Wake::BackendProbe) } else { (ready, Wake::TaskDue) };
        (wake.0 > now.moment).then_some(wake)
    }
}
