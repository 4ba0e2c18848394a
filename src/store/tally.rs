//! What tasks count for.

use std::ops::{AddAssign, Sub, SubAssign};

use super::row::{Phase, Row};

/// What a task counts for, or how that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) pending: i64,
    pub(super) running: i64,
    pub(super) failed: i64,
    pub(super) waiting: i64,
    pub(super) bytes: i64,
    pub(super) kept: i64,
}

impl Tally {
    /// What this task counts for.
    pub(super) fn of(row: &Row) -> Self {
        let is = |phase: Phase| i64::from(row.phase == phase);
        let (pending, running, failed) = (is(Phase::Pending), is(Phase::Running), is(Phase::Failed));
        Self {
            pending,
            running,
            failed,
            waiting: i64::from(row.is_ready()),
            bytes: (pending + running + failed) * row.size,
            kept: 1,
        }
    }

    /// As an account's row has it: what is running is pending there.
    pub(super) const fn stored(self) -> Self {
        Self {
            pending: self.pending + self.running,
            running: 0,
            waiting: self.waiting + self.running,
            failed: self.failed,
            bytes: self.bytes,
            kept: self.kept,
        }
    }

    /// What a task that is not stored counts for.
    pub(super) const fn nothing() -> Self {
        Self { pending: 0, running: 0, failed: 0, waiting: 0, bytes: 0, kept: 0 }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.pending += other.pending;
        self.running += other.running;
        self.failed += other.failed;
        self.waiting += other.waiting;
        self.bytes += other.bytes;
        self.kept += other.kept;
    }
}

impl Sub for Tally {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            pending: self.pending - other.pending,
            running: self.running - other.running,
            failed: self.failed - other.failed,
            waiting: self.waiting - other.waiting,
            bytes: self.bytes - other.bytes,
            kept: self.kept - other.kept,
        }
    }
}

/// What somebody has that is not done or cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Usage {
    pub(super) tasks: i64,
    pub(super) bytes: i64,
}

impl Usage {
    /// The lesser of each.
    pub(super) fn min(self, other: Self) -> Self {
        Self { tasks: self.tasks.min(other.tasks), bytes: self.bytes.min(other.bytes) }
    }
}

impl SubAssign for Usage {
    fn sub_assign(&mut self, other: Self) {
        self.tasks -= other.tasks;
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.tasks += other.tasks;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

impl AddAssign<Tally> for Usage {
    fn add_assign(&mut self, tally: Tally) {
        self.tasks += tally.pending + tally.running + tally.failed;
        self.bytes += tally.bytes;
    }
}
