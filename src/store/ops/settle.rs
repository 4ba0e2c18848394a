//! Writing how an attempt left its tasks.

use rusqlite::Result;

use super::super::error::StoreError;
use super::super::operation::{Fault, Operation};
use super::super::payload;
use super::super::row::{Phase, Row, overrides_columns, overrides_from_row};
use super::super::sql::{micros, strategy_from, wall};
use super::super::work::{Return, Work};
use super::enqueue;
use crate::model::{
    Failure, FileInfo, NetworkNeed, NewTask, OnExisting, Original, Overrides, Payload, Quality, Settlement, TaskError,
    TaskId, TaskResult, Variant, Waivers, WallTime,
};

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
        Settlement::Done(result) => {
            // Nor does its original follow: the file that was kept for that is nobody's.
            if let Some(id) = original_task(result) {
                work.books.removed(id);
            }
            work.note_history(row.seq, now, "arrived-after-cancel", "")
        }
        Settlement::Retry { .. }
        | Settlement::Advanced { .. }
        | Settlement::Postponed { .. }
        | Settlement::Release { .. }
        | Settlement::Failed(_) => Ok(()),
    }
}

fn settle_running(work: &mut Work<'_>, mut row: Row, settlement: &Settlement, now: WallTime) -> Result<()> {
    match settlement {
        Settlement::Done(result) => {
            let follow = original_task(result).map(|id| follow(work, &row, id, now)).transpose()?.flatten();
            work.done(row, result, now)?;
            follow.map_or(Ok(()), |new| enqueue::add(work, &new, &enqueue::After::default()))
        }
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
        Settlement::Postponed { due, error } => {
            work.note_history(row.seq, now, "postponed", error)?;
            let how = Return { due: micros(*due), attempts: row.attempts, crashes: 0, error };
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

fn original_task(result: &TaskResult) -> Option<TaskId> {
    result.upload.as_ref().and_then(|upload| upload.original_task)
}

/// The task that carries the original of a photo after this one, on a link that costs nothing. It has no key: nothing
/// that changes the photo need wait for it.
fn follow(work: &Work<'_>, row: &Row, id: TaskId, now: WallTime) -> Result<Option<NewTask>> {
    let mut find = work.conn.prepare_cached(concat!(
        "SELECT account.app, lane.strategy, ",
        overrides_columns!(),
        ", tags, coalesce(payload, (SELECT body FROM payload WHERE payload.task = task.seq))
         FROM task CROSS JOIN lane ON lane.id = task.lane CROSS JOIN account ON account.id = task.account WHERE seq = ?"
    ))?;
    find.query_row([row.seq], |columns| {
        let tags: Option<String> = columns.get(6)?;
        let Some(Payload::File(file)) = payload::from_text(columns.get(7)?) else { return Ok(None) };
        let variant = Variant { photo: row.id, quality: Quality::Original };
        let file = FileInfo {
            quality: Quality::Original,
            original: Original::Never,
            max_edge: None,
            record: None,
            variant: Some(variant),
            ..*file
        };
        let overrides = overrides_from_row(columns, 2)?;
        Ok(Some(NewTask {
            id,
            owner: row.owner,
            app: columns.get(0)?,
            strategy: strategy_from(columns, 1)?,
            overrides: Overrides { network: Some(NetworkNeed::Unmetered), waived: Waivers::default(), ..overrides },
            payload: Payload::File(Box::new(file)),
            key: None,
            on_existing: OnExisting::Append,
            after: vec![row.id],
            tags: tags.and_then(|tags| serde_json::from_str(&tags).ok()).unwrap_or_default(),
            expires: row.expires.map(wall),
            request_id: None,
            created: now,
        }))
    })
}

fn keep_last_error(work: &Work<'_>, row: &Row, error: &TaskError) -> Result<()> {
    if error.words.is_empty() {
        return Ok(());
    }
    let words = super::super::sql::clip(&error.words, super::super::work::WORDS);
    let mut update = work.conn.prepare_cached("UPDATE task SET last_error = ?2 WHERE seq = ?1")?;
    super::super::sql::one_row(update.execute(rusqlite::params![row.seq, words])?)
}
