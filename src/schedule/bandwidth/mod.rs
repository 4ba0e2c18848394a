//! What the network bears, learnt from what our own transfers show of it. Pure: samples come in, estimates come out.
//!
//! - **Speed.** A sample of `n` bytes says `n / (t - k × RTT)`, where `k` round trips passed before the first byte was
//!   acknowledged or while TCP felt its way: a new connection sends 10 segments (RFC 6928) and at most twice as many each
//!   round trip (RFC 5681, slow start). Where most of the time went to that, or we were the ones who held back, the link bears
//!   at least `n / t`: such a sample raises the estimate and never lowers it. What is small measures round trips, not speed.
//! - **The estimate** is the geometric mean of the measurements kept, each weighing half as much as the one after it: a rate
//!   that changes tenfold is followed in three measurements, up as fast as down.
//! - **Reliability** is the share of requests that came through (the last ten count most), times the share of segments
//!   that were not lost. Losses alone keep nothing waiting: what gets through in spite of them is the speed.

mod link;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

#[cfg(test)]
pub(super) use self::link::DOUBTED_AFTER;
use self::link::{Link, megabits};
use super::blocked::is_unmetered;
use super::lane::Lane;
use super::{Effect, Scheduler, Wake, quality};
use crate::model::{
    BackendConfig, BackendName, Bandwidth, Estimate, Kept, Moment, Network, NetworkId, Now, Reason, Sample, Strategy,
    Upload, UploadStrategy, World,
};

/// Networks remembered; the one that was measured least recently is forgotten.
const NETWORKS: usize = 32;

/// What is known of all networks.
#[derive(Debug, Default)]
pub(super) struct Bandwidths {
    links: BTreeMap<NetworkId, Link>,
}

impl Bandwidths {
    /// Takes what was kept.
    pub(super) fn restore(&mut self, kept: Vec<Kept>, now: Now) {
        let restored = kept.into_iter().map(|Kept { network, estimate }| (network, Link::restored(estimate, now)));
        self.links = restored.collect();
        self.forget_old();
    }

    /// Takes in what was seen of a network.
    pub(super) fn learn(&mut self, network: &NetworkId, sample: &Sample, now: Now) {
        self.links.entry(network.clone()).or_insert_with(Link::new).learn(sample, now);
        self.forget_old();
    }

    /// Somebody wants it now, however slow it was: it may be better by now.
    pub(super) fn doubt(&mut self, now: Moment) {
        self.links.values_mut().for_each(|link| link.doubted_from = link.doubted_from.min(now));
    }

    /// How files go over this network now.
    pub(super) fn strategy(&self, network: Option<&NetworkId>, now: Moment) -> UploadStrategy {
        let link = network.and_then(|network| self.links.get(network));
        link.map_or(UploadStrategy::Conservative, |link| link.strategy(now))
    }

    /// When what keeps files from going over this network will be doubted; `None`: nothing does.
    pub(super) fn doubted_from(&self, network: &NetworkId) -> Option<Moment> {
        let slow = |link: &&Link| link.strategy == UploadStrategy::BackgroundOnly;
        self.links.get(network).filter(slow).map(|link| link.doubted_from)
    }

    /// What this network is thought to bear.
    pub(super) fn estimate(&self, network: Option<&NetworkId>) -> Estimate {
        network.and_then(|network| self.links.get(network)).map(Link::estimate).unwrap_or_default()
    }

    /// What is shown of it.
    pub(super) fn shown(&self, network: Option<&NetworkId>) -> Bandwidth {
        let Some(link) = network.and_then(|network| self.links.get(network)) else { return Bandwidth::unknown() };
        let history = link.speeds.iter().map(|speed| speed.shown).collect();
        Bandwidth { estimate: link.estimate(), strategy: link.strategy, history }
    }

    /// What is to be kept now, all of it; `None` if what is on disk will do.
    pub(super) fn unkept(&mut self) -> Option<Vec<Kept>> {
        if !self.links.values().any(Link::is_news) {
            return None;
        }
        self.links.values_mut().for_each(|link| link.kept = Some(link.estimate()));
        let kept = |(network, link): (&NetworkId, &Link)| Kept { network: network.clone(), estimate: link.estimate() };
        Some(self.links.iter().map(kept).collect())
    }

    fn forget_old(&mut self) {
        while self.links.len() > NETWORKS
            && let Some(oldest) =
                self.links.iter().min_by_key(|(_, link)| link.measured_at).map(|(name, _)| name.clone())
        {
            self.links.remove(&oldest);
        }
    }
}

/// Why nothing is sent only to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmeasurable {
    /// No backend can be sent to.
    Nowhere,
    /// There is no way to this one.
    NoRoute(BackendName),
    /// Bytes cost money on this interface, or may.
    Metered(String),
}

impl Scheduler {
    /// Takes in what was seen of the link to a backend.
    pub(super) fn sampled(&mut self, backend: &BackendName, sample: &Sample, now: Now) {
        if let Some(network) = self.met.get(backend) {
            self.bandwidths.learn(network, sample, now);
        }
    }

    /// Notes by which networks backends are reached. What broke because a network went away is told when it has gone.
    pub(super) fn meet(&mut self, world: &World) {
        for (backend, network) in &world.networks {
            if let Some(network) = network.identity() {
                self.met.insert(backend.clone(), network);
            }
        }
    }

    /// How a file goes to this backend, of which an attempt starts.
    pub(super) fn upload_to(&self, backend: &BackendName, policy: &Strategy, now: Now) -> Upload {
        let network = self.network_of(backend);
        let identity = network.and_then(Network::identity);
        let most = [policy.max_rate, network.and_then(|network| network.max_rate)].into_iter().flatten().min();
        let found = self.bandwidths.estimate(identity.as_ref());
        let held = quality::held_back(&found, most.map(|rate| megabits(rate, 1.0)));
        let found_strategy = self.bandwidths.strategy(identity.as_ref(), now.moment);
        let strategy = quality::of_held_back(found_strategy, &held, most.is_some());
        Upload { strategy, chunk: quality::first_chunk(&held, strategy, self.slots().file) }
    }

    /// Whether a link is too slow for photos, or is being tried again by one.
    pub(super) fn is_slow(&self, network: &Network, now: Moment) -> bool {
        let Some(doubted) = network.identity().and_then(|network| self.bandwidths.doubted_from(&network)) else {
            return false;
        };
        now < doubted || self.slots().file > 0
    }

    /// When a lane that waits for nothing else may try a slow link again.
    pub(super) fn slow_wake(&self, now: Moment) -> Option<(Moment, Wake)> {
        let alone = |lane: &&Lane| lane.waiting > 0 && lane.hindrances.keys().eq([&Reason::SlowLink]);
        let doubted = |lane: &Lane| {
            let (backend, _) = self.backend_of(&lane.strategy)?;
            self.bandwidths.doubted_from(&self.network_of(backend)?.identity()?)
        };
        // While a file tries one, what comes of that decides.
        let first = self.lanes.values().filter(alone).filter_map(doubted).filter(|from| *from > now).min()?;
        Some((first, Wake::SlowLink))
    }

    /// Where something may be sent only to measure; the first backend of those that it `can` be sent to.
    pub fn to_measure(&self, can: impl Fn(&BackendConfig) -> bool) -> Result<&BackendName, Unmeasurable> {
        let mut able = self.config.backends.iter().filter(|(_, section)| can(section)).map(|(name, _)| name);
        let name = able.next().ok_or(Unmeasurable::Nowhere)?;
        match self.network_of(name).filter(|network| network.connected) {
            None => Err(Unmeasurable::NoRoute(name.clone())),
            Some(network) if !is_unmetered(network) => Err(Unmeasurable::Metered(network.interface.clone())),
            Some(_) => Ok(name),
        }
    }

    /// Has what networks bear written, if it is another than what is on disk.
    pub(super) fn keep_estimates(&mut self) {
        self.effects.extend(self.bandwidths.unkept().map(Effect::KeepEstimates));
    }
}
