//! `SyncNow`: what waits is due now, and waits no longer for what is waived.

use rusqlite::{Result, params};

use super::super::Scope;
use super::super::error::BringForwardError;
use super::super::operation::{Fault, Operation};
use super::super::row::Row;
use super::super::sql::{micros, one_row};
use super::super::tally::Tally;
use super::super::work::Work;
use crate::model::{StrategyName, Waivers, WallTime};

/// Rows that one transaction looks at; others go between.
const PIECE: i64 = 2000;

/// The most lanes there may be. Each costs the scheduler time with every event, and a lane is never removed.
const LANES: usize = 1024;

/// Which waiting tasks, and what of their conditions is waived until they end.
#[derive(Debug, Clone)]
pub(in crate::store) struct Selection {
    pub(in crate::store) scope: Scope,
    /// Of one strategy, or of all.
    pub(in crate::store) strategy: Option<StrategyName>,
    pub(in crate::store) waived: Waivers,
    pub(in crate::store) now: WallTime,
}

/// Brings one piece of what waits forward.
pub(in crate::store) struct BringForward {
    pub(in crate::store) selection: Selection,
    pub(in crate::store) place: Place,
}

/// Where to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Place {
    /// From the first task to the last that is there by then.
    Start,
    /// After this task, up to that one.
    After(i64, i64),
}

impl Operation for BringForward {
    /// Where the next piece begins, if there is one.
    type Answer = Option<Place>;
    type Refusal = BringForwardError;

    const DOING: &'static str = "bringing tasks forward";

    fn needs_savepoint(&self) -> bool {
        true
    }

    fn run(&self, work: &mut Work<'_>) -> Result<Option<Place>, Fault<BringForwardError>> {
        let (after, last) = match self.place {
            Place::Start => (0, *work.next_seq - 1),
            Place::After(after, last) => (after, last),
        };
        for row in waiting(work, after, last)? {
            self.selection.bring(work, &row)?;
        }
        Ok(end_of_piece(work, after, last)?.map(|end| Place::After(end, last)))
    }
}

impl Selection {
    fn bring(&self, work: &mut Work<'_>, row: &Row) -> Result<(), Fault<BringForwardError>> {
        let meant = match &self.strategy {
            Some(strategy) => *strategy == work.books.strategy(row.lane)?,
            None => true,
        };
        if !meant || !self.scope.covers(row.owner) {
            return Ok(());
        }
        let lane = work.books.waiving(work.conn, row.lane, self.waived)?;
        if work.books.lanes().len() > LANES {
            return Err(Fault::Refused(BringForwardError::TooManyLanes));
        }
        let now = micros(self.now);
        if lane == row.lane && row.due <= now {
            return Ok(());
        }
        let account = work.books.account_in(work.conn, row.account, lane)?;
        // It goes in the order of enqueue, as if nothing had kept it.
        let mut update = work.conn.prepare_cached(
            "UPDATE task SET lane = ?2, account = ?3, due = iif(due > ?4, min(created, ?4), due) WHERE seq = ?1",
        )?;
        one_row(update.execute(params![row.seq, lane.0, account.0, now])?)?;
        work.books.note(work.conn, row.account, Tally::of(row), Tally::nothing())?;
        work.books.note(work.conn, account, Tally::nothing(), Tally::of(row))?;
        let words = self.waived.to_string();
        Ok(work.note_history(row.seq, self.now, "sync-now", &words)?)
    }
}

/// What waits among the tasks of a piece.
fn waiting(work: &Work<'_>, after: i64, last: i64) -> Result<Vec<Row>> {
    work.conn
        .prepare_cached(&format!(
            "SELECT {columns} FROM
             (SELECT {columns} FROM task WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT {PIECE}) WHERE state = 0",
            columns = Row::COLUMNS
        ))?
        .query_map([after, last], Row::read)?
        .collect()
}

/// The last task of a piece; `None` if there is none beyond it.
fn end_of_piece(work: &Work<'_>, after: i64, last: i64) -> Result<Option<i64>> {
    let (seqs, end): (i64, Option<i64>) = work
        .conn
        .prepare_cached(&format!(
            "SELECT count(*), max(seq) FROM
             (SELECT seq FROM task WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT {PIECE})"
        ))?
        .query_row([after, last], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(end.filter(|_| seqs == PIECE))
}
