//! Writing how an attempt left its tasks.

use rusqlite::Result;

use super::super::error::StoreError;
use super::super::operation::{Fault, Operation};
use super::super::row::{Phase, Row};
use super::super::sql::micros;
use super::super::work::{Return, Work};
use crate::model::{Failure, Settlement, TaskError, TaskId, WallTime};

/// Settles the tasks of an attempt.
pub(in crate::store) struct Settle {
    pub(in crate::store) settlements: Vec<(TaskId, Settlement)>,
    pub(in crate::store) now: WallTime,
}

impl Operation for Settle {
    type Answer = ();
    type Refusal = StoreError;

    const DOING: &'static str = "recording how tasks ended";

    fn run(&self, work: &mut Work<'_>) -> Result<(), Fault<StoreError>> {
        for (id, settlement) in &self.settlements {
            match Row::find(work.conn, *id)? {
                Some(row) => settle(work, row, settlement, self.now)?,
                None => tracing::warn!(task = %id, "an attempt of task {id} ended, which is not there"),
            }
        }
        Ok(())
    }
}

fn settle(work: &mut Work<'_>, row: Row, settlement: &Settlement, now: WallTime) -> Result<()> {
    match row.phase {
        Phase::Running => settle_running(work, row, settlement, now),
        Phase::Withdrawn => {
            note_arrival(work, &row, settlement, now)?;
            work.let_go(row, now)
        }
        Phase::Cancelled => note_arrival(work, &row, settlement, now),
        // Not with an attempt: the settlement of one that a restart has already ended.
        Phase::Pending | Phase::Done | Phase::Failed => Ok(()),
    }
}

/// The server has it although its owner took it back: that stays, but can be read.
fn note_arrival(work: &mut Work<'_>, row: &Row, settlement: &Settlement, now: WallTime) -> Result<()> {
    match settlement {
        Settlement::Done(_) => work.note_history(row.seq, now, "arrived-after-cancel", ""),
        Settlement::Retry { .. } | Settlement::Advanced { .. } | Settlement::Release { .. } | Settlement::Failed(_) => {
            Ok(())
        }
    }
}

fn settle_running(work: &mut Work<'_>, mut row: Row, settlement: &Settlement, now: WallTime) -> Result<()> {
    match settlement {
        Settlement::Done(result) => work.done(row, result, now),
        Settlement::Retry { due, error } => {
            work.note_history(row.seq, now, "retry", error)?;
            let how = Return { due: micros(*due), attempts: row.attempts + 1, crashes: 0, error };
            work.comes_back(row, &how, now)
        }
        Settlement::Advanced { due, error } => {
            work.note_history(row.seq, now, "advanced", error)?;
            let how = Return { due: micros(*due), attempts: 0, crashes: 0, error };
            work.comes_back(row, &how, now)
        }
        Settlement::Release { cause } => {
            if !cause.is_empty() {
                work.note_history(row.seq, now, "released", cause)?;
            }
            // It was due when it was claimed: later than now only by a clock that was set back since.
            let due = row.due.min(micros(now));
            let how = Return { due, attempts: row.attempts, crashes: 0, error: cause };
            work.comes_back(row, &how, now)
        }
        Settlement::Failed(error) => {
            // The attempt that exhausted it was answered too.
            row.attempts += u32::from(error.failure == Failure::Exhausted);
            keep_last_error(work, &row, error)?;
            work.fail(row, error, now)
        }
    }
}

fn keep_last_error(work: &Work<'_>, row: &Row, error: &TaskError) -> Result<()> {
    if error.words.is_empty() {
        return Ok(());
    }
    let words = super::super::sql::clip(&error.words, super::super::work::WORDS);
    let mut update = work.conn.prepare_cached("UPDATE task SET last_error = ?2 WHERE seq = ?1")?;
    super::super::sql::one_row(update.execute(rusqlite::params![row.seq, words])?)
}
