//! The signal's strength, of which nothing tells by itself: whoever looks at it has the radios read.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;

use super::run::Daemon;
use crate::model::{Moment, Now};
use crate::schedule::Input;
use crate::sense::wifi::{Radios, WifiError};

/// How old a reading may be for whoever looks.
const FRESH: Duration = Duration::from_secs(1);

/// Who waits for a reading.
#[derive(Debug, Default)]
pub(super) struct RadioReaders {
    waiting: Vec<oneshot::Sender<()>>,
    /// When the radios were read last.
    read: Option<Moment>,
}

impl RadioReaders {
    /// Takes one more in; whether the radios are to be read for it.
    fn take(&mut self, reply: oneshot::Sender<()>, now: Moment) -> bool {
        if self.read.is_some_and(|read| now.saturating_since(read) < FRESH) {
            // Who asked may have gone.
            reply.send(()).ok();
            return false;
        }
        self.waiting.retain(|waiting| !waiting.is_closed());
        self.waiting.push(reply);
        self.waiting.len() == 1
    }

    /// Answers all who wait.
    fn answer(&mut self, now: Moment) {
        self.read = Some(now);
        for reply in self.waiting.drain(..) {
            reply.send(()).ok();
        }
    }
}

impl Daemon {
    /// Somebody looks at the signal.
    pub(super) fn read_radios(&mut self, reply: oneshot::Sender<()>, now: Now) {
        if self.radio_readers.take(reply, now.moment) {
            self.wiring.read_radios();
        }
    }

    /// The radios were read.
    pub(super) fn radios(&mut self, radios: Result<Radios, WifiError>, now: Now) {
        let radios = match radios {
            Ok(radios) => {
                self.world.failing.remove("wifi");
                radios
            }
            Err(error) => {
                error!("{error}");
                self.world.failing.insert("wifi");
                Radios::new()
            }
        };
        if self.surroundings.radios(radios) {
            self.surroundings_changed();
        } else {
            self.wiring.remember(self.surroundings.facts());
        }
        self.world.networks.values_mut().for_each(|network| self.surroundings.show_strength(network));
        self.core.handle(Input::World(self.world.clone()), now);
        self.publish(now);
        self.radio_readers.answer(now.moment);
        self.awaited.heard("wifi");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_serves_all_who_look_within_a_second() {
        let mut readers = RadioReaders::default();
        let at = |millis| Moment::default() + Duration::from_secs(60) + Duration::from_millis(millis);
        let ask = |readers: &mut RadioReaders, millis| {
            let (reply, answer) = oneshot::channel();
            (readers.take(reply, at(millis)), answer)
        };
        let (first, mut one) = ask(&mut readers, 0);
        let (second, mut two) = ask(&mut readers, 1);
        assert!(first && !second && one.try_recv().is_err() && two.try_recv().is_err());
        readers.answer(at(10));
        assert!(one.try_recv().is_ok() && two.try_recv().is_ok());
        let (third, mut three) = ask(&mut readers, 900);
        assert!(!third && three.try_recv().is_ok(), "it is fresh");
        let (fourth, gone) = ask(&mut readers, 1010);
        assert!(fourth);
        drop(gone);
        assert!(ask(&mut readers, 1600).0, "nobody waits for the one before any more");
    }
}
