//! Due times after the clock jumped or the daemon was away (DESIGN section 3, "Time").

use std::time::Duration;

use rusqlite::{Result, params};

use super::super::error::StoreError;
use super::super::operation::{Fault, Operation};
use super::super::sql::{micros, one_row};
use super::super::work::Work;
use crate::model::{LaneId, WallTime};

/// Overdue backoffs come due within this span, so that a fleet that lost power together does not call together.
const SPREAD: Duration = Duration::from_secs(10);
/// Rows of each kind that are moved in one transaction.
const PIECE: i64 = 2000;

/// Puts due times right that the wall clock has made wrong, and spreads those that passed meanwhile.
pub(in crate::store) struct Respread {
    pub(in crate::store) now: WallTime,
}

impl Operation for Respread {
    type Answer = ();
    type Refusal = StoreError;

    const DOING: &'static str = "spreading due times";

    fn run(&self, work: &mut Work<'_>) -> Result<(), Fault<StoreError>> {
        let more = start(work, self.now)?;
        work.agenda.tidied(self.now, more);
        Ok(())
    }
}

/// Does the first piece; whether there is more, which each tidy goes on with.
pub(super) fn start(work: &mut Work<'_>, now: WallTime) -> Result<bool> {
    work.agenda.spreading = Some(micros(now));
    forget_the_future(work, now)?;
    clamp_fresh(work, micros(now), now)?;
    go_on(work, now)
}

/// Does the next piece; whether there is more.
pub(super) fn go_on(work: &mut Work<'_>, now: WallTime) -> Result<bool> {
    let Some(overdue_at) = work.agenda.spreading else { return Ok(false) };
    let far = clamp_backoffs(work, now)?;
    let fresh = clamp_fresh(work, work.due_cap(now), now)?;
    let overdue = spread_overdue(work, overdue_at, now)?;
    let more = fresh || far || overdue;
    if !more {
        work.agenda.spreading = None;
    }
    Ok(more)
}

/// A task that no server has answered never waits for a time: if it is due later than now, the clock was set back.
/// Beyond the backoff cap all of them are found, since the backoffs there are put right too; below it the index cannot
/// tell them from backoffs, so that the first piece is looked at and the rest wait for at most that cap.
fn clamp_fresh(work: &mut Work<'_>, later_than: i64, now: WallTime) -> Result<bool> {
    let mut more = false;
    for lane in work.books.lanes() {
        let found = due_later(work, lane, later_than, work.due_cap(now))?;
        for (seq, is_wrong) in &found {
            if *is_wrong {
                set_due(work, *seq, micros(now))?;
                work.books.touch(lane);
            }
        }
        more |= is_piece(found.len());
    }
    Ok(more)
}

/// Those due later, and whether that is wrong: one that no server has answered is due when it was enqueued. An upload that came
/// further counts as not answered and is in a backoff all the same, if none ends beyond `cap`.
fn due_later(work: &Work<'_>, lane: LaneId, due: i64, cap: i64) -> Result<Vec<(i64, bool)>> {
    work.conn
        .prepare_cached(
            "SELECT seq, attempts = 0 AND (due = created OR due > ?3) FROM task INDEXED BY ready
             WHERE lane = ?1 AND state = 0 AND behind = 0 AND deps = 0 AND due > ?2 ORDER BY due, seq LIMIT ?4",
        )?
        .query_map(params![lane.0, due, cap, PIECE], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// A backoff that ends later than any backoff can: drawn anew.
fn clamp_backoffs(work: &mut Work<'_>, now: WallTime) -> Result<bool> {
    let cap = work.options.backoff_cap;
    let rows = backoffs(work, "due > ?1", work.due_cap(now))?;
    for (seq, lane) in &rows {
        let due = work.jitter(now, cap);
        set_due(work, *seq, due)?;
        work.books.touch(LaneId(*lane));
    }
    Ok(is_piece(rows.len()))
}

/// A backoff that ended while nothing could go: drawn from a short span. It then lies after `overdue_at`, so that no
/// task is moved twice.
fn spread_overdue(work: &mut Work<'_>, overdue_at: i64, now: WallTime) -> Result<bool> {
    let short = SPREAD.min(work.options.backoff_cap);
    let rows = backoffs(work, "due <= ?1", overdue_at)?;
    for (seq, lane) in &rows {
        let due = work.jitter(now, short).max(overdue_at.saturating_add(1));
        set_due(work, *seq, due)?;
        work.books.touch(LaneId(*lane));
    }
    Ok(is_piece(rows.len()))
}

fn backoffs(work: &Work<'_>, which: &str, due: i64) -> Result<Vec<(i64, i64)>> {
    work.conn
        .prepare_cached(&format!(
            "SELECT seq, lane FROM task INDEXED BY backoff WHERE state = 0 AND attempts > 0 AND {which}
             ORDER BY due, seq LIMIT {PIECE}"
        ))?
        .query_map([due], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}

/// What ended in the future ended now; otherwise it would be kept until that future.
fn forget_the_future(work: &mut Work<'_>, now: WallTime) -> Result<()> {
    let ended: Vec<i64> = work
        .conn
        .prepare_cached(
            "SELECT seq FROM task INDEXED BY ended WHERE state IN (2, 4) AND since > ? ORDER BY since DESC LIMIT ?",
        )?
        .query_map([micros(now), PIECE], |row| row.get(0))?
        .collect::<Result<_>>()?;
    for seq in &ended {
        let mut update = work.conn.prepare_cached("UPDATE task SET since = ?2 WHERE seq = ?1")?;
        one_row(update.execute([*seq, micros(now)])?)?;
        work.agenda.removed();
    }
    Ok(())
}

fn set_due(work: &Work<'_>, seq: i64, due: i64) -> Result<()> {
    one_row(work.conn.prepare_cached("UPDATE task SET due = ?2 WHERE seq = ?1")?.execute([seq, due])?)
}

fn is_piece(rows: usize) -> bool {
    rows as i64 >= PIECE
}
