//! Settlements that the store could not write: kept here and handed out again until it can. Their tasks stay marked as
//! running meanwhile, so nobody sends them twice.

use std::time::Duration;

use super::{Effect, backoff};
use crate::model::{Moment, Now, Settlement, TaskId};

/// A disk that was full or failing is tried again after this long.
const AGAIN: Duration = Duration::from_secs(5);

/// What is still to be written, and when to try.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    /// Each with the time at which the store failed.
    settlements: Vec<(Now, (TaskId, Settlement))>,
    again: Option<Moment>,
}

impl Unsettled {
    /// The store could not write these.
    pub(super) fn keep(&mut self, settlements: Vec<(TaskId, Settlement)>, now: Now) {
        self.settlements.extend(settlements.into_iter().map(|settlement| (now, settlement)));
        self.again.get_or_insert(now.moment + AGAIN);
    }

    /// When the next try is due.
    pub(super) fn next_try(&self) -> Option<Moment> {
        self.again
    }

    /// The next try, if it is due; `cap` is the longest backoff.
    pub(super) fn due(&mut self, now: Now, cap: Duration) -> Option<Effect> {
        self.again.take_if(|again| *again <= now.moment)?;
        let kept = std::mem::take(&mut self.settlements).into_iter();
        let as_of_now = |(then, (id, settlement))| (id, as_of(settlement, then, now, cap));
        Some(Effect::Settle(kept.map(as_of_now).collect()))
    }
}

/// The same with waits as long as they were meant to be, though the wall clock may have been set since. One that is longer
/// than any can be was set before the store failed.
fn as_of(mut settlement: Settlement, then: Now, now: Now, cap: Duration) -> Settlement {
    match &mut settlement {
        Settlement::Retry { due, .. } | Settlement::Advanced { due, .. } | Settlement::Postponed { due, .. } => {
            let wait = due.saturating_since(then.wall);
            let wait = if wait > backoff::ASKED_CAP + cap { cap } else { wait };
            *due = now.wall_of(then.moment + wait);
        }
        Settlement::Done(_) | Settlement::Release { .. } | Settlement::Failed(_) => {}
    }
    settlement
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{TaskResult, WallTime};

    const CAP: Duration = Duration::from_secs(900);

    #[test]
    fn what_was_not_written_is_handed_out_again_together_and_once() {
        let settlement = || (TaskId::mint(), Settlement::Done(TaskResult::default()));
        let (first, second) = (settlement(), settlement());
        let now = Now::default();
        let mut unsettled = Unsettled::default();
        assert_eq!((unsettled.next_try(), unsettled.due(now + AGAIN, CAP)), (None, None));
        unsettled.keep(vec![first.clone()], now);
        unsettled.keep(vec![second.clone()], now + AGAIN / 2);
        assert_eq!(unsettled.next_try(), Some(now.moment + AGAIN), "the first failure sets the time");
        assert_eq!(unsettled.due(now + AGAIN / 2, CAP), None);
        assert_eq!(unsettled.due(now + AGAIN, CAP), Some(Effect::Settle(vec![first, second])));
        assert_eq!((unsettled.next_try(), unsettled.due(now + AGAIN * 2, CAP)), (None, None));
    }
    #[test]
    fn a_clock_that_was_set_meanwhile_makes_no_backoff_longer_or_shorter() {
        let retry = |due| (TaskId::from_bytes([0; 16]), Settlement::Retry { due, error: String::new() });
        let (early, late) = (WallTime::default(), WallTime::from_micros(1 << 50));
        for (before, after) in [(early, late), (late, early), (late, late)] {
            let then = Now { wall: before, ..Now::default() };
            let mut unsettled = Unsettled::default();
            unsettled.keep(vec![retry(then.wall + AGAIN * 3)], then);
            let now = Now { wall: after, moment: then.moment + AGAIN };
            assert_eq!(unsettled.due(now, CAP), Some(Effect::Settle(vec![retry(now.wall + AGAIN * 2)])));
        }
    }

    #[test]
    fn a_wait_longer_than_any_is_none() {
        let settlement = |due| (TaskId::from_bytes([0; 16]), Settlement::Advanced { due, error: String::new() });
        let now = Now::default();
        let mut unsettled = Unsettled::default();
        unsettled.keep(vec![settlement(WallTime::from_micros(1 << 50))], now);
        let again = now + AGAIN;
        assert_eq!(unsettled.due(again, CAP), Some(Effect::Settle(vec![settlement(now.wall + CAP)])));
    }
}
