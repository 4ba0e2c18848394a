//! What concerns two tasks: the order within a key, and `after`. It is decided in the transaction that writes them, so
//! that the ready index holds only what may go.

use std::collections::VecDeque;

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::row::{Phase, Row};
use super::sql::{micros, one_row};
use super::tally::Tally;
use super::work::Work;
use crate::model::{Failure, Owner, TaskError, TaskId, WallTime};

impl Work<'_> {
    /// Puts the right task at the head of the key of `row`, which has just come, gone or changed its state: none while
    /// an attempt has one of them, else the pending one that was enqueued first. Of the pending ones at most one is
    /// not `behind`, and it is among the first two: the head there was, or the one that has come before it.
    pub(super) fn rehead(&mut self, row: &Row, now: WallTime) -> Result<()> {
        let Some(key) = &row.key else { return Ok(()) };
        let taken = is_taken(self.conn, row.owner, key)?;
        for (place, (seq, behind)) in first_two(self.conn, row.owner, key)?.into_iter().enumerate() {
            let should_wait = taken || place > 0;
            if behind && !should_wait {
                self.promote(seq, now)?;
            } else if !behind && should_wait {
                self.demote(seq)?;
            }
        }
        Ok(())
    }

    fn promote(&mut self, seq: i64, now: WallTime) -> Result<()> {
        let row = Row::get(self.conn, seq)?;
        let due = self.sane_due(&row, now)?;
        let mut update = self.conn.prepare_cached("UPDATE task SET behind = 0, due = ?2 WHERE seq = ?1")?;
        one_row(update.execute([seq, due])?)?;
        self.regroup(row, |row| row.behind = false)
    }

    fn demote(&mut self, seq: i64) -> Result<()> {
        let row = Row::get(self.conn, seq)?;
        one_row(self.conn.prepare_cached("UPDATE task SET behind = 1 WHERE seq = ?")?.execute([seq])?)?;
        self.regroup(row, |row| row.behind = true)
    }

    /// `on_task` is done: those that wait for it wait for one task less.
    pub(super) fn release_dependents(&mut self, on_task: i64, now: WallTime) -> Result<()> {
        for seq in dependents(self.conn, on_task)? {
            let row = Row::get(self.conn, seq)?;
            let due = self.sane_due(&row, now)?;
            let mut update = self.conn.prepare_cached("UPDATE task SET deps = deps - 1, due = ?2 WHERE seq = ?1")?;
            one_row(update.execute([seq, due])?)?;
            self.regroup(row, |row| row.deps -= 1)?;
            self.conn
                .prepare_cached("DELETE FROM dependency WHERE on_task = ? AND task = ?")?
                .execute([on_task, seq])?;
        }
        Ok(())
    }

    /// A task was cancelled or discarded: those that wait for it fail, and those that wait for them.
    pub(super) fn fail_dependents(&mut self, on_task: i64, id: TaskId, what: &str, now: WallTime) -> Result<()> {
        let mut gone = VecDeque::from([(on_task, format!("task {id} {what}"))]);
        while let Some((on_task, words)) = gone.pop_front() {
            for seq in dependents(self.conn, on_task)? {
                let row = Row::get(self.conn, seq)?;
                gone.push_back((seq, format!("task {} failed: {words}", row.id)));
                self.fail(row, &TaskError { failure: Failure::Dependency, words: words.clone() }, now)?;
            }
        }
        Ok(())
    }

    /// A task that waits no longer leaves no trace with those it waited for.
    pub(super) fn forget_waits(&self, row: &Row) -> Result<()> {
        if row.phase != Phase::Pending || row.deps == 0 {
            return Ok(());
        }
        let mut delete = self.conn.prepare_cached(
            "DELETE FROM dependency WHERE on_task = (SELECT seq FROM task WHERE id = ?) AND task = ?",
        )?;
        for id in &row.after {
            delete.execute(params![id.as_bytes(), row.seq])?;
        }
        Ok(())
    }

    /// Counts a pending task that came to wait for more or for fewer others.
    fn regroup(&mut self, mut row: Row, change: impl FnOnce(&mut Row)) -> Result<()> {
        let before = Tally::of(&row);
        change(&mut row);
        self.books.note(self.conn, row.account, before, Tally::of(&row))
    }

    /// The due time of a task that waited for others, while the clock may have been set back.
    fn sane_due(&self, row: &Row, now: WallTime) -> Result<i64> {
        if row.due <= micros(now) {
            return Ok(row.due);
        }
        let mut ask = self.conn.prepare_cached("SELECT attempts = 0 AND due = created FROM task WHERE seq = ?")?;
        let never_tried: bool = ask.query_row([row.seq], |row| row.get(0))?;
        Ok(row.due.min(if never_tried { micros(now) } else { self.due_cap(now) }))
    }
}

/// Whether an attempt has a task of this key.
fn is_taken(conn: &Connection, owner: Owner, key: &str) -> Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM task INDEXED BY keyed WHERE owner = ? AND key = ? AND key IS NOT NULL
                        AND state IN (0, 1, 5) AND state > 0)",
    )?
    .query_row(params![owner.0, key], |row| row.get(0))
}

/// Whether a task of this key waits or runs.
pub(super) fn is_occupied(conn: &Connection, owner: Owner, key: &str) -> Result<bool> {
    conn.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM task INDEXED BY keyed WHERE owner = ? AND key = ? AND key IS NOT NULL
                        AND state IN (0, 1, 5))",
    )?
    .query_row(params![owner.0, key], |row| row.get(0))
}

/// The first pending task of this key.
pub(super) fn first_pending(conn: &Connection, owner: Owner, key: &str) -> Result<Option<i64>> {
    conn.prepare_cached(
        "SELECT seq FROM task INDEXED BY keyed WHERE owner = ? AND key = ? AND key IS NOT NULL
         AND state IN (0, 1, 5) AND state = 0 ORDER BY seq LIMIT 1",
    )?
    .query_row(params![owner.0, key], |row| row.get(0))
    .optional()
}

fn first_two(conn: &Connection, owner: Owner, key: &str) -> Result<Vec<(i64, bool)>> {
    conn.prepare_cached(
        "SELECT seq, behind FROM task INDEXED BY keyed WHERE owner = ? AND key = ? AND key IS NOT NULL
         AND state IN (0, 1, 5) AND state = 0 ORDER BY seq LIMIT 2",
    )?
    .query_map(params![owner.0, key], |row| Ok((row.get(0)?, row.get(1)?)))?
    .collect()
}

fn dependents(conn: &Connection, on_task: i64) -> Result<Vec<i64>> {
    conn.prepare_cached("SELECT task FROM dependency WHERE on_task = ?")?
        .query_map([on_task], |row| row.get(0))?
        .collect()
}
