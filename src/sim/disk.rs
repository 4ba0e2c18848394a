//! The disk that a device's queue is on: what the core asks of it is written at once, or after a while, in order; the
//! answers may take their time too. What was not written when the device dies never was.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;

use super::core::Core;
use super::device::Device;
use super::seen::{Seen, Witness};
use crate::model::{AttemptId, Claimed, LaneId, Moment, Settlement, TaskId, WallTime};
use crate::schedule::Input;

/// What a core asks of the queue, and when.
#[derive(Debug)]
pub(super) enum Asked {
    /// Rows of a lane for an attempt.
    Claim { attempt: AttemptId, lane: LaneId, limit: usize, at: WallTime },
    /// How tasks were left.
    Settle { settlements: Vec<(TaskId, Settlement)>, at: WallTime },
    /// That what expired fails.
    Tidy { at: WallTime },
}

/// The disk, and what is on its way to it and back.
#[derive(Debug, Default)]
pub(super) struct Disk {
    /// Nothing can be written.
    pub(super) full: bool,
    /// The longest that writing takes, and that an answer takes; zero: none takes time.
    pub(super) slowness: Duration,
    asked: VecDeque<(Moment, Asked)>,
    answers: VecDeque<(Moment, Vec<Input>)>,
    /// Tasks that are between the queue and the core: settled and not written, or handed over and not heard of.
    pub(super) between: BTreeSet<TaskId>,
}

impl Disk {
    /// When something of it is written, or heard.
    pub(super) fn next(&self) -> Option<Moment> {
        let asked = self.asked.front().map(|(at, _)| *at);
        asked.into_iter().chain(self.answers.front().map(|(at, _)| *at)).min()
    }

    /// Whether the core has not heard of all that it asked for, or of all that has changed.
    pub(super) fn is_busy(&self) -> bool {
        !self.asked.is_empty() || !self.answers.is_empty()
    }

    /// What was not written is lost, and what was not heard never will be.
    pub(super) fn lose(&mut self) {
        self.asked.clear();
        self.answers.clear();
    }

    /// After how long, but not before what is on its way already.
    fn later(&self, before: Option<Moment>, now: Moment, random: &mut Rng) -> Moment {
        let at = super::clock::in_micros(now + self.slowness.mul_f64(random.f64()));
        before.map_or(at, |before| at.max(before))
    }
}

impl<C: Core, W: Witness> Device<C, W> {
    /// The core asks something of the queue.
    pub(super) fn ask(&mut self, asked: Asked) {
        if let Asked::Settle { settlements, .. } = &asked {
            self.disk.between.extend(settlements.iter().map(|(id, _)| *id));
        }
        if self.disk.slowness.is_zero() {
            return self.write(asked);
        }
        let last = self.disk.asked.back().map(|(at, _)| *at);
        let at = self.disk.later(last, self.now.moment, &mut self.random);
        self.disk.asked.push_back((at, asked));
    }

    /// All that was asked is on disk now: what comes next is written together with it.
    pub(super) fn commit(&mut self) {
        while let Some((_, asked)) = self.disk.asked.pop_front() {
            self.write(asked);
        }
    }

    /// What was to be written by now is, and what was to be heard.
    pub(super) fn disk_works(&mut self) {
        while let Some(asked) = come(&mut self.disk.asked, self.now.moment) {
            self.write(asked);
        }
        while let Some(inputs) = come(&mut self.disk.answers, self.now.moment) {
            self.hear(inputs);
            self.drain();
        }
    }

    /// All that was asked is written and heard.
    pub(super) fn wait_for_disk(&mut self) {
        self.commit();
        while let Some((_, inputs)) = self.disk.answers.pop_front() {
            self.hear(inputs);
            self.drain();
        }
    }

    fn write(&mut self, asked: Asked) {
        match asked {
            Asked::Claim { attempt, lane, limit, at } => self.claim(attempt, lane, limit, at),
            Asked::Settle { settlements, at } => self.settle(settlements, at),
            Asked::Tidy { at } => {
                self.store.tidy(at);
                let news = self.store_news(Vec::new());
                self.answer(news);
            }
        }
    }

    fn claim(&mut self, attempt: AttemptId, lane: LaneId, limit: usize, at: WallTime) {
        let tasks = if self.disk.full { Vec::new() } else { self.store.claim(lane, limit, at) };
        if let Some((strategy, overrides)) = self.store.whose(lane).filter(|_| tasks.is_empty()) {
            self.witness.see(&Seen::NothingClaimed { strategy, overrides }, self.now);
        }
        // What it failed on its way comes first: others of its key were handed over for that.
        let mut news = self.store_news(Vec::new());
        self.witness.see(&Seen::HandedOver { attempt, tasks: &tasks }, self.now);
        self.disk.between.extend(tasks.iter().map(|task| task.id));
        let claimed = Input::Claimed { attempt, tasks };
        // Two threads bring the news and the answer: who is first, chance decides.
        if !self.disk.slowness.is_zero() && self.random.bool() {
            news.insert(0, claimed);
        } else {
            news.push(claimed);
        }
        self.answer(news);
    }

    fn settle(&mut self, settlements: Vec<(TaskId, Settlement)>, at: WallTime) {
        if self.disk.full {
            return self.answer(vec![Input::Unsettled(settlements)]);
        }
        self.disk.between.retain(|id| !settlements.iter().any(|(settled, _)| settled == id));
        self.store.settle(&settlements, at);
        self.witness.see(&Seen::Settled(&settlements), self.now);
        let news = self.store_news(Vec::new());
        self.answer(news);
    }

    /// What the core will hear.
    pub(super) fn answer(&mut self, inputs: Vec<Input>) {
        if self.disk.slowness.is_zero() {
            return self.hear(inputs);
        }
        let last = self.disk.answers.back().map(|(at, _)| *at);
        let at = self.disk.later(last, self.now.moment, &mut self.random);
        self.disk.answers.push_back((at, inputs));
    }

    fn hear(&mut self, inputs: Vec<Input>) {
        for input in inputs {
            if let Input::Claimed { tasks, .. } = &input {
                let heard = |id: &TaskId| tasks.iter().any(|task: &Claimed| task.id == *id);
                self.disk.between.retain(|id| !heard(id));
            }
            self.core.handle(input, self.now);
        }
    }

    /// What has changed in the queue, after `first` of it.
    pub(super) fn store_news(&mut self, first: Vec<Input>) -> Vec<Input> {
        for id in self.store.ended() {
            let Some(row) = self.store.row(id) else { continue };
            let failure = row.error.as_ref().map(|error| error.failure);
            self.witness.see(&Seen::Ended { id, state: row.state, failure }, self.now);
        }
        let mut news = Vec::new();
        let tidy_at = self.store.tidy_at();
        if tidy_at != self.tidy_told {
            self.tidy_told = tidy_at;
            news.push(Input::TidyAt(tidy_at));
        }
        news.extend(first);
        let lanes = self.store.news();
        if !lanes.is_empty() {
            news.push(Input::Lanes(lanes));
        }
        news
    }

    /// Somebody else than the core has changed the queue: `first`, and what the queue tells.
    pub(super) fn store_changed(&mut self, first: Vec<Input>) {
        let news = self.store_news(first);
        self.answer(news);
        self.drain();
    }
}

/// The first of what is on its way, if its time has come.
fn come<T>(on_its_way: &mut VecDeque<(Moment, T)>, now: Moment) -> Option<T> {
    let has_come = on_its_way.front().is_some_and(|(at, _)| *at <= now);
    if has_come { on_its_way.pop_front().map(|(_, what)| what) } else { None }
}
