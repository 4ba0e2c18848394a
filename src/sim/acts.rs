//! What people do to a device, and how each missing condition is granted.

use std::time::Duration;

use super::clock::Clocks;
use super::core::Core;
use super::device::{Device, Sleep};
use super::restart::Death;
use super::seen::{Seen, Witness};
use super::{LinkState, Scenario};
use crate::model::{Hold, HoldId, Moment, Owner, Pause, Reason, State, StrategyName, Zone};
use crate::schedule::{Control, Input};

/// Between the word that the device will sleep and its sleep.
const FALLING: Duration = Duration::from_secs(3);

/// Something that is done to a device.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// The charger is plugged in, or pulled.
    Plug(bool),
    /// Power-save mode is switched on, or off.
    Save(bool),
    /// The modem leaves its own network, or comes back.
    Roam(bool),
    /// The wifi turns out to be somebody's mobile network, or no longer is.
    Tether(bool),
    /// The device sleeps for so long.
    Sleep(Duration),
    /// The wall clock is set, by so many milliseconds.
    SetClock(i64),
    /// The wall clock forgets the time.
    LoseTime,
    /// The wall clock is set right.
    FindTime,
    /// The wall clock is slewed, in all by so many milliseconds.
    Slew(i64),
    /// The device comes to where clocks show another time.
    Travel(Zone),
    /// The daemon ends, and starts again after so long.
    Die(Death, Duration),
    /// An admin pauses a strategy, or all, for so long, or until resumed.
    Pause(Option<StrategyName>, Option<Duration>),
    /// An admin resumes all that is paused.
    Resume,
    /// An app holds, for so long.
    Hold(Duration),
    /// Apps let go.
    LetGo,
    /// Somebody wants it now.
    SyncNow,
    /// A task is taken back; which, this number decides.
    Cancel(usize),
    /// A dead letter is tried again.
    Retry(usize),
    /// The disk is full, or no longer is.
    FillDisk(bool),
}

/// The reasons that somebody can grant by an act.
pub(super) const GRANTED: &[Reason] = &[
    Reason::Suspending,
    Reason::Offline,
    Reason::NoInternet,
    Reason::Metered,
    Reason::Roaming,
    Reason::NotCharging,
    Reason::PowerSave,
    Reason::Clock,
    Reason::Paused,
    Reason::Held,
];

impl<C: Core, W: Witness> Device<C, W> {
    pub(super) fn perform_act(&mut self, act: Act) {
        match act {
            Act::Plug(plugged) => self.cell.plug(plugged, self.now.moment),
            Act::Save(saver) => self.cell.save(saver),
            Act::Roam(roaming) => self.roaming = roaming,
            Act::Tether(tethered) => self.tethered = tethered,
            Act::Sleep(length) => {
                let falls = self.now.moment + FALLING;
                self.sleep = Sleep::Falling { falls, wakes: falls + length };
            }
            Act::SetClock(millis) => return self.set_clock(|clocks, _| clocks.set(millis)),
            Act::LoseTime => return self.set_clock(Clocks::lose),
            Act::FindTime => return self.set_clock(|clocks, _| clocks.find()),
            Act::Slew(millis) => return self.slew(millis),
            Act::Travel(zone) => self.clocks.zone = zone,
            Act::Die(death, length) => return self.die(death, length),
            Act::Pause(strategy, length) => {
                let until = length.map_or(Pause::Indefinite, |length| Pause::Until(self.now.wall + length));
                self.pauses.insert(strategy.clone(), until);
                return self.control(Control::Pause(strategy, until));
            }
            Act::Resume => return self.resume(),
            Act::Hold(length) => return self.hold(length),
            Act::LetGo => return self.let_go(),
            Act::SyncNow => {
                self.commit();
                self.store.bring_forward(None, self.now.wall);
                self.witness.see(&Seen::BroughtForward, self.now);
                self.store_changed(Vec::new());
                return self.control(Control::SyncNow(None));
            }
            Act::Cancel(which) => return self.cancel(which),
            Act::Retry(which) => return self.retry(which),
            Act::FillDisk(full) => {
                self.disk.full = full;
                return;
            }
        }
        self.tell_world();
    }

    fn control(&mut self, control: Control) {
        self.witness.see(&Seen::Control(&control), self.now);
        self.feed(Input::Control(control));
    }

    fn resume(&mut self) {
        self.pauses.clear();
        let strategies: Vec<StrategyName> = self.config.strategies.keys().cloned().collect();
        for strategy in strategies.into_iter().map(Some).chain([None]) {
            self.control(Control::Resume(strategy));
        }
    }

    fn hold(&mut self, length: Duration) {
        self.held += 1;
        let id = HoldId(self.held);
        let until = self.now.moment + length;
        self.holds.insert(id);
        let hold = Hold { owner: Owner(1000), app: "game".to_owned(), reason: "a race".to_owned(), until };
        self.control(Control::Hold(id, hold));
    }

    fn let_go(&mut self) {
        while let Some(id) = self.holds.pop_first() {
            self.control(Control::LetGo(id));
        }
    }

    fn set_clock(&mut self, how: impl FnOnce(&mut Clocks, Moment)) {
        how(&mut self.clocks, self.now.moment);
        self.now = self.clocks.read(self.now.moment);
        self.commit();
        self.store.respread(self.now.wall, self.backoff_cap(), &mut self.random);
        self.witness.see(&Seen::ClockSet, self.now);
        self.store_changed(Vec::new());
        self.tell_world();
    }

    fn slew(&mut self, millis: i64) {
        self.clocks.slew(millis);
        self.now = self.clocks.read(self.now.moment);
        self.slewed = true;
        self.witness.see(&Seen::Slewed, self.now);
    }

    fn cancel(&mut self, which: usize) {
        self.commit();
        let alive = |state| matches!(state, State::Pending | State::Running);
        let alive: Vec<_> = self.store.rows().iter().filter(|row| alive(row.state)).map(|row| row.task.id).collect();
        let Some(id) = alive.get(which % alive.len().max(1)).copied() else { return };
        let was = self.store.cancel(id, self.now.wall);
        self.witness.see(&Seen::Cancelled(id), self.now);
        let withdrawn = (was == Some(State::Running)).then_some(Input::Withdrawn(id));
        self.store_changed(withdrawn.into_iter().collect());
    }

    fn retry(&mut self, which: usize) {
        self.commit();
        let failed = self.store.rows().iter().filter(|row| row.state == State::Failed);
        let failed: Vec<_> = failed.map(|row| row.task.id).collect();
        let Some(id) = failed.get(which % failed.len().max(1)).copied() else { return };
        if self.store.retry(id, self.now.wall) {
            self.witness.see(&Seen::Retried(id), self.now);
        }
        self.store_changed(Vec::new());
    }

    /// Does what a row of an explanation asks for, and nothing else. What time, other tasks and servers must bring is not
    /// granted here.
    pub(super) fn grant(&mut self, reason: Reason) {
        match reason {
            Reason::Offline if self.link.up => {}
            Reason::Offline | Reason::NoInternet | Reason::CaptivePortal | Reason::NotWifi => self.join_wifi(),
            Reason::Metered | Reason::Budget => {
                self.tethered = false;
                self.join_wifi();
            }
            Reason::Roaming => self.perform_act(Act::Roam(false)),
            Reason::NotCharging | Reason::LowBattery => self.perform_act(Act::Plug(true)),
            Reason::PowerSave => self.perform_act(Act::Save(false)),
            Reason::Clock => self.perform_act(Act::FindTime),
            Reason::Paused => self.resume(),
            Reason::Held => self.let_go(),
            Reason::Suspending => {
                self.sleep = Sleep::Awake;
                self.tell_world();
            }
            Reason::Window
            | Reason::Backoff
            | Reason::Order
            | Reason::Concurrency
            | Reason::BackendAuth
            | Reason::BackendTls
            | Reason::BackendDown
            | Reason::BackendConfig
            | Reason::NoBackend => {}
        }
    }

    fn join_wifi(&mut self) {
        let wifi = Scenario::Wifi.timeline(0).next();
        self.link = wifi.map_or(LinkState::DOWN, |(_, link)| link);
        self.link_changed();
    }
}
