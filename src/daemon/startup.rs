//! Puts the daemon together, and takes a new configuration in while it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::abandoned::AbandonedUploads;
use super::arguments::DaemonArguments;
use super::attempts::Attempts;
use super::chronicle::Chronicle;
use super::event::Event;
use super::first_words::{Awaited, FirstWords};
use super::holds::Holders;
use super::pauses::{self, Pauses};
use super::radios::RadioReaders;
use super::run::{Daemon, Sources};
use super::service::Service;
use super::services::{self, Services};
use super::signals::Signals;
use super::spending;
use super::surroundings::Surroundings;
use crate::backend::{Backend, BackendError};
use crate::bus::{Bus, BusError, Ports};
use crate::config::{self, ConfigError};
use crate::http::Addresses;
use crate::model::{
    BackendConfig, BackendName, Config, Facts, InterfaceRule, Now, Power, StoreNews, TaskNews, World, Zone,
};
use crate::schedule::{Control, Input, Links, Scheduler};
use crate::sense::clock::{self, Alarm, WallJumps};
use crate::sense::link::{self, Targets};
use crate::sense::{power, wifi, zone};
use crate::store::{self, Answers, OpenError, Opening, Store};

/// Calls that wait for the loop; a caller beyond them waits in its own handler.
const COMMANDS: usize = 64;

/// Why the daemon could not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("reading the configuration: {0}")]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error("opening the queue in {0}: {1}")]
    Store(PathBuf, #[source] Box<OpenError>),
    #[error("setting up signals and clocks: {0}")]
    Kernel(#[from] std::io::Error),
    #[error("on the bus: {0}")]
    Bus(#[from] BusError),
}

type Backends = BTreeMap<BackendName, Arc<Backend>>;

/// What the loop hands on to the parts that run beside it.
pub(super) struct Wiring {
    backends: Backends,
    addresses: Addresses,
    targets: watch::Sender<Targets>,
    rules: watch::Sender<Vec<InterfaceRule>>,
    facts: watch::Sender<Facts>,
    readings: watch::Sender<u64>,
    radio_readings: watch::Sender<u64>,
    config: watch::Sender<Arc<Config>>,
    changes: mpsc::UnboundedSender<TaskNews>,
}

impl Wiring {
    /// The hand that carries to this backend.
    pub(super) fn backend(&self, name: &BackendName) -> Option<Arc<Backend>> {
        self.backends.get(name).cloned()
    }

    /// Connections kept for re-use may lead nowhere now.
    pub(super) fn forget_connections(&self) {
        self.backends.values().for_each(|backend| backend.forget_connections());
    }

    /// Resolves the names of some backends anew.
    pub(super) fn look_up(&self, wanted: impl Fn(&BackendName) -> bool) {
        for (_, backend) in self.backends.iter().filter(|(name, _)| wanted(name)) {
            let (backend, addresses) = (Arc::clone(backend), self.addresses.clone());
            tokio::spawn(async move { addresses.look_up(backend.peer()).await });
        }
    }

    /// Tells the bus what became of a task.
    pub(super) fn tell(&self, change: TaskNews) {
        // The bus face ends only with the daemon.
        self.changes.send(change).ok();
    }

    /// Has power read anew.
    pub(super) fn read_power(&self) {
        self.readings.send_modify(|count| *count += 1);
    }

    /// Has the radios read anew.
    pub(super) fn read_radios(&self) {
        self.radio_readings.send_modify(|count| *count += 1);
    }

    /// More is known of the interfaces, or less: the link's sense looks at its routes in that light.
    pub(super) fn surrounded(&self, facts: Facts) {
        self.facts.send_replace(facts);
    }

    /// The same of what makes no difference to routes: the link's sense uses it when it looks next.
    pub(super) fn remember(&self, facts: Facts) {
        self.facts.send_if_modified(|known| {
            *known = facts;
            false
        });
    }

    /// A name may have resolved to other addresses: the link's sense looks for routes to these.
    pub(super) fn resolved(&self) {
        let targets = targets(&self.backends, &self.addresses);
        self.targets.send_if_modified(|known| {
            let differs = *known != targets;
            *known = targets;
            differs
        });
    }

    fn adopt(&mut self, config: &Arc<Config>, backends: Backends) {
        self.backends = backends;
        self.rules.send_replace(config.network.interfaces.clone());
        self.config.send_replace(Arc::clone(config));
        self.resolved();
    }
}

/// Opens everything, takes the bus name last: whoever sees the name finds the daemon ready.
pub(super) async fn start(arguments: DaemonArguments) -> Result<(Daemon, Sources), StartError> {
    let now = clock::now();
    let mut service = Service::from_environment();
    service.starting();
    let config = Arc::new(config::load(arguments.config_file().as_deref())?);
    let addresses = Addresses::default();
    let backends = build(&config, &addresses)?;
    let (inbox, events) = mpsc::unbounded_channel();
    let (store, opening) = open(arguments.state_dir(), &config, now, inbox.clone())?;
    let signals = Signals::new()?;
    let (alarm, jumps) = (Alarm::new()?, WallJumps::new()?);

    let (changes, changed) = mpsc::unbounded_channel();
    let (targets, target_news) = watch::channel(targets(&backends, &addresses));
    let (rules, rule_news) = watch::channel(config.network.interfaces.clone());
    let (facts, fact_news) = watch::channel(Facts::new());
    let (readings, reading_wanted) = watch::channel(0);
    let (radio_readings, radios_wanted) = watch::channel(0);
    let (config_sender, config_news) = watch::channel(Arc::clone(&config));
    let wiring = Wiring {
        backends,
        addresses: addresses.clone(),
        targets,
        rules,
        facts,
        readings,
        radio_readings,
        config: config_sender,
        changes,
    };

    let ((services, orders), (awaited, first_words)) = (Services::new(), Awaited::new());
    let zone = zone::read().inspect_err(|error| error!("{error}"));
    let core = Scheduler::new(Arc::clone(&config), fastrand::u64(..));
    let (status, shown) = watch::channel(Arc::new(core.status(&opening.news.counts, now)));
    let mut daemon = Daemon {
        core,
        store: store.clone(),
        attempts: Attempts::new(inbox.clone(), store.clone()),
        inbox: inbox.clone(),
        config,
        arguments: arguments.clone(),
        wiring,
        world: World {
            clock_unset: clock::is_unset(now.wall),
            zone: zone.as_ref().ok().cloned().unwrap_or(Zone::UTC),
            power: Power::unknown(),
            power_read: now.moment,
            ..World::unknown()
        },
        links: Links::default(),
        surroundings: Surroundings::default(),
        radio_readers: RadioReaders::default(),
        counts: opening.news.counts.clone(),
        pauses: Pauses::default(),
        holders: Holders::default(),
        status,
        service,
        chronicle: Chronicle::default(),
        abandoned: AbandonedUploads::new(),
        services,
        awaited,
        unwritten: 0,
        unclaimed: 0,
    };
    daemon.begin(opening, now).await;

    let (commander, commands) = mpsc::channel(COMMANDS);
    let ports =
        Ports { store, commands: commander, status: shown, config: config_news, changes: changed, now: clock::now };
    let bus = Bus::serve(arguments.bus_address(), ports).await?;
    tokio::spawn(watch_addresses(addresses, inbox.clone()));
    let zone_inbox = inbox.clone();
    tokio::spawn(zone::watch(zone.ok(), move |zone| {
        zone_inbox.send(Event::Zone(zone)).ok();
    }));
    let power_inbox = inbox.clone();
    tokio::spawn(power::watch(reading_wanted, move |power| {
        power_inbox.send(Event::Power(power)).ok();
    }));
    let word_inbox = inbox.clone();
    tokio::spawn(services::listen(arguments.services_at(), orders, move |event| {
        word_inbox.send(event).ok();
    }));
    let radio_inbox = inbox.clone();
    tokio::spawn(wifi::watch(radios_wanted, move |radios| {
        radio_inbox.send(Event::Radios(radios)).ok();
    }));
    tokio::spawn(watch_links(first_words, target_news, rule_news, fact_news, inbox));
    Ok((daemon, Sources { events, commands, signals, alarm, jumps, bus }))
}

fn open(
    dir: PathBuf,
    config: &Config,
    now: Now,
    inbox: mpsc::UnboundedSender<Event>,
) -> Result<(Store, Opening), StartError> {
    let (answers, mut answered) = mpsc::unbounded_channel::<Answers>();
    tokio::spawn(async move {
        while let Some(answers) = answered.recv().await {
            answers.deliver();
        }
    });
    let listener = Listener { answers, inbox };
    let (store, opening) = Store::open(&dir, options(config), now.wall, fastrand::u64(..), listener)
        .map_err(|error| StartError::Store(dir.clone(), Box::new(error)))?;
    let counts = opening.news.counts.values();
    let pending: u64 = counts.map(|counts| counts.pending).sum();
    let Opening { recovered, crashed, .. } = &opening;
    info!("queue open in {}: {pending} pending, {recovered} recovered, {crashed} crashed", dir.display());
    if let Some(salvage) = &opening.salvage {
        let (tasks, moved_to) = (salvage.tasks, salvage.moved_to.display());
        warn!("the database was damaged: {tasks} tasks that are readable were carried over, the old one is {moved_to}");
    }
    Ok((store, opening))
}

/// Brings what the store's thread has to say over to ours.
struct Listener {
    answers: mpsc::UnboundedSender<Answers>,
    inbox: mpsc::UnboundedSender<Event>,
}

impl store::Listener for Listener {
    fn answered(&mut self, answers: Answers) {
        self.answers.send(answers).ok();
    }

    fn news(&mut self, news: StoreNews) {
        self.inbox.send(Event::Stored(news)).ok();
    }

    fn broken(&mut self) {
        self.inbox.send(Event::StoreBroken).ok();
    }
}

fn options(config: &Config) -> store::Options {
    store::Options {
        quotas: config.limits.quotas,
        keep_done: config.store.keep_done,
        reserve: config.store.reserve,
        backoff_cap: config.limits.backoff_cap,
    }
}

fn build(config: &Config, addresses: &Addresses) -> Result<Backends, BackendError> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let build = |(name, section): (&BackendName, &BackendConfig)| {
        let backend = Backend::new(name.clone(), section, credentials.as_deref(), addresses)?;
        Ok((name.clone(), Arc::new(backend)))
    };
    config.backends.iter().map(build).collect()
}

/// The addresses that each backend's traffic goes to; none while its name is unresolved.
fn targets(backends: &Backends, addresses: &Addresses) -> Targets {
    backends.iter().map(|(name, backend)| (name.clone(), addresses.get(backend.peer()))).collect()
}

/// Nothing goes before those have spoken who know what a link costs; unless they take long.
async fn watch_links(
    first_words: FirstWords,
    targets: watch::Receiver<Targets>,
    rules: watch::Receiver<Vec<InterfaceRule>>,
    facts: watch::Receiver<Facts>,
    inbox: mpsc::UnboundedSender<Event>,
) {
    first_words.come().await;
    let news = move |networks| {
        inbox.send(Event::Networks(networks)).ok();
    };
    link::watch(targets, rules, facts, news).await;
}

async fn watch_addresses(addresses: Addresses, inbox: mpsc::UnboundedSender<Event>) {
    let mut news = addresses.watch();
    while news.changed().await.is_ok() && inbox.send(Event::Resolved).is_ok() {}
}

impl Daemon {
    /// Tells the core what was on disk.
    async fn begin(&mut self, opening: Opening, now: Now) {
        let setting = self.store.setting(pauses::SETTING).await.unwrap_or_else(|error| {
            error!("reading the pauses: {error}");
            None
        });
        self.pauses = Pauses::from_setting(&setting.unwrap_or_default(), now.wall);
        for (strategy, pause) in self.pauses.iter() {
            self.core.handle(Input::Control(Control::Pause(strategy.clone(), *pause)), now);
        }
        let setting = self.store.setting(spending::SETTING).await.unwrap_or_else(|error| {
            error!("reading what was spent of budgets: {error}");
            None
        });
        self.core.handle(Input::Spent(spending::from_setting(&setting.unwrap_or_default())), now);
        self.core.handle(Input::World(self.world.clone()), now);
        self.core.handle(Input::Lanes(opening.news.lanes), now);
        self.core.handle(Input::TidyAt(opening.news.tidy_at.flatten()), now);
        self.abandon(opening.news.abandoned);
    }

    /// Reads the configuration anew. A bad one is refused whole and changes nothing.
    pub(super) fn reload(&mut self, now: Now) -> Result<(), StartError> {
        self.service.reloading();
        let outcome = self.read_anew(now);
        self.service.reloaded();
        outcome
    }

    fn read_anew(&mut self, now: Now) -> Result<(), StartError> {
        let config = Arc::new(config::load(self.arguments.config_file().as_deref())?);
        let backends = build(&config, &self.wiring.addresses)?;
        self.wiring.adopt(&config, backends);
        let configured = self.store.configure(options(&config));
        tokio::spawn(async move {
            if let Err(error) = configured.await {
                error!("telling the store of the new configuration: {error}");
            }
        });
        self.config = Arc::clone(&config);
        self.core.handle(Input::Control(Control::Configure(config)), now);
        info!("configuration reloaded");
        Ok(())
    }

    /// Writes the pauses and answers when they are on disk.
    pub(super) fn save_pauses(&mut self, reply: oneshot::Sender<Result<(), String>>) {
        let saved = self.store.put_setting(pauses::SETTING, self.pauses.to_setting());
        tokio::spawn(async move {
            let outcome = saved.await.map_err(|error| error.to_string());
            // The caller may have gone.
            reply.send(outcome).ok();
        });
    }
}
