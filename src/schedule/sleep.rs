//! Sleep that is near: what runs has a moment to come to its next safe point, and is cut then, so that the device is not
//! kept awake. After it, what was on its way may be lost.

use std::time::Duration;

use super::{Effect, Scheduler, Wake};
use crate::model::{Moment, Now, World};

/// How long an attempt may go on. logind waits for five seconds, unless told otherwise (`InhibitDelayMaxSec`), and the ends
/// are to be on disk by then.
const LIMIT: Duration = Duration::from_secs(2);

impl Scheduler {
    /// The world becomes this one. To be called before it has.
    pub(super) fn look_at_sleep(&mut self, world: &World, now: Now) {
        let was_near = self.sleep_since.is_some();
        self.sleep_since = world.suspending.then(|| self.sleep_since.unwrap_or(now.moment));
        if !was_near || world.suspending {
            return;
        }
        // What seemed an outage may have been the way to sleep, and a server may be back after the night.
        let cap = self.config.limits.backoff_cap;
        self.backends.values_mut().for_each(|backend| backend.rerouted(now.moment, cap));
        let run_on = self.attempts.iter().filter(|(_, attempt)| attempt.cut.is_none());
        self.effects.extend(run_on.map(|(id, _)| Effect::LinkBack { attempt: *id }));
    }

    /// Whether the moment is over.
    pub(super) fn must_sleep(&self, now: Now) -> bool {
        self.sleep_limit().is_some_and(|limit| limit <= now.moment)
    }

    /// When what still runs is cut.
    pub(super) fn sleep_wake(&self) -> Option<(Moment, Wake)> {
        let runs = self.attempts.values().any(|attempt| attempt.cut.is_none());
        self.sleep_limit().filter(|_| runs).map(|limit| (limit, Wake::SleepLimit))
    }

    fn sleep_limit(&self) -> Option<Moment> {
        self.sleep_since.map(|since| since + LIMIT)
    }
}
