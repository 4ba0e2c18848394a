//! What is done without anybody asking: expired tasks fail, old ones are pruned. A bounded piece at a time.

use rusqlite::{OptionalExtension, Result, params};

use super::super::error::StoreError;
use super::super::operation::{Fault, Operation};
use super::super::row::Row;
use super::super::sql::{micros, span};
use super::super::work::Work;
use super::respread;
use crate::model::{Failure, TaskError, TaskId, WallTime};

/// Rows of each kind that one tidy looks at: some ten milliseconds of work.
const PIECE: i64 = 1000;

/// Fails what expired, prunes what is old, and goes on with a respread that was too long for one piece.
pub(in crate::store) struct Tidy {
    pub(in crate::store) now: WallTime,
}

impl Operation for Tidy {
    type Answer = ();
    type Refusal = StoreError;

    const DOING: &'static str = "tidying the queue";

    fn run(&self, work: &mut Work<'_>) -> Result<(), Fault<StoreError>> {
        let expired = expire(work, self.now)?;
        let pruned = prune(work, self.now)?;
        let unspread = respread::go_on(work, self.now)?;
        work.agenda.tidied(self.now, expired || pruned || unspread);
        Ok(())
    }
}

/// How an expired task fails.
pub(super) fn expired() -> TaskError {
    TaskError { failure: Failure::Expired, words: String::new() }
}

/// Fails a piece of the pending tasks whose time has passed; whether there may be more.
fn expire(work: &mut Work<'_>, now: WallTime) -> Result<bool> {
    let seqs = seqs(
        work,
        "SELECT seq FROM task INDEXED BY expiring WHERE expires IS NOT NULL AND state = 0 AND expires <= ?
         ORDER BY expires LIMIT ?",
        micros(now),
    )?;
    for seq in &seqs {
        let row = Row::get(work.conn, *seq)?;
        work.fail(row, &expired(), now)?;
    }
    Ok(is_piece(&seqs))
}

/// Removes a piece of the done and cancelled tasks that were kept long enough; whether there may be more.
fn prune(work: &mut Work<'_>, now: WallTime) -> Result<bool> {
    let until = micros(now).saturating_sub(span(work.options.keep_done));
    let seqs = seqs(
        work,
        "SELECT seq FROM task INDEXED BY ended WHERE state IN (2, 4) AND since <= ? ORDER BY since LIMIT ?",
        until,
    )?;
    let mut latest: Option<TaskId> = None;
    for seq in &seqs {
        let row = Row::get(work.conn, *seq)?;
        latest = latest.max(Some(row.id));
        work.remove(&row)?;
    }
    if let Some(latest) = latest {
        work.conn
            .prepare_cached(
                "INSERT INTO meta (name, value) VALUES ('pruned_to', ?)
                 ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
            )?
            .execute([latest.as_bytes()])?;
    }
    never_again(work, seqs.iter().copied().max().unwrap_or(0))?;
    Ok(is_piece(&seqs))
}

/// Makes sure that the number of a task that is removed is never given to another: cursors outlive it.
pub(super) fn never_again(work: &Work<'_>, seq: i64) -> Result<()> {
    let known: Option<i64> = work
        .conn
        .prepare_cached("SELECT value FROM meta WHERE name = 'next_seq'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    if known.unwrap_or(1) <= seq {
        work.conn
            .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES ('next_seq', ?)")?
            .execute([seq + 1])?;
    }
    Ok(())
}

fn seqs(work: &Work<'_>, sql: &str, until: i64) -> Result<Vec<i64>> {
    work.conn.prepare_cached(sql)?.query_map(params![until, PIECE], |row| row.get(0))?.collect()
}

fn is_piece(seqs: &[i64]) -> bool {
    seqs.len() as i64 == PIECE
}
