//! What files that are being copied hold of their owners' quotas, before their tasks are in the database.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::{Owner, TaskId};

/// What one of them holds.
#[derive(Debug, Clone)]
pub(in crate::store) struct Portion {
    pub(in crate::store) owner: Owner,
    pub(in crate::store) app: String,
    pub(in crate::store) bytes: u64,
    /// The key whose pending tasks go when its task comes.
    pub(in crate::store) replaces: Option<String>,
}

/// The portions of all copies in progress, by the tasks that are to come.
#[derive(Debug, Default)]
pub(in crate::store) struct Held(Mutex<BTreeMap<TaskId, Portion>>);

impl Held {
    /// One more task is to come.
    pub(in crate::store) fn hold(&self, id: TaskId, portion: Portion) {
        self.portions().insert(id, portion);
    }

    /// It has come, or will not.
    pub(super) fn release(&self, id: TaskId) {
        self.portions().remove(&id);
    }

    /// What the owner's tasks hold beside `id`.
    pub(in crate::store) fn beside(&self, id: TaskId, owner: Owner) -> Vec<Portion> {
        let portions = self.portions();
        let others = portions.iter().filter(|(other, portion)| **other != id && portion.owner == owner);
        others.map(|(_, portion)| portion.clone()).collect()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.portions().is_empty()
    }

    fn portions(&self) -> MutexGuard<'_, BTreeMap<TaskId, Portion>> {
        // A map is whole between any two of its operations.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
