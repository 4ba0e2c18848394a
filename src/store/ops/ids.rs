//! What people do to tasks by id: cancel, retry, discard. All of a list or nothing.

use rusqlite::params;

use super::super::Scope;
use super::super::error::IdsError;
use super::super::operation::{Fault, Operation};
use super::super::row::{Phase, Row};
use super::super::sql::micros;
use super::super::work::{Return, Work};
use super::tidy::never_again;
use crate::model::{TaskId, WallTime};

/// Which tasks, and when.
pub(in crate::store) struct Selection {
    pub(in crate::store) scope: Scope,
    pub(in crate::store) ids: Vec<TaskId>,
    pub(in crate::store) now: WallTime,
}

impl Selection {
    /// Makes sure that every task is there and in scope, before anything is changed.
    fn check(&self, work: &Work<'_>) -> Result<(), Fault<IdsError>> {
        for id in &self.ids {
            let known = Row::find(work.conn, *id)?.is_some_and(|row| self.scope.covers(row.owner));
            if !known {
                return Err(Fault::Refused(IdsError::NotFound(*id)));
            }
        }
        Ok(())
    }

    /// Changes each task in turn, as the earlier ones have left it; counts those that `change` changed.
    fn each(
        &self,
        work: &mut Work<'_>,
        change: impl Fn(&mut Work<'_>, Row) -> rusqlite::Result<bool>,
    ) -> Result<u32, Fault<IdsError>> {
        self.check(work)?;
        let mut changed = 0;
        for id in &self.ids {
            if let Some(row) = Row::find(work.conn, *id)?
                && change(work, row)?
            {
                changed += 1;
            }
        }
        Ok(changed)
    }
}

/// Takes tasks back.
pub(in crate::store) struct Cancel(pub(in crate::store) Selection);

impl Operation for Cancel {
    type Answer = u32;
    type Refusal = IdsError;

    const DOING: &'static str = "cancelling tasks";

    fn run(&self, work: &mut Work<'_>) -> Result<u32, Fault<IdsError>> {
        self.0.each(work, |work, row| {
            let waits_or_runs = matches!(row.phase, Phase::Pending | Phase::Running);
            if waits_or_runs {
                work.cancel(row, self.0.now)?;
            }
            Ok(waits_or_runs)
        })
    }
}

/// Gives dead letters another chance.
pub(in crate::store) struct Retry(pub(in crate::store) Selection);

impl Operation for Retry {
    type Answer = u32;
    type Refusal = IdsError;

    const DOING: &'static str = "retrying tasks";

    fn run(&self, work: &mut Work<'_>) -> Result<u32, Fault<IdsError>> {
        self.0.each(work, |work, row| {
            let failed = row.phase == Phase::Failed;
            if failed {
                retry(work, row, self.0.now)?;
            }
            Ok(failed)
        })
    }
}

/// The task takes its old place under its key. It waits for those of `after` that may still be done; one that was
/// cancelled or discarded holds it no longer: who retries such a task by hand wants it to go.
fn retry(work: &mut Work<'_>, mut row: Row, now: WallTime) -> rusqlite::Result<()> {
    row.deps = 0;
    for id in &row.after {
        let Some(on_task) = Row::find(work.conn, *id)? else { continue };
        if matches!(on_task.phase, Phase::Pending | Phase::Running | Phase::Failed) {
            let mut insert =
                work.conn.prepare_cached("INSERT OR IGNORE INTO dependency (on_task, task) VALUES (?, ?)")?;
            row.deps += i64::from(insert.execute(params![on_task.seq, row.seq])? > 0);
        }
    }
    work.note_history(row.seq, now, "retried-by-hand", "")?;
    work.comes_back(row, &Return { due: micros(now), attempts: 0, crashes: 0, error: "" }, now)
}

/// Removes tasks that have ended.
pub(in crate::store) struct Discard(pub(in crate::store) Selection);

impl Operation for Discard {
    type Answer = u32;
    type Refusal = IdsError;

    const DOING: &'static str = "discarding tasks";

    fn run(&self, work: &mut Work<'_>) -> Result<u32, Fault<IdsError>> {
        let mut last_seq = 0;
        self.0.check(work)?;
        for id in &self.0.ids {
            last_seq = last_seq.max(Row::find(work.conn, *id)?.map_or(0, |row| row.seq));
        }
        never_again(work, last_seq)?;
        self.0.each(work, |work, row| {
            // A withdrawn one is not over until its attempt is.
            let ended = matches!(row.phase, Phase::Failed | Phase::Done | Phase::Cancelled);
            if ended {
                work.fail_dependents(row.seq, row.id, "was discarded", self.0.now)?;
                work.remove(&row)?;
            }
            Ok(ended)
        })
    }
}
