//! After a start: what an attempt had when the daemon died waits again.

use rusqlite::Result;

use super::super::error::StoreError;
use super::super::operation::{Fault, Operation};
use super::super::row::{Phase, Row};
use super::super::work::{Return, Work};
use super::respread;
use crate::model::{Failure, TaskError, WallTime};

/// A task that was found running this often without another end in between is a dead letter.
const CRASHES: u32 = 3;

/// Ends all attempts and puts due times right.
pub(in crate::store) struct Recover {
    pub(in crate::store) now: WallTime,
}

/// What [`Recover`] found.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::store) struct Recovered {
    /// Back to pending.
    pub(in crate::store) waiting: u64,
    /// Failed.
    pub(in crate::store) crashed: u64,
}

impl Operation for Recover {
    type Answer = Recovered;
    type Refusal = StoreError;

    const DOING: &'static str = "recovering what was running";

    fn run(&self, work: &mut Work<'_>) -> Result<Recovered, Fault<StoreError>> {
        let mut recovered = Recovered::default();
        for seq in busy(work)? {
            let row = Row::get(work.conn, seq)?;
            if row.phase == Phase::Withdrawn {
                work.let_go(row, self.now)?;
            } else if row.crashes + 1 >= CRASHES {
                crash(work, row, self.now)?;
                recovered.crashed += 1;
            } else {
                come_back(work, row, self.now)?;
                recovered.waiting += 1;
            }
        }
        let more = respread::start(work, self.now)?;
        work.agenda.tidied(self.now, more);
        Ok(recovered)
    }
}

fn busy(work: &Work<'_>) -> Result<Vec<i64>> {
    work.conn
        .prepare_cached("SELECT seq FROM task INDEXED BY busy WHERE state IN (1, 5) ORDER BY seq")?
        .query_map([], |row| row.get(0))?
        .collect()
}

fn come_back(work: &mut Work<'_>, row: Row, now: WallTime) -> Result<()> {
    work.note_history(row.seq, now, "crashed", "the daemon died while an attempt had it")?;
    let how = Return { due: row.due, attempts: row.attempts, crashes: row.crashes + 1, error: "" };
    work.comes_back(row, &how, now)
}

fn crash(work: &mut Work<'_>, row: Row, now: WallTime) -> Result<()> {
    let words = format!("the daemon died {CRASHES} times while an attempt had it");
    work.fail(row, &TaskError { failure: Failure::Crashed, words }, now)
}
