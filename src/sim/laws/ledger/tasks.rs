//! Tasks that were acknowledged, where they stand, and who waits for whom.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Group, Ledger};
use crate::model::{AttemptId, ItemOutcome, NewTask, Now, Owner, Settlement, TaskId, WallTime};

/// A task that was acknowledged.
#[derive(Debug)]
pub(in crate::sim::laws) struct Known {
    pub(in crate::sim::laws) task: NewTask,
    /// Its place in the order of enqueue.
    pub(super) place: usize,
    /// The line of its key.
    line: Option<usize>,
    pub(in crate::sim::laws) stands: Stands,
    /// The server has it.
    pub(in crate::sim::laws) taken: bool,
    /// What the server said of it last, unless the daemon died before it was written.
    pub(in crate::sim::laws) word: Option<ItemOutcome>,
    /// How often the server asked for another attempt.
    pub(in crate::sim::laws) counted: u32,
    /// How often the daemon died while an attempt had it, with no other end in between.
    pub(in crate::sim::laws) found: u32,
    /// Not before.
    pub(in crate::sim::laws) due: WallTime,
    /// Somebody wants it to go, whatever became of those it comes after.
    pub(in crate::sim::laws) by_hand: bool,
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sim::laws) enum Stands {
    Waits,
    /// The queue has marked it, for an attempt that is to begin.
    HandedTo(AttemptId),
    Runs(AttemptId),
    /// Taken back while an attempt has it.
    Withdrawn(AttemptId),
    Done,
    Failed,
    Cancelled,
}

/// Who came under which key, an owner's, in the order of enqueue.
#[derive(Debug, Default)]
pub(super) struct Lines {
    numbers: BTreeMap<(Owner, String), usize>,
    places: Vec<Vec<usize>>,
}

impl Lines {
    /// The number of the line that a task joins; none without a key.
    fn join(&mut self, task: &NewTask, place: usize) -> Option<usize> {
        let key = task.key.clone()?;
        let number = *self.numbers.entry((task.owner, key)).or_insert(self.places.len());
        self.places.resize_with(self.places.len().max(number + 1), Vec::new);
        self.places[number].push(place);
        Some(number)
    }

    fn places(&self, line: usize) -> &[usize] {
        &self.places[line]
    }
}

impl Stands {
    /// The attempt that has it.
    pub(in crate::sim::laws) fn attempt(self) -> Option<AttemptId> {
        match self {
            Self::HandedTo(attempt) | Self::Runs(attempt) | Self::Withdrawn(attempt) => Some(attempt),
            Self::Waits | Self::Done | Self::Failed | Self::Cancelled => None,
        }
    }
}

impl Known {
    pub(in crate::sim::laws) fn group(&self) -> Group {
        (self.task.strategy.clone(), self.task.overrides)
    }

    /// What an attempt had of it is void.
    pub(super) fn waits_anew(&mut self) {
        (self.stands, self.word) = (Stands::Waits, None);
    }
}

impl Ledger {
    pub(super) fn on(&mut self, id: TaskId, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.tasks.get_mut(&id) {
            change(known);
        }
    }

    pub(super) fn enqueued(&mut self, task: &NewTask) {
        let (id, place) = (task.id, self.tasks.len());
        let known = Known {
            task: task.clone(),
            place,
            line: self.lines.join(task, place),
            stands: Stands::Waits,
            taken: false,
            word: None,
            counted: 0,
            found: 0,
            due: task.created,
            by_hand: false,
        };
        self.tasks.insert(id, known);
        self.alive.insert(place, id);
    }

    /// Its key waits for the attempt that has it.
    pub(super) fn cancelled(&mut self, id: TaskId) {
        let attempt = self.tasks.get(&id).and_then(|known| known.stands.attempt());
        match attempt {
            Some(attempt) => self.on(id, |known| known.stands = Stands::Withdrawn(attempt)),
            None => self.ends(id, Stands::Cancelled),
        }
    }

    pub(super) fn ends(&mut self, id: TaskId, stands: Stands) {
        if let Some(known) = self.tasks.get_mut(&id) {
            known.stands = stands;
            self.alive.remove(&known.place);
        }
    }

    pub(super) fn retried(&mut self, id: TaskId, now: Now) {
        if let Some(known) = self.tasks.get_mut(&id) {
            (known.stands, known.counted, known.found, known.due) = (Stands::Waits, 0, 0, now.wall);
            known.by_hand = true;
            self.alive.insert(known.place, id);
        }
    }

    pub(super) fn task_settled(&mut self, id: TaskId, settlement: &Settlement) {
        let Some(known) = self.tasks.get_mut(&id) else { return };
        if matches!(known.stands, Stands::Withdrawn(_)) {
            return self.ends(id, Stands::Cancelled);
        }
        if known.stands.attempt().is_none() {
            return;
        }
        known.found = 0;
        match settlement {
            Settlement::Done(_) => self.ends(id, Stands::Done),
            Settlement::Failed(_) => self.ends(id, Stands::Failed),
            Settlement::Release { .. } => known.stands = Stands::Waits,
            Settlement::Advanced { due, .. } => {
                (known.stands, known.counted, known.due) = (Stands::Waits, 0, *due);
            }
            Settlement::Postponed { due, .. } => (known.stands, known.due) = (Stands::Waits, *due),
            Settlement::Retry { due, .. } => {
                (known.stands, known.counted, known.due) = (Stands::Waits, known.counted + 1, *due);
            }
        }
    }

    /// What an attempt had when the daemon died waits, or is over if it was taken back.
    pub(super) fn tasks_restart(&mut self) {
        for id in self.alive.values().copied().collect::<Vec<_>>() {
            match self.tasks.get(&id).map(|known| known.stands) {
                Some(Stands::HandedTo(_) | Stands::Runs(_)) => self.on(id, |known| {
                    known.waits_anew();
                    known.found += 1;
                }),
                Some(Stands::Withdrawn(_)) => self.ends(id, Stands::Cancelled),
                Some(Stands::Waits | Stands::Done | Stands::Failed | Stands::Cancelled) | None => {}
            }
        }
    }

    /// All backoffs are over: who waits, and since when, is looked at anew.
    pub(super) fn brought_forward(&mut self) {
        for known in self.tasks.values_mut() {
            known.due = known.task.created.min(known.due);
        }
        self.crowded_since.clear();
    }

    /// The store put due times right: the latest at which they can lie now. A task that no server has answered is due, a
    /// backoff is no longer than any can be, and one that is over may have begun anew, for a moment.
    pub(super) fn spread_anew(&mut self, now: Now) {
        let (longest, moment) = (now.wall + self.config.limits.backoff_cap, now.wall + Duration::from_secs(10));
        for known in self.tasks.values_mut() {
            known.due = match known.counted {
                0 => known.due.min(now.wall),
                _ if known.due <= now.wall => moment,
                _ => known.due.min(longest),
            };
        }
        self.crowded_since.clear();
    }

    /// Whom a task waits for.
    pub(in crate::sim::laws) fn waits_for(&self, known: &Known) -> Vec<TaskId> {
        let before = self.ahead_of(known);
        let after = known.task.after.iter().filter_map(|id| self.tasks.get(id));
        let not_done = after.filter(|other| match other.stands {
            Stands::Waits | Stands::HandedTo(_) | Stands::Runs(_) | Stands::Failed => true,
            Stands::Withdrawn(_) | Stands::Done | Stands::Cancelled => false,
        });
        before.chain(not_done).map(|other| other.task.id).collect()
    }

    /// Tasks that lack nothing but what their group lacks.
    pub(super) fn ready(&self, now: Now) -> impl Iterator<Item = &Known> {
        let alive = self.alive.values().filter_map(|id| self.tasks.get(id));
        let due = alive.filter(move |known| known.stands == Stands::Waits && known.due <= now.wall);
        due.filter(|known| self.waits_for(known).is_empty())
    }

    /// Tasks of the same key that go before it, or go now.
    pub(in crate::sim::laws) fn ahead_of(&self, known: &Known) -> impl Iterator<Item = &Known> {
        let of_key = known.line.iter().flat_map(|line| self.lines.places(*line));
        let alive = of_key.filter_map(|place| self.tasks.get(self.alive.get(place)?));
        alive.filter(|other| {
            let ahead = other.place < known.place || other.stands.attempt().is_some();
            ahead && other.place != known.place
        })
    }
}
