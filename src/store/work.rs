//! What one operation works with, and the ways in which a task moves from one state to another.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::Options;
use super::agenda::Agenda;
use super::books::Books;
use super::payload;
use super::row::{Phase, Row, failure_number};
use super::spool::Held;
use super::sql::{clip, column, micros, one_row};
use super::tally::Tally;
use crate::model::{Abandoned, BackendName, State, TaskError, TaskResult, WallTime};

/// Words that are kept of one answer, in bytes.
pub(super) const WORDS: usize = 4096;
/// A payload up to this many bytes lies in its task's row; a longer one beside it, since SQLite writes a row anew with
/// each change of state.
pub(super) const INLINE: i64 = 1024;
/// Words that are kept in one line of a history, in bytes.
const DETAIL: usize = 1024;
/// Lines that are kept of one task's history.
const LINES: i64 = 16;

/// The hands of one operation: the transaction in progress and what goes with it.
pub(super) struct Work<'a> {
    pub(super) conn: &'a Connection,
    pub(super) books: &'a mut Books,
    pub(super) agenda: &'a mut Agenda,
    pub(super) options: &'a mut Options,
    pub(super) random: &'a mut fastrand::Rng,
    pub(super) next_seq: &'a mut i64,
    /// What files hold of quotas that are being copied.
    pub(super) held: &'a Held,
}

/// How a task comes back to wait.
pub(super) struct Return<'a> {
    /// Not before.
    pub(super) due: i64,
    /// Attempts counted.
    pub(super) attempts: u32,
    /// Starts that found it running.
    pub(super) crashes: u32,
    /// What the attempt brought, if anything.
    pub(super) error: &'a str,
}

impl Work<'_> {
    /// The server has it. Those that waited for it need wait no longer.
    pub(super) fn done(&mut self, mut row: Row, result: &TaskResult, now: WallTime) -> Result<()> {
        let mut update = self.conn.prepare_cached(
            "UPDATE task SET state = 2, since = ?2, status = ?3, duplicate = ?4, words = ?5, crashes = 0, payload = NULL
             WHERE seq = ?1",
        )?;
        let body = payload::words(result);
        let body = if body.is_empty() { None } else { Some(body) };
        one_row(update.execute(params![row.seq, micros(now), result.status, result.duplicate, body])?)?;
        self.drop_payload(&row)?;
        self.drop_note(row.seq)?;
        self.moved(&mut row, Phase::Done, now, String::new())?;
        self.agenda.ended(now);
        self.release_dependents(row.seq, now)?;
        self.rehead(&row, now)
    }

    /// It waits again, in its place under its key.
    pub(super) fn comes_back(&mut self, mut row: Row, how: &Return<'_>, now: WallTime) -> Result<()> {
        let error = clip(how.error, WORDS);
        let mut update = self.conn.prepare_cached(
            "UPDATE task SET state = 0, behind = ?2, deps = ?3, since = NULL, due = ?4, attempts = ?5, crashes = ?6,
                    failure = NULL, words = NULL, last_error = coalesce(?7, last_error) WHERE seq = ?1",
        )?;
        let before = Tally::of(&row);
        let from = row.phase.state();
        row.behind = row.key.is_some();
        let error_column = if error.is_empty() { None } else { Some(error) };
        one_row(update.execute(params![
            row.seq,
            row.behind,
            row.deps,
            how.due,
            how.attempts,
            how.crashes,
            error_column,
        ])?)?;
        (row.phase, row.due, row.attempts, row.crashes) = (Phase::Pending, how.due, how.attempts, how.crashes);
        self.record(&row, before, Some(from), now, error.to_owned())?;
        self.rehead(&row, now)
    }

    /// A dead letter.
    pub(super) fn fail(&mut self, mut row: Row, error: &TaskError, now: WallTime) -> Result<()> {
        let words = clip(&error.words, WORDS);
        let mut update = self.conn.prepare_cached(
            "UPDATE task SET state = 3, since = ?2, failure = ?3, words = ?4, attempts = ?5, crashes = 0
             WHERE seq = ?1",
        )?;
        let failure = failure_number(error.failure);
        one_row(update.execute(params![row.seq, micros(now), failure, words, row.attempts])?)?;
        self.forget_waits(&row)?;
        self.note_history(row.seq, now, "failed", &error.to_string())?;
        self.moved(&mut row, Phase::Failed, now, error.to_string())?;
        self.rehead(&row, now)
    }

    /// Taken back. If an attempt has it, its key waits for that attempt. Those that come after it fail.
    pub(super) fn cancel(&mut self, mut row: Row, now: WallTime) -> Result<()> {
        let phase = if row.phase == Phase::Running { Phase::Withdrawn } else { Phase::Cancelled };
        let mut update =
            self.conn.prepare_cached("UPDATE task SET state = ?2, since = ?3, payload = NULL WHERE seq = ?1")?;
        one_row(update.execute(params![row.seq, phase.number(), micros(now)])?)?;
        self.drop_payload(&row)?;
        self.forget_waits(&row)?;
        self.moved(&mut row, phase, now, String::new())?;
        if phase == Phase::Cancelled {
            self.abandon(row.seq)?;
            self.agenda.ended(now);
        }
        self.rehead(&row, now)?;
        self.fail_dependents(row.seq, row.id, "was cancelled", now)
    }

    /// Nobody asks for the payload of a task that is done or cancelled: its space goes to the next ones.
    fn drop_payload(&self, row: &Row) -> Result<()> {
        if row.size > INLINE {
            one_row(self.conn.prepare_cached("DELETE FROM payload WHERE task = ?")?.execute([row.seq])?)?;
        }
        Ok(())
    }

    fn drop_note(&self, seq: i64) -> Result<()> {
        self.conn.prepare_cached("DELETE FROM note WHERE task = ?")?.execute([seq]).map(drop)
    }

    /// What it had begun at a backend is to be ended there.
    fn abandon(&mut self, seq: i64) -> Result<()> {
        let mut take = self.conn.prepare_cached("DELETE FROM note WHERE task = ? RETURNING backend, body")?;
        let note = take.query_row([seq], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).optional()?;
        let Some((backend, note)) = note else { return Ok(()) };
        let mut keep = self.conn.prepare_cached("INSERT INTO abandoned (backend, body) VALUES (?, ?)")?;
        let id = keep.insert([&backend, &note])?;
        if let Ok(backend) = BackendName::new(&backend) {
            self.books.abandoned(Abandoned { id, backend, note });
        }
        Ok(())
    }

    /// The attempt of a withdrawn task is over: its key goes on.
    pub(super) fn let_go(&mut self, mut row: Row, now: WallTime) -> Result<()> {
        let mut update = self.conn.prepare_cached("UPDATE task SET state = 4 WHERE seq = ?")?;
        one_row(update.execute([row.seq])?)?;
        row.phase = Phase::Cancelled;
        self.abandon(row.seq)?;
        self.agenda.removed();
        self.rehead(&row, now)
    }

    /// Removes a task that has ended, with all that belongs to it.
    pub(super) fn remove(&mut self, row: &Row) -> Result<()> {
        let delete = |sql: &str| -> Result<usize> { self.conn.prepare_cached(sql)?.execute([row.seq]) };
        one_row(delete("DELETE FROM task WHERE seq = ?")?)?;
        delete("DELETE FROM payload WHERE task = ?")?;
        delete("DELETE FROM history WHERE task = ?")?;
        delete("DELETE FROM request WHERE task = ?")?;
        self.abandon(row.seq)?;
        self.books.removed(row.id);
        self.books.note(self.conn, row.account, Tally::of(row), Tally::nothing())?;
        self.agenda.removed();
        Ok(())
    }

    /// Keeps count of a move that the caller has written.
    pub(super) fn moved(&mut self, row: &mut Row, to: Phase, now: WallTime, error: String) -> Result<()> {
        let before = Tally::of(row);
        let from = row.phase.state();
        row.phase = to;
        self.record(row, before, Some(from), now, error)
    }

    /// Keeps count of what the caller has written, for the counters, the agenda and the news.
    pub(super) fn record(
        &mut self,
        row: &Row,
        before: Tally,
        from: Option<State>,
        now: WallTime,
        error: String,
    ) -> Result<()> {
        self.books.note(self.conn, row.account, before, Tally::of(row))?;
        if row.expires.is_some() {
            self.agenda.expiry_changed();
        }
        self.books.changed(row, from, now, error)
    }

    /// Adds a line to a task's history and drops the oldest beyond [`LINES`].
    pub(super) fn note_history(&self, seq: i64, at: WallTime, event: &str, detail: &str) -> Result<()> {
        let line: i64 = self
            .conn
            .prepare_cached("SELECT coalesce(max(line), 0) + 1 FROM history WHERE task = ?")?
            .query_row([seq], |row| row.get(0))?;
        self.conn
            .prepare_cached("INSERT INTO history (task, line, at, event, detail) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![seq, line, micros(at), event, clip(detail, DETAIL)])?;
        self.conn.prepare_cached("DELETE FROM history WHERE task = ? AND line <= ?")?.execute([seq, line - LINES])?;
        Ok(())
    }

    /// The latest due time that anything may have at `now`.
    pub(super) fn due_cap(&self, now: WallTime) -> i64 {
        micros(now + self.options.backoff_cap)
    }

    /// A time in the span that starts just after `from`, drawn evenly.
    pub(super) fn jitter(&mut self, from: WallTime, span: std::time::Duration) -> i64 {
        let span = u64::try_from(span.as_micros()).unwrap_or(u64::MAX).max(1);
        micros(from).saturating_add(column(self.random.u64(1..=span)))
    }
}
