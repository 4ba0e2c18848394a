//! The daemon's loop for tests: the real core over the real store, one effect at a time, in virtual time. What happens
//! when is drawn from a seed: the same seed, the same run.

use std::collections::{BTreeSet, VecDeque};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ferryd::model::{
    AttemptId, Battery, Config, Connectivity, Filter, LinkType, Metered, Moment, Network, NewTask, Now, Power,
    Settlement, StoreNews, Task, TaskId, TaskResult, WallTime, World,
};
use ferryd::schedule::{Effect, Input, Scheduler};
use ferryd::store::{Options, Store};

use super::server::Server;

/// A wake later than this after the start is of no interest: pruning, a week away.
const HORIZON: Duration = Duration::from_secs(36 * 3600);

/// Steps after which a run is taken to have no end.
const STEPS: usize = 100_000;

/// What the driver does wrong, for tests of the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It writes a task down as done before it sends it.
    SettlesFirst,
}

/// Why a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Nothing is left to do.
    Quiet,
    /// The effect after which it was to stop has been performed.
    Stopped,
}

/// The device: it and the server outlive the daemon.
pub(crate) struct Device {
    config: Arc<Config>,
    pub(crate) now: Now,
    rng: fastrand::Rng,
    fault: Fault,
}

impl Device {
    /// When every device begins.
    pub(crate) const BEGIN: Now = Now {
        moment: Moment::since_boot(Duration::from_secs(100)),
        wall: WallTime::from_micros(1_790_000_000_000_000),
    };

    pub(crate) fn new(config: Config, seed: u64, fault: Fault) -> Self {
        Self { config: Arc::new(config), now: Self::BEGIN, rng: fastrand::Rng::with_seed(seed), fault }
    }

    fn options(&self) -> Options {
        Options {
            quotas: self.config.limits.quotas,
            keep_done: self.config.store.keep_done,
            reserve: self.config.store.reserve,
            backoff_cap: self.config.limits.backoff_cap,
        }
    }

    /// Online by cable, on a full battery.
    fn world(&self) -> World {
        let network = Network {
            connected: true,
            link: LinkType::Ethernet,
            interface: "eth0".to_owned(),
            connectivity: Connectivity::Unknown,
            metered: Metered::GuessNo,
            ..Network::none()
        };
        World {
            networks: self.config.backends.keys().map(|name| (name.clone(), network.clone())).collect(),
            power: Power { external: false, battery: Battery::Percent(100.0), ..Power::mains() },
            ..World::unknown()
        }
    }
}

/// The daemon between a start and its end. Dropping it is the end: what was not fed to the core is gone.
pub(crate) struct Daemon<'a> {
    device: &'a mut Device,
    server: &'a mut Server,
    store: Store,
    core: Scheduler,
    stored: mpsc::Receiver<StoreNews>,
    /// Inputs that wait, in the order they must come: what the store committed.
    news: VecDeque<Input>,
    /// Inputs that may come in any order: ends of claims and attempts.
    ends: Vec<Input>,
    effects: VecDeque<Effect>,
    /// Attempts whose tasks a faulty driver has written down as done.
    settled_first: BTreeSet<AttemptId>,
    /// The effects performed, as text.
    pub(crate) performed: Vec<String>,
    runtime: tokio::runtime::Runtime,
}

impl<'a> Daemon<'a> {
    /// Opens the store in `dir` and tells the core what it found.
    pub(crate) fn start(device: &'a mut Device, server: &'a mut Server, dir: &Path) -> Self {
        let (sender, stored) = mpsc::channel();
        let news = move |news| {
            // The test may have ended.
            sender.send(news).ok();
        };
        let now = device.now;
        let (store, opening) =
            Store::open(dir, device.options(), now.wall, device.rng.u64(..), news).expect("the store opens");
        let mut core = Scheduler::new(Arc::clone(&device.config), device.rng.u64(..));
        core.handle(Input::World(device.world()), now);
        core.handle(Input::Lanes(opening.news.lanes), now);
        core.handle(Input::TidyAt(opening.news.tidy_at.flatten()), now);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        server.close_all();
        Self {
            device,
            server,
            store,
            core,
            stored,
            news: VecDeque::new(),
            ends: Vec::new(),
            effects: VecDeque::new(),
            settled_first: BTreeSet::new(),
            performed: Vec::new(),
            runtime,
        }
    }

    /// Takes tasks as an app hands them over; they are on disk when it returns.
    pub(crate) fn enqueue(&mut self, tasks: Vec<NewTask>) {
        let stored = self.store.enqueue(tasks);
        self.runtime.block_on(stored).expect("the tasks are taken");
    }

    /// Runs until nothing is left to do, or until it has performed this many effects since its start: what the last of
    /// them brought has not been heard by the core.
    pub(crate) fn run(&mut self, effects: usize) -> Ended {
        let horizon = self.device.now.moment + HORIZON;
        for _ in 0..STEPS {
            if self.performed.len() >= effects {
                return Ended::Stopped;
            }
            self.gather();
            while let Some(effect) = self.core.poll_effect() {
                self.effects.push_back(effect);
            }
            let millis = self.device.rng.u64(0..20);
            self.device.now = self.device.now + Duration::from_millis(millis);
            match self.draw() {
                Some(Step::Effect(effect)) => {
                    self.performed.push(format!("{effect:?}"));
                    self.perform(effect);
                }
                Some(Step::Input(input)) => self.feed(input),
                None => match self.core.poll_timeout() {
                    Some((moment, _)) if moment <= horizon => {
                        let wait = moment.saturating_since(self.device.now.moment);
                        self.device.now = self.device.now + wait;
                        self.feed(Input::Woken);
                    }
                    Some(_) | None => return Ended::Quiet,
                },
            }
        }
        panic!(
            "no end after {STEPS} steps; the last effects, latest first: {:#?}",
            self.performed.iter().rev().take(20).collect::<Vec<_>>()
        );
    }

    /// All tasks in the store.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        let (mut tasks, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.store.list(Filter::default(), cursor, 1000);
            let page = self.runtime.block_on(page).expect("a page");
            tasks.extend(page.tasks);
            cursor = page.next;
            if cursor.is_none() {
                return tasks;
            }
        }
    }

    /// One of the things that can happen next; `None` if only time can bring something.
    fn draw(&mut self) -> Option<Step> {
        let (effects, news) = (usize::from(!self.effects.is_empty()), usize::from(!self.news.is_empty()));
        let choices = effects + news + self.ends.len();
        if choices == 0 {
            return None;
        }
        let chosen = self.device.rng.usize(..choices);
        if chosen < effects {
            return self.effects.pop_front().map(Step::Effect);
        }
        if chosen < effects + news {
            return self.news.pop_front().map(Step::Input);
        }
        Some(Step::Input(self.ends.remove(chosen - effects - news)))
    }

    fn feed(&mut self, input: Input) {
        if let Input::Finished { attempt, .. } = &input {
            self.server.close(*attempt);
        }
        self.core.handle(input, self.device.now);
    }

    fn perform(&mut self, effect: Effect) {
        let now = self.device.now;
        match effect {
            Effect::Claim { attempt, lane, limit } => {
                let claim = self.store.claim(lane, limit, now.wall);
                let tasks = self.runtime.block_on(claim).expect("a claim");
                self.ends.push(Input::Claimed { attempt, tasks });
            }
            Effect::Start { attempt, ref tasks, .. } => {
                if self.device.fault == Fault::SettlesFirst && self.settled_first.insert(attempt) {
                    self.settle(tasks.iter().map(|task| (task.id, Settlement::Done(TaskResult::default()))).collect());
                    return self.effects.push_front(effect);
                }
                let answer = self.server.serve(attempt, tasks, now);
                self.ends.push(Input::Finished { attempt, answer });
            }
            Effect::Settle(settlements) => self.settle(settlements),
            Effect::Tidy => {
                let tidy = self.store.tidy(now.wall);
                self.runtime.block_on(tidy).expect("tidying");
            }
            // The server has answered by now: what came before the cut counts.
            Effect::Abort { .. }
            | Effect::AtChunk { .. }
            | Effect::LinkBack { .. }
            | Effect::ReadPower
            | Effect::Probe { .. }
            | Effect::KeepSpent(_)
            | Effect::HoldEnds(_)
            | Effect::KeepEstimates(_)
            | Effect::Announce => {}
        }
    }

    fn settle(&mut self, settlements: Vec<(TaskId, Settlement)>) {
        let settle = self.store.settle(settlements, self.device.now.wall);
        self.runtime.block_on(settle).expect("a settlement");
    }

    /// Takes what the store told so far. An operation without effect goes through the writer first: once it is
    /// answered, the news of all commits before it is here.
    fn gather(&mut self) {
        let fence = self.store.put_setting("fence", None);
        self.runtime.block_on(fence).expect("the writer answers");
        while let Ok(news) = self.stored.try_recv() {
            if let Some(tidy_at) = news.tidy_at {
                self.news.push_back(Input::TidyAt(tidy_at));
            }
            if !news.lanes.is_empty() {
                self.news.push_back(Input::Lanes(news.lanes));
            }
        }
    }
}

enum Step {
    Effect(Effect),
    Input(Input),
}
