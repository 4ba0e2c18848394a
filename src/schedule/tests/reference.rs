//! A second scheduler, written to be seen to be right: it holds the whole queue, has no lanes, no summaries, no claims
//! and no deadlines, and looks at everything anew at each step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::rig::SECOND;
use crate::model::{
    Answer, AnswerMode, AttemptId, BackendName, Battery, Config, Connectivity, Cut, Failure, HoldId, ItemOutcome, Kind,
    LinkType, Metered, Moment, Network, NetworkNeed, Now, Overrides, Settlement, Strategy, StrategyName, TaskId,
    WallTime, World,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Pending,
    Running,
    Ended,
}

#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) id: TaskId,
    pub(super) strategy: StrategyName,
    pub(super) overrides: Overrides,
    pub(super) key: Option<u64>,
    pub(super) created: WallTime,
    pub(super) due: WallTime,
    pub(super) attempts: u32,
    pub(super) at: At,
}

type Group = (StrategyName, Overrides);

impl Item {
    fn group(&self) -> Group {
        (self.strategy.clone(), self.overrides)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Running {
    /// Given by the real core once both agree on the tasks.
    pub(super) attempt: AttemptId,
    pub(super) tasks: Vec<TaskId>,
    group: Group,
    strategy: Strategy,
    backend: BackendName,
    conditions: crate::model::Conditions,
    network: Network,
    probe: bool,
    pub(super) cut: Option<Cut>,
    /// A condition is missing.
    ending: bool,
    withdrawn: BTreeSet<TaskId>,
    generation: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sick {
    Down,
    Auth,
    Tls,
    Config,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Server {
    pub(super) proven: bool,
    pub(super) sick: Option<Sickness>,
    generation: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Sickness {
    pub(super) kind: Sick,
    pub(super) failures: u32,
    last: Moment,
    pub(super) until: Moment,
    pub(super) silent: Moment,
    /// How often another way, or a morning, has let it be asked before its time.
    hopes: i32,
}

/// What a settlement must be; times are drawn, so only their range is known.
#[derive(Debug)]
pub(super) enum Expected {
    Done,
    Retry { earliest: WallTime, latest: WallTime },
    Release,
    Failed(Failure),
}

impl Expected {
    pub(super) fn allows(&self, settlement: &Settlement) -> bool {
        match (self, settlement) {
            (Self::Done, Settlement::Done(_)) | (Self::Release, Settlement::Release { .. }) => true,
            (Self::Retry { earliest, latest }, Settlement::Retry { due, .. }) => earliest <= due && due <= latest,
            (Self::Failed(kind), Settlement::Failed(error)) => *kind == error.failure,
            (Self::Done | Self::Retry { .. } | Self::Release | Self::Failed(_), _) => false,
        }
    }
}

/// The range in which a backend's next probe must lie.
pub(super) type ProbeRange = Option<(BackendName, Moment, Moment)>;

pub(super) struct Reference {
    pub(super) config: Config,
    pub(super) world: World,
    /// Since when the device has been about to sleep.
    dusk: Option<Moment>,
    pub(super) items: Vec<Item>,
    pub(super) running: Vec<Running>,
    pub(super) servers: BTreeMap<BackendName, Server>,
    pub(super) paused: BTreeMap<Option<StrategyName>, Option<WallTime>>,
    /// When each hold ends by itself.
    pub(super) holds: BTreeMap<HoldId, Moment>,
    low: BTreeSet<u8>,
    hunts: BTreeMap<Group, (Vec<TaskId>, usize)>,
    held_since: BTreeMap<Group, Moment>,
    generations: u64,
}

impl Reference {
    pub(super) fn new(config: Config) -> Self {
        let servers = config.backends.keys().map(|name| (name.clone(), Server::default())).collect();
        Self {
            config,
            world: World::unknown(),
            dusk: None,
            items: Vec::new(),
            running: Vec::new(),
            servers,
            paused: BTreeMap::new(),
            holds: BTreeMap::new(),
            low: BTreeSet::new(),
            hunts: BTreeMap::new(),
            held_since: BTreeMap::new(),
            generations: 0,
        }
    }

    pub(super) fn item(&mut self, id: TaskId) -> &mut Item {
        self.items.iter_mut().find(|item| item.id == id).expect("a known task")
    }

    pub(super) fn set_world(&mut self, world: World, now: Now) {
        let morning = self.world.suspending && !world.suspending;
        self.dusk = world.suspending.then(|| self.dusk.unwrap_or(now.moment));
        for (name, server) in &mut self.servers {
            let usable = |world: &World| world.networks.get(name).filter(|network| network.connected).cloned();
            let another = match (usable(&self.world), usable(&world)) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(old), Some(new)) => !same_way(&old, &new),
            };
            if let Some(sick) = server.sick.as_mut().filter(|_| another || morning) {
                let rested = if sick.hopes == 0 { 0.0 } else { 2f64.powi(sick.hopes).min(900.0) };
                let asked = sick.silent.max(now.moment).max(sick.last + Duration::from_secs_f64(rested));
                sick.hopes += i32::from(asked < sick.until);
                sick.until = sick.until.min(asked);
            }
        }
        let read_before = matches!(self.world.power.battery, Battery::Percent(_));
        self.world = world;
        self.feel_the_battery(read_before);
    }

    /// A floor is low from when the battery falls below it until it is three percent above; a first reading is believed.
    fn feel_the_battery(&mut self, read_before: bool) {
        for floor in [15, 30, 50, 80] {
            let is_low = match self.world.power.battery {
                Battery::None => Some(false),
                Battery::Unreadable => Some(true),
                Battery::Percent(percent) if percent < f64::from(floor) => Some(true),
                Battery::Percent(percent) if percent >= f64::from(floor + 3) || !read_before => Some(false),
                Battery::Percent(_) => None,
            };
            match is_low {
                Some(true) => drop(self.low.insert(floor)),
                Some(false) => drop(self.low.remove(&floor)),
                None => {}
            }
        }
    }

    /// Somebody wants it now: ailing servers may be asked again a second after they were last, but not before they said.
    pub(super) fn sync_now(&mut self, only: Option<&StrategyName>, now: Now) {
        for strategy in
            self.config.strategies.values().filter(|strategy| only.is_none_or(|only| *only == strategy.name))
        {
            let server = strategy.backend.as_ref().and_then(|backend| self.servers.get_mut(backend));
            if let Some(sick) = server.and_then(|server| server.sick.as_mut()) {
                sick.until = sick.until.min(now.moment.max(sick.silent).max(sick.last + SECOND));
            }
        }
    }

    pub(super) fn configure(&mut self, config: Config, now: Now) {
        self.generations += 1;
        let old = std::mem::take(&mut self.servers);
        for (name, section) in &config.backends {
            let unchanged = self.config.backends.get(name) == Some(section);
            let mut server = old
                .get(name)
                .filter(|_| unchanged)
                .cloned()
                .unwrap_or(Server { generation: self.generations, ..Server::default() });
            server.proven = false;
            if let Some(sick) = server.sick.as_mut().filter(|sick| sick.kind != Sick::Down) {
                sick.until = now.moment;
            }
            self.servers.insert(name.clone(), server);
        }
        self.config = config;
    }

    /// Attempts that must end now, and why.
    pub(super) fn cuts(&mut self, now: Now) -> Vec<(AttemptId, Cut)> {
        let mut cuts = Vec::new();
        let late = self.dusk.is_some_and(|dusk| now.moment >= dusk + 2 * SECOND);
        for run in self.running.iter_mut().filter(|run| run.cut.is_none()) {
            let network = self.world.networks.get(&run.backend);
            let cut = if run.withdrawn.len() == run.tasks.len() {
                Cut::Withdrawn
            } else if late {
                Cut::Condition
            } else if network.is_none_or(|network| !network.connected || !same_way(&run.network, network)) {
                Cut::Link
            } else {
                run.ending = !network.is_some_and(|network| hold(&run.conditions, network, &self.world, &self.low));
                continue;
            };
            run.cut = Some(cut);
            cuts.push((run.attempt, cut));
        }
        cuts
    }

    pub(super) fn withdraw(&mut self, id: TaskId) {
        self.item(id).at = At::Ended;
        for run in self.running.iter_mut().filter(|run| run.tasks.contains(&id)) {
            run.withdrawn.insert(id);
        }
    }

    /// Forgets pauses that are over and notes since when conditions have held.
    pub(super) fn look(&mut self, now: Now) {
        self.paused.retain(|_, until| until.is_none_or(|until| until > now.wall));
        self.holds.retain(|_, until| *until > now.moment);
        let groups: BTreeSet<Group> = self.items.iter().map(Item::group).collect();
        for group in groups {
            let sick = self.policy(&group.0).is_some_and(|(_, server)| self.servers[server].sick.is_some());
            if self.conditions_hold(&group) && !sick {
                self.held_since.entry(group).or_insert(now.moment);
            } else {
                self.held_since.remove(&group);
            }
        }
    }

    fn policy(&self, name: &StrategyName) -> Option<(&Strategy, &BackendName)> {
        let strategy = self.config.strategies.get(name)?;
        let backend = strategy.backend.as_ref().filter(|backend| self.config.backends.contains_key(backend))?;
        Some((strategy, backend))
    }

    fn conditions_hold(&self, (name, overrides): &Group) -> bool {
        let paused = self.paused.contains_key(&None) || self.paused.contains_key(&Some(name.clone()));
        self.policy(name).is_some_and(|(strategy, backend)| {
            let network = self.world.networks.get(backend).filter(|network| network.connected);
            !paused
                && self.holds.is_empty()
                && network
                    .is_some_and(|network| hold(&strategy.conditions.with(overrides), network, &self.world, &self.low))
        })
    }

    fn is_ready(&self, item: &Item, now: Now) -> bool {
        let earlier = self.items.iter().take_while(|other| other.id != item.id);
        let behind =
            item.key.is_some() && earlier.into_iter().any(|other| other.key == item.key && other.at != At::Ended);
        item.at == At::Pending && item.due <= now.wall && !behind
    }

    fn may_start(&self, item: &Item, now: Now) -> bool {
        if !self.is_ready(item, now) {
            return false;
        }
        let group = item.group();
        let Some((strategy, backend)) = self.policy(&item.strategy) else {
            return false;
        };
        let files = self.running.iter().filter(|run| run.strategy.kind == Kind::File).count();
        let max = self.config.limits.max_concurrent;
        let slot = self.running.len() < max && (strategy.kind == Kind::Json || files < max - 1);
        let hunted = self.hunts.contains_key(&group) && self.running.iter().any(|run| run.group == group);
        let server = match &self.servers[backend].sick {
            None => true,
            Some(sick) => sick.until <= now.moment && !self.running.iter().any(|run| run.backend == *backend),
        };
        self.conditions_hold(&group) && slot && !hunted && server
    }

    fn is_starved(&self, oldest: &Item, now: Now) -> bool {
        let max_wait = self.policy(&oldest.strategy).and_then(|(strategy, _)| strategy.max_wait);
        let held = self.held_since.get(&oldest.group());
        max_wait.zip(held).is_some_and(|(max_wait, held)| {
            now.wall.saturating_since(oldest.due) > max_wait && now.moment.saturating_since(*held) > max_wait
        })
    }

    /// The next attempt that must start, if one may.
    pub(super) fn next_start(&mut self, now: Now) -> Option<Running> {
        let mut able: Vec<&Item> = self.items.iter().filter(|item| self.may_start(item, now)).collect();
        able.sort_by_key(|item| (item.due, item.id));
        let starved: BTreeSet<Group> =
            able.iter().filter(|item| self.is_starved(item, now)).map(|item| item.group()).collect();
        let priority = |item: &Item| self.config.strategies[&item.strategy].priority;
        let first = able.iter().min_by_key(|item| {
            let starving = starved.contains(&item.group());
            (!starving, if starving { 0 } else { priority(item) }, item.due, priority(item), item.id)
        })?;
        let group = first.group();
        let (strategy, backend) =
            self.policy(&group.0).map(|(strategy, backend)| (strategy.clone(), backend.clone()))?;
        let single = strategy.kind == Kind::File || self.config.backends[&backend].answer == AnswerMode::Status;
        let batch = if single { 1 } else { strategy.batch };
        let limit = self.hunts.get(&group).map_or(batch, |(_, limit)| batch.min(*limit));
        let tasks: Vec<TaskId> =
            able.iter().filter(|item| item.group() == group).take(limit).map(|item| item.id).collect();
        if let Some((suspects, _)) = self.hunts.get_mut(&group)
            && !suspects.iter().any(|id| tasks.contains(id))
        {
            suspects.clone_from(&tasks);
        }
        for id in &tasks {
            self.item(*id).at = At::Running;
        }
        let run = Running {
            attempt: AttemptId(0),
            tasks,
            conditions: strategy.conditions.with(&group.1),
            network: self.world.networks[&backend].clone(),
            probe: self.servers[&backend].sick.is_some(),
            generation: self.servers[&backend].generation,
            group,
            strategy,
            backend,
            cut: None,
            ending: false,
            withdrawn: BTreeSet::new(),
        };
        self.running.push(run.clone());
        Some(run)
    }

    /// An attempt ended: what must be settled, and when the backend must be asked again.
    pub(super) fn finish(&mut self, id: AttemptId, answer: &Answer, now: Now) -> (Vec<(TaskId, Expected)>, ProbeRange) {
        let at = self.running.iter().position(|run| run.attempt == id).expect("a running attempt");
        let run = self.running.remove(at);
        let ending = run.ending.then_some(Cut::Condition);
        let answer = match (run.cut.or(ending), answer) {
            (Some(cut), Answer::Unreachable { .. }) => Answer::Cut(cut),
            (_, answer) => answer.clone(),
        };
        let proven = self.servers.get(&run.backend).is_some_and(|server| server.proven);
        let word = word_of(&answer, run.tasks.len(), proven);
        let range = self.nurse(&run, &word, now);
        self.hunt(&run, &word);
        let expected = run.tasks.iter().map(|id| (*id, self.expect(&run, *id, &word, now))).collect();
        (expected, range)
    }

    fn expect(&self, run: &Running, id: TaskId, word: &Word, now: Now) -> Expected {
        let item = self.items.iter().find(|item| item.id == id).expect("a known task");
        let outcome = match word {
            Word::Items(items) => &items.iter().find(|(task, _)| *task == id).expect("an outcome each").1,
            Word::Lone(outcome) => outcome,
            Word::Somebody | Word::Sick(..) | Word::Nothing => return Expected::Release,
        };
        match outcome {
            ItemOutcome::Ok(_) | ItemOutcome::Duplicate => Expected::Done,
            ItemOutcome::Rejected { .. } => Expected::Failed(Failure::Rejected),
            ItemOutcome::Conflict { .. } => Expected::Failed(Failure::Conflict),
            ItemOutcome::Retry { .. } if item.attempts + 1 >= run.strategy.max_attempts => {
                Expected::Failed(Failure::Exhausted)
            }
            ItemOutcome::Retry { after, .. } => {
                let asked = after.unwrap_or_default().min(86_400 * SECOND);
                let ceiling = run.strategy.multiplier.powi(item.attempts as i32 + 1).min(900.0);
                let earliest = now.wall + asked;
                Expected::Retry { earliest, latest: earliest + Duration::from_secs_f64(ceiling) }
            }
        }
    }

    fn nurse(&mut self, run: &Running, word: &Word, now: Now) -> ProbeRange {
        let server = self.servers.get_mut(&run.backend).filter(|server| server.generation == run.generation)?;
        match word {
            Word::Items(_) => *server = Server { proven: true, sick: None, generation: server.generation },
            Word::Lone(_) | Word::Somebody => server.sick = None,
            Word::Nothing => {}
            Word::Sick(kind, asked) => {
                let silent = now.moment + (*asked).min(86_400 * SECOND);
                if let Some(sick) = server.sick.as_mut().filter(|_| !run.probe) {
                    sick.until = sick.until.max(silent);
                    sick.silent = sick.silent.max(silent);
                    return Some((run.backend.clone(), sick.until, sick.until));
                }
                let before = server.sick.as_ref().filter(|sick| sick.kind == *kind);
                let (failures, hopes) = before.map_or((0, 0), |sick| (sick.failures, sick.hopes));
                let ceiling = Duration::from_secs_f64(2f64.powi(failures as i32).min(900.0));
                let (earliest, latest) = match kind {
                    Sick::Config => (now.moment + 900 * SECOND, now.moment + 900 * SECOND),
                    Sick::Down | Sick::Auth | Sick::Tls => (silent, silent + ceiling),
                };
                let (failures, last) = (failures + 1, now.moment);
                server.sick = Some(Sickness { kind: *kind, failures, last, until: earliest, silent, hopes });
                return Some((run.backend.clone(), earliest, latest));
            }
        }
        None
    }

    fn hunt(&mut self, run: &Running, word: &Word) {
        match word {
            Word::Somebody => {
                let half = run.tasks.len().div_ceil(2);
                let (suspects, limit) = self.hunts.entry(run.group.clone()).or_insert((Vec::new(), half));
                suspects.extend(&run.tasks);
                *limit = half.min(*limit);
            }
            Word::Lone(_) => drop(self.hunts.remove(&run.group)),
            Word::Items(_) => {
                if let Some((suspects, _)) = self.hunts.get_mut(&run.group) {
                    suspects.retain(|suspect| !run.tasks.contains(suspect));
                    if suspects.is_empty() {
                        self.hunts.remove(&run.group);
                    }
                }
            }
            Word::Sick(..) | Word::Nothing => {}
        }
    }
}

/// Section 5 once more, in few words.
enum Word {
    Items(Vec<(TaskId, ItemOutcome)>),
    Lone(ItemOutcome),
    Somebody,
    Sick(Sick, Duration),
    Nothing,
}

fn word_of(answer: &Answer, tasks: usize, proven: bool) -> Word {
    let none = Duration::ZERO;
    let reason = String::new();
    match answer {
        Answer::Results(items) => Word::Items(items.iter().map(|item| (item.id, item.outcome.clone())).collect()),
        Answer::Foreign { .. } | Answer::Unreachable { .. } => Word::Sick(Sick::Down, none),
        Answer::Untrusted { .. } => Word::Sick(Sick::Tls, none),
        Answer::NoCredential { .. } | Answer::Unauthorized { .. } => Word::Sick(Sick::Auth, none),
        Answer::Misplaced { .. } => Word::Sick(Sick::Config, none),
        Answer::Cut(_) => Word::Nothing,
        Answer::Advanced(_) | Answer::Unready { .. } | Answer::Withheld { .. } => panic!("the twins carry no files"),
        Answer::Status { code, retry_after, .. } => {
            if [401, 403, 407].contains(code) {
                Word::Sick(Sick::Auth, none)
            } else if [404, 405, 410, 501].contains(code) && !proven {
                Word::Sick(Sick::Config, none)
            } else if [408, 425, 429, 502, 503, 504].contains(code) {
                Word::Sick(Sick::Down, retry_after.unwrap_or_default())
            } else if tasks > 1 {
                Word::Somebody
            } else if [500, 501, 505, 507].contains(code) {
                Word::Lone(ItemOutcome::Retry { after: *retry_after, reason })
            } else if [409, 412].contains(code) {
                Word::Lone(ItemOutcome::Conflict { reason })
            } else {
                Word::Lone(ItemOutcome::Rejected { reason })
            }
        }
    }
}

fn same_way(old: &Network, new: &Network) -> bool {
    old.interface == new.interface && (old.subnet == new.subnet || old.subnet.is_empty() || new.subnet.is_empty())
}

fn hold(conditions: &crate::model::Conditions, network: &Network, world: &World, low: &BTreeSet<u8>) -> bool {
    let wired_or_wifi = network.link == LinkType::Wifi || network.link == LinkType::Ethernet;
    let free = match network.metered {
        Metered::No | Metered::GuessNo => true,
        Metered::Yes | Metered::GuessYes => false,
        Metered::Unknown => wired_or_wifi,
    };
    let link = match conditions.network {
        NetworkNeed::Any => true,
        NetworkNeed::Wifi => wired_or_wifi,
        NetworkNeed::Unmetered => free,
    };
    let reach = network.connectivity == Connectivity::Full || network.connectivity == Connectivity::Unknown;
    let power = &world.power;
    let charge = !low.contains(&conditions.min_battery.percent());
    link && reach
        && (conditions.roaming || !network.roaming)
        && (power.external || (!conditions.charging && charge))
        && !(conditions.heed_power_save && power.power_save)
        && !world.suspending
}
