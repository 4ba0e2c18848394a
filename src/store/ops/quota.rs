//! Whether one more task fits into its owner's quotas: beside what is there, what files hold that are being copied, and
//! without what replacing would give back. Knows no disk.

use std::collections::BTreeMap;

use rusqlite::{Result, params};

use super::super::error::{EnqueueError, Holder, Quota};
use super::super::operation::Fault;
use super::super::sql::column;
use super::super::tally::Usage;
use super::super::work::Work;
use crate::model::{Owner, TaskId};

/// The task that is to fit.
pub(super) struct Asked<'a> {
    pub(super) id: TaskId,
    pub(super) owner: Owner,
    pub(super) app: &'a str,
    /// Bytes.
    pub(super) size: u64,
    /// The key whose pending tasks, still there, go when it comes.
    pub(super) replaces: Option<&'a str>,
}

/// What an owner has, and an app's part of it.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    whole: Usage,
    part: Usage,
}

/// Refuses what does not fit.
pub(super) fn check(work: &mut Work<'_>, asked: &Asked<'_>) -> Result<(), Fault<EnqueueError>> {
    let quotas = work.options.quotas;
    let Both { whole, part } = there(work, asked)?;
    let size = column(asked.size);
    let owner = || Holder::Owner(asked.owner);
    let app = || Holder::App(asked.owner, asked.app.to_owned());
    let full = |holder, what, limit| Err(Fault::Refused(EnqueueError::QueueFull { holder, what, limit }));
    // An app's half is rounded up, so that a quota of one task lets one in.
    let (half_tasks, half_bytes) = (quotas.tasks.div_ceil(2), quotas.bytes.div_ceil(2));
    if whole.tasks >= column(quotas.tasks) {
        return full(owner(), Quota::Tasks, quotas.tasks);
    }
    if part.tasks >= column(half_tasks) {
        return full(app(), Quota::Tasks, half_tasks);
    }
    if whole.bytes.saturating_add(size) > column(quotas.bytes) {
        return full(owner(), Quota::Bytes, quotas.bytes);
    }
    if part.bytes.saturating_add(size) > column(half_bytes) {
        return full(app(), Quota::Bytes, half_bytes);
    }
    Ok(())
}

/// What is there when the task comes.
fn there(work: &mut Work<'_>, asked: &Asked<'_>) -> Result<Both> {
    let (whole, part) = work.books.usage(work.conn, asked.owner, asked.app)?;
    let mut there = Both { whole, part };
    let mut replacing: BTreeMap<String, Both> = BTreeMap::new();
    for portion in work.held.beside(asked.id, asked.owner) {
        let one = Usage { tasks: 1, bytes: column(portion.bytes) };
        let one = Both { whole: one, part: if portion.app == asked.app { one } else { Usage::default() } };
        there.add(one);
        if let Some(key) = portion.replaces {
            replacing.entry(key).or_default().add(one);
        }
    }
    // Copies of others take what they will add. What they will give back beyond that is not there yet.
    for (key, copies) in replacing.into_iter().filter(|(key, _)| Some(key.as_str()) != asked.replaces) {
        let pending = pending(work, asked, &key)?;
        there.take(Both { whole: pending.whole.min(copies.whole), part: pending.part.min(copies.part) });
    }
    if let Some(key) = asked.replaces {
        there.take(pending(work, asked, key)?);
    }
    Ok(there)
}

/// What `on_existing = replace` would take away now.
fn pending(work: &Work<'_>, asked: &Asked<'_>, key: &str) -> Result<Both> {
    work.conn
        .prepare_cached(
            "SELECT count(*), coalesce(sum(size), 0), count(*) FILTER (WHERE app = ?3),
                    coalesce(sum(size) FILTER (WHERE app = ?3), 0)
             FROM task INDEXED BY keyed JOIN account ON account.id = task.account
             WHERE task.owner = ?1 AND key = ?2 AND key IS NOT NULL AND state IN (0, 1, 5) AND state = 0",
        )?
        .query_row(params![asked.owner.0, key, asked.app], |row| {
            let whole = Usage { tasks: row.get(0)?, bytes: row.get(1)? };
            Ok(Both { whole, part: Usage { tasks: row.get(2)?, bytes: row.get(3)? } })
        })
}

impl Both {
    fn add(&mut self, other: Self) {
        self.whole += other.whole;
        self.part += other.part;
    }

    fn take(&mut self, other: Self) {
        self.whole -= other.whole;
        self.part -= other.part;
    }
}
