//! The rules once more, as plainly as can be: a list of tasks that is searched from the start for every question.

use std::collections::BTreeMap;

use super::*;
use crate::model::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Now {
    Pending,
    Running,
    Withdrawn,
    Done,
    Failed(Failure),
    Cancelled,
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) new: NewTask,
    pub(super) now: Now,
    pub(super) due: WallTime,
    pub(super) attempts: u32,
    pub(super) crashes: u32,
    since: WallTime,
}

#[derive(Debug, Clone)]
pub(super) struct Reference {
    pub(super) entries: Vec<Entry>,
    requests: BTreeMap<(Owner, String), (TaskId, String)>,
    pruned_to: Option<TaskId>,
    options: Options,
}

impl Reference {
    pub(super) fn new(options: Options) -> Self {
        Self { entries: Vec::new(), requests: BTreeMap::new(), pruned_to: None, options }
    }

    fn entry(&mut self, id: TaskId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|entry| entry.new.id == id)
    }

    fn now_of(&self, id: TaskId) -> Option<Now> {
        self.entries.iter().find(|entry| entry.new.id == id).map(|entry| entry.now)
    }

    /// What a pending task waits for: those of `after`, and whether another of its key goes first.
    pub(super) fn waits(&self, place: usize) -> bool {
        let entry = &self.entries[place];
        let unfinished = |id: &TaskId| matches!(self.now_of(*id), Some(Now::Pending | Now::Running | Now::Failed(_)));
        let goes_first = |(other, them): (usize, &Entry)| {
            let same = them.new.owner == entry.new.owner && them.new.key == entry.new.key;
            let holds = match them.now {
                Now::Running | Now::Withdrawn => true,
                Now::Pending => other < place,
                Now::Done | Now::Failed(_) | Now::Cancelled => false,
            };
            same && holds && other != place
        };
        let behind = entry.new.key.is_some() && self.entries.iter().enumerate().any(goes_first);
        behind || entry.new.after.iter().any(unfinished)
    }

    pub(super) fn enqueue(&mut self, tasks: &[NewTask]) -> Result<Vec<Enqueued>, String> {
        let before = self.clone();
        let enqueued = tasks.iter().map(|new| self.enqueue_one(new)).collect::<Result<Vec<_>, _>>();
        if enqueued.is_err() {
            *self = before;
        }
        enqueued
    }

    fn enqueue_one(&mut self, new: &NewTask) -> Result<Enqueued, String> {
        let nothing = TaskId::from_bytes([0; 16]);
        let content = format!("{:?}", NewTask { id: nothing, created: START, request_id: None, ..new.clone() });
        let request = new.request_id.clone().map(|name| (new.owner, name));
        if let Some((id, known)) = request.as_ref().and_then(|request| self.requests.get(request)) {
            return if *known == content { Ok(Enqueued::AlreadyQueued(*id)) } else { Err("conflict".to_owned()) };
        }
        let pending: Vec<TaskId> = self
            .entries
            .iter()
            .filter(|entry| entry.now == Now::Pending && entry.new.owner == new.owner)
            .filter(|entry| new.key.is_some() && entry.new.key == new.key)
            .map(|entry| entry.new.id)
            .collect();
        match (new.on_existing, pending.first()) {
            (OnExisting::Keep, Some(first)) => {
                self.requests.extend(request.map(|request| (request, (*first, content))));
                return Ok(Enqueued::AlreadyQueued(*first));
            }
            (OnExisting::Replace, _) => pending.iter().rev().for_each(|id| self.cancel(*id, new.created)),
            (OnExisting::Append | OnExisting::Keep, _) => {}
        }
        self.check_quota(new)?;
        let mut now = Now::Pending;
        for id in &new.after {
            match self.entries.iter().find(|entry| entry.new.id == *id) {
                Some(entry) if entry.new.owner != new.owner => return Err("unknown".to_owned()),
                Some(entry) if matches!(entry.now, Now::Cancelled | Now::Withdrawn) => {
                    now = Now::Failed(Failure::Dependency);
                }
                Some(_) => {}
                None if self.pruned_to.is_some_and(|latest| *id <= latest) => {}
                None => return Err("unknown".to_owned()),
            }
        }
        self.requests.extend(request.map(|request| (request, (new.id, content))));
        let entry = Entry { new: new.clone(), now, due: new.created, attempts: 0, crashes: 0, since: new.created };
        self.entries.push(entry);
        Ok(Enqueued::Added(new.id))
    }

    fn check_quota(&self, new: &NewTask) -> Result<(), String> {
        let held = self.entries.iter().filter(|entry| {
            entry.new.owner == new.owner && matches!(entry.now, Now::Pending | Now::Running | Now::Failed(_))
        });
        let apps = held.clone().filter(|entry| entry.new.app == new.app).count() as u64;
        let quota = self.options.quotas.tasks;
        if held.count() as u64 >= quota || apps >= quota.div_ceil(2) { Err("full".to_owned()) } else { Ok(()) }
    }

    pub(super) fn claim(&mut self, limit: usize, now: WallTime) -> Vec<TaskId> {
        let mut claimed = Vec::new();
        loop {
            let mut ready: Vec<usize> = (0..self.entries.len())
                .filter(|place| self.entries[*place].now == Now::Pending && self.entries[*place].due <= now)
                .filter(|place| !self.waits(*place))
                .collect();
            ready.sort_by_key(|place| self.entries[*place].due);
            ready.truncate(limit - claimed.len());
            if ready.is_empty() {
                return claimed;
            }
            for place in ready {
                let entry = &mut self.entries[place];
                entry.since = now;
                if entry.new.expires.is_some_and(|expires| expires <= now) {
                    entry.now = Now::Failed(Failure::Expired);
                } else {
                    entry.now = Now::Running;
                    claimed.push(entry.new.id);
                }
            }
        }
    }

    pub(super) fn settle(&mut self, id: TaskId, settlement: &Settlement, now: WallTime) {
        let Some(entry) = self.entry(id) else { return };
        match (entry.now, settlement) {
            (Now::Withdrawn, _) => entry.now = Now::Cancelled,
            (Now::Running, Settlement::Done(_)) => (entry.now, entry.since) = (Now::Done, now),
            (Now::Running, Settlement::Retry { due, .. }) => {
                (entry.now, entry.due, entry.attempts) = (Now::Pending, *due, entry.attempts + 1);
            }
            (Now::Running, Settlement::Advanced { due, .. }) => {
                (entry.now, entry.due, entry.attempts) = (Now::Pending, *due, 0);
            }
            (Now::Running, Settlement::Postponed { due, .. }) => (entry.now, entry.due) = (Now::Pending, *due),
            (Now::Running, Settlement::Release { .. }) => entry.now = Now::Pending,
            (Now::Running, Settlement::Failed(error)) => entry.now = Now::Failed(error.failure),
            (Now::Pending | Now::Done | Now::Failed(_) | Now::Cancelled, _) => {}
        }
        entry.crashes = 0;
    }

    fn cancel(&mut self, id: TaskId, at: WallTime) {
        let Some(entry) = self.entry(id) else { return };
        entry.since = at;
        match entry.now {
            Now::Pending => entry.now = Now::Cancelled,
            Now::Running => entry.now = Now::Withdrawn,
            Now::Withdrawn | Now::Done | Now::Failed(_) | Now::Cancelled => return,
        }
        self.fail_those_after(id);
    }

    fn fail_those_after(&mut self, id: TaskId) {
        let waiting = |entry: &&mut Entry| entry.now == Now::Pending && entry.new.after.contains(&id);
        let ids: Vec<TaskId> = self
            .entries
            .iter_mut()
            .filter(waiting)
            .map(|entry| {
                entry.now = Now::Failed(Failure::Dependency);
                entry.new.id
            })
            .collect();
        ids.into_iter().for_each(|id| self.fail_those_after(id));
    }

    fn missing(&self, scope: Scope, ids: &[TaskId]) -> bool {
        let there = |id: &TaskId| self.entries.iter().any(|entry| entry.new.id == *id && scope.covers(entry.new.owner));
        !ids.iter().all(there)
    }

    /// Cancels, retries or discards; `None` if an id is not there.
    pub(super) fn by_ids(&mut self, what: usize, scope: Scope, ids: &[TaskId], now: WallTime) -> Option<u32> {
        if self.missing(scope, ids) {
            return None;
        }
        let mut changed = 0;
        for id in ids {
            let Some(state) = self.now_of(*id) else { continue };
            let fits = match what {
                0 => matches!(state, Now::Pending | Now::Running),
                1 => matches!(state, Now::Failed(_)),
                _ => matches!(state, Now::Failed(_) | Now::Done | Now::Cancelled),
            };
            if !fits {
                continue;
            }
            changed += 1;
            match what {
                0 => self.cancel(*id, now),
                1 => {
                    let entry = self.entry(*id).unwrap();
                    (entry.now, entry.attempts, entry.crashes, entry.due) = (Now::Pending, 0, 0, now);
                }
                _ => {
                    // Nobody waits for one that is done or cancelled.
                    if matches!(state, Now::Failed(_)) {
                        self.fail_those_after(*id);
                    }
                    self.remove(&[*id]);
                }
            }
        }
        Some(changed)
    }

    pub(super) fn bring_forward(&mut self, scope: Scope, now: WallTime) {
        let waiting = |entry: &&mut Entry| entry.now == Now::Pending && scope.covers(entry.new.owner);
        let in_the_future = |entry: &&mut Entry| waiting(entry) && entry.due > now;
        self.entries.iter_mut().filter(in_the_future).for_each(|entry| entry.due = entry.new.created.min(now));
    }

    fn remove(&mut self, ids: &[TaskId]) {
        self.entries.retain(|entry| !ids.contains(&entry.new.id));
        self.requests.retain(|_, (id, _)| !ids.contains(id));
    }

    pub(super) fn tidy(&mut self, now: WallTime) {
        for entry in &mut self.entries {
            if entry.now == Now::Pending && entry.new.expires.is_some_and(|expires| expires <= now) {
                entry.now = Now::Failed(Failure::Expired);
            }
        }
        let old: Vec<TaskId> = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.now, Now::Done | Now::Cancelled))
            .filter(|entry| entry.since + self.options.keep_done <= now)
            .map(|entry| entry.new.id)
            .collect();
        self.pruned_to = self.pruned_to.max(old.iter().copied().max());
        self.remove(&old);
    }

    pub(super) fn restart(&mut self) {
        for entry in &mut self.entries {
            match entry.now {
                Now::Running if entry.crashes == 2 => entry.now = Now::Failed(Failure::Crashed),
                Now::Running => (entry.now, entry.crashes) = (Now::Pending, entry.crashes + 1),
                Now::Withdrawn => entry.now = Now::Cancelled,
                Now::Pending | Now::Done | Now::Failed(_) | Now::Cancelled => {}
            }
        }
    }
}
