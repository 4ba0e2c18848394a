//! What concerns two tasks of the queue in memory: order within a key, and `after`.

use std::collections::{BTreeSet, VecDeque};

use super::{Memory, Refused};
use crate::model::{Failure, NewTask, Owner, State, TaskError, WallTime};

impl Memory {
    /// The tasks that must be done before a new one.
    pub(super) fn resolve(&self, task: &NewTask) -> Result<BTreeSet<usize>, Refused> {
        let mut waits_for = BTreeSet::new();
        for id in &task.after {
            let place = *self.places.get(id).ok_or(Refused::UnknownAfter(*id))?;
            match self.rows[place].state {
                State::Pending | State::Running | State::Failed => drop(waits_for.insert(place)),
                State::Done | State::Cancelled => {}
            }
        }
        Ok(waits_for)
    }

    pub(super) fn pending_of_key(&self, owner: Owner, key: &str) -> Vec<usize> {
        let all = self.keys.get(&(owner, key.to_owned())).into_iter().flatten().copied();
        all.filter(|place| self.rows[*place].state == State::Pending).collect()
    }

    /// Moves a task to another state, and sees who may go now.
    pub(super) fn turn(&mut self, place: usize, state: State, now: WallTime) {
        let row = &mut self.rows[place];
        row.state = state;
        if let (Some(expires), State::Pending) = (row.task.expires, state) {
            self.expiries.insert((expires, place));
        } else if let Some(expires) = row.task.expires {
            self.expiries.remove(&(expires, place));
        }
        let before = (row.due, place);
        self.refresh(place, Some(before));
        self.rehead(place, now);
    }

    /// A task of a key came, went or changed: the first of it may have become another.
    fn rehead(&mut self, place: usize, now: WallTime) {
        let Some(key) = self.rows[place].task.key.clone() else { return };
        let owner = self.rows[place].task.owner;
        let alive = self.rows[place].state == State::Pending || self.rows[place].is_with_an_attempt();
        let Some(of_key) = self.keys.get_mut(&(owner, key)) else { return };
        if !alive {
            of_key.remove(&place);
        }
        let first_two: Vec<usize> = of_key.iter().copied().take(2).collect();
        for other in first_two.into_iter().filter(|other| *other != place) {
            self.comes_into_reach(other, now);
        }
    }

    /// A task may wait for fewer others than before; the clock may have been set back while it did.
    fn comes_into_reach(&mut self, place: usize, now: WallTime) {
        let row = &mut self.rows[place];
        let before = (row.due, place);
        if row.attempts == 0 && row.state == State::Pending {
            row.due = row.due.min(now);
        }
        self.refresh(place, Some(before));
    }

    /// Puts a task into the ready index of its lane, or takes it out; `before` is how it may stand there.
    pub(super) fn refresh(&mut self, place: usize, before: Option<(WallTime, usize)>) {
        let row = &self.rows[place];
        let (ready, entry, lane) = (self.is_ready(place), (row.due, place), row.lane);
        let Some(lane) = self.lane_mut(lane) else { return };
        if let Some(before) = before {
            lane.ready.remove(&before);
        }
        if ready {
            lane.ready.insert(entry);
        }
    }

    fn is_ready(&self, place: usize) -> bool {
        let row = &self.rows[place];
        let is_head = row.task.key.as_ref().is_none_or(|key| {
            self.keys.get(&(row.task.owner, key.clone())).is_some_and(|of_key| {
                of_key.first() == Some(&place) && !of_key.iter().any(|other| self.rows[*other].is_with_an_attempt())
            })
        });
        row.state == State::Pending && row.waits_for.is_empty() && is_head
    }

    /// The attempt of a task that was taken back is over: its key goes on.
    pub(super) fn let_go(&mut self, place: usize, now: WallTime) {
        if std::mem::take(&mut self.rows[place].withdrawn) {
            self.rehead(place, now);
        }
    }

    pub(super) fn done(&mut self, place: usize, now: WallTime) {
        self.turn(place, State::Done, now);
        for waiting in self.dependents.remove(&place).unwrap_or_default() {
            self.rows[waiting].waits_for.remove(&place);
            self.comes_into_reach(waiting, now);
        }
    }

    pub(super) fn fail(&mut self, place: usize, error: TaskError, now: WallTime) {
        self.rows[place].error = Some(error);
        self.turn(place, State::Failed, now);
    }

    pub(super) fn expire(&mut self, place: usize, now: WallTime) {
        self.fail(place, TaskError { failure: Failure::Expired, words: String::new() }, now);
        self.ended.push(self.rows[place].task.id);
    }

    /// A task was taken back: those that wait for it fail, and those that wait for them.
    pub(super) fn fail_dependents(&mut self, place: usize, now: WallTime) {
        let mut gone = VecDeque::from([place]);
        while let Some(on) = gone.pop_front() {
            for waiting in self.dependents.remove(&on).unwrap_or_default() {
                if self.rows[waiting].state == State::Pending {
                    let words = self.rows[on].task.id.to_string();
                    self.fail(waiting, TaskError { failure: Failure::Dependency, words }, now);
                    self.ended.push(self.rows[waiting].task.id);
                    gone.push_back(waiting);
                }
            }
        }
    }
}
