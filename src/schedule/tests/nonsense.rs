//! The core fed with anything, in any order: answers to what was never asked, tasks that nobody knows, worlds that flip,
//! clocks that jump. It may not panic, spin, or lose a task that it was given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::rig::{backend, config, modem, ok, start_of_time, strategy, task, until, wifi, world};
use crate::fuzz::{Choices, fuzz};
use crate::model::{
    Answer, AttemptId, Battery, BatteryFloor, Claimed, Config, Connectivity, Cut, Finding, Hold, HoldId, ItemOutcome,
    ItemResult, LaneId, LaneSummary, NetworkNeed, Now, Overrides, Owner, Pause, Settlement, TaskId, TaskResult,
    WallTime, World,
};
use crate::schedule::{Control, Effect, Input, Scheduler, Spending};

/// Inputs of one run at most: what matters about the core is not how much it was told.
const INPUTS: usize = 400;
/// Wakes in the hour after the last input, at most: power is read once a minute, a full disk tried every 5 s.
const WAKES: usize = 1_000;

/// The core and what it may ask for.
struct Driver<'a> {
    core: Scheduler,
    now: Now,
    choices: Choices<'a>,
    configs: [Arc<Config>; 2],
    claim: Option<(AttemptId, usize)>,
    running: BTreeMap<AttemptId, Vec<TaskId>>,
    look: u64,
    /// How often each task was given and not settled since.
    open: BTreeMap<TaskId, usize>,
    handed: u64,
}

#[test]
fn whatever_happens_the_core_neither_spins_nor_loses_a_task() {
    let configs = [config(), other_config()].map(Arc::new);
    fuzz!("scheduler", |input: &[u8]| {
        let mut driver = Driver::new(&configs, input);
        for _ in 0..INPUTS {
            if driver.choices.is_empty() {
                break;
            }
            driver.step();
        }
        driver.rest();
        driver.end();
    });
}

/// Another backend, windows, budgets and other limits.
fn other_config() -> Config {
    let mut config = config();
    config.backends.insert(backend("other"), config.backends[&backend("main")].clone());
    config.limits.max_concurrent = 2;
    for (index, policy) in config.strategies.values_mut().enumerate() {
        policy.backend = [Some(backend("other")), None, Some(backend("main"))][index % 3].clone();
        policy.conditions.min_battery = BatteryFloor::new(50).expect("a floor");
        policy.conditions.metered_budget = Some(1_000);
        policy.conditions.network = NetworkNeed::Any;
    }
    config
}

impl<'a> Driver<'a> {
    fn new(configs: &[Arc<Config>; 2], input: &'a [u8]) -> Self {
        let mut choices = Choices::new(input);
        let core = Scheduler::new(Arc::clone(choices.one(configs)), 1);
        let (running, open) = (BTreeMap::new(), BTreeMap::new());
        let configs = configs.clone();
        Self { core, now: start_of_time(), choices, configs, claim: None, running, look: 0, open, handed: 0 }
    }

    fn step(&mut self) {
        match self.choices.below(16) {
            0 | 1 => self.lanes(),
            2 => {
                let world = self.world();
                self.feed(Input::World(world));
            }
            3..=5 => self.claimed(),
            6 | 7 => self.finished(),
            8 => self.probed(),
            9 => self.spent(),
            10 => self.unsettled(),
            11 => {
                let task = self.any_task();
                self.feed(Input::Withdrawn(task));
            }
            12 => self.control(),
            13 => self.pass(),
            14 => self.feed(Input::Woken),
            _ => self.wake(),
        }
    }

    fn feed(&mut self, input: Input) {
        self.core.handle(input, self.now);
        let most = 64 + 4 * (self.running.len() + self.open.len());
        let mut effects = 0;
        while let Some(effect) = self.core.poll_effect() {
            effects += 1;
            assert!(effects <= most, "no end of effects: {effect:?}");
            self.note(effect);
        }
        if let Some((at, wake)) = self.core.poll_timeout() {
            assert!(at > self.now.moment, "{wake:?} is not in the future");
        }
    }

    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Claim { attempt, limit, .. } => {
                assert!(limit >= 1);
                assert_eq!(self.claim.replace((attempt, limit)), None, "one claim at a time");
            }
            Effect::Start { attempt, tasks, .. } => {
                assert!(!tasks.is_empty() && tasks.iter().all(|task| self.open.contains_key(&task.id)));
                let ids = tasks.iter().map(|task| task.id).collect();
                assert_eq!(self.running.insert(attempt, ids), None, "it runs already");
            }
            Effect::Settle(settlements) => {
                for (task, settlement) in settlements {
                    let count =
                        self.open.get_mut(&task).unwrap_or_else(|| panic!("{task} was not given: {settlement:?}"));
                    *count -= 1;
                    self.open.retain(|_, count| *count > 0);
                }
            }
            Effect::Probe { look, .. } => self.look = look,
            Effect::Abort { .. }
            | Effect::AtChunk { .. }
            | Effect::LinkBack { .. }
            | Effect::ReadPower
            | Effect::KeepSpent(_)
            | Effect::KeepEstimates(_)
            | Effect::HoldEnds(_)
            | Effect::Tidy
            | Effect::Announce => {}
        }
    }

    fn wall(&mut self) -> WallTime {
        match self.choices.below(4) {
            0 => self.now.wall,
            1 => self.now.wall + Duration::from_millis(self.choices.number() >> 20),
            2 => WallTime::from_micros(self.now.wall.as_micros().saturating_sub(self.choices.number())),
            _ => WallTime::from_micros(self.choices.number()),
        }
    }

    fn any_strategy(&mut self) -> crate::model::StrategyName {
        strategy(self.choices.one::<&str>(&["metadata", "photo", "analytics", "ghost"]))
    }

    /// Most often one that was given.
    fn any_task(&mut self) -> TaskId {
        let known: Vec<TaskId> = self.open.keys().copied().collect();
        if known.is_empty() || self.choices.below(8) == 0 {
            return task(1 << 40 | u64::from(self.choices.byte()));
        }
        *self.choices.one(&known)
    }

    fn lanes(&mut self) {
        let count = self.choices.below(3) + 1;
        let lanes = (0..count).map(|_| LaneSummary {
            id: LaneId(self.choices.below(5) as i64),
            strategy: self.any_strategy(),
            overrides: Overrides {
                network: *self.choices.one(&[None, Some(NetworkNeed::Wifi)]),
                min_battery: *self.choices.one(&[None, BatteryFloor::new(80)]),
                ..Overrides::default()
            },
            waiting: self.choices.number(),
            first_due: if self.choices.below(4) == 0 { None } else { Some(self.wall()) },
        });
        let lanes = lanes.collect();
        self.feed(Input::Lanes(lanes));
    }

    fn world(&mut self) -> World {
        let network = match self.choices.below(4) {
            0 => crate::model::Network::none(),
            1 => modem(),
            2 => crate::model::Network { subnet: format!("192.0.2.{}/24", self.choices.below(3)), ..wifi() },
            _ => wifi(),
        };
        let mut world = world(&network);
        world.connectivity = *self.choices.one(&[None, Some(Connectivity::Portal), Some(Connectivity::Full)]);
        world.power.external = self.choices.coin();
        world.power.power_save = self.choices.coin();
        let percent = f64::from(self.choices.byte());
        world.power.battery = *self.choices.one(&[Battery::None, Battery::Percent(percent), Battery::Unreadable]);
        world.power_read = self.now.moment;
        world.clock_unset = self.choices.below(8) == 0;
        world.suspending = self.choices.below(8) == 0;
        if self.choices.below(4) == 0 {
            let settles = self.now.moment + Duration::from_millis(self.choices.number() >> 30);
            world.settling.insert(backend("main"), settles);
        }
        world
    }

    /// The store's answer to a claim; sometimes to one that was not made, or with more than was asked for.
    fn claimed(&mut self) {
        let asked = self.claim.filter(|_| self.choices.below(8) > 0);
        let (attempt, limit) = asked.unwrap_or((AttemptId(self.choices.number()), 3));
        let count = if self.choices.below(8) == 0 { limit.min(100) + 1 } else { self.choices.below(limit.min(4) + 1) };
        let mut tasks = Vec::new();
        for _ in 0..count {
            self.handed += 1;
            let attempts = self.choices.number() as u32;
            let (id, created) = (task(self.handed), self.now.wall);
            tasks.push(Claimed { id, owner: Owner(0), payload: "{}".to_owned().into(), created, attempts, note: None });
        }
        if self.claim.is_some_and(|claim| claim.0 == attempt) {
            self.claim = None;
            self.open.extend(tasks.iter().map(|task| (task.id, 1)));
        }
        self.feed(Input::Claimed { attempt, tasks });
    }

    fn finished(&mut self) {
        let known: Vec<AttemptId> = self.running.keys().copied().collect();
        let attempt = if known.is_empty() || self.choices.below(8) == 0 {
            AttemptId(self.choices.number())
        } else {
            *self.choices.one(&known)
        };
        let tasks = self.running.remove(&attempt).unwrap_or_default();
        let answer = self.answer(&tasks, 2);
        self.feed(Input::Finished { attempt, answer });
    }

    fn answer(&mut self, tasks: &[TaskId], depth: u8) -> Answer {
        let words = String::new();
        let asked = Duration::from_secs(self.choices.number());
        match self.choices.below(12) {
            0..=2 => Answer::Results(self.results(tasks)),
            3 | 4 => {
                let codes = [400, 401, 404, 409, 413, 429, 500, 501, 503, 200, 304, 0, 999];
                Answer::Status { code: *self.choices.one(&codes), words, retry_after: Some(asked) }
            }
            5 => Answer::Foreign { words },
            6 => Answer::Unreachable { words },
            7 => Answer::Untrusted { words },
            8 if depth > 0 => Answer::Advanced(Box::new(self.answer(tasks, depth - 1))),
            8 => Answer::NoCredential { words },
            9 => Answer::Unready { words, after: asked },
            10 => Answer::Withheld { words },
            _ => Answer::Cut(*self.choices.one(&[
                Cut::Link,
                Cut::Condition,
                Cut::Withdrawn,
                Cut::Unreached,
                Cut::Paused,
            ])),
        }
    }

    /// Mostly one for each task; sometimes one is missing, or about another.
    fn results(&mut self, tasks: &[TaskId]) -> Vec<ItemResult> {
        let mut results = Vec::new();
        for id in tasks {
            let after = Some(Duration::from_secs(self.choices.number()));
            let outcome = match self.choices.below(6) {
                0 => ItemOutcome::Duplicate,
                1 => ItemOutcome::Retry { after, reason: String::new() },
                2 => ItemOutcome::Rejected { reason: String::new() },
                3 => ItemOutcome::Conflict { reason: String::new() },
                _ => ok(),
            };
            results.push(ItemResult { id: *id, outcome });
        }
        match self.choices.below(16) {
            0 => drop(results.pop()),
            1 => results.push(ItemResult { id: self.any_task(), outcome: ok() }),
            _ => {}
        }
        results
    }

    fn probed(&mut self) {
        let look = if self.choices.coin() { self.look } else { self.choices.number() };
        let connectivity = *self.choices.one(Connectivity::ALL);
        self.feed(Input::Probed { look, finding: Finding { connectivity, words: String::new() } });
    }

    fn spent(&mut self) {
        let (strategy, bytes) = (self.any_strategy(), self.choices.number());
        if self.choices.coin() {
            let backend = backend(self.choices.one::<&str>(&["main", "other", "ghost"]));
            return self.feed(Input::Sent { strategy, backend, bytes });
        }
        let day = crate::model::Day::parse(self.choices.one::<&str>(&["2023-11-14", "9999-12-31", "0001-01-01"]));
        let spending = Spending { day: day.expect("a day"), bytes };
        self.feed(Input::Spent(BTreeMap::from([(strategy, spending)])));
    }

    fn unsettled(&mut self) {
        let task = self.any_task();
        let settlement = match self.choices.below(4) {
            0 => Settlement::Release { cause: String::new() },
            1 => Settlement::Retry { due: self.wall(), error: String::new() },
            2 => Settlement::Postponed { due: self.wall(), error: String::new() },
            _ => Settlement::Done(TaskResult::default()),
        };
        *self.open.entry(task).or_default() += 1;
        self.feed(Input::Unsettled(vec![(task, settlement)]));
    }

    fn control(&mut self) {
        let one = if self.choices.coin() { Some(self.any_strategy()) } else { None };
        let hold = HoldId(self.choices.below(4) as u64);
        let control = match self.choices.below(8) {
            0 => Control::Configure(Arc::clone(self.choices.one(&self.configs))),
            1 => Control::Pause(one, Pause::Indefinite),
            2 => Control::Pause(one, Pause::Until(self.wall())),
            3 => Control::Resume(one),
            4 => {
                let until = self.now.moment + Duration::from_millis(self.choices.number());
                Control::Hold(hold, Hold { owner: Owner(1), app: String::new(), reason: String::new(), until })
            }
            5 => Control::LetGo(hold),
            6 if self.choices.below(8) == 0 => Control::Stop,
            _ => Control::SyncNow(one),
        };
        self.feed(Input::Control(control));
    }

    /// Time passes, and the wall clock may jump.
    fn pass(&mut self) {
        self.now = self.now + Duration::from_micros(self.choices.number() % 100_000_000_000);
        if self.choices.below(4) == 0 {
            self.now.wall = self.wall();
            self.feed(Input::Woken);
        }
    }

    fn wake(&mut self) {
        if let Some((at, _)) = self.core.poll_timeout() {
            self.now = until(self.now, at);
            self.feed(Input::Woken);
        }
    }

    /// The world keeps still for an hour: the store has nothing to claim, and nobody answers.
    fn rest(&mut self) {
        let end = self.now + Duration::from_secs(3_600);
        let mut wakes = 0;
        loop {
            if let Some((attempt, _)) = self.claim.take() {
                self.feed(Input::Claimed { attempt, tasks: Vec::new() });
                if self.claim.is_some() {
                    wakes += 1;
                    assert!(wakes < WAKES, "it claims and claims");
                    continue;
                }
            }
            let Some((at, wake)) = self.core.poll_timeout().filter(|(at, _)| *at <= end.moment) else { return };
            self.now = until(self.now, at);
            self.feed(Input::Woken);
            wakes += 1;
            assert!(wakes < WAKES, "no rest: {wake:?}");
        }
    }

    /// All ends: each task that was given is settled.
    fn end(&mut self) {
        self.feed(Input::Control(Control::Stop));
        if let Some((attempt, _)) = self.claim.take() {
            self.feed(Input::Claimed { attempt, tasks: Vec::new() });
        }
        for attempt in self.running.keys().copied().collect::<Vec<_>>() {
            self.running.remove(&attempt);
            self.feed(Input::Finished { attempt, answer: Answer::Cut(Cut::Shutdown) });
        }
        self.now = self.now + Duration::from_secs(3_600);
        self.feed(Input::Woken);
        assert_eq!(self.open, BTreeMap::new(), "given and never settled");
        assert_eq!(self.claim, None, "nothing is claimed at the end");
    }
}
