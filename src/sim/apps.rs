//! The apps of a device: when they hand work over, and of what kind.

use std::time::Duration;

use fastrand::Rng;

use crate::model::{
    BatteryFloor, FileInfo, Kind, Moment, NetworkNeed, NewTask, OnExisting, Overrides, Owner, Payload, Quality,
    Strategy, StrategyName, TaskId, WallTime,
};

const DAY: f64 = 86_400.0;

/// When an app hands work over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Now and then, at any time.
    Steady,
    /// Some at once, then long nothing.
    Bursts,
    /// The day's work at about one time of day.
    Daily,
}

/// How apps use what tasks can say of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habits {
    /// Some tasks have a key.
    Plain,
    /// All that the contract allows, often.
    Elaborate,
}

/// One app.
#[derive(Debug, Clone)]
pub(super) struct App {
    strategy: StrategyName,
    kind: Kind,
    pattern: Pattern,
    /// Tasks a day, on the average.
    per_day: f64,
    next: Moment,
}

impl App {
    /// An app that hands over so many tasks a day.
    pub(super) fn new(strategy: &Strategy, pattern: Pattern, per_day: f64, random: &mut Rng) -> Self {
        let (strategy, kind) = (strategy.name.clone(), strategy.kind);
        let mut app = Self { strategy, kind, pattern, per_day, next: Moment::default() };
        let first = app.gap(random);
        // A day's work is handed over at any time of the day, by each app at its own.
        let daily = pattern == Pattern::Daily;
        app.next = Moment::since_boot(if daily { first.mul_f64(random.f64()) } else { first });
        app
    }

    /// How many tasks at once, on the average.
    fn burst(&self) -> f64 {
        match self.pattern {
            Pattern::Steady => 1.0,
            Pattern::Bursts => 5.0,
            Pattern::Daily => self.per_day.max(1.0),
        }
    }

    /// The time to the next burst: for a [`Pattern::Daily`] about a day, else as rain falls.
    fn gap(&self, random: &mut Rng) -> Duration {
        let mean = DAY * self.burst() / self.per_day.max(1e-6);
        let gap = match self.pattern {
            Pattern::Steady | Pattern::Bursts => -mean * (1.0 - random.f64()).ln(),
            Pattern::Daily => mean * (0.95 + 0.1 * random.f64()),
        };
        Duration::from_micros((gap.min(1e9) * 1e6) as u64 + 1)
    }

    fn count(&self, random: &mut Rng) -> usize {
        let most = (2.0 * self.burst()) as usize;
        match self.pattern {
            Pattern::Steady => 1,
            Pattern::Bursts => random.usize(1..most.max(2)),
            Pattern::Daily => random.usize(most / 4..=most * 3 / 4).max(1),
        }
    }
}

/// All apps of a device.
#[derive(Debug)]
pub(super) struct Apps {
    apps: Vec<App>,
    habits: Habits,
    random: Rng,
    /// Tasks minted so far; the upper half of every id is the device's.
    minted: u64,
    device: u64,
    /// No task is handed over from then on.
    until: Moment,
}

impl Apps {
    /// The apps of device number `device`, until that moment.
    pub(super) fn new(apps: Vec<App>, habits: Habits, device: u64, until: Moment, random: Rng) -> Self {
        Self { apps, habits, random, minted: 0, device, until }
    }

    /// Nothing is handed over from now on.
    pub(super) fn stop(&mut self, now: Moment) {
        self.until = now;
    }

    /// When work is next handed over.
    pub(super) fn next(&self) -> Option<Moment> {
        self.apps.iter().map(|app| app.next).min().filter(|next| *next < self.until)
    }

    /// The work of the app whose time has come. `earlier` are tasks that were handed over before.
    pub(super) fn take(&mut self, now: WallTime, moment: Moment, earlier: &[TaskId]) -> Vec<NewTask> {
        let Some(at) = (0..self.apps.len()).min_by_key(|at| self.apps[*at].next) else {
            return Vec::new();
        };
        let app = self.apps[at].clone();
        self.apps[at].next = moment + app.gap(&mut self.random);
        (0..app.count(&mut self.random)).map(|_| self.task(&app, now, earlier)).collect()
    }

    fn task(&mut self, app: &App, created: WallTime, earlier: &[TaskId]) -> NewTask {
        self.minted += 1;
        let id = TaskId::from_bytes((u128::from(self.device) << 64 | u128::from(self.minted)).to_be_bytes());
        let plain = NewTask {
            id,
            owner: Owner(1000),
            app: String::new(),
            strategy: app.strategy.clone(),
            overrides: Overrides::default(),
            payload: payload(app.kind, &mut self.random),
            key: None,
            on_existing: OnExisting::Append,
            after: Vec::new(),
            tags: Vec::new(),
            expires: None,
            request_id: None,
            created,
        };
        match self.habits {
            Habits::Plain => NewTask { key: self.key(app, 10, 3), ..plain },
            Habits::Elaborate => self.elaborate(app, plain, earlier),
        }
    }

    fn key(&mut self, app: &App, keys: u64, one_in: u64) -> Option<String> {
        let has = app.kind == Kind::Json && self.random.u64(0..one_in) == 0;
        has.then(|| format!("key-{}", self.random.u64(0..keys)))
    }

    fn elaborate(&mut self, app: &App, plain: NewTask, earlier: &[TaskId]) -> NewTask {
        let random = &mut self.random;
        let on_existing = [OnExisting::Append, OnExisting::Append, OnExisting::Keep, OnExisting::Replace];
        let on_existing = on_existing[random.usize(0..on_existing.len())];
        let after = if random.u32(0..5) == 0 { random.choice(earlier).copied().into_iter().collect() } else { vec![] };
        let expires = (random.u32(0..12) == 0).then(|| plain.created + Duration::from_secs(random.u64(10..3_000)));
        let request_id = (random.u32(0..6) == 0).then(|| format!("request-{}", random.u32(0..20)));
        let overrides = match random.u32(0..8) {
            0 => Overrides { charging: Some(true), ..Overrides::default() },
            1 => Overrides { network: Some(NetworkNeed::Wifi), ..Overrides::default() },
            2 => Overrides { min_battery: BatteryFloor::new(50), ..Overrides::default() },
            _ => Overrides::default(),
        };
        let key = self.key(app, 3, 2);
        NewTask { overrides, key, on_existing, after, expires, request_id, ..plain }
    }
}

fn payload(kind: Kind, random: &mut Rng) -> Payload {
    match kind {
        Kind::Json => Payload::Json(" ".repeat(random.usize(100..800))),
        Kind::File => Payload::File(Box::new(FileInfo {
            quality: Quality::Original,
            ..FileInfo::new(random.u64(1_000_000..6_000_000), [0; 32])
        })),
    }
}
