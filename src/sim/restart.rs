//! How a daemon ends and starts again: what was on disk is there, and all else is not.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::device::{Device, Sleep};
use super::seen::{Seen, Witness};
use super::server::is_file;
use crate::model::{AttemptId, Pause, Power, World};
use crate::schedule::{Control, Input, Links};

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Death {
    /// It is asked to, and comes to a safe point.
    Stopped,
    /// It is killed.
    Killed,
    /// The device loses its power: what was not synced is not there.
    PowerCut,
}

impl<C: Core, W: Witness> Device<C, W> {
    /// The daemon ends, and starts again after a while.
    pub(super) fn die(&mut self, death: Death, length: Duration) {
        if death == Death::Stopped {
            self.stop();
        }
        for attempt in self.flights.keys().copied().collect::<Vec<_>>() {
            self.abandon(attempt);
        }
        if death == Death::PowerCut {
            for id in self.store.cut_power(self.now.wall) {
                self.witness.see(&Seen::Undone(id), self.now);
            }
        }
        self.disk.lose();
        self.sleep = Sleep::Dead { rises: self.now.moment + length };
    }

    /// Cuts what runs and waits until every end is on disk.
    fn stop(&mut self) {
        self.feed(Input::Control(Control::Stop));
        self.wait_for_disk();
        while let Some(attempt) = self.flights.iter().find(|(_, flight)| flight.is_cut()).map(|(id, _)| *id) {
            self.land(attempt);
            self.wait_for_disk();
        }
    }

    /// Nobody hears what comes of an attempt. The server may have it all the same.
    fn abandon(&mut self, attempt: AttemptId) {
        let Some(flight) = self.flights.remove(&attempt) else { return };
        match flight.tasks.as_slice() {
            [file] if is_file(file) => {
                let bytes = flight.arrived.min(flight.payload.saturating_sub(1));
                self.server.take_part(file, bytes, self.now.moment);
            }
            tasks if flight.is_moving() && !flight.link.portal && self.random.bool() => {
                self.reach_server(tasks, |server, now| server.take(tasks, now));
            }
            _ => {}
        }
    }

    /// The daemon starts: it reads what is on disk, and hears of the world.
    pub(super) fn rise(&mut self) {
        self.sleep = Sleep::Awake;
        self.restarts += 1;
        self.core = self.core.anew(Arc::clone(&self.config), self.random.u64(..));
        (self.links, self.tidy_told) = (Links::default(), None);
        self.holds.clear();
        self.disk.between.clear();
        if let Some(most) = self.core.given_up_at() {
            self.store.recover(self.now.wall, most);
        }
        self.store.respread(self.now.wall, self.backoff_cap(), &mut self.random);
        self.witness.see(&Seen::Restarted { spent: &self.spent }, self.now);
        let now = self.now.wall;
        // One that was over by a clock that was wrong holds again.
        self.pauses.retain(|_, pause| !matches!(pause, Pause::Until(end) if *end <= now));
        for (strategy, pause) in &self.pauses {
            let control = Control::Pause(strategy.clone(), *pause);
            self.witness.see(&Seen::Control(&control), self.now);
            self.core.handle(Input::Control(control), self.now);
        }
        self.core.handle(Input::Spent(self.spent.clone()), self.now);
        let unsensed = World { networks: World::unknown().networks, power: Power::unknown(), ..self.world() };
        self.witness.see(&Seen::World(&unsensed), self.now);
        self.core.handle(Input::World(unsensed), self.now);
        for news in self.store_news(Vec::new()) {
            self.core.handle(news, self.now);
        }
        self.drain();
        self.relink();
        self.link_changed();
    }
}
