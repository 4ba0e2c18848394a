//! What other services of the machine say, and what is made of it.

use tokio::sync::watch;
use tracing::{debug, warn};

use super::event::Event;
use super::run::Daemon;
use crate::model::Now;
use crate::schedule::Input;
use crate::sense::services::{self, NetworkManager, Orders, Roaming, Saver, ServicesAt, Sleep, Word};

/// What is remembered of what they said, and what they are told.
pub(super) struct Services {
    saver: Saver,
    /// The number of the sleep that is near.
    pub(super) near: Option<u64>,
    upower: watch::Sender<bool>,
    pub(super) ready: watch::Sender<u64>,
}

impl Services {
    pub(super) fn new() -> (Self, Orders) {
        let ((upower, upower_wanted), (ready, ready_for)) = (watch::channel(false), watch::channel(0));
        let services = Self { saver: Saver::default(), near: None, upower, ready };
        (services, Orders { upower: upower_wanted, ready: ready_for })
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
        self.awaited.heard(service);
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
