//! The network: what the link's sense tells, once it has settled.

use std::collections::BTreeMap;

use tracing::error;

use super::run::Daemon;
use crate::model::{BackendName, Network, Now};
use crate::schedule::Input;
use crate::sense::link::LinkError;

type Networks = BTreeMap<BackendName, Network>;

impl Daemon {
    /// The sense has told something.
    pub(super) fn networks_sensed(&mut self, networks: Result<Networks, LinkError>, now: Now) {
        let networks = match networks {
            Ok(networks) => {
                self.world.failing.remove("link");
                networks
            }
            // What cannot be sensed is never taken for good news.
            Err(error) => {
                error!("sensing the network: {error}");
                self.world.failing.insert("link");
                Networks::new()
            }
        };
        self.links.sensed(networks, now.moment);
        self.settle_networks(now);
    }

    /// A link may have stayed for long enough.
    pub(super) fn links_settle(&mut self, now: Now) {
        if self.links.poll_timeout().is_some_and(|(at, _)| at <= now.moment) {
            self.settle_networks(now);
        }
    }

    fn settle_networks(&mut self, now: Now) {
        let mut networks = self.links.settled(now.moment);
        networks.values_mut().for_each(|network| self.surroundings.show_strength(network));
        let linked = networks.values().any(|network| network.connected);
        // Not while there is no way out, for the reason given in `Attempts::start`.
        if linked && leads_elsewhere(&self.world.networks, &networks) {
            self.wiring.moved_on();
        }
        self.attempts.linked(linked);
        self.attempts.limit(&networks);
        // What left until now went over the networks that were.
        self.count_sent(now);
        self.chronicle.networks(&networks);
        self.world.networks = networks;
        self.world.settling = self.links.held();
        self.core.handle(Input::World(self.world.clone()), now);
        // The links' wake may be another.
        self.publish(now);
        self.tell_abandoned();
    }
}

/// Whether traffic leaves by another interface or address than before.
fn leads_elsewhere(before: &Networks, now: &Networks) -> bool {
    let ways = |networks: &Networks| -> Vec<_> {
        let way = |(backend, network): (&BackendName, &Network)| {
            (backend.clone(), network.connected, network.interface.clone(), network.subnet.clone())
        };
        networks.iter().map(way).collect()
    };
    ways(before) != ways(now)
}
