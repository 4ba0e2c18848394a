//! What attempts keep for later: notes, and what is to be ended at a backend since its task was cancelled.

use rusqlite::{Result, params};

use super::super::error::StoreError;
use super::super::operation::{Fault, Operation};
use super::super::row::{Phase, Row};
use super::super::work::Work;
use crate::model::{BackendName, TaskId};

/// Keeps a note of a running task. In place of an earlier one it says that the task has come further: the starts that
/// found it running until now do not count towards `crashed`.
pub(in crate::store) struct Keep {
    pub(in crate::store) task: TaskId,
    pub(in crate::store) backend: BackendName,
    pub(in crate::store) note: String,
}

impl Operation for Keep {
    type Answer = ();
    type Refusal = StoreError;

    const DOING: &'static str = "keeping what an attempt must remember";

    fn weight(&self) -> usize {
        self.note.len()
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Fault<StoreError>> {
        // Of a task that is gone meanwhile nothing needs to be remembered: its attempt ends what it began.
        let Some(row) = Row::find(work.conn, self.task)? else { return Ok(()) };
        if matches!(row.phase, Phase::Running | Phase::Withdrawn) {
            let earlier = work.conn.prepare_cached("DELETE FROM note WHERE task = ?")?.execute([row.seq])?;
            work.conn.prepare_cached("INSERT INTO note (task, backend, body) VALUES (?, ?, ?)")?.execute(params![
                row.seq,
                self.backend.as_str(),
                self.note
            ])?;
            if earlier > 0 && row.crashes > 0 {
                work.conn.prepare_cached("UPDATE task SET crashes = 0 WHERE seq = ?")?.execute([row.seq])?;
            }
        }
        Ok(())
    }
}

/// What was abandoned is ended at its backend, or never will be.
pub(in crate::store) struct ForgetAbandoned {
    pub(in crate::store) id: i64,
}

impl Operation for ForgetAbandoned {
    type Answer = ();
    type Refusal = StoreError;

    const DOING: &'static str = "forgetting a cancelled upload";

    fn run(&self, work: &mut Work<'_>) -> Result<(), Fault<StoreError>> {
        work.conn.prepare_cached("DELETE FROM abandoned WHERE id = ?")?.execute([self.id])?;
        Ok(())
    }
}
