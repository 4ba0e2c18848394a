//! The readers: each a thread with a connection of its own, so that they never wait for the writer.

use std::future::Future;
use std::sync::mpsc::Receiver;

use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow, named_params, params};
use tokio::sync::oneshot;

use super::Scope;
use super::cursor::CursorKey;
use super::error::{ReadError, StoreError};
use super::payload;
use super::places::Suspicion;
use super::row::{Phase, failure_from, overrides_columns, overrides_from_row};
use super::sql::{count, id_from, ids_from, strategy_from, wall};
use crate::model::{Filter, HistoryEntry, Owner, Page, Standing, State, Task, TaskError, TaskId, WallTime};

/// Rows that one page looks at in one read transaction: an open one keeps the WAL from starting anew.
const STRETCH: i64 = 10_000;
/// Stretches that one page goes on for at most.
const STRETCHES: usize = 200;

/// Why a query gave nothing.
#[derive(Debug)]
pub(super) enum Missing {
    Refused(ReadError),
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Missing {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

/// How long a query may take: the two kinds have threads of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Looks up a row.
    Point,
    /// May look at all of them.
    Scan,
}

/// Something to be read.
pub(super) trait Query: Send + 'static {
    /// What the caller is told.
    type Answer: Send + 'static;

    /// What it does, as the beginning of an error's text.
    const DOING: &'static str;
    /// On which thread it runs.
    const PACE: Pace = Pace::Point;

    /// Does it.
    fn run(&self, conn: &Connection, key: CursorKey) -> Result<Self::Answer, Missing>;
}

/// A query that waits for its turn, whatever its kind.
pub(super) type ReadJob = Box<dyn FnOnce(&Connection, CursorKey, &Suspicion) + Send>;

/// Makes a job of the query, and the future of its answer.
pub(super) fn ask<Q: Query>(
    query: Q,
) -> (ReadJob, impl Future<Output = Result<Q::Answer, ReadError>> + Send + 'static) {
    let (reply, answer) = oneshot::channel();
    let job: ReadJob = Box::new(move |conn, key, suspicion| {
        let outcome = query.run(conn, key).map_err(|missing| match missing {
            Missing::Refused(refusal) => refusal,
            Missing::Broken(error) => {
                let error = StoreError::new(Q::DOING, error);
                tracing::error!("the store cannot be read: {error}");
                if let StoreError::Damaged { .. } = error {
                    suspicion.raise();
                }
                ReadError::Store(error)
            }
        });
        // A caller that stopped listening loses only the answer.
        let _ = reply.send(outcome);
    });
    let answer = async move { answer.await.unwrap_or_else(|_| Err(StoreError::Stopped { doing: Q::DOING }.into())) };
    (job, answer)
}

/// Serves until every handle is gone.
pub(super) fn serve(conn: &Connection, key: CursorKey, suspicion: &Suspicion, inbox: &Receiver<ReadJob>) {
    while let Ok(job) = inbox.recv() {
        job(conn, key, suspicion);
    }
}

/// See [`Store::get`](super::Store::get).
pub(super) struct GetTask {
    pub(super) scope: Scope,
    pub(super) id: TaskId,
}

impl Query for GetTask {
    type Answer = Task;

    const DOING: &'static str = "reading a task";

    fn run(&self, conn: &Connection, _: CursorKey) -> Result<Task, Missing> {
        // One transaction, so that what the task waits for is what it waited for when it was read.
        let snapshot = conn.unchecked_transaction()?;
        let found = snapshot
            .prepare_cached(&format!("{TASK} WHERE task.id = ?"))?
            .query_row([self.id.as_bytes()], |row| read_task(&snapshot, row))
            .optional()?;
        match found {
            Some((_, task)) if self.scope.covers(task.owner) => Ok(task),
            Some(_) | None => Err(Missing::Refused(ReadError::NotFound(self.id))),
        }
    }
}

/// See [`Store::list`](super::Store::list).
pub(super) struct ListTasks {
    pub(super) filter: Filter,
    pub(super) cursor: Option<String>,
    pub(super) limit: u32,
}

impl Query for ListTasks {
    type Answer = Page;

    const DOING: &'static str = "listing tasks";
    const PACE: Pace = Pace::Scan;

    fn run(&self, conn: &Connection, key: CursorKey) -> Result<Page, Missing> {
        let mut seq = match &self.cursor {
            Some(cursor) => key.seq(cursor).ok_or(Missing::Refused(ReadError::BadCursor))?,
            None => 0,
        };
        let limit = if self.limit == 0 { 100 } else { self.limit.min(1000) as usize };
        let filter = FilterColumns::of(&self.filter);
        let mut tasks = Vec::new();
        for _ in 0..STRETCHES {
            let snapshot = conn.unchecked_transaction()?;
            let end = stretch_end(&snapshot, seq)?;
            // One more than asked for, to know whether there is a next page.
            let found = filter.read(&snapshot, seq, end.unwrap_or(i64::MAX), limit + 1 - tasks.len())?;
            tasks.extend(found);
            if tasks.len() > limit {
                tasks.truncate(limit);
                let next = tasks.last().map(|(seq, _)| key.cursor(*seq));
                return Ok(page(tasks, next));
            }
            match end {
                Some(end) => seq = end,
                None => return Ok(page(tasks, None)),
            }
        }
        Ok(page(tasks, Some(key.cursor(seq))))
    }
}

fn page(tasks: Vec<(i64, Task)>, next: Option<String>) -> Page {
    Page { tasks: tasks.into_iter().map(|(_, task)| task).collect(), next }
}

/// The last row of the stretch that starts after `seq`; `None` if the table ends within it.
fn stretch_end(conn: &Connection, seq: i64) -> Result<Option<i64>> {
    conn.prepare_cached("SELECT seq FROM task WHERE seq > ? ORDER BY seq LIMIT 1 OFFSET ?")?
        .query_row([seq, STRETCH - 1], |row| row.get(0))
        .optional()
}

/// A filter as parameters: each list a JSON array, NULL for one that matches all.
struct FilterColumns {
    owner: Option<u32>,
    states: Option<String>,
    strategies: Option<String>,
    keys: Option<String>,
    tags: Option<String>,
    apps: Option<String>,
}

impl FilterColumns {
    fn of(filter: &Filter) -> Self {
        let numbers = |state: &State| match state {
            State::Pending => vec![Phase::Pending],
            State::Running => vec![Phase::Running],
            State::Done => vec![Phase::Done],
            State::Failed => vec![Phase::Failed],
            State::Cancelled => vec![Phase::Cancelled, Phase::Withdrawn],
        };
        let states: Vec<i64> = filter.states.iter().flat_map(numbers).map(Phase::number).collect();
        let strategies: Vec<&str> = filter.strategies.iter().map(|name| name.as_str()).collect();
        let strings = |list: &[String]| array(list.iter().map(String::as_str).collect::<Vec<_>>());
        Self {
            owner: filter.owner.map(|owner| owner.0),
            states: array(states),
            strategies: array(strategies),
            keys: strings(&filter.keys),
            tags: strings(&filter.tags),
            apps: strings(&filter.apps),
        }
    }

    fn read(&self, conn: &Connection, after: i64, until: i64, limit: usize) -> Result<Vec<(i64, Task)>> {
        let mut statement = conn.prepare_cached(&format!(
            "{TASK} WHERE task.seq > :after AND task.seq <= :until
             AND (:owner IS NULL OR task.owner = :owner)
             AND (:states IS NULL OR task.state IN (SELECT value FROM json_each(:states)))
             AND (:strategies IS NULL OR task.lane IN
                  (SELECT id FROM lane WHERE strategy IN (SELECT value FROM json_each(:strategies))))
             AND (:apps IS NULL OR task.account IN
                  (SELECT id FROM account WHERE app IN (SELECT value FROM json_each(:apps))))
             AND (:keys IS NULL OR task.key IN (SELECT value FROM json_each(:keys)))
             AND (:tags IS NULL OR EXISTS (SELECT 1 FROM json_each(task.tags) AS tag
                  WHERE tag.value IN (SELECT value FROM json_each(:tags))))
             ORDER BY task.seq LIMIT :limit"
        ))?;
        let parameters = named_params! {
            ":after": after, ":until": until, ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
            ":owner": self.owner, ":states": self.states, ":strategies": self.strategies,
            ":apps": self.apps, ":keys": self.keys, ":tags": self.tags,
        };
        statement.query_map(parameters, |row| read_task(conn, row))?.collect()
    }
}

fn array<T: Into<serde_json::Value>>(values: Vec<T>) -> Option<String> {
    if values.is_empty() { None } else { Some(serde_json::Value::from(values).to_string()) }
}

const TASK: &str = concat!(
    "SELECT task.seq, task.id, task.owner, account.app, lane.strategy, ",
    overrides_columns!(),
    ", task.state, task.behind, task.deps, task.attempts, task.created, task.due, task.since, task.expires,
           task.size, task.key, task.tags, task.after, task.failure, task.words, task.status, task.duplicate,
           task.last_error
    FROM task CROSS JOIN lane ON lane.id = task.lane CROSS JOIN account ON account.id = task.account",
);

fn read_task(conn: &Connection, row: &SqlRow<'_>) -> Result<(i64, Task)> {
    let seq = row.get(0)?;
    let owner = Owner(row.get(2)?);
    let key: Option<String> = row.get(18)?;
    let after = row.get_ref(20)?.as_blob_or_null()?.map(ids_from).unwrap_or_default();
    let standing = match Phase::of(row.get(9)?)? {
        Phase::Pending => {
            let mut waits_for = Vec::new();
            if let (true, Some(key)) = (row.get(10)?, &key) {
                waits_for.extend(before_under_key(conn, owner, key, seq)?);
            }
            if row.get::<_, i64>(11)? > 0 {
                waits_for.extend(still_to_be_done(conn, &after)?);
            }
            Standing::Pending { due: wall(row.get(14)?), waits_for }
        }
        Phase::Running => Standing::Running { started: since(row)? },
        Phase::Done => Standing::Done {
            finished: since(row)?,
            result: payload::result(row.get(23)?, row.get(24)?, text(row, 22)?),
        },
        Phase::Failed => {
            let error = TaskError { failure: failure_from(row.get(21)?)?, words: text(row, 22)? };
            Standing::Failed { finished: since(row)?, error }
        }
        Phase::Cancelled | Phase::Withdrawn => Standing::Cancelled { finished: since(row)? },
    };
    let task = Task {
        id: id_from(row, 1)?,
        owner,
        app: row.get(3)?,
        strategy: strategy_from(row, 4)?,
        overrides: overrides_from_row(row, 5)?,
        standing,
        created: wall(row.get(13)?),
        attempts: row.get(12)?,
        last_error: text(row, 25)?,
        size: count(row.get(17)?),
        key,
        tags: tags(row)?,
        after,
        expires: row.get::<_, Option<i64>>(16)?.map(wall),
    };
    Ok((seq, task))
}

fn since(row: &SqlRow<'_>) -> Result<WallTime> {
    Ok(wall(row.get::<_, Option<i64>>(15)?.unwrap_or(0)))
}

fn text(row: &SqlRow<'_>, index: usize) -> Result<String> {
    Ok(row.get::<_, Option<String>>(index)?.unwrap_or_default())
}

fn tags(row: &SqlRow<'_>) -> Result<Vec<String>> {
    let Some(tags) = row.get_ref(19)?.as_str_or_null()? else { return Ok(Vec::new()) };
    serde_json::from_str(tags)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(18, rusqlite::types::Type::Text, Box::new(error)))
}

/// The task that goes before this one under its key: the last that was enqueued before it, else the one that an attempt
/// has. Three seeks, however many tasks stand under the key.
fn before_under_key(conn: &Connection, owner: Owner, key: &str, seq: i64) -> Result<Option<TaskId>> {
    conn.prepare_cached(
        "WITH standing (seq) AS (
             SELECT max(seq) FROM task INDEXED BY keyed
                 WHERE owner = ?1 AND key = ?2 AND key IS NOT NULL AND state IN (0, 1, 5) AND state = 0 AND seq < ?3
             UNION ALL SELECT max(seq) FROM task INDEXED BY keyed
                 WHERE owner = ?1 AND key = ?2 AND key IS NOT NULL AND state IN (0, 1, 5) AND state = 1
             UNION ALL SELECT max(seq) FROM task INDEXED BY keyed
                 WHERE owner = ?1 AND key = ?2 AND key IS NOT NULL AND state IN (0, 1, 5) AND state = 5)
         SELECT task.id FROM standing JOIN task ON task.seq = standing.seq
             ORDER BY standing.seq < ?3 DESC, standing.seq DESC LIMIT 1",
    )?
    .query_row(params![owner.0, key, seq], |row| id_from(row, 0))
    .optional()
}

fn still_to_be_done(conn: &Connection, after: &[TaskId]) -> Result<Vec<TaskId>> {
    let mut statement =
        conn.prepare_cached("SELECT EXISTS (SELECT 1 FROM task WHERE id = ? AND state IN (0, 1, 3))")?;
    let mut waits_for = Vec::new();
    for id in after {
        if statement.query_row([id.as_bytes()], |row| row.get(0))? && !waits_for.contains(id) {
            waits_for.push(*id);
        }
    }
    Ok(waits_for)
}

/// See [`Store::history`](super::Store::history).
pub(super) struct ReadHistory {
    pub(super) id: TaskId,
}

impl Query for ReadHistory {
    type Answer = Vec<HistoryEntry>;

    const DOING: &'static str = "reading a task's history";

    fn run(&self, conn: &Connection, _: CursorKey) -> Result<Vec<HistoryEntry>, Missing> {
        let mut statement = conn.prepare_cached(
            "SELECT at, event, detail FROM history WHERE task = (SELECT seq FROM task WHERE id = ?) ORDER BY line",
        )?;
        let lines = statement.query_map([self.id.as_bytes()], |row| {
            Ok(HistoryEntry { at: wall(row.get(0)?), event: row.get(1)?, detail: row.get(2)? })
        })?;
        Ok(lines.collect::<Result<_>>()?)
    }
}

/// See [`Store::setting`](super::Store::setting).
pub(super) struct ReadSetting {
    pub(super) name: &'static str,
}

impl Query for ReadSetting {
    type Answer = Option<String>;

    const DOING: &'static str = "reading a setting";

    fn run(&self, conn: &Connection, _: CursorKey) -> Result<Option<String>, Missing> {
        let mut statement = conn.prepare_cached("SELECT value FROM setting WHERE name = ?")?;
        Ok(statement.query_row([self.name], |row| row.get(0)).optional()?)
    }
}
