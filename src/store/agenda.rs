//! When the store next wants tidying: an expiry (exact) or a pruning (coarse, so that it wakes the device seldom).

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Result};

use super::sql::{micros, span, wall};
use crate::model::WallTime;

/// A prune may be this late: what ends within an hour is pruned by one wake.
const PRUNE_GRAIN: Duration = Duration::from_secs(3600);

/// What is to be done later without anybody asking.
#[derive(Debug)]
pub(super) struct Agenda {
    next_expiry: Option<i64>,
    expiry_changed: bool,
    oldest_ended: Option<i64>,
    ended_changed: bool,
    /// A tidy left work over: go on at once, as of this time.
    unfinished: Option<WallTime>,
    /// Backoffs that were overdue at this time are still to be spread.
    pub(super) spreading: Option<i64>,
    /// What was told last.
    told: Option<Option<WallTime>>,
}

impl Agenda {
    /// Knows nothing yet and will look.
    pub(super) const fn new() -> Self {
        Self {
            next_expiry: None,
            expiry_changed: true,
            oldest_ended: None,
            ended_changed: true,
            unfinished: None,
            spreading: None,
            told: None,
        }
    }

    /// A pending task with an expiry came or went.
    pub(super) fn expiry_changed(&mut self) {
        self.expiry_changed = true;
    }

    /// A task ended at this time and will be pruned.
    pub(super) fn ended(&mut self, at: WallTime) {
        let at = micros(at);
        self.oldest_ended = Some(self.oldest_ended.map_or(at, |oldest| oldest.min(at)));
    }

    /// Ended tasks were removed.
    pub(super) fn removed(&mut self) {
        self.ended_changed = true;
    }

    /// A tidy was made at `now`: its caller is told the next time even if that has not changed.
    pub(super) fn tidied(&mut self, now: WallTime, more: bool) {
        self.unfinished = more.then_some(now);
        self.told = None;
    }

    /// A transaction was undone: look again.
    pub(super) fn rolled_back(&mut self) {
        self.expiry_changed = true;
        self.ended_changed = true;
    }

    /// The next time, if it is another than was told.
    pub(super) fn news(&mut self, conn: &Connection, keep_done: Duration) -> Result<Option<Option<WallTime>>> {
        if self.expiry_changed {
            self.next_expiry = first(
                conn,
                "SELECT expires FROM task INDEXED BY expiring WHERE expires IS NOT NULL AND state = 0
                 ORDER BY expires LIMIT 1",
            )?;
            self.expiry_changed = false;
        }
        if self.ended_changed {
            self.oldest_ended =
                first(conn, "SELECT since FROM task INDEXED BY ended WHERE state IN (2, 4) ORDER BY since LIMIT 1")?;
            self.ended_changed = false;
        }
        let prune = self.oldest_ended.map(|oldest| prune_at(oldest, keep_done));
        let next = [self.next_expiry.map(wall), prune, self.unfinished].into_iter().flatten().min();
        if self.told == Some(next) {
            return Ok(None);
        }
        self.told = Some(next);
        Ok(Some(next))
    }
}

/// When to prune what ended at `oldest`: rounded up, by at most an eighth of the time it is kept.
fn prune_at(oldest: i64, keep_done: Duration) -> WallTime {
    let grain = span(PRUNE_GRAIN.min((keep_done / 8).max(Duration::from_secs(1))));
    let at = oldest.saturating_add(span(keep_done));
    wall(at.div_euclid(grain).saturating_add(1).saturating_mul(grain))
}

fn first(conn: &Connection, sql: &str) -> Result<Option<i64>> {
    conn.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()
}
