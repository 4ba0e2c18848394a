//! The core as a daemon drives it: everything that it asks for is answered later, in any order, with the store's news
//! before or after the replies, claims that fail, clocks that jump. What must hold then holds always.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::rig::*;
use crate::model::{
    Answer, AttemptId, Claimed, Connectivity, Cut, ItemOutcome, Kind, LaneId, Moment, Network, Overrides, Pause, Power,
    Settlement, StrategyName, TaskId, World,
};
use crate::schedule::{Control, Effect, Input, Scheduler, Situation, blocked};

const STEPS: usize = 3_000;

#[test]
fn whatever_comes_late_or_not_at_all_nothing_is_lost_or_doubled() {
    let mut tally = Tally::default();
    for seed in 0..seeds() {
        match std::panic::catch_unwind(|| Race::new(seed).run()) {
            Ok(seen) => tally.add(&seen),
            Err(panic) => {
                eprintln!("seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    let Tally { starts, empty_claims, failed_claims, released_claims, cuts, retries, jumps } = tally;
    for seen in [starts, empty_claims, failed_claims, released_claims, cuts, retries, jumps] {
        assert!(seen as u64 > seeds(), "{tally:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_effects() {
    for seed in 0..10 {
        let log = |seed| {
            let mut race = Race::new(seed);
            (0..STEPS).for_each(|_| race.step());
            race.effects
        };
        assert_eq!(log(seed), log(seed));
    }
}

#[derive(Debug, Default)]
struct Tally {
    starts: usize,
    empty_claims: usize,
    failed_claims: usize,
    released_claims: usize,
    cuts: usize,
    retries: usize,
    jumps: usize,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.starts += other.starts;
        self.empty_claims += other.empty_claims;
        self.failed_claims += other.failed_claims;
        self.released_claims += other.released_claims;
        self.cuts += other.cuts;
        self.retries += other.retries;
        self.jumps += other.jumps;
    }
}

/// Something that the store or a backend has yet to do.
enum Work {
    Claim { attempt: AttemptId, lane: LaneId, limit: usize },
    Settle(Vec<(TaskId, Settlement)>),
}

struct Race {
    core: Scheduler,
    store: MemoryStore,
    now: crate::model::Now,
    rng: fastrand::Rng,
    world: World,
    paused: bool,
    /// The store's, in the order asked.
    work: Vec<Work>,
    /// Done by the store, not yet told.
    replies: Vec<Input>,
    news: Vec<Input>,
    claims: BTreeMap<AttemptId, LaneId>,
    running: BTreeMap<AttemptId, (StrategyName, Vec<TaskId>)>,
    cut: BTreeMap<AttemptId, Cut>,
    /// Tasks that an attempt or an unanswered claim holds.
    held: BTreeSet<TaskId>,
    wake: Option<Moment>,
    effects: Vec<String>,
    inputs: usize,
    claimed: usize,
    seen: Tally,
}

impl Race {
    fn new(seed: u64) -> Self {
        let mut config = config();
        let mut rng = fastrand::Rng::with_seed(seed);
        config.limits.max_concurrent = rng.usize(2..5);
        Self {
            core: Scheduler::new(config.into(), seed),
            store: MemoryStore::default(),
            now: start_of_time(),
            rng,
            world: World::unknown(),
            paused: false,
            work: Vec::new(),
            replies: Vec::new(),
            news: Vec::new(),
            claims: BTreeMap::new(),
            running: BTreeMap::new(),
            cut: BTreeMap::new(),
            held: BTreeSet::new(),
            wake: None,
            effects: Vec::new(),
            inputs: 0,
            claimed: 0,
            seen: Tally::default(),
        }
    }

    fn run(mut self) -> Tally {
        for _ in 0..STEPS {
            self.step();
        }
        self.drain();
        let spins = self.claimed > 2 * self.inputs;
        assert!(!spins, "{} claims for {} inputs", self.claimed, self.inputs);
        self.seen
    }

    fn step(&mut self) {
        match self.rng.u32(0..100) {
            0..15 => self.enqueue(),
            15..40 => self.let_store_work(),
            40..50 => self.tell_reply(),
            50..60 => self.tell_news(),
            60..75 => self.answer(),
            75..90 => self.pass(),
            90..96 => self.change_world(),
            96..98 => self.cancel(),
            98 => self.jump(),
            _ => self.pause(),
        }
    }

    fn feed(&mut self, input: Input) {
        self.inputs += 1;
        self.core.handle(input, self.now);
        while let Some(effect) = self.core.poll_effect() {
            self.effects.push(format!("{effect:?}"));
            self.perform(effect);
        }
        self.wake = self.core.poll_timeout().map(|(at, _)| at);
        assert!(self.wake.is_none_or(|at| at > self.now.moment), "a wake in the past");
        self.assert_slots();
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Claim { attempt, lane, limit } => {
                assert!(limit > 0 && self.claims.insert(attempt, lane).is_none());
                self.claimed += 1;
                self.work.push(Work::Claim { attempt, lane, limit });
            }
            Effect::Start { attempt, strategy, backend: to, tasks, upload: _ } => {
                self.seen.starts += 1;
                self.assert_may_start(&strategy, &to, &tasks);
                let ids = tasks.iter().map(|task| task.id).collect();
                assert!(self.running.insert(attempt, (strategy, ids)).is_none());
            }
            Effect::Abort { attempt, cut } => {
                self.seen.cuts += 1;
                assert!(self.running.contains_key(&attempt) && self.cut.insert(attempt, cut).is_none());
            }
            Effect::Settle(settled) => {
                for (id, settlement) in &settled {
                    assert!(self.held.remove(id), "{id} is settled twice");
                    self.seen.retries += usize::from(matches!(settlement, Settlement::Retry { .. }));
                }
                self.work.push(Work::Settle(settled));
            }
            Effect::AtChunk { attempt, .. } | Effect::LinkBack { attempt } => {
                assert!(self.running.contains_key(&attempt), "{attempt:?} does not run");
            }
            Effect::ReadPower
            | Effect::Probe { .. }
            | Effect::KeepSpent(_)
            | Effect::KeepEstimates(_)
            | Effect::HoldEnds(_)
            | Effect::Tidy
            | Effect::Announce => {}
        }
    }

    fn assert_may_start(&self, name: &StrategyName, to: &crate::model::BackendName, tasks: &[Claimed]) {
        let conditions = &self.core.config.strategies[name].conditions;
        let (network, world, now) = (self.world.networks.get(to), &self.world, self.now.wall);
        let situation = Situation { network, world, now, spent: 0, certified: true, slow: false };
        assert_eq!(blocked(conditions, situation), [], "{name} starts while blocked");
        assert!(!self.paused, "{name} starts while paused");
        assert!(!tasks.is_empty() && tasks.iter().all(|task| self.held.contains(&task.id)));
    }

    fn assert_slots(&self) {
        let max = self.core.config.limits.max_concurrent;
        let kind = |name: &StrategyName| self.core.config.strategies[name].kind;
        let files = self.running.values().filter(|(name, _)| kind(name) == Kind::File).count();
        assert!(self.running.len() <= max && files < max, "{} running, {files} of them files", self.running.len());
        assert!(self.claims.len() <= 1 && self.running.len() + self.claims.len() <= max);
    }

    fn enqueue(&mut self) {
        if self.store.tasks.iter().filter(|task| task.row == Row::Pending).count() > 80 {
            return;
        }
        let name = ["metadata", "photo", "analytics"][self.rng.usize(0..3)];
        let lane = self.store.lane(&strategy(name), Overrides::default());
        for _ in 0..self.rng.usize(1..10) {
            let key = self.rng.bool().then(|| self.rng.u64(0..3));
            self.store.enqueue(lane, key, self.now.wall);
        }
        self.note_news();
    }

    fn note_news(&mut self) {
        let news = self.store.news();
        if !news.is_empty() {
            self.news.push(Input::Lanes(news));
        }
    }

    fn let_store_work(&mut self) {
        if self.work.is_empty() {
            return;
        }
        match self.work.remove(0) {
            Work::Claim { attempt, lane, limit } => {
                let failed = self.rng.u32(0..30) == 0;
                let tasks = if failed { Vec::new() } else { self.store.claim(lane, limit, self.now.wall) };
                self.seen.failed_claims += usize::from(failed);
                self.seen.empty_claims += usize::from(!failed && tasks.is_empty());
                for task in &tasks {
                    assert!(self.held.insert(task.id), "{} is claimed twice", task.id);
                }
                self.replies.push(Input::Claimed { attempt, tasks });
            }
            Work::Settle(settled) => self.store.settle(&settled),
        }
        self.note_news();
    }

    fn tell_reply(&mut self) {
        if self.replies.is_empty() {
            return;
        }
        let reply = self.replies.remove(0);
        let started = self.seen.starts;
        let mut got_some = false;
        if let Input::Claimed { attempt, tasks } = &reply {
            self.claims.remove(attempt).expect("a claim");
            got_some = !tasks.is_empty();
        }
        self.feed(reply);
        self.seen.released_claims += usize::from(got_some && self.seen.starts == started);
    }

    fn tell_news(&mut self) {
        if !self.news.is_empty() {
            let news = self.news.remove(0);
            self.feed(news);
        }
    }

    fn answer(&mut self) {
        let Some(attempt) = self.rng.choice(self.running.keys().copied().collect::<Vec<_>>()) else {
            return;
        };
        let (_, tasks) = self.running.remove(&attempt).expect("it runs");
        let answer = match self.cut.remove(&attempt) {
            Some(cut) => Answer::Cut(cut),
            None => self.some_answer(&tasks),
        };
        self.feed(Input::Finished { attempt, answer });
    }

    fn some_answer(&mut self, tasks: &[TaskId]) -> Answer {
        let reason = String::new();
        match self.rng.u32(0..12) {
            0..6 => results(tasks, &ok()),
            6 => results(tasks, &ItemOutcome::Retry { after: None, reason }),
            7 => status(500),
            8 => status(422),
            9 => unreachable(),
            10 => foreign(),
            _ => status([404, 401, 503][self.rng.usize(0..3)]),
        }
    }

    /// Time passes; the alarm is answered late, but always.
    fn pass(&mut self) {
        let longest = [5, 500, 60_000, 1_000_000][self.rng.usize(0..4)];
        self.now = self.now + Duration::from_millis(self.rng.u64(0..=longest));
        self.ring();
    }

    fn ring(&mut self) {
        if self.wake.is_some_and(|at| at <= self.now.moment) {
            self.feed(Input::Woken);
        }
    }

    fn jump(&mut self) {
        self.seen.jumps += 1;
        let step = Duration::from_secs(self.rng.u64(0..3_000));
        self.now.wall = match self.rng.bool() {
            true => self.now.wall + step,
            false => start_of_time()
                .wall
                .max(crate::model::WallTime::from_micros(self.now.wall.as_micros() - step.as_micros() as u64)),
        };
        self.feed(Input::Woken);
    }

    fn change_world(&mut self) {
        let network = match self.rng.u32(0..8) {
            0 => Network::none(),
            1 => modem(),
            2 => Network { connectivity: Connectivity::Portal, ..wifi() },
            _ => wifi(),
        };
        let power = Power { power_save: self.rng.u32(0..6) == 0, ..Power::mains() };
        self.world = World { power, ..world(&network) };
        self.feed(Input::World(self.world.clone()));
    }

    fn pause(&mut self) {
        self.paused = !self.paused;
        let control = if self.paused { Control::Pause(None, Pause::Indefinite) } else { Control::Resume(None) };
        self.feed(Input::Control(control));
    }

    fn cancel(&mut self) {
        let alive = self.store.tasks.iter().filter(|task| matches!(task.row, Row::Pending | Row::Running));
        let Some((id, row)) = self.rng.choice(alive.map(|task| (task.id, task.row)).collect::<Vec<_>>()) else {
            return;
        };
        self.store.find(id).row = Row::Cancelled;
        if row == Row::Running {
            self.feed(Input::Withdrawn(id));
        }
        self.note_news();
    }

    /// The world turns good; everything asked for is answered, and everything must go.
    fn drain(&mut self) {
        self.world = world(&wifi());
        self.feed(Input::World(self.world.clone()));
        self.feed(Input::Control(Control::Resume(None)));
        self.paused = false;
        for _ in 0..200_000 {
            if !self.work.is_empty() {
                self.let_store_work();
            } else if !self.replies.is_empty() {
                self.tell_reply();
            } else if !self.news.is_empty() {
                self.tell_news();
            } else if let Some(attempt) = self.running.keys().next().copied() {
                let (_, tasks) = self.running.remove(&attempt).expect("it runs");
                let answer = self.cut.remove(&attempt).map_or_else(|| results(&tasks, &ok()), Answer::Cut);
                self.feed(Input::Finished { attempt, answer });
            } else if let Some(at) = self.wake {
                self.now = until(self.now, at);
                self.ring();
            } else {
                break;
            }
        }
        let left: Vec<_> =
            self.store.tasks.iter().filter(|task| matches!(task.row, Row::Pending | Row::Running)).collect();
        assert!(left.is_empty() && self.held.is_empty(), "left behind: {left:?}");
    }
}
