//! Settlements that the store could not write: kept here and handed out again until it can. Their tasks stay marked as
//! running meanwhile, so nobody sends them twice.

use std::time::Duration;

use super::Effect;
use crate::model::{Moment, Now, Settlement, TaskId};

/// A disk that was full or failing is tried again after this long.
const AGAIN: Duration = Duration::from_secs(5);

/// What is still to be written, and when to try.
#[derive(Debug, Default)]
pub(super) struct Unsettled {
    settlements: Vec<(TaskId, Settlement)>,
    again: Option<Moment>,
}

impl Unsettled {
    /// The store could not write these.
    pub(super) fn keep(&mut self, settlements: Vec<(TaskId, Settlement)>, now: Now) {
        self.settlements.extend(settlements);
        self.again.get_or_insert(now.moment + AGAIN);
    }

    /// When the next try is due.
    pub(super) fn next_try(&self) -> Option<Moment> {
        self.again
    }

    /// The next try, if it is due.
    pub(super) fn due(&mut self, now: Now) -> Option<Effect> {
        self.again.take_if(|again| *again <= now.moment)?;
        Some(Effect::Settle(std::mem::take(&mut self.settlements)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TaskResult;

    #[test]
    fn what_was_not_written_is_handed_out_again_together_and_once() {
        let settlement = || (TaskId::mint(), Settlement::Done(TaskResult::default()));
        let (first, second) = (settlement(), settlement());
        let now = Now::default();
        let mut unsettled = Unsettled::default();
        assert_eq!((unsettled.next_try(), unsettled.due(now + AGAIN)), (None, None));
        unsettled.keep(vec![first.clone()], now);
        unsettled.keep(vec![second.clone()], now + AGAIN / 2);
        assert_eq!(unsettled.next_try(), Some(now.moment + AGAIN), "the first failure sets the time");
        assert_eq!(unsettled.due(now + AGAIN / 2), None);
        assert_eq!(unsettled.due(now + AGAIN), Some(Effect::Settle(vec![first, second])));
        assert_eq!((unsettled.next_try(), unsettled.due(now + AGAIN * 2)), (None, None));
    }
}
