//! Random calls to the store and to a reference of the same rules: what they answer and hold must be the same.

use super::reference::{Now, Reference};
use super::*;
use crate::model::Failure;

/// Draws calls, and makes each of both.
struct Driver {
    random: fastrand::Rng,
    rig: Option<Rig>,
    reference: Reference,
    now: WallTime,
    ids: Vec<TaskId>,
    running: Vec<TaskId>,
}

#[test]
fn the_store_does_what_the_reference_does() {
    for seed in 0..24 {
        let mut driver = Driver::new(seed);
        for step in 0..250 {
            driver.step();
            driver.compare(&format!("seed {seed}, step {step}"));
        }
        assert_consistent(driver.rig());
    }
}

impl Driver {
    fn new(seed: u64) -> Self {
        let options = Options {
            quotas: Quotas { tasks: 40, bytes: 1 << 30, subscribers: 1, holds: 1 },
            keep_done: seconds(300),
            ..options()
        };
        Self {
            random: fastrand::Rng::with_seed(seed),
            rig: Some(Rig::with(options.clone())),
            reference: Reference::new(options),
            now: START,
            ids: Vec::new(),
            running: Vec::new(),
        }
    }

    fn rig(&self) -> &Rig {
        self.rig.as_ref().unwrap()
    }

    fn step(&mut self) {
        self.now = self.now + Duration::from_millis(self.random.u64(0..20_000));
        match self.random.u32(0..100) {
            0..35 => self.enqueue(),
            35..55 => self.claim(),
            55..80 => self.settle(),
            80..90 => self.by_ids(),
            90..93 => self.bring_forward(),
            93..97 => {
                wait(self.rig().store.tidy(self.now)).unwrap();
                self.reference.tidy(self.now);
            }
            _ => self.restart(),
        }
    }

    fn new_task(&mut self) -> NewTask {
        let random = &mut self.random;
        let mut maybe = |chance: u32, word: &str, kinds: u32| {
            (random.u32(0..100) < chance).then(|| format!("{word} {}", random.u32(0..kinds)))
        };
        let (key, request_id, app) = (maybe(60, "key", 4), maybe(20, "request", 5), maybe(50, "app", 2));
        let after = (0..self.random.usize(0..4).saturating_sub(1)).filter_map(|_| self.any_id()).collect();
        let expires = (self.random.u32(0..5) == 0).then(|| self.now + seconds(self.random.u64(0..60)));
        NewTask {
            owner: Owner(self.random.u32(0..2)),
            app: app.unwrap_or_default(),
            payload: self.random.u32(0..2).to_string().into(),
            on_existing: OnExisting::ALL[self.random.usize(0..10).min(9) / 4],
            key,
            request_id,
            after,
            expires,
            created: self.now,
            ..task()
        }
    }

    /// Mostly a recent one, sometimes one that is long gone, rarely one that never was.
    fn any_id(&mut self) -> Option<TaskId> {
        if self.random.u32(0..50) == 0 {
            return Some(TaskId::mint());
        }
        let recent = if self.random.bool() { self.ids.len().saturating_sub(12) } else { 0 };
        self.random.choice(&self.ids[recent..]).copied()
    }

    fn enqueue(&mut self) {
        let tasks: Vec<NewTask> = (0..self.random.usize(1..4)).map(|_| self.new_task()).collect();
        let expected = self.reference.enqueue(&tasks);
        let enqueued = wait(self.rig().store.enqueue(tasks)).map_err(|error| match error {
            EnqueueError::QueueFull { .. } => "full".to_owned(),
            EnqueueError::RequestConflict { .. } => "conflict".to_owned(),
            EnqueueError::UnknownAfter { .. } => "unknown".to_owned(),
            EnqueueError::NoSpace | EnqueueError::Store(_) => error.to_string(),
        });
        assert_eq!(enqueued, expected);
        self.ids.extend(enqueued.into_iter().flatten().map(Enqueued::id));
        self.ids.sort_unstable();
        self.ids.dedup();
    }

    fn claim(&mut self) {
        let limit = self.random.usize(1..6);
        let claimed = self.rig().claim(limit, self.now);
        assert_eq!(claimed, self.reference.claim(limit, self.now));
        self.running.extend(claimed);
    }

    fn settle(&mut self) {
        let mut settlements = Vec::new();
        for _ in 0..self.random.usize(1..4).min(self.running.len()) {
            let id = self.running.swap_remove(self.random.usize(0..self.running.len()));
            let settlement = match self.random.u32(0..6) {
                0..3 => done(),
                3 => retry_at(self.now + seconds(self.random.u64(0..40))),
                4 => release(),
                _ => rejected(),
            };
            self.reference.settle(id, &settlement, self.now);
            settlements.push((id, settlement));
        }
        wait(self.rig().store.settle(settlements, self.now)).unwrap();
    }

    fn by_ids(&mut self) {
        let ids: Vec<TaskId> = (0..self.random.usize(1..4)).filter_map(|_| self.any_id()).collect();
        let scope = if self.random.bool() { Scope::All } else { Scope::Owner(Owner(0)) };
        let what = self.random.usize(0..3);
        let expected = self.reference.by_ids(what, scope, &ids, self.now);
        let store = &self.rig().store;
        let changed = match what {
            0 => wait(store.cancel(scope, ids, self.now)),
            1 => wait(store.retry(scope, ids, self.now)),
            _ => wait(store.discard(scope, ids, self.now)),
        };
        assert_eq!(changed.ok(), expected);
    }

    fn bring_forward(&mut self) {
        let scope = if self.random.bool() { Scope::All } else { Scope::Owner(Owner(0)) };
        wait(self.rig().store.bring_forward(scope, None, Waivers::default(), self.now)).unwrap();
        self.reference.bring_forward(scope, self.now);
    }

    fn restart(&mut self) {
        self.rig = self.rig.take().map(|rig| rig.reopen(self.now));
        self.running.clear();
        self.reference.restart();
        for entry in &mut self.reference.entries {
            // A backoff that is overdue is spread: the reference takes over what was drawn.
            if entry.now == Now::Pending && entry.attempts > 0 && entry.due <= self.now {
                let Standing::Pending { due, .. } = self.rig.as_ref().unwrap().get(entry.new.id).standing else {
                    panic!("{entry:?}")
                };
                assert!(due > self.now && due <= self.now + seconds(10), "{due:?}");
                entry.due = due;
            }
        }
    }

    fn compare(&self, when: &str) {
        let page = wait(self.rig().store.list(Filter::default(), None, 1000)).unwrap();
        assert_eq!(page.next, None);
        let entries = &self.reference.entries;
        assert_eq!(page.tasks.len(), entries.len(), "{when}");
        for (place, (task, entry)) in page.tasks.iter().zip(entries).enumerate() {
            assert_eq!((task.id, task.attempts), (entry.new.id, entry.attempts), "{when}");
            let (now, waits) = match &task.standing {
                Standing::Pending { due, waits_for } => {
                    assert_eq!(*due, entry.due, "{when}: {}", task.id);
                    (Now::Pending, !waits_for.is_empty())
                }
                Standing::Running { .. } => (Now::Running, false),
                Standing::Done { .. } => (Now::Done, false),
                Standing::Failed { error, .. } => (Now::Failed(error.failure), false),
                Standing::Cancelled { .. } => (Now::Cancelled, false),
            };
            let expected = if entry.now == Now::Withdrawn { Now::Cancelled } else { entry.now };
            assert_eq!(now, expected, "{when}: {}", task.id);
            assert_eq!(waits, now == Now::Pending && self.reference.waits(place), "{when}: {}", task.id);
        }
    }
}

#[test]
fn the_random_calls_reach_every_end() {
    let mut driver = Driver::new(1);
    let mut ends = Vec::new();
    for _ in 0..1000 {
        driver.step();
        ends.extend(driver.reference.entries.iter().map(|entry| entry.now));
    }
    for end in [Failure::Rejected, Failure::Expired, Failure::Dependency].map(Now::Failed) {
        assert!(ends.contains(&end), "{end:?}");
    }
    for end in [Now::Pending, Now::Running, Now::Withdrawn, Now::Done, Now::Cancelled] {
        assert!(ends.contains(&end), "{end:?}");
    }
}
