//! Taking new tasks in.

use rusqlite::{OptionalExtension, Result, params};

use super::super::error::EnqueueError;
use super::super::operation::{Fault, Operation};
use super::super::order::{first_pending, is_occupied};
use super::super::payload;
use super::super::row::{Phase, Row};
use super::super::sql::{column, ids_column, micros};
use super::super::tally::Tally;
use super::super::work::{INLINE, Work};
use super::quota::{self, Asked};
use super::request;
use crate::model::{Enqueued, Failure, NewTask, OnExisting, TaskError, TaskId};

/// Adds the tasks, all or none.
pub(in crate::store) struct Enqueue {
    pub(in crate::store) tasks: Vec<NewTask>,
}

impl Operation for Enqueue {
    type Answer = Vec<Enqueued>;
    type Refusal = EnqueueError;

    const DOING: &'static str = "enqueueing";
    const ADDS: bool = true;

    fn needs_savepoint(&self) -> bool {
        self.tasks.len() > 1 || self.tasks.iter().any(|task| task.on_existing == OnExisting::Replace)
    }

    fn weight(&self) -> usize {
        self.tasks.iter().map(|task| task.payload.json().len()).sum()
    }

    fn run(&self, work: &mut Work<'_>) -> Result<Vec<Enqueued>, Fault<EnqueueError>> {
        self.tasks.iter().map(|task| enqueue(work, task)).collect()
    }
}

fn enqueue(work: &mut Work<'_>, new: &NewTask) -> Result<Enqueued, Fault<EnqueueError>> {
    if let Some(name) = &new.request_id
        && let Some(earlier) = request::earlier(work, new.owner, name)?
    {
        return if earlier.content == request::content(new) {
            Ok(Enqueued::AlreadyQueued(earlier.id))
        } else {
            Err(Fault::Refused(EnqueueError::RequestConflict { id: earlier.id }))
        };
    }
    if let Some(key) = &new.key {
        match new.on_existing {
            OnExisting::Append => {}
            OnExisting::Keep => {
                if let Some(seq) = first_pending(work.conn, new.owner, key)? {
                    request::remember(work, new, seq)?;
                    return Ok(Enqueued::AlreadyQueued(Row::get(work.conn, seq)?.id));
                }
            }
            OnExisting::Replace => cancel_pending(work, new, key)?,
        }
    }
    let size = new.payload.size();
    quota::check(work, &Asked { id: new.id, owner: new.owner, app: &new.app, size, replaces: None })?;
    let after = resolve(work, new)?;
    add(work, new, &after)?;
    Ok(Enqueued::Added(new.id))
}

/// Cancels what is pending under the key, from the last to the first: none of them comes to the head meanwhile, and one
/// that comes after another of them is cancelled like it and does not fail.
fn cancel_pending(work: &mut Work<'_>, new: &NewTask, key: &str) -> Result<()> {
    let pending: Vec<i64> = work
        .conn
        .prepare_cached(
            "SELECT seq FROM task INDEXED BY keyed WHERE owner = ? AND key = ? AND key IS NOT NULL
             AND state IN (0, 1, 5) AND state = 0 ORDER BY seq DESC",
        )?
        .query_map(params![new.owner.0, key], |row| row.get(0))?
        .collect::<Result<_>>()?;
    for seq in pending {
        let row = Row::get(work.conn, seq)?;
        // One may have failed with another that it came after.
        if row.phase == Phase::Pending {
            work.cancel(row, new.created)?;
        }
    }
    Ok(())
}

/// What `after` comes to.
#[derive(Default)]
pub(super) struct After {
    /// Tasks that are still to be done.
    waits_for: Vec<i64>,
    /// One that was cancelled: the new task fails at once.
    cancelled: Option<TaskId>,
}

/// Looks up `after`. A task that is not there is taken for one that was done and pruned if its id is no later than the
/// latest that was pruned; the time is in the id. Any other is unknown.
fn resolve(work: &Work<'_>, new: &NewTask) -> Result<After, Fault<EnqueueError>> {
    let mut after = After::default();
    for id in &new.after {
        match Row::find(work.conn, *id)? {
            Some(row) if row.owner == new.owner => match row.phase {
                Phase::Pending | Phase::Running | Phase::Failed => after.waits_for.push(row.seq),
                Phase::Done => {}
                Phase::Cancelled | Phase::Withdrawn => after.cancelled = Some(row.id),
            },
            None if was_pruned(work, *id)? => {}
            Some(_) | None => return Err(Fault::Refused(EnqueueError::UnknownAfter { id: *id })),
        }
    }
    after.waits_for.sort_unstable();
    after.waits_for.dedup();
    Ok(after)
}

fn was_pruned(work: &Work<'_>, id: TaskId) -> Result<bool> {
    // RFC 9562: the version is the upper half of the seventh byte.
    let is_version_7 = id.as_bytes()[6] >> 4 == 7;
    let latest: Option<[u8; 16]> = work
        .conn
        .prepare_cached("SELECT value FROM meta WHERE name = 'pruned_to'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(is_version_7 && latest.is_some_and(|latest| *id.as_bytes() <= latest))
}

/// Adds a task that is allowed and has its place.
pub(super) fn add(work: &mut Work<'_>, new: &NewTask, after: &After) -> Result<()> {
    let row = insert(work, new, after)?;
    for on_task in &after.waits_for {
        work.conn
            .prepare_cached("INSERT INTO dependency (on_task, task) VALUES (?, ?)")?
            .execute([*on_task, row.seq])?;
    }
    request::remember(work, new, row.seq)?;
    work.record(&row, Tally::nothing(), None, new.created, String::new())?;
    match after.cancelled {
        Some(id) => {
            let words = format!("task {id} was cancelled");
            work.fail(row, &TaskError { failure: Failure::Dependency, words }, new.created)
        }
        None => Ok(()),
    }
}

fn insert(work: &mut Work<'_>, new: &NewTask, after: &After) -> Result<Row> {
    let lane = work.books.lane(work.conn, &new.strategy, new.overrides)?;
    let account = work.books.account(work.conn, new.owner, &new.app, lane)?;
    let behind = match &new.key {
        Some(key) => is_occupied(work.conn, new.owner, key)?,
        None => false,
    };
    let row = Row {
        seq: *work.next_seq,
        id: new.id,
        owner: new.owner,
        account,
        lane,
        phase: Phase::Pending,
        behind,
        deps: column(after.waits_for.len() as u64),
        attempts: 0,
        crashes: 0,
        due: micros(new.created),
        expires: new.expires.map(micros),
        size: column(new.payload.size()),
        key: new.key.clone(),
        after: new.after.clone(),
    };
    *work.next_seq += 1;
    write(work, new, &row)?;
    Ok(row)
}

fn write(work: &Work<'_>, new: &NewTask, row: &Row) -> Result<()> {
    let tags = if new.tags.is_empty() { None } else { Some(serde_json::Value::from(new.tags.clone()).to_string()) };
    let (beside, text) = (row.size > INLINE, payload::to_text(&new.payload));
    let mut insert = work.conn.prepare_cached(
        "INSERT INTO task (seq, id, owner, account, lane, behind, deps, created, due, expires, size, payload, key, tags,
                           after)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?;
    insert.execute(params![
        row.seq,
        row.id.as_bytes(),
        row.owner.0,
        row.account.0,
        row.lane.0,
        row.behind,
        row.deps,
        row.due,
        row.due,
        row.expires,
        row.size,
        if beside { None } else { Some(&text) },
        row.key,
        tags,
        ids_column(&row.after),
    ])?;
    if beside {
        let mut insert = work.conn.prepare_cached("INSERT INTO payload (task, body) VALUES (?, ?)")?;
        insert.execute(params![row.seq, text])?;
    }
    Ok(())
}
