//! A lane as the scheduler knows it: how much waits, since when, and why. Its size does not depend on the queue's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::backoff;
use super::outcome::Blame;
use crate::model::{Claimed, LaneSummary, Moment, Now, Overrides, Reason, StrategyName, TaskId, WallTime};

/// One lane.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) strategy: StrategyName,
    pub(super) overrides: Overrides,
    /// Tasks in the ready index, due or not, when the store last spoke.
    pub(super) waiting: u64,
    /// The earliest due time among them.
    pub(super) first_due: Option<WallTime>,
    /// Tasks claimed since the store last spoke.
    taken: u64,
    /// An attempt of it ended since the store last spoke: more may be ready than is known.
    pub(super) stirred: bool,
    rest: Option<Rest>,
    search: Option<Search>,
    /// What hinders it, each since when.
    pub(super) hindrances: BTreeMap<Reason, WallTime>,
    /// Since when nothing but slots has kept it from going.
    free_since: Option<Moment>,
    /// Since when its due tasks have lacked nothing but a slot.
    pub(super) crowded_since: Option<WallTime>,
}

/// A claim got less than the summary promised. News of the store ends the rest; should none come, because the store
/// failed, the lane is tried again by itself.
#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Moment,
    times: u32,
}

/// The hunt for the task to blame for a batch that was refused as a whole. Its limit only shrinks, until a task is blamed
/// alone or the server has spoken about every suspect: each few requests settle something.
#[derive(Debug)]
struct Search {
    suspects: BTreeSet<TaskId>,
    limit: usize,
}

impl Search {
    /// Tasks were claimed while it goes on. Suspects come first; if none of them did, they are gone, and the word about
    /// these tasks ends the search.
    fn follow(&mut self, tasks: &[Claimed]) {
        if !tasks.is_empty() && !tasks.iter().any(|task| self.suspects.contains(&task.id)) {
            self.suspects = tasks.iter().map(|task| task.id).collect();
        }
    }
}

/// Whether the store spoke of a lane while a claim of it was under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    Came,
    Outstanding,
}

impl Lane {
    pub(super) fn new(summary: LaneSummary) -> Self {
        Self {
            strategy: summary.strategy,
            overrides: summary.overrides,
            waiting: summary.waiting,
            first_due: summary.first_due,
            taken: 0,
            stirred: false,
            rest: None,
            search: None,
            hindrances: BTreeMap::new(),
            free_since: None,
            crowded_since: None,
        }
    }

    /// Whether so many waiting ones mean that new ones have come, as far as can be told: what an attempt left is none.
    pub(super) fn grows_to(&self, waiting: u64) -> bool {
        !self.stirred && waiting > self.waiting.saturating_sub(self.taken)
    }

    /// The store spoke.
    pub(super) fn update(&mut self, summary: LaneSummary) {
        self.strategy = summary.strategy;
        self.overrides = summary.overrides;
        self.waiting = summary.waiting;
        self.first_due = summary.first_due;
        self.taken = 0;
        self.stirred = false;
        self.rest = None;
    }

    /// A claim of at most `limit` tasks got `tasks`.
    pub(super) fn claimed(&mut self, tasks: &[Claimed], limit: usize, news: News, now: Now, cap: Duration) {
        if let Some(search) = &mut self.search {
            search.follow(tasks);
        }
        self.taken += tasks.len() as u64;
        let promised_more = self.first_due.is_some_and(|due| self.waiting > 0 && due <= now.wall);
        let got_less = tasks.len() < limit || self.taken >= self.waiting;
        if news == News::Outstanding && promised_more && got_less {
            let times = self.rest.map_or(0, |rest| rest.times.saturating_add(1));
            self.rest = Some(Rest { until: now.moment + backoff::ceiling(cap, 2.0, times), times });
        }
    }

    /// An attempt with these tasks ended.
    pub(super) fn ended(&mut self, batch: &[TaskId], blame: Blame) {
        self.stirred = true;
        match blame {
            Blame::Someone => {
                let search = self.search.get_or_insert_with(|| Search { suspects: BTreeSet::new(), limit: usize::MAX });
                search.suspects.extend(batch);
                search.limit = search.limit.min(batch.len().div_ceil(2));
            }
            Blame::Lone => self.search = None,
            Blame::Spoken => {
                if let Some(search) = &mut self.search {
                    search.suspects.retain(|suspect| !batch.contains(suspect));
                    if search.suspects.is_empty() {
                        self.search = None;
                    }
                }
            }
            Blame::Nobody => {}
        }
    }

    /// The most tasks that one attempt may carry while somebody is to blame.
    pub(super) fn search_limit(&self) -> Option<usize> {
        self.search.as_ref().map(|search| search.limit)
    }

    /// Whether something of it is due.
    pub(super) fn is_ready(&self, now: Now) -> bool {
        self.ready_at(now).is_some_and(|at| at <= now.moment)
    }

    /// From when on something of it can be claimed; not before now.
    pub(super) fn ready_at(&self, now: Now) -> Option<Moment> {
        let due = now.moment_of(self.first_due.filter(|_| self.waiting > 0)?);
        Some(self.rest.map_or(due, |rest| due.max(rest.until)))
    }

    /// Until when it is not claimed from, for the store handed out less than it has.
    pub(super) fn rests_until(&self, now: Moment) -> Option<Moment> {
        self.rest.map(|rest| rest.until).filter(|until| *until > now)
    }

    /// Whether its oldest due task has waited for a slot longer than `max_wait`.
    pub(super) fn is_starved(&self, max_wait: Option<Duration>, now: Now) -> bool {
        let (Some(max_wait), Some(due), Some(free)) = (max_wait, self.first_due, self.free_since) else {
            return false;
        };
        now.wall.saturating_since(due).min(now.moment.saturating_since(free)) > max_wait
    }

    /// Takes what hinders it now; `free` says that nothing but slots does.
    pub(super) fn see(&mut self, hindrances: &[Reason], free: bool, now: Now) {
        self.hindrances.retain(|reason, _| hindrances.contains(reason));
        for reason in hindrances {
            self.hindrances.entry(*reason).or_insert(now.wall);
        }
        self.free_since = free.then(|| self.free_since.unwrap_or(now.moment));
    }
}
