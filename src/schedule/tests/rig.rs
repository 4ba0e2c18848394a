//! The core with an in-memory store beside it, which has the same claim semantics as the real one: rows that wait for
//! no other row, due, in order of due time and then of enqueue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Access, Answer, AnswerMode, AtChunk, AttemptId, BackendConfig, BackendKind, BackendName, BatteryFloor, Claimed,
    Conditions, Config, Connectivity, Device, HoldId, ItemOutcome, ItemResult, Kept, Kind, LaneId, LaneSummary, Limits,
    LinkType, Metered, Moment, Network, NetworkConfig, NetworkNeed, Now, Overrides, Owner, Quotas, Settlement,
    StoreConfig, Strategy, StrategyName, TaskId, TaskResult, Upload, WallTime, Window, World,
};
use crate::schedule::{Effect, Input, Scheduler, Spending};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// How many random lives a test lives: 100, or what `FERRYD_TEST_SEEDS` says.
pub(super) fn seeds() -> u64 {
    std::env::var("FERRYD_TEST_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(100)
}

pub(super) fn start_of_time() -> Now {
    Now { moment: Moment::since_boot(Duration::from_secs(1_000)), wall: WallTime::from_micros(1_700_000_000_000_000) }
}

/// Both clocks when the one for deadlines has reached `at`, to the microsecond that the wall clock shows.
pub(super) fn until(now: Now, at: Moment) -> Now {
    now + Duration::from_micros(at.saturating_since(now.moment).as_nanos().div_ceil(1_000) as u64)
}

pub(super) fn backend(name: &str) -> BackendName {
    BackendName::new(name).expect("a name")
}

pub(super) fn strategy(name: &str) -> StrategyName {
    StrategyName::new(name).expect("a name")
}

pub(super) fn task(number: u64) -> TaskId {
    TaskId::from_bytes(u128::from(number).to_be_bytes())
}

/// The three shipped strategies, all of them with the backend `main`.
pub(super) fn config() -> Config {
    let policy = |name, kind, priority, batch, max_attempts, multiplier, network, max_wait| Strategy {
        name: strategy(name),
        backend: Some(backend("main")),
        kind,
        priority,
        batch,
        max_attempts,
        multiplier,
        conditions: Conditions {
            network,
            roaming: kind == Kind::Json,
            charging: false,
            min_battery: BatteryFloor::default(),
            heed_power_save: priority > 1,
            heed_slow_link: kind == Kind::File,
            window: Window::default(),
            metered_budget: None,
        },
        max_wait,
        randomized_delay: Duration::ZERO,
        max_rate: None,
        strip_gps: false,
    };
    let strategies = [
        policy("metadata", Kind::Json, 1, 50, 5, 2.0, NetworkNeed::Any, None),
        policy("photo", Kind::File, 2, 3, 3, 2.0, NetworkNeed::Unmetered, Some(1800 * SECOND)),
        policy("analytics", Kind::Json, 3, 100, 2, 1.5, NetworkNeed::Any, Some(7200 * SECOND)),
    ];
    Config {
        device: Device { name: "test".to_owned() },
        backends: BTreeMap::from([(backend("main"), backend_config(AnswerMode::Items))]),
        strategies: strategies.map(|strategy| (strategy.name.clone(), strategy)).into(),
        network: NetworkConfig::default(),
        store: StoreConfig { keep_done: 3600 * SECOND, reserve: 0 },
        limits: Limits {
            max_concurrent: 3,
            backoff_cap: 900 * SECOND,
            payload: 65536,
            payload_depth: 32,
            batch_items: 500,
            batch_bytes: 8 << 20,
            hold_time: Duration::from_secs(900),
            quotas: Quotas { tasks: 1 << 20, bytes: 1 << 30, subscribers: 16, holds: 4 },
        },
        access: Access::default(),
    }
}

pub(super) fn backend_config(answer: AnswerMode) -> BackendConfig {
    let url = "https://sync.example/v1/items?token=secret";
    BackendConfig { answer, request_timeout: 60 * SECOND, chunk: 1 << 22, ..BackendConfig::new(BackendKind::Http, url) }
}

pub(super) fn wifi() -> Network {
    Network {
        connected: true,
        link: LinkType::Wifi,
        interface: "wlan0".to_owned(),
        connectivity: Connectivity::Full,
        metered: Metered::GuessNo,
        subnet: "192.0.2.7/24".to_owned(),
        ..Network::none()
    }
}

pub(super) fn modem() -> Network {
    Network {
        link: LinkType::Cellular,
        interface: "wwan0".to_owned(),
        metered: Metered::GuessYes,
        subnet: "198.51.100.7/32".to_owned(),
        ..wifi()
    }
}

/// A world in which every backend's traffic goes over `network`.
pub(super) fn world(network: &Network) -> World {
    let networks = ["main", "other"].map(|name| (backend(name), network.clone())).into();
    World { networks, ..World::unknown() }
}

pub(super) fn status(code: u16) -> Answer {
    Answer::Status { code, words: String::new(), retry_after: None }
}

pub(super) fn unreachable() -> Answer {
    Answer::Unreachable { words: "connection refused".to_owned() }
}

pub(super) fn foreign() -> Answer {
    Answer::Foreign { words: "HTML".to_owned() }
}

/// A documented answer in which each task gets the same outcome.
pub(super) fn results(tasks: &[TaskId], outcome: &ItemOutcome) -> Answer {
    Answer::Results(tasks.iter().map(|id| ItemResult { id: *id, outcome: outcome.clone() }).collect())
}

pub(super) fn ok() -> ItemOutcome {
    ItemOutcome::Ok(TaskResult { status: 200, duplicate: false, body: String::new(), upload: None })
}

/// Where a row of the in-memory store stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Pending,
    Running,
    Done,
    Failed,
    Cancelled,
}

/// A task of the in-memory store.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: TaskId,
    pub(super) lane: LaneId,
    pub(super) key: Option<u64>,
    created: WallTime,
    pub(super) due: WallTime,
    pub(super) attempts: u32,
    pub(super) row: Row,
}

/// The whole queue in the order of enqueue.
#[derive(Debug, Default)]
pub(super) struct MemoryStore {
    pub(super) tasks: Vec<Stored>,
    enqueued: u64,
    lanes: Vec<(StrategyName, Overrides)>,
    told: BTreeMap<LaneId, LaneSummary>,
}

impl MemoryStore {
    pub(super) fn lane(&mut self, strategy: &StrategyName, overrides: Overrides) -> LaneId {
        let key = (strategy.clone(), overrides);
        let at = self.lanes.iter().position(|lane| *lane == key).unwrap_or_else(|| {
            self.lanes.push(key);
            self.lanes.len() - 1
        });
        LaneId(at as i64 + 1)
    }

    pub(super) fn enqueue(&mut self, lane: LaneId, key: Option<u64>, now: WallTime) -> TaskId {
        self.enqueued += 1;
        let id = task(self.enqueued);
        self.tasks.push(Stored { id, lane, key, created: now, due: now, attempts: 0, row: Row::Pending });
        id
    }

    pub(super) fn find(&mut self, id: TaskId) -> &mut Stored {
        self.tasks.iter_mut().find(|task| task.id == id).expect("a known task")
    }

    pub(super) fn get(&self, id: TaskId) -> &Stored {
        self.tasks.iter().find(|task| task.id == id).expect("a known task")
    }

    /// The tasks in the ready index: pending, and first of their key.
    fn heads(&self) -> impl Iterator<Item = &Stored> {
        let mut keys = BTreeSet::new();
        self.tasks.iter().filter(move |task| {
            let alive = matches!(task.row, Row::Pending | Row::Running);
            let head = task.key.is_none_or(|key| !alive || keys.insert(key));
            task.row == Row::Pending && head
        })
    }

    pub(super) fn claim(&mut self, lane: LaneId, limit: usize, now: WallTime) -> Vec<Claimed> {
        let mut due: Vec<(WallTime, TaskId)> =
            self.heads().filter(|task| task.lane == lane && task.due <= now).map(|task| (task.due, task.id)).collect();
        due.sort();
        due.truncate(limit);
        due.into_iter()
            .map(|(_, id)| {
                let task = self.find(id);
                task.row = Row::Running;
                Claimed {
                    id,
                    owner: Owner(0),
                    payload: "{}".to_owned().into(),
                    created: task.due,
                    attempts: task.attempts,
                    note: None,
                }
            })
            .collect()
    }

    pub(super) fn settle(&mut self, settlements: &[(TaskId, Settlement)]) {
        for (id, settlement) in settlements {
            let task = self.find(*id);
            if task.row == Row::Cancelled {
                continue;
            }
            assert_eq!(task.row, Row::Running, "{id} is settled without running");
            match settlement {
                Settlement::Done(_) => task.row = Row::Done,
                Settlement::Retry { due, .. } => {
                    task.row = Row::Pending;
                    task.due = *due;
                    task.attempts += 1;
                }
                Settlement::Advanced { due, .. } => (task.row, task.due, task.attempts) = (Row::Pending, *due, 0),
                Settlement::Postponed { due, .. } => (task.row, task.due) = (Row::Pending, *due),
                Settlement::Release { .. } => task.row = Row::Pending,
                Settlement::Failed(_) => task.row = Row::Failed,
            }
        }
    }

    /// Ends the backoffs of one strategy, or of all.
    pub(super) fn bring_forward(&mut self, only: Option<&StrategyName>, now: WallTime) {
        let lanes = &self.lanes;
        let meant = |task: &&mut Stored| {
            let index = usize::try_from(task.lane.0).expect("a known lane") - 1;
            task.row == Row::Pending && only.is_none_or(|only| lanes[index].0 == *only)
        };
        let in_the_future = |task: &&mut Stored| meant(task) && task.due > now;
        self.tasks.iter_mut().filter(in_the_future).for_each(|task| task.due = task.created);
    }

    /// The summaries that changed since this was asked last.
    pub(super) fn news(&mut self) -> Vec<LaneSummary> {
        let mut now: BTreeMap<LaneId, LaneSummary> = BTreeMap::new();
        for (at, (strategy, overrides)) in self.lanes.iter().enumerate() {
            let id = LaneId(at as i64 + 1);
            let empty =
                LaneSummary { id, strategy: strategy.clone(), overrides: *overrides, waiting: 0, first_due: None };
            now.insert(id, empty);
        }
        for task in self.heads() {
            let summary = now.get_mut(&task.lane).expect("a known lane");
            summary.waiting += 1;
            summary.first_due = Some(summary.first_due.map_or(task.due, |due| due.min(task.due)));
        }
        let changed = now.values().filter(|summary| self.told.get(&summary.id) != Some(summary)).cloned().collect();
        self.told = now;
        changed
    }
}

/// What the core asked for, as far as tests look at it.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) started: Vec<(AttemptId, StrategyName, Vec<TaskId>)>,
    /// How those of `started` go.
    pub(super) uploads: Vec<Upload>,
    /// The backends of `started`.
    pub(super) sent_to: Vec<BackendName>,
    pub(super) at_chunk: Vec<(AttemptId, AtChunk)>,
    pub(super) linked: Vec<AttemptId>,
    pub(super) aborted: Vec<(AttemptId, crate::model::Cut)>,
    pub(super) settled: Vec<(TaskId, Settlement)>,
    pub(super) claims: Vec<(LaneId, usize)>,
    pub(super) let_go: Vec<HoldId>,
    pub(super) readings: usize,
    /// Looks by their numbers, each with the interface by way of which it goes.
    pub(super) looks: Vec<(u64, String)>,
    pub(super) kept: Vec<BTreeMap<StrategyName, Spending>>,
    pub(super) estimates: Vec<Vec<Kept>>,
    pub(super) tidied: usize,
    pub(super) announced: usize,
}

/// The core, its store and its clock. The store answers at once, its news first.
pub(super) struct Rig {
    pub(super) core: Scheduler,
    pub(super) store: MemoryStore,
    pub(super) now: Now,
    pub(super) running: BTreeMap<AttemptId, Vec<TaskId>>,
    pub(super) log: Log,
    /// As it was last sensed.
    world: World,
}

impl Rig {
    pub(super) fn new(config: Config) -> Self {
        let core = Scheduler::new(Arc::new(config), 1);
        let (store, now) = (MemoryStore::default(), start_of_time());
        Self { core, store, now, running: BTreeMap::new(), log: Log::default(), world: World::unknown() }
    }

    /// With wifi up.
    pub(super) fn online(config: Config) -> Self {
        let mut rig = Self::new(config);
        rig.feed(Input::World(world(&wifi())));
        rig
    }

    pub(super) fn feed(&mut self, input: Input) {
        if let Input::World(world) = &input {
            self.world = world.clone();
        }
        self.core.handle(input, self.now);
        while let Some(effect) = self.core.poll_effect() {
            self.perform(effect);
        }
        if let Some((at, wake)) = self.core.poll_timeout() {
            assert!(at > self.now.moment, "{wake:?} is not in the future");
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Claim { attempt, lane, limit } => {
                self.log.claims.push((lane, limit));
                let tasks = self.store.claim(lane, limit, self.now.wall);
                self.tell();
                self.core.handle(Input::Claimed { attempt, tasks }, self.now);
            }
            Effect::Start { attempt, strategy, backend, tasks, upload } => {
                self.log.uploads.push(upload);
                self.log.sent_to.push(backend);
                let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
                self.running.insert(attempt, ids.clone());
                self.log.started.push((attempt, strategy, ids));
            }
            Effect::Abort { attempt, cut } => self.log.aborted.push((attempt, cut)),
            Effect::AtChunk { attempt, then } => self.log.at_chunk.push((attempt, then)),
            Effect::LinkBack { attempt } => self.log.linked.push(attempt),
            Effect::Settle(settlements) => {
                self.store.settle(&settlements);
                self.log.settled.extend(settlements);
                self.tell();
            }
            Effect::ReadPower => {
                self.log.readings += 1;
                let world = World { power_read: self.now.moment, ..self.world.clone() };
                self.core.handle(Input::World(world), self.now);
            }
            Effect::Probe { look, interface } => self.log.looks.push((look, interface)),
            Effect::KeepSpent(spent) => self.log.kept.push(spent),
            Effect::KeepEstimates(kept) => self.log.estimates.push(kept),
            Effect::HoldEnds(id) => self.log.let_go.push(id),
            Effect::Tidy => self.log.tidied += 1,
            Effect::Announce => self.log.announced += 1,
        }
    }

    fn tell(&mut self) {
        let news = self.store.news();
        if !news.is_empty() {
            self.core.handle(Input::Lanes(news), self.now);
        }
    }

    /// Hands in `count` tasks of a strategy at once; gives their ids.
    pub(super) fn enqueue(&mut self, name: &str, count: usize) -> Vec<TaskId> {
        self.enqueue_with(name, Overrides::default(), count)
    }

    pub(super) fn enqueue_with(&mut self, name: &str, overrides: Overrides, count: usize) -> Vec<TaskId> {
        let lane = self.store.lane(&strategy(name), overrides);
        let ids = (0..count).map(|_| self.store.enqueue(lane, None, self.now.wall)).collect();
        let news = self.store.news();
        self.feed(Input::Lanes(news));
        ids
    }

    pub(super) fn finish(&mut self, attempt: AttemptId, answer: Answer) {
        self.running.remove(&attempt).expect("a running attempt");
        self.feed(Input::Finished { attempt, answer });
    }

    /// The oldest attempt that runs.
    pub(super) fn first_running(&self) -> (AttemptId, Vec<TaskId>) {
        self.running.iter().next().map(|(id, tasks)| (*id, tasks.clone())).expect("something runs")
    }

    /// Ends the oldest attempt with this answer.
    pub(super) fn answer(&mut self, answer: Answer) {
        let (attempt, _) = self.first_running();
        self.finish(attempt, answer);
    }

    /// Ends the oldest attempt with `ok` for each task.
    pub(super) fn succeed(&mut self) {
        let (attempt, tasks) = self.first_running();
        self.finish(attempt, results(&tasks, &ok()));
    }

    /// Lets time pass without a word to the core.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
    }

    /// Lets time pass as a daemon would: each wake is handed in when it comes.
    pub(super) fn sleep(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some((at, _)) = self.core.poll_timeout().filter(|(at, _)| *at <= end.moment) {
            self.now = until(self.now, at);
            self.feed(Input::Woken);
        }
        self.now = end;
    }
}
