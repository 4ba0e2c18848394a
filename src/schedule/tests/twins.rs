//! The core and the reference side by side, driven with the same random inputs and compared at every step: what starts,
//! what is cut, how each task is settled, when a backend is asked again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::reference::{At, Item, ProbeRange, Reference};
use super::rig::*;
use super::shown::a_task;
use crate::model::{
    Answer, AnswerMode, Assume, AttemptId, Battery, BatteryFloor, Config, Connectivity, Cut, Hold, HoldId, ItemOutcome,
    ItemResult, Metered, Network, NetworkNeed, Now, Overrides, Owner, Pause, Power, Settlement, StrategyName, Task,
    TaskId, WallTime, World,
};
use crate::schedule::{Control, Input, Wake};

const STEPS: usize = 1_000;
/// No more is enqueued beyond these.
const ALIVE: usize = 60;
/// Dead letters kept to be retried by hand.
const FAILED_KEPT: usize = 10;

#[test]
fn the_core_does_what_the_reference_does() {
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let runs: Vec<_> = (0..threads).map(|first| std::thread::spawn(move || live_all(first, threads))).collect();
    let mut tally = Tally::default();
    for run in runs {
        tally.add(&run.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
    }
    tally.assert_all_seen();
}

/// Lives the seeds from `first` on in steps of `step`; the one that fails is named.
fn live_all(first: u64, step: u64) -> Tally {
    let mut tally = Tally::default();
    for seed in (first..seeds()).step_by(step as usize) {
        match std::panic::catch_unwind(|| Twins::new(seed).live()) {
            Ok(seen) => tally.add(&seen),
            Err(panic) => {
                eprintln!("seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    tally
}

/// What happened in a run: a comparison of nothing proves nothing.
#[derive(Debug, Default)]
struct Tally {
    started: usize,
    aborted: usize,
    done: usize,
    retried: usize,
    released: usize,
    failed: usize,
    probed: usize,
    hunted: usize,
    starved: usize,
    woken: usize,
    explained: usize,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.started += other.started;
        self.aborted += other.aborted;
        self.done += other.done;
        self.retried += other.retried;
        self.released += other.released;
        self.failed += other.failed;
        self.probed += other.probed;
        self.hunted += other.hunted;
        self.starved += other.starved;
        self.woken += other.woken;
        self.explained += other.explained;
    }

    fn assert_all_seen(&self) {
        println!("{self:?}");
        let Self { started, aborted, done, retried, released, failed, probed, hunted, starved, woken, explained } =
            self;
        for count in [started, aborted, done, retried, released, failed, probed, hunted, starved, woken, explained] {
            assert!(*count as u64 > 10 * seeds(), "{self:?}");
        }
    }
}

struct Twins {
    rig: Rig,
    reference: Reference,
    rng: fastrand::Rng,
    checked: (usize, usize, usize),
    tally: Tally,
}

impl Twins {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let config = some_config(&mut rng);
        let mut rig = Rig::new(config.clone());
        rig.core = crate::schedule::Scheduler::new(Arc::new(config.clone()), seed);
        Self { rig, reference: Reference::new(config), rng, checked: (0, 0, 0), tally: Tally::default() }
    }

    fn live(mut self) -> Tally {
        for _ in 0..STEPS {
            self.step();
        }
        self.drain();
        self.tally
    }

    fn step(&mut self) {
        match self.rng.u32(0..100) {
            0..26 => self.enqueue(),
            26..60 => self.finish(),
            60..80 => self.sleep(),
            80..89 => self.another_world(),
            89 => self.pause(),
            90 => self.hold(),
            91..94 => self.resume(),
            94 => self.sync_now(),
            95..97 => self.cancel(),
            97..99 => self.retry_by_hand(),
            _ => self.configure(),
        }
        self.forget();
    }

    /// Drops what has ended, so that the reference, which looks at everything at each step, stays quick.
    fn forget(&mut self) {
        let running: BTreeSet<TaskId> = self.rig.running.values().flatten().copied().collect();
        let mut failed = 0;
        self.rig.store.tasks.retain(|task| match task.row {
            Row::Pending | Row::Running => true,
            Row::Done | Row::Cancelled => running.contains(&task.id),
            Row::Failed => {
                failed += 1;
                failed < FAILED_KEPT
            }
        });
        let kept: BTreeSet<TaskId> = self.rig.store.tasks.iter().map(|task| task.id).collect();
        self.reference.items.retain(|item| kept.contains(&item.id));
    }

    fn enqueue(&mut self) {
        if self.reference.items.len() > ALIVE {
            return;
        }
        self.rig.pass(Duration::from_micros(1));
        let strategy = some_strategy(&mut self.rng);
        let overrides = some_overrides(&mut self.rng);
        let lane = self.rig.store.lane(&strategy, overrides);
        for _ in 0..=self.rng.usize(0..12) {
            let key = self.rng.bool().then(|| self.rng.u64(0..4));
            let (due, now) = (self.rig.now.wall, self.rig.now.wall);
            let id = self.rig.store.enqueue(lane, key, now);
            let strategy = strategy.clone();
            self.reference.items.push(Item {
                id,
                strategy,
                overrides,
                key,
                created: now,
                due,
                attempts: 0,
                at: At::Pending,
            });
        }
        self.tell_news();
    }

    fn tell_news(&mut self) {
        let news = self.rig.store.news();
        self.rig.feed(Input::Lanes(news));
        self.compare();
    }

    fn finish(&mut self) {
        if self.reference.running.is_empty() {
            return;
        }
        let run = self.reference.running[self.rng.usize(0..self.reference.running.len())].clone();
        let answer = match run.cut {
            Some(cut) if self.rng.u32(0..4) > 0 => Answer::Cut(cut),
            Some(_) | None => some_answer(&mut self.rng, &run.tasks),
        };
        self.finish_with(run.attempt, &answer);
    }

    fn finish_with(&mut self, attempt: AttemptId, answer: &Answer) {
        let now = self.rig.now;
        let (expected, probe) = self.reference.finish(attempt, answer, now);
        let before = self.rig.log.settled.len();
        self.rig.finish(attempt, answer.clone());
        let settled = self.rig.log.settled[before..].to_vec();
        assert_eq!(settled.len(), expected.len(), "one settlement a task");
        for ((id, settlement), (expected_id, expected)) in settled.iter().zip(&expected) {
            assert_eq!(id, expected_id);
            assert!(
                expected.allows(settlement),
                "{answer:?}: {id} is settled by {settlement:?}, expected {expected:?}"
            );
            self.apply(*id, settlement);
        }
        self.checked.2 = before + settled.len();
        self.adopt(probe);
        self.compare();
    }

    fn apply(&mut self, id: TaskId, settlement: &Settlement) {
        let item = self.reference.item(id);
        let cancelled = item.at == At::Ended;
        item.at = At::Ended;
        match settlement {
            Settlement::Done(_) => self.tally.done += 1,
            Settlement::Failed(_) => self.tally.failed += 1,
            Settlement::Release { .. } => {
                self.tally.released += 1;
                item.at = if cancelled { At::Ended } else { At::Pending };
            }
            Settlement::Advanced { .. } | Settlement::Postponed { .. } => panic!("the twins carry no files"),
            Settlement::Retry { due, .. } => {
                self.tally.retried += 1;
                item.at = if cancelled { At::Ended } else { At::Pending };
                (item.due, item.attempts) = (*due, item.attempts + 1);
            }
        }
    }

    /// Checks the drawn moment of the next probe, and takes it over.
    fn adopt(&mut self, probe: ProbeRange) {
        let Some((name, earliest, latest)) = probe else {
            return;
        };
        let illness = self.rig.core.backends[&name].illness().expect("an illness");
        assert!(earliest <= illness.until && illness.until <= latest, "{earliest:?} {illness:?} {latest:?}");
        let server = self.reference.servers.get_mut(&name).expect("a server");
        server.sick.as_mut().expect("a sickness").until = illness.until;
        self.tally.probed += 1;
    }

    /// Time passes up to the next thing that the reference waits for, or less. The core is told only when it asked to.
    fn sleep(&mut self) {
        let longest = [10, 1_000, 60_000, 1_200_000, 3_600_000][self.rng.usize(0..5)];
        let end = self.rig.now + Duration::from_millis(self.rng.u64(1..=longest));
        while let Some(next) = self.next_change().filter(|next| next.moment <= end.moment) {
            self.rig.now = next;
            let due = self.rig.core.poll_timeout().filter(|(at, _)| *at <= next.moment);
            if let Some((_, wake)) = due {
                self.wake(wake);
            }
            self.compare();
        }
        self.rig.now = end;
    }

    fn wake(&mut self, wake: Wake) {
        self.tally.woken += 1;
        let before = self.rig.log.started.len();
        self.rig.feed(Input::Woken);
        let something_started = self.rig.log.started.len() > before;
        match wake {
            Wake::Window | Wake::BudgetDay => unreachable!("no strategy here has either"),
            Wake::SlowLink => unreachable!("nothing is measured here"),
            Wake::RandomizedDelay => unreachable!("no strategy here has one"),
            Wake::TaskDue | Wake::BackendProbe => assert!(something_started, "woken by {wake:?} for nothing"),
            // Links settle before the scheduler hears of them.
            Wake::LinkSettles => unreachable!("it is not the scheduler's"),
            Wake::PauseEnds
            | Wake::HoldEnds
            | Wake::ReadPower
            | Wake::ReachProbe
            | Wake::LinkGrace
            | Wake::SleepLimit
            | Wake::Tidy
            | Wake::SettleAgain => {}
        }
    }

    /// The next moment at which a task falls due, a backend may be asked or a pause ends, or the core wants to wake.
    fn next_change(&self) -> Option<Now> {
        let now = self.rig.now;
        let due = self.reference.items.iter().filter(|item| item.at == At::Pending).map(|item| item.due);
        let pauses = self.reference.paused.values().filter_map(|until| *until);
        let walls = due.chain(pauses).filter(|wall| *wall > now.wall).map(|wall| now.moment_of(wall));
        let probes = self.reference.servers.values().filter_map(|server| server.sick.as_ref()).map(|sick| sick.until);
        let core = self.rig.core.poll_timeout().map(|(at, _)| at);
        let next = walls.chain(probes.filter(|until| *until > now.moment)).chain(core).min()?;
        Some(until(now, next))
    }

    fn another_world(&mut self) {
        let world = World { power_read: self.rig.now.moment, ..some_world(&mut self.rng) };
        self.rig.feed(Input::World(world.clone()));
        self.reference.set_world(world, self.rig.now);
        self.compare();
    }

    fn pause(&mut self) {
        let whose = self.rng.bool().then(|| some_strategy(&mut self.rng));
        let until = self.rng.bool().then(|| self.rig.now.wall + self.rng.u32(1..600) * SECOND);
        let pause = until.map_or(Pause::Indefinite, Pause::Until);
        self.rig.feed(Input::Control(Control::Pause(whose.clone(), pause)));
        self.reference.paused.insert(whose, until);
        self.compare();
    }

    fn resume(&mut self) {
        let whose = self.reference.paused.keys().next().cloned();
        self.resume_of(whose.unwrap_or_default());
    }

    /// Two apps hold and let go.
    fn hold(&mut self) {
        let id = HoldId(self.rng.u64(0..2));
        if self.reference.holds.remove(&id).is_some() {
            self.rig.feed(Input::Control(Control::LetGo(id)));
        } else {
            let until = self.rig.now.moment + self.rng.u32(1..600) * SECOND;
            let hold = Hold { owner: Owner(1000), app: String::new(), reason: String::new(), until };
            self.rig.feed(Input::Control(Control::Hold(id, hold)));
            self.reference.holds.insert(id, until);
        }
        self.compare();
    }

    fn sync_now(&mut self) {
        let only = self.rng.bool().then(|| some_strategy(&mut self.rng));
        let now = self.rig.now;
        self.rig.store.bring_forward(only.as_ref(), now.wall);
        let meant = |name: &StrategyName| only.as_ref().is_none_or(|only| only == name);
        let waiting = self.reference.items.iter_mut().filter(|item| item.at == At::Pending && meant(&item.strategy));
        waiting.filter(|item| item.due > now.wall).for_each(|item| item.due = item.created);
        self.reference.sync_now(only.as_ref(), now);
        let lanes = self.rig.store.news();
        self.rig.core.handle(Input::Lanes(lanes), now);
        self.rig.feed(Input::Control(Control::SyncNow(only)));
        self.compare();
    }

    fn resume_of(&mut self, whose: Option<StrategyName>) {
        self.rig.feed(Input::Control(Control::Resume(whose.clone())));
        self.reference.paused.remove(&whose);
        self.compare();
    }

    fn cancel(&mut self) {
        let alive: Vec<TaskId> =
            self.reference.items.iter().filter(|item| item.at != At::Ended).map(|item| item.id).collect();
        let Some(id) = self.rng.choice(alive) else {
            return;
        };
        let ran = self.reference.item(id).at == At::Running;
        self.rig.store.find(id).row = Row::Cancelled;
        self.reference.withdraw(id);
        if ran {
            self.rig.feed(Input::Withdrawn(id));
        }
        self.tell_news();
    }

    fn retry_by_hand(&mut self) {
        self.rig.pass(Duration::from_micros(1));
        let now = self.rig.now.wall;
        let failed = self.rig.store.tasks.iter().filter(|task| task.row == Row::Failed && task.key.is_none());
        let Some(id) = self.rng.choice(failed.map(|task| task.id).collect::<Vec<_>>()) else {
            return;
        };
        let task = self.rig.store.find(id);
        (task.row, task.attempts, task.due) = (Row::Pending, 0, now);
        let item = self.reference.item(id);
        (item.at, item.attempts, item.due) = (At::Pending, 0, now);
        self.tell_news();
    }

    fn configure(&mut self) {
        let config = some_config(&mut self.rng);
        self.rig.feed(Input::Control(Control::Configure(Arc::new(config.clone()))));
        self.reference.configure(config, self.rig.now);
        self.compare();
    }

    /// Both must have cut and started the same, in the same order.
    fn compare(&mut self) {
        let now = self.rig.now;
        self.reference.look(now);
        let mut cuts = self.reference.cuts(now);
        let aborted = &mut self.rig.log.aborted[self.checked.1..];
        cuts.sort_by_key(|(id, _)| *id);
        aborted.sort_by_key(|(id, _)| *id);
        assert_eq!(aborted, cuts, "what is cut");
        self.tally.aborted += cuts.len();
        self.checked.1 = self.rig.log.aborted.len();
        self.compare_starts();
        assert_eq!(self.checked.2, self.rig.log.settled.len(), "nothing is settled without an answer");
        self.assert_slots();
        self.assert_explained();
        self.tally.hunted += self.rig.core.lanes.values().filter(|lane| lane.search_limit().is_some()).count();
    }

    fn compare_starts(&mut self) {
        let started = self.rig.log.started[self.checked.0..].to_vec();
        self.checked.0 = self.rig.log.started.len();
        for (attempt, strategy, tasks) in &started {
            let lanes = &self.rig.core.lanes;
            self.tally.starved +=
                usize::from(lanes.values().any(|lane| lane.is_starved(Some(SECOND * 1800), self.rig.now)));
            let expected = self.reference.next_start(self.rig.now);
            let Some(run) = expected else {
                panic!("{strategy} {tasks:?} started, and should not have");
            };
            assert_eq!(&run.tasks, tasks, "another attempt started than expected ({strategy})");
            self.reference.running.last_mut().expect("just pushed").attempt = *attempt;
        }
        self.tally.started += started.len();
        let missed = self.reference.next_start(self.rig.now);
        assert!(missed.is_none(), "{:?} should have started", missed.map(|run| run.tasks));
    }

    fn assert_slots(&self) {
        let max = self.rig.core.config.limits.max_concurrent;
        let running = self.rig.running.len();
        let was_more = self.reference.running.len() > max;
        assert!(running <= max || was_more, "{running} of {max} slots");
    }

    /// Every wait has a reason, and the reason given by Explain is empty for what runs.
    fn assert_explained(&mut self) {
        let pending: Vec<Item> =
            self.reference.items.iter().filter(|item| item.at == At::Pending).take(5).cloned().collect();
        for item in pending {
            let task = self.as_task(&item);
            let rows = self.rig.core.explain(&task, &Assume::default(), self.rig.now);
            assert!(!rows.is_empty(), "{} waits without a reason", item.id);
            assert!(rows.iter().all(|row| !row.clears.is_empty()));
            let reasons: BTreeSet<_> = rows.iter().map(|row| row.reason).collect();
            assert_eq!(reasons.len(), rows.len(), "a reason is given once");
            self.tally.explained += 1;
        }
    }

    fn as_task(&self, item: &Item) -> Task {
        let before = self.reference.items.iter().take_while(|other| other.id != item.id);
        let waits_for = before.filter(|other| item.key.is_some() && other.key == item.key && other.at != At::Ended);
        let waits_for = waits_for.map(|other| other.id).last().into_iter().collect();
        Task {
            id: item.id,
            strategy: item.strategy.clone(),
            overrides: item.overrides,
            created: WallTime::default(),
            attempts: item.attempts,
            ..a_task("metadata", item.due, waits_for)
        }
    }

    /// The world turns good and stays so: everything must go.
    fn drain(&mut self) {
        let config = config();
        self.rig.feed(Input::Control(Control::Configure(Arc::new(config.clone()))));
        self.reference.configure(config, self.rig.now);
        self.compare();
        let good = world(&wifi());
        self.rig.feed(Input::World(good.clone()));
        self.reference.set_world(good, self.rig.now);
        self.compare();
        for whose in self.reference.paused.keys().cloned().collect::<Vec<_>>() {
            self.resume_of(whose);
        }
        for _ in 0..100_000 {
            if let Some(run) = self.reference.running.first().cloned() {
                let answer = run.cut.map_or_else(|| results(&run.tasks, &ok()), Answer::Cut);
                self.finish_with(run.attempt, &answer);
            } else if let Some((at, wake)) = self.rig.core.poll_timeout() {
                self.rig.now = until(self.rig.now, at);
                self.wake(wake);
                self.compare();
            } else {
                break;
            }
        }
        assert!(self.reference.items.iter().all(|item| item.at == At::Ended), "something stays behind");
        assert_eq!(self.rig.core.poll_timeout(), None);
    }
}

fn some_strategy(rng: &mut fastrand::Rng) -> StrategyName {
    strategy(["metadata", "photo", "analytics", "analytics"][rng.usize(0..4)])
}

fn some_overrides(rng: &mut fastrand::Rng) -> Overrides {
    match rng.u32(0..10) {
        0 => Overrides { network: Some(NetworkNeed::Wifi), ..Overrides::default() },
        1 => Overrides { network: Some(NetworkNeed::Any), ..Overrides::default() },
        2 => Overrides { charging: Some(true), ..Overrides::default() },
        3 => Overrides { min_battery: BatteryFloor::new(50), ..Overrides::default() },
        _ => Overrides::default(),
    }
}

fn some_config(rng: &mut fastrand::Rng) -> Config {
    let mut config = config();
    config.limits.max_concurrent = rng.usize(2..6);
    let mode = if rng.u32(0..4) == 0 { AnswerMode::Status } else { AnswerMode::Items };
    config.backends.insert(backend("other"), backend_config(mode));
    for (name, other) in [("photo", rng.bool()), ("analytics", rng.bool())] {
        let chosen = config.strategies.get_mut(&strategy(name)).expect("a strategy");
        chosen.backend = Some(backend(if other { "other" } else { "main" }));
        chosen.batch = rng.usize(1..20);
    }
    config.strategies.get_mut(&strategy("metadata")).expect("a strategy").batch = rng.usize(1..12);
    config
}

fn some_network(rng: &mut fastrand::Rng) -> Network {
    let usual = wifi();
    match rng.u32(0..16) {
        0..10 => usual,
        10 => Network::none(),
        11 | 12 => modem(),
        13 => Network { roaming: true, ..modem() },
        14 => Network { subnet: "192.0.2.99/24".to_owned(), ..usual },
        15 if rng.bool() => Network { metered: Metered::Yes, ..usual },
        _ => Network { connectivity: [Connectivity::Portal, Connectivity::Limited][rng.usize(0..2)], ..usual },
    }
}

fn some_world(rng: &mut fastrand::Rng) -> World {
    let networks = ["main", "other"].map(|name| (backend(name), some_network(rng))).into();
    let battery = match rng.u32(0..8) {
        0 => Battery::Unreadable,
        1 => Battery::None,
        _ => Battery::Percent(f64::from(rng.u32(0..100))),
    };
    let (external, power_save) = (rng.u32(0..3) > 0, rng.u32(0..5) == 0);
    let power = Power { external, charging: false, battery, reached: battery.reaches(), power_save };
    World { networks, power, suspending: rng.u32(0..8) == 0, ..World::unknown() }
}

fn some_answer(rng: &mut fastrand::Rng, tasks: &[TaskId]) -> Answer {
    let codes =
        [400, 401, 403, 404, 405, 407, 408, 409, 410, 412, 413, 418, 422, 425, 429, 500, 501, 502, 503, 504, 505, 507];
    let longest = if rng.u32(0..10) == 0 { 200_000 } else { 300 };
    let retry_after = (rng.u32(0..4) == 0).then(|| Duration::from_secs(rng.u64(0..longest)));
    match rng.u32(0..20) {
        0..12 => Answer::Results(tasks.iter().map(|id| some_result(rng, *id)).collect()),
        12..16 => Answer::Status { code: codes[rng.usize(0..codes.len())], words: "words".to_owned(), retry_after },
        16 => foreign(),
        17 => unreachable(),
        18 => Answer::Untrusted { words: String::new() },
        _ if rng.u32(0..8) == 0 => Answer::Unauthorized { words: String::new() },
        _ if rng.u32(0..8) == 0 => Answer::Misplaced { words: String::new() },
        _ if rng.bool() => Answer::NoCredential { words: String::new() },
        _ => Answer::Cut(Cut::Link),
    }
}

fn some_result(rng: &mut fastrand::Rng, id: TaskId) -> ItemResult {
    let reason = String::new();
    let outcome = match rng.u32(0..10) {
        0..5 => ok(),
        5 => ItemOutcome::Duplicate,
        6 | 7 => ItemOutcome::Retry { after: rng.bool().then(|| Duration::from_secs(rng.u64(0..100))), reason },
        8 => ItemOutcome::Rejected { reason },
        _ => ItemOutcome::Conflict { reason },
    };
    ItemResult { id, outcome }
}
