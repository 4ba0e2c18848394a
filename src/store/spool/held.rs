//! What files that are being copied hold of their owners' quotas, before their tasks are in the database.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::sql::column;
use super::super::tally::Usage;
use crate::model::{Owner, TaskId};

#[derive(Debug)]
struct Share {
    owner: Owner,
    app: String,
    bytes: u64,
}

/// The shares of all copies in progress, by the tasks that are to come.
#[derive(Debug, Default)]
pub(in crate::store) struct Held(Mutex<BTreeMap<TaskId, Share>>);

impl Held {
    /// One more task of this many bytes is to come.
    pub(in crate::store) fn hold(&self, id: TaskId, owner: Owner, app: &str, bytes: u64) {
        self.shares().insert(id, Share { owner, app: app.to_owned(), bytes });
    }

    /// It has come, or will not.
    pub(super) fn release(&self, id: TaskId) {
        self.shares().remove(&id);
    }

    /// What the owner, and the app of it, hold beside `id`.
    pub(in crate::store) fn beside(&self, id: TaskId, owner: Owner, app: &str) -> (Usage, Usage) {
        let (mut whole, mut part) = (Usage::default(), Usage::default());
        let shares = self.shares();
        for share in
            shares.iter().filter(|(other, share)| **other != id && share.owner == owner).map(|(_, share)| share)
        {
            add(&mut whole, share.bytes);
            if share.app == app {
                add(&mut part, share.bytes);
            }
        }
        (whole, part)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.shares().is_empty()
    }

    fn shares(&self) -> MutexGuard<'_, BTreeMap<TaskId, Share>> {
        // A map is whole between any two of its operations.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn add(usage: &mut Usage, bytes: u64) {
    usage.tasks += 1;
    usage.bytes = usage.bytes.saturating_add(column(bytes));
}
