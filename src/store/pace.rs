//! When a commit's news are told. Pure: time comes in as an argument.

use std::time::{Duration, Instant};

/// News of new tasks alone wait until this long after the last news: while one task after another comes in, the news of
/// each commit would cost as much as the commit. The first after a pause are told at once.
const GATHER: Duration = Duration::from_millis(5);

/// Says when.
#[derive(Debug)]
pub(super) struct NewsPace {
    quiet_until: Instant,
    waiting: bool,
}

impl NewsPace {
    /// What comes first is told at once.
    pub(super) const fn new(now: Instant) -> Self {
        Self { quiet_until: now, waiting: false }
    }

    /// When news that wait must be told; `None` if none wait.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        if self.waiting { Some(self.quiet_until) } else { None }
    }

    /// Something was committed, new tasks alone if `adds_only`: whether to tell now.
    pub(super) fn committed(&mut self, adds_only: bool, now: Instant) -> bool {
        self.waiting = adds_only && now < self.quiet_until;
        !self.waiting
    }

    /// All there was has been told.
    pub(super) fn told(&mut self, now: Instant) {
        *self = Self { quiet_until: now + GATHER, waiting: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_of_new_tasks_alone_are_gathered_and_others_are_told_at_once() {
        let start = Instant::now();
        let mut pace = NewsPace::new(start);
        assert!(pace.committed(true, start), "the first after a pause");
        pace.told(start);
        assert_eq!(pace.deadline(), None);
        assert!(!pace.committed(true, start));
        assert!(!pace.committed(true, start + GATHER / 2));
        assert_eq!(pace.deadline(), Some(start + GATHER));
        assert!(pace.committed(false, start + GATHER / 2), "an end frees a slot: the core must know");
        assert_eq!(pace.deadline(), None);
        assert!(!pace.committed(true, start + GATHER / 2));
        assert!(pace.committed(true, start + GATHER));
    }
}
