//! Handing the next tasks of a lane to an attempt.

use rusqlite::{Connection, Result, params};

use super::super::error::StoreError;
use super::super::operation::{Fault, Operation};
use super::super::payload;
use super::super::row::{Phase, Row};
use super::super::sql::{column, micros, one_row, wall};
use super::super::tally::Tally;
use super::super::work::Work;
use super::tidy::expired;
use crate::model::{Claimed, LaneId, State, WallTime};

/// Expired tasks that one claim fails on its way at most.
const EXPIRED: usize = 1000;

/// Marks the next due tasks of a lane as running.
pub(in crate::store) struct Claim {
    pub(in crate::store) lane: LaneId,
    pub(in crate::store) limit: usize,
    pub(in crate::store) now: WallTime,
}

impl Operation for Claim {
    type Answer = Vec<Claimed>;
    type Refusal = StoreError;

    const DOING: &'static str = "claiming tasks";
    // A claim promises nothing to anybody. If a power cut undoes it, its tasks are pending, as a restart makes them.
    const DURABLE: bool = false;

    fn run(&self, work: &mut Work<'_>) -> Result<Vec<Claimed>, Fault<StoreError>> {
        let mut claimed = Vec::new();
        let mut expired_ones = 0;
        // Failing an expired head of a key lets the next one in, which may expire before it is due: hence the loop.
        while claimed.len() < self.limit && expired_ones < EXPIRED {
            let next = next(work.conn, self.lane, self.limit - claimed.len(), self.now)?;
            if next.is_empty() {
                break;
            }
            for (row, task) in next {
                if row.expires.is_some_and(|expires| expires <= micros(self.now)) {
                    work.fail(row, &expired(), self.now)?;
                    expired_ones += 1;
                } else {
                    self.take(work, row)?;
                    claimed.push(task);
                }
            }
        }
        Ok(claimed)
    }
}

impl Claim {
    fn take(&self, work: &mut Work<'_>, mut row: Row) -> Result<()> {
        let mut update = work.conn.prepare_cached("UPDATE task SET state = 1, since = ?2 WHERE seq = ?1")?;
        one_row(update.execute([row.seq, micros(self.now)])?)?;
        let before = Tally::of(&row);
        row.phase = Phase::Running;
        work.record(&row, before, Some(State::Pending), self.now, String::new())
    }
}

/// The ready tasks of a lane that are due, in order. One range of the ready index: neither what waits nor other lanes
/// are looked at.
fn next(conn: &Connection, lane: LaneId, limit: usize, now: WallTime) -> Result<Vec<(Row, Claimed)>> {
    conn.prepare_cached(&format!(
        "SELECT {}, coalesce(payload, (SELECT body FROM payload WHERE payload.task = seq)), created,
                (SELECT body FROM note WHERE note.task = seq)
         FROM task INDEXED BY ready WHERE lane = ? AND state = 0 AND behind = 0 AND deps = 0 AND due <= ?
         ORDER BY due, seq LIMIT ?",
        Row::COLUMNS
    ))?
    .query_map(params![lane.0, micros(now), column(limit as u64)], |columns| {
        let row = Row::read(columns)?;
        let (text, created) = (columns.get(Row::WIDTH)?, wall(columns.get(Row::WIDTH + 1)?));
        let payload = payload::from_text(text).ok_or(rusqlite::Error::InvalidQuery)?;
        let note = columns.get(Row::WIDTH + 2)?;
        let claimed = Claimed { id: row.id, owner: row.owner, payload, created, attempts: row.attempts, note };
        Ok((row, claimed))
    })?
    .collect()
}
