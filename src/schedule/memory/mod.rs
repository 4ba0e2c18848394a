//! A queue in memory that claims, orders, expires and remembers requests as the store on disk does: what the simulator has
//! in place of SQLite. It stands here, and not with the simulator, because the scheduler's own tests may not look up.
//! It knows nothing of disks, quotas and history.

mod order;
mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use row::Row;

use crate::model::{
    Claimed, Enqueued, Failure, LaneId, LaneSummary, NewTask, OnExisting, Overrides, Owner, Settlement, State,
    StrategyName, Task, TaskError, TaskId, WallTime,
};

/// Backoffs that ended while nobody looked come due within this span.
const SPREAD: Duration = Duration::from_secs(10);

/// The whole queue, ended tasks included.
#[derive(Debug, Default)]
pub struct Memory {
    /// In the order of enqueue.
    rows: Vec<Row>,
    places: BTreeMap<TaskId, usize>,
    lanes: Vec<Lane>,
    /// Pending and running tasks by key.
    keys: BTreeMap<(Owner, String), BTreeSet<usize>>,
    /// Who waits for a task.
    dependents: BTreeMap<usize, Vec<usize>>,
    requests: BTreeMap<(Owner, String), usize>,
    /// Pending tasks that end by themselves.
    expiries: BTreeSet<(WallTime, usize)>,
    /// What a task became of itself, by another or by the clock, since [`ended`](Self::ended) was asked last.
    ended: Vec<TaskId>,
    /// Claimed since something was last written that a power cut does not undo.
    unsynced: Vec<usize>,
}

/// A lane and its ready index.
#[derive(Debug)]
struct Lane {
    strategy: StrategyName,
    overrides: Overrides,
    /// Pending tasks that wait for no other, in order.
    ready: BTreeSet<(WallTime, usize)>,
    told: Option<LaneSummary>,
}

/// Why a task was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The request id stands for another task.
    RequestConflict(TaskId),
    /// `after` names a task that is not there.
    UnknownAfter(TaskId),
}

impl Memory {
    /// Takes a task in.
    pub fn enqueue(&mut self, task: NewTask) -> Result<Enqueued, Refused> {
        self.unsynced.clear();
        if let Some(earlier) = self.earlier_request(&task) {
            let row = &self.rows[earlier];
            return if row.has_content_of(&task) {
                Ok(Enqueued::AlreadyQueued(row.task.id))
            } else {
                Err(Refused::RequestConflict(row.task.id))
            };
        }
        self.resolve(&task)?;
        if let Some(key) = task.key.clone() {
            let pending = self.pending_of_key(task.owner, &key);
            match task.on_existing {
                OnExisting::Append => {}
                OnExisting::Keep => {
                    if let Some(first) = pending.first() {
                        self.remember(&task, *first);
                        return Ok(Enqueued::AlreadyQueued(self.rows[*first].task.id));
                    }
                }
                OnExisting::Replace => pending.iter().rev().for_each(|place| self.cancel_pending(*place, task.created)),
            }
        }
        let waits_for = self.resolve(&task)?;
        Ok(Enqueued::Added(self.add(task, waits_for)))
    }

    fn earlier_request(&self, task: &NewTask) -> Option<usize> {
        let name = task.request_id.clone()?;
        self.requests.get(&(task.owner, name)).copied()
    }

    fn remember(&mut self, task: &NewTask, place: usize) {
        if let Some(name) = &task.request_id {
            self.requests.insert((task.owner, name.clone()), place);
        }
    }

    fn add(&mut self, task: NewTask, waits_for: BTreeSet<usize>) -> TaskId {
        let place = self.rows.len();
        let (id, now) = (task.id, task.created);
        self.remember(&task, place);
        self.places.insert(id, place);
        for on in &waits_for {
            self.dependents.entry(*on).or_default().push(place);
        }
        if let Some(key) = &task.key {
            self.keys.entry((task.owner, key.clone())).or_default().insert(place);
        }
        self.expiries.extend(task.expires.map(|expires| (expires, place)));
        let lane = self.lane(&task.strategy, task.overrides);
        self.rows.push(Row::new(task, lane, waits_for));
        let gone = self.rows[place].task.after.iter().find(|id| self.state(**id) == Some(State::Cancelled)).copied();
        match gone {
            Some(gone) => {
                self.fail(place, TaskError { failure: Failure::Dependency, words: gone.to_string() }, now);
                self.ended.push(id);
            }
            None => self.refresh(place, None),
        }
        id
    }

    /// The lane of a strategy with these overrides.
    pub fn lane(&mut self, strategy: &StrategyName, overrides: Overrides) -> LaneId {
        let known = self.lanes.iter().position(|lane| lane.strategy == *strategy && lane.overrides == overrides);
        let at = known.unwrap_or_else(|| {
            let (strategy, ready) = (strategy.clone(), BTreeSet::new());
            self.lanes.push(Lane { strategy, overrides, ready, told: None });
            self.lanes.len() - 1
        });
        LaneId(at as i64 + 1)
    }

    /// Whose lane this is.
    pub fn whose(&self, id: LaneId) -> Option<(&StrategyName, Overrides)> {
        let lane = self.lanes.get(usize::try_from(id.0 - 1).ok()?)?;
        Some((&lane.strategy, lane.overrides))
    }

    fn lane_mut(&mut self, id: LaneId) -> Option<&mut Lane> {
        self.lanes.get_mut(usize::try_from(id.0 - 1).ok()?)
    }

    /// Marks the next due tasks of a lane as running, and fails on its way what has expired.
    pub fn claim(&mut self, lane: LaneId, limit: usize, now: WallTime) -> Vec<Claimed> {
        let mut claimed = Vec::new();
        while claimed.len() < limit {
            let first = self.lane_mut(lane).and_then(|lane| lane.ready.first().copied());
            let Some((_, place)) = first.filter(|(due, _)| *due <= now) else {
                break;
            };
            if self.rows[place].task.expires.is_some_and(|expires| expires <= now) {
                self.expire(place, now);
            } else {
                self.turn(place, State::Running, now);
                self.unsynced.push(place);
                claimed.push(self.rows[place].claimed());
            }
        }
        claimed
    }

    /// Writes how an attempt left its tasks; what was cancelled meanwhile stays so.
    pub fn settle(&mut self, settlements: &[(TaskId, Settlement)], now: WallTime) {
        self.unsynced.clear();
        for (id, settlement) in settlements {
            let Some(place) = self.places.get(id).copied() else { continue };
            let row = &mut self.rows[place];
            if row.state != State::Running {
                self.let_go(place, now);
                continue;
            }
            match settlement {
                Settlement::Done(_) => self.done(place, now),
                Settlement::Retry { due, error } => {
                    row.comes_back(*due, row.attempts + 1, error);
                    self.turn(place, State::Pending, now);
                }
                Settlement::Advanced { due, error } => {
                    row.comes_back(*due, 0, error);
                    self.turn(place, State::Pending, now);
                }
                Settlement::Postponed { due, error } => {
                    row.comes_back(*due, row.attempts, error);
                    self.turn(place, State::Pending, now);
                }
                Settlement::Release { .. } => {
                    // It was due when it was claimed: later than now only by a clock that was set back since.
                    (row.due, row.crashes) = (row.due.min(now), 0);
                    self.turn(place, State::Pending, now);
                }
                Settlement::Failed(error) => {
                    row.attempts += u32::from(error.failure == Failure::Exhausted);
                    self.fail(place, error.clone(), now);
                }
            }
        }
    }

    /// Takes a task back that has not ended; the state it was in, if it was.
    pub fn cancel(&mut self, id: TaskId, now: WallTime) -> Option<State> {
        self.unsynced.clear();
        let place = self.places.get(&id).copied()?;
        let before = self.rows[place].state;
        match before {
            State::Pending => self.cancel_pending(place, now),
            // Its key waits for the attempt that has it.
            State::Running => {
                self.rows[place].withdrawn = true;
                self.turn(place, State::Cancelled, now);
                self.fail_dependents(place, now);
            }
            State::Done | State::Failed | State::Cancelled => return None,
        }
        Some(before)
    }

    fn cancel_pending(&mut self, place: usize, now: WallTime) {
        if self.rows[place].state == State::Pending {
            self.turn(place, State::Cancelled, now);
            self.ended.push(self.rows[place].task.id);
            self.fail_dependents(place, now);
        }
    }

    /// Tries a dead letter again, as if it had never been tried; whether it was one.
    pub fn retry(&mut self, id: TaskId, now: WallTime) -> bool {
        self.unsynced.clear();
        let Some(place) = self.places.get(&id).copied().filter(|place| self.rows[*place].state == State::Failed) else {
            return false;
        };
        // One that it comes after and that was taken back holds it no longer: who retries it wants it to go.
        let waits_for = self.resolve(&self.rows[place].task).unwrap_or_default();
        for on in &waits_for {
            self.dependents.entry(*on).or_default().push(place);
        }
        let row = &mut self.rows[place];
        row.comes_back(now, 0, "");
        (row.error, row.waits_for) = (None, waits_for);
        if let Some(key) = &row.task.key {
            self.keys.entry((row.task.owner, key.clone())).or_default().insert(place);
        }
        self.turn(place, State::Pending, now);
        true
    }

    /// Ends the backoffs of one strategy, or of all.
    pub fn bring_forward(&mut self, only: Option<&StrategyName>, now: WallTime) {
        self.change_dues(|row| {
            let meant = only.is_none_or(|only| row.task.strategy == *only);
            (meant && row.due > now).then_some(row.task.created.min(now))
        });
    }

    /// Puts due times right that a clock which was set, or a time away, has made wrong: a task that no server has answered
    /// is due now, a backoff that ends later than any can is drawn anew, and one that is over from a short span.
    pub fn respread(&mut self, now: WallTime, cap: Duration, rng: &mut fastrand::Rng) {
        let mut within = |span: Duration| now + span.mul_f64(rng.f64()).max(Duration::from_micros(1));
        self.change_dues(|row| match row.attempts {
            0 => (row.due > now).then_some(now),
            _ if row.due > now + cap => Some(within(cap)),
            _ => (row.due <= now).then(|| within(cap.min(SPREAD))),
        });
    }

    fn change_dues(&mut self, mut change: impl FnMut(&Row) -> Option<WallTime>) {
        self.unsynced.clear();
        for place in 0..self.rows.len() {
            let row = &self.rows[place];
            if row.state == State::Pending
                && let Some(due) = change(row)
            {
                let before = (row.due, place);
                self.rows[place].due = due;
                self.refresh(place, Some(before));
            }
        }
    }

    /// Fails what has expired.
    pub fn tidy(&mut self, now: WallTime) {
        while let Some((_, place)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.expire(place, now);
        }
    }

    /// Keeps what an attempt must remember; whether it came further by that, so that earlier crashes are forgotten.
    pub fn keep(&mut self, id: TaskId, note: String) -> bool {
        self.unsynced.clear();
        let place = self.places.get(&id).copied().filter(|place| self.rows[*place].is_with_an_attempt());
        let Some(row) = place.map(|place| &mut self.rows[place]) else { return false };
        let further = row.note.replace(note).is_some();
        row.crashes = if further { 0 } else { row.crashes };
        further
    }

    /// The power went: claims that nothing was written after are undone. Whose they were.
    pub fn cut_power(&mut self, now: WallTime) -> Vec<TaskId> {
        let undone = std::mem::take(&mut self.unsynced).into_iter();
        let undone: Vec<usize> = undone.filter(|place| self.rows[*place].state == State::Running).collect();
        undone.iter().for_each(|place| self.turn(*place, State::Pending, now));
        undone.into_iter().map(|place| self.rows[place].task.id).collect()
    }

    /// After a start: what an attempt had when the daemon died waits again, or has failed when it was found so for the
    /// `most`th time. All lanes are news.
    pub fn recover(&mut self, now: WallTime, most: u32) {
        for place in 0..self.rows.len() {
            let row = &mut self.rows[place];
            if row.state != State::Running {
                self.let_go(place, now);
                continue;
            }
            row.crashes += 1;
            if row.crashes >= most {
                self.fail(place, TaskError { failure: Failure::Crashed, words: String::new() }, now);
                self.ended.push(self.rows[place].task.id);
            } else {
                self.turn(place, State::Pending, now);
            }
        }
        self.lanes.iter_mut().for_each(|lane| lane.told = None);
    }

    /// When [`tidy`](Self::tidy) next has something to do.
    pub fn tidy_at(&self) -> Option<WallTime> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// The lanes whose summary has changed since this was asked last.
    pub fn news(&mut self) -> Vec<LaneSummary> {
        let mut changed = Vec::new();
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let (waiting, first_due) = (lane.ready.len() as u64, lane.ready.first().map(|(due, _)| *due));
            let told = lane.told.as_ref().is_some_and(|told| told.waiting == waiting && told.first_due == first_due);
            if !told {
                let (strategy, overrides) = (lane.strategy.clone(), lane.overrides);
                let summary = LaneSummary { id: LaneId(at as i64 + 1), strategy, overrides, waiting, first_due };
                lane.told = Some(summary.clone());
                changed.push(summary);
            }
        }
        changed
    }

    /// Tasks that ended by no attempt since this was asked last: expired, cancelled for another, failed with another.
    pub fn ended(&mut self) -> Vec<TaskId> {
        std::mem::take(&mut self.ended)
    }

    /// All rows in the order of enqueue.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// One row.
    pub fn row(&self, id: TaskId) -> Option<&Row> {
        self.places.get(&id).map(|place| &self.rows[*place])
    }

    /// Where a task stands.
    pub fn state(&self, id: TaskId) -> Option<State> {
        self.row(id).map(|row| row.state)
    }

    /// Whether anything waits that could go if the world allowed it.
    pub fn has_ready(&self) -> bool {
        self.lanes.iter().any(|lane| !lane.ready.is_empty())
    }

    /// A task as its owner is shown it.
    pub fn shown(&self, id: TaskId) -> Option<Task> {
        let place = self.places.get(&id).copied()?;
        let row = &self.rows[place];
        let before = row.task.key.as_ref().and_then(|key| {
            let of_key = self.keys.get(&(row.task.owner, key.clone()))?;
            of_key.iter().copied().rfind(|other| *other < place || self.rows[*other].is_with_an_attempt())
        });
        let waits_for = before.into_iter().filter(|other| *other != place).chain(row.waits_for.iter().copied());
        Some(row.shown(waits_for.map(|other| self.rows[other].task.id).collect()))
    }
}
