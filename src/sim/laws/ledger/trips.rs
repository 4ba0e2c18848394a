//! Attempts that run, and what they showed of servers.

use std::collections::BTreeSet;

use super::super::answers::{Subject, subject, word_about};
use super::{Group, Known, Ledger, Stands};
use crate::model::{Answer, AttemptId, Kind, Settlement, TaskId};

/// An attempt that runs.
#[derive(Debug)]
pub(in crate::sim::laws) struct Trip {
    pub(in crate::sim::laws) group: Group,
    tasks: Vec<TaskId>,
    answer: Option<Answer>,
}

impl Ledger {
    pub(super) fn started(&mut self, attempt: AttemptId, tasks: Vec<TaskId>) {
        for id in &tasks {
            self.on(*id, |known| {
                let withdrawn = matches!(known.stands, Stands::Withdrawn(_));
                known.stands = if withdrawn { known.stands } else { Stands::Runs(attempt) };
            });
        }
        let group = tasks.first().and_then(|id| self.tasks.get(id)).map(Known::group);
        self.decided.remove(&attempt);
        if let Some(group) = group {
            self.crowded_since.remove(&group);
            self.resting.remove(&group);
            self.trips.insert(attempt, Trip { group, tasks, answer: None });
        }
    }

    pub(super) fn answered(&mut self, attempt: AttemptId, answer: &Answer) {
        let Some(trip) = self.trips.get_mut(&attempt) else { return };
        trip.answer = Some(answer.clone());
        let (tasks, group) = (trip.tasks.clone(), trip.group.clone());
        for id in &tasks {
            let word = word_about(answer, *id, tasks.len());
            self.on(*id, |known| known.word = word);
        }
        let Some(backend) = self.backend(&group).cloned() else { return };
        match subject(answer) {
            Subject::EachTask => {
                self.ill.remove(&backend);
                self.hunted.remove(&group);
            }
            Subject::Request => {
                self.ill.remove(&backend);
                if tasks.len() > 1 {
                    self.hunted.insert(group)
                } else {
                    self.hunted.remove(&group)
                };
            }
            Subject::Server => {
                self.ill.insert(backend);
            }
            Subject::Nothing => {}
        }
    }

    /// The trip is over when it was settled: its tasks wait again, or have ended.
    pub(super) fn settled(&mut self, settlements: &[(TaskId, Settlement)]) {
        for (id, settlement) in settlements {
            if let Some(attempt) = self.tasks.get(id).and_then(|known| known.stands.attempt()) {
                self.trips.remove(&attempt);
            }
            self.task_settled(*id, settlement);
        }
        let runs = self.attempts_with_tasks();
        self.trips.retain(|attempt, trip| trip.answer.is_none() || runs.contains(attempt));
    }

    fn attempts_with_tasks(&self) -> BTreeSet<AttemptId> {
        let standing = self.alive.values().filter_map(|id| self.tasks.get(id)).map(|known| known.stands);
        standing.filter_map(Stands::attempt).collect()
    }

    /// Whether an attempt has not been answered yet.
    pub(in crate::sim::laws) fn is_under_way(&self, attempt: AttemptId) -> bool {
        self.trips.get(&attempt).is_some_and(|trip| trip.answer.is_none())
    }

    /// Attempts under way, and those with a file.
    pub(super) fn running(&self) -> (usize, usize) {
        let is_file = |trip: &&Trip| self.strategy(&trip.group).is_some_and(|strategy| strategy.kind == Kind::File);
        let under_way = || self.trips.values().filter(|trip| trip.answer.is_none());
        (under_way().count(), under_way().filter(is_file).count())
    }
}
