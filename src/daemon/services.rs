//! What other services of the machine say, and what is made of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tracing::{debug, warn};

use super::event::Event;
use super::run::Daemon;
use crate::model::Now;
use crate::schedule::Input;
use crate::sense::services::{self, NetworkManager, Orders, Roaming, Saver, ServicesAt, Sleep, Word};

/// Those whose first word counts before anything is sent.
const AWAITED: [&str; 4] = ["networkmanager", "modemmanager", "power-profiles-daemon", "logind"];

/// How long a start waits for them.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is remembered of what they said, and what they are told.
pub(super) struct Services {
    saver: Saver,
    /// The number of the sleep that is near.
    pub(super) near: Option<u64>,
    upower: watch::Sender<bool>,
    pub(super) ready: watch::Sender<u64>,
    /// Whose first word has not come.
    awaited: BTreeSet<&'static str>,
    /// Dropped when all that were awaited have spoken.
    first_words: Option<oneshot::Sender<()>>,
}

/// Ends when the services have spoken first, or have had their time.
pub(super) struct FirstWords(oneshot::Receiver<()>);

impl FirstWords {
    pub(super) async fn come(self) {
        // An error says that they have.
        tokio::time::timeout(PATIENCE, self.0).await.ok();
    }
}

impl Services {
    pub(super) fn new() -> (Self, Orders, FirstWords) {
        let ((upower, upower_wanted), (ready, ready_for)) = (watch::channel(false), watch::channel(0));
        let (told, first_words) = oneshot::channel();
        let services = Self {
            saver: Saver::default(),
            near: None,
            upower,
            ready,
            awaited: AWAITED.into(),
            first_words: Some(told),
        };
        (services, Orders { upower: upower_wanted, ready: ready_for }, FirstWords(first_words))
    }

    fn has_spoken(&mut self, service: &'static str) {
        self.awaited.remove(service);
        if self.awaited.is_empty() {
            self.first_words = None;
        }
    }
}

/// Listens to them for as long as their bus is there.
pub(super) async fn listen(at: ServicesAt, orders: Orders, tell: impl Fn(Event)) {
    let end = services::listen(at, orders, |word| tell(Event::Said(word))).await;
    tell(Event::ServicesGone(end));
}

impl Daemon {
    /// A service says something.
    pub(super) fn said(&mut self, word: Word, now: Now) {
        let service = word.service();
        let error = match &word {
            Word::NetworkManager(word) => word.as_ref().err(),
            Word::Roaming(word) => word.as_ref().err(),
            Word::Profile(word) | Word::Warning(word) => word.as_ref().err(),
            Word::Sleep(word) => word.as_ref().err(),
        };
        self.chronicle.service(service, error, now.moment);
        match error {
            Some(_) => self.world.failing.insert(service),
            None => self.world.failing.remove(service),
        };
        match word {
            Word::NetworkManager(word) => self.networkmanager(word.ok()),
            Word::Roaming(word) => self.roaming(word.ok()),
            Word::Profile(word) => self.services.saver.profile = word.unwrap_or_default(),
            Word::Warning(word) => self.services.saver.warning = word.unwrap_or_default(),
            // One that cannot be understood must not keep the device from its work.
            Word::Sleep(word) => self.sleep(word.unwrap_or(Sleep::Awake), now),
        }
        self.judge_saving(now);
        self.services.has_spoken(service);
    }

    /// Nobody is there to be listened to. A daemon of a session may run on a machine without a bus for services.
    pub(super) fn services_gone(&mut self, end: Result<(), String>, now: Now) {
        match end {
            Ok(()) => warn!("the bus of the machine's services is gone, and what they said no longer counts"),
            Err(why) => debug!("there is no bus with services of the machine: {why}"),
        }
        for word in [
            Word::NetworkManager(Ok(NetworkManager::default())),
            Word::Roaming(Ok(Roaming::default())),
            Word::Profile(Ok(None)),
            Word::Warning(Ok(None)),
            Word::Sleep(Ok(Sleep::Awake)),
        ] {
            self.said(word, now);
        }
    }

    /// Whether power is saved follows from what is said and from power itself.
    pub(super) fn judge_saving(&mut self, now: Now) {
        let Services { saver, upower, .. } = &self.services;
        let wanted = saver.asks_upower(&self.world.power);
        upower.send_if_modified(|asked| std::mem::replace(asked, wanted) != wanted);
        self.world.power.power_save = saver.saves(&self.world.power);
        self.core.handle(Input::World(self.world.clone()), now);
    }

    fn networkmanager(&mut self, said: Option<NetworkManager>) {
        self.world.connectivity = said.as_ref().and_then(|said| said.connectivity);
        if match said {
            Some(said) => self.surroundings.metered(said.metered),
            None => self.surroundings.metering_lost(),
        } {
            self.surroundings_changed();
        }
    }

    fn roaming(&mut self, said: Option<Roaming>) {
        if match said {
            Some(said) => self.surroundings.roaming(said),
            None => self.surroundings.roaming_lost(),
        } {
            self.surroundings_changed();
        }
    }
}
