//! Which lane goes next, and whether there is a slot for it.

use crate::model::{Kind, LaneId, WallTime};

/// A lane that could go now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) lane: LaneId,
    pub(super) priority: u32,
    pub(super) first_due: WallTime,
    /// Its oldest task waited longer than the strategy's `max_wait` for a slot.
    pub(super) starved: bool,
}

/// The order of going: starved lanes first, the longest waiting before others; then by priority, then by due time.
/// Of two that are equal in this, the older lane.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Starved { first_due: WallTime, priority: u32, lane: LaneId },
    InOrder { priority: u32, first_due: WallTime, lane: LaneId },
}

/// The lane that goes next.
pub(super) fn choose(candidates: impl Iterator<Item = Candidate>) -> Option<Candidate> {
    candidates.min_by_key(Candidate::rank)
}

impl Candidate {
    fn rank(&self) -> Rank {
        let Self { lane, priority, first_due, starved } = *self;
        if starved { Rank::Starved { first_due, priority, lane } } else { Rank::InOrder { priority, first_due, lane } }
    }
}

/// The slots and who has them. A claim under way has one already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    pub(super) max_concurrent: usize,
    pub(super) json: usize,
    pub(super) file: usize,
}

impl Slots {
    pub(super) fn taken(&self) -> usize {
        self.json + self.file
    }

    /// Whether one more of this kind may go: one slot is kept free of files.
    pub(super) fn free_for(&self, kind: Kind) -> bool {
        match kind {
            Kind::Json => self.taken() < self.max_concurrent,
            Kind::File => self.taken() < self.max_concurrent && self.file + 1 < self.max_concurrent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(lane: i64, priority: u32, due: u64, starved: bool) -> Candidate {
        Candidate { lane: LaneId(lane), priority, first_due: WallTime::from_micros(due), starved }
    }

    fn chosen(candidates: &[Candidate]) -> Option<i64> {
        choose(candidates.iter().copied()).map(|chosen| chosen.lane.0)
    }

    #[test]
    fn priority_goes_before_due_time_and_due_time_before_age_of_the_lane() {
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&[candidate(1, 2, 5, false), candidate(2, 1, 9, false)]), Some(2));
        assert_eq!(chosen(&[candidate(1, 1, 9, false), candidate(2, 1, 5, false)]), Some(2));
        assert_eq!(chosen(&[candidate(2, 1, 5, false), candidate(1, 1, 5, false)]), Some(1));
    }

    #[test]
    fn a_starved_lane_goes_before_all_and_the_longest_waiting_first() {
        assert_eq!(chosen(&[candidate(1, 1, 1, false), candidate(2, 3, 8, true)]), Some(2));
        assert_eq!(chosen(&[candidate(1, 2, 9, true), candidate(2, 3, 8, true)]), Some(2));
    }

    #[test]
    fn files_leave_one_slot() {
        let slots = |json, file| Slots { max_concurrent: 3, json, file };
        assert!(slots(0, 1).free_for(Kind::File));
        assert!(!slots(0, 2).free_for(Kind::File));
        assert!(slots(0, 2).free_for(Kind::Json));
        assert!(slots(2, 0).free_for(Kind::File));
        assert!(!slots(2, 1).free_for(Kind::File));
        assert!(!slots(3, 0).free_for(Kind::Json));
    }
}
