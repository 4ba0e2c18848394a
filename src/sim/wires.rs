//! Connections that are open and idle: a request over one of them costs neither handshake nor its round trips.

use std::time::Duration;

use crate::model::{BackendName, LinkType, Moment};

/// All of one device.
#[derive(Debug, Default)]
pub(super) struct Wires {
    idle: Vec<(BackendName, LinkType, Moment)>,
}

impl Wires {
    /// Takes one to this server over this link; whether there was one.
    pub(super) fn take(&mut self, to: &BackendName, link: LinkType, now: Moment) -> bool {
        self.idle.retain(|(_, over, until)| *over == link && *until >= now);
        let found = self.idle.iter().position(|(name, ..)| name == to);
        found.map(|at| self.idle.swap_remove(at)).is_some()
    }

    /// One is idle from now on, and is closed after `keeps`.
    pub(super) fn give(&mut self, to: &BackendName, link: LinkType, now: Moment, keeps: Duration) {
        self.idle.push((to.clone(), link, now + keeps));
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::at;
    use super::*;

    #[test]
    fn one_is_taken_once_in_time_and_over_its_link() {
        let (main, other) = (BackendName::new("main").unwrap(), BackendName::new("other").unwrap());
        let (wifi, cellular, second) = (LinkType::Wifi, LinkType::Cellular, Duration::from_secs(1));
        let mut wires = Wires::default();
        wires.give(&main, wifi, at(10.0), second);
        assert!(!wires.take(&other, wifi, at(10.5)));
        assert!(wires.take(&main, wifi, at(11.0)) && !wires.take(&main, wifi, at(11.0)));
        wires.give(&main, wifi, at(20.0), second);
        assert!(!wires.take(&main, wifi, at(21.1)));
        wires.give(&main, wifi, at(30.0), second);
        assert!(!wires.take(&main, cellular, at(30.0)) && !wires.take(&main, wifi, at(30.0)));
    }
}
