//! What apps hold back: while one of them holds, nothing starts.

use std::collections::BTreeMap;

use crate::model::{Hold, HoldId, Moment, Owner, WallTime};

/// A hold and when it began.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) hold: Hold,
    pub(super) since: WallTime,
}

/// All holds that are in force.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<HoldId, Held>);

impl Holds {
    pub(super) fn begin(&mut self, id: HoldId, hold: Hold, now: WallTime) {
        self.0.insert(id, Held { hold, since: now });
    }

    pub(super) fn end(&mut self, id: HoldId) {
        self.0.remove(&id);
    }

    /// Ends those whose time has come, and says which.
    pub(super) fn expire(&mut self, now: Moment) -> Vec<HoldId> {
        let over: Vec<HoldId> = self.0.iter().filter(|(_, held)| held.hold.until <= now).map(|(id, _)| *id).collect();
        for id in &over {
            self.0.remove(id);
        }
        over
    }

    /// When the first of them ends by itself.
    pub(super) fn next_end(&self) -> Option<Moment> {
        self.0.values().map(|held| held.hold.until).min()
    }

    /// The oldest first.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Held> {
        self.0.values()
    }

    pub(super) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// How many an owner has.
    pub(super) fn of(&self, owner: Owner) -> usize {
        self.0.values().filter(|held| held.hold.owner == owner).count()
    }
}
