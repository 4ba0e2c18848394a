//! A link that flaps is settled before anybody acts on it. That it goes counts at once. So does its return, until it has gone
//! and come back too often: then it must stay for a moment, the longer the more restless it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Wake;
use super::attempt::Route;
use crate::model::{BackendName, Moment, Network};

/// The unrest that each loss of a link adds; rest takes it away as time passes.
const LOSS: Duration = Duration::from_secs(1);

/// So much unrest is borne: the third loss within a moment still costs no time.
const CALM: Duration = Duration::from_secs(3);

/// More unrest than this is not remembered, so that no link need stay for longer than half of what is above [`CALM`].
const MOST: Duration = Duration::from_secs(7);

/// A link that was held back for so long is believed at its next return, once: it may be good enough although it flaps.
const PATIENCE: Duration = Duration::from_secs(15);

/// The networks by backend, as the sense tells of them and as they count.
#[derive(Debug, Default)]
pub struct Links(BTreeMap<BackendName, Link>);

impl Links {
    /// They are now so, by the sense. What it names no more is forgotten.
    pub fn sensed(&mut self, networks: BTreeMap<BackendName, Network>, now: Moment) {
        self.0.retain(|name, _| networks.contains_key(name));
        for (name, network) in networks {
            self.0.entry(name).or_insert_with(Link::new).sensed(network, now);
        }
    }

    /// As they count now.
    pub fn settled(&mut self, now: Moment) -> BTreeMap<BackendName, Network> {
        self.0.iter_mut().map(|(name, link)| (name.clone(), link.settled(now).clone())).collect()
    }

    /// Those that are held back, each with the time from which on it counts if it stays.
    pub fn held(&self) -> BTreeMap<BackendName, Moment> {
        self.0.iter().filter_map(|(name, link)| Some((name.clone(), link.held.as_ref()?.until))).collect()
    }

    /// When one that is held back will have stayed for long enough.
    pub fn poll_timeout(&self) -> Option<(Moment, Wake)> {
        self.held().into_values().min().map(|until| (until, Wake::LinkSettles))
    }
}

/// One backend's link.
#[derive(Debug)]
struct Link {
    counts: Network,
    /// What is there and does not count yet.
    held: Option<Held>,
    /// When all unrest will be gone.
    calm: Moment,
    /// Since when it has not been believed, though it came.
    doubted: Option<Moment>,
}

#[derive(Debug)]
struct Held {
    network: Network,
    until: Moment,
}

impl Link {
    fn new() -> Self {
        Self { counts: Network::none(), held: None, calm: Moment::default(), doubted: None }
    }

    fn sensed(&mut self, network: Network, now: Moment) {
        let before = self.held.as_ref().map_or(&self.counts, |held| &held.network);
        let was_there = before.connected;
        let same = was_there && !Route::of(before).is_lost_in(&network);
        match &mut self.held {
            Some(held) if same => held.network = network,
            None if same => self.counts = network,
            Some(_) | None => {
                if was_there {
                    self.calm = (self.calm.max(now) + LOSS).min(now + MOST);
                }
                self.comes(network, now);
            }
        }
    }

    /// Another network is there, or none.
    fn comes(&mut self, network: Network, now: Moment) {
        (self.counts, self.held) = (Network::none(), None);
        if !network.connected {
            self.counts = network;
            return;
        }
        let stay = self.calm.saturating_since(now).saturating_sub(CALM) / 2;
        let doubted = *self.doubted.get_or_insert(now);
        if stay.is_zero() || now.saturating_since(doubted) >= PATIENCE {
            (self.counts, self.doubted) = (network, None);
        } else {
            self.held = Some(Held { network, until: now + stay });
        }
    }

    fn settled(&mut self, now: Moment) -> &Network {
        if let Some(held) = self.held.take_if(|held| held.until <= now) {
            (self.counts, self.doubted) = (held.network, None);
        }
        &self.counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{LinkType, Metered};

    fn main() -> BackendName {
        BackendName::new("main").expect("a name")
    }

    fn by(interface: &str) -> Network {
        Network { connected: true, interface: interface.to_owned(), link: LinkType::Wifi, ..Network::none() }
    }

    fn at(millis: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(1_000) + Duration::from_millis(millis))
    }

    /// Tells of this network at a time, in milliseconds; the interface that counts then, empty if none does.
    fn tell(links: &mut Links, network: Network, millis: u64) -> String {
        links.sensed(BTreeMap::from([(main(), network)]), at(millis));
        counts(links, millis)
    }

    fn counts(links: &mut Links, millis: u64) -> String {
        links.settled(at(millis)).remove(&main()).expect("it is known").interface
    }

    /// The time from one to the next at which a held link counts.
    fn stay(links: &Links, millis: u64) -> Duration {
        links.poll_timeout().map(|(until, _)| until.saturating_since(at(millis))).unwrap_or_default()
    }

    #[test]
    fn a_calm_link_comes_and_goes_at_once_however_often() {
        let mut links = Links::default();
        assert_eq!(tell(&mut links, by("wlan0"), 0), "wlan0");
        for round in 0..100 {
            let then = round * 1_000;
            assert_eq!(tell(&mut links, Network::none(), then + 10), "");
            assert_eq!(tell(&mut links, by("wlan0"), then + 20), "wlan0", "round {round}");
            assert_eq!(links.poll_timeout(), None);
        }
    }

    #[test]
    fn one_that_flaps_must_stay_longer_and_longer_but_not_for_ever() {
        let mut links = Links::default();
        tell(&mut links, by("wlan0"), 0);
        let mut stays = Vec::new();
        for flap in 1..=100 {
            assert_eq!(tell(&mut links, Network::none(), flap * 100 - 50), "");
            tell(&mut links, by("wlan0"), flap * 100);
            stays.push(stay(&links, flap * 100).as_millis());
        }
        assert_eq!(stays[..8], [0, 0, 0, 325, 775, 1_225, 1_675, 1_975]);
        assert!(stays[8..].iter().all(|stay| *stay == 1_975));
        assert_eq!(counts(&mut links, 11_974), "");
        assert_eq!(links.poll_timeout(), Some((at(11_975), Wake::LinkSettles)));
        assert_eq!(counts(&mut links, 11_975), "wlan0");
        assert_eq!(links.poll_timeout(), None);
    }

    #[test]
    fn it_is_calm_again_after_a_while() {
        let mut links = Links::default();
        tell(&mut links, by("wlan0"), 0);
        for flap in 1..=20 {
            tell(&mut links, Network::none(), flap * 20);
            tell(&mut links, by("wlan0"), flap * 20 + 10);
        }
        assert_eq!(counts(&mut links, 2_500), "wlan0");
        tell(&mut links, Network::none(), 5_500);
        assert_eq!(tell(&mut links, by("wlan0"), 5_600), "wlan0");
    }

    #[test]
    fn a_way_that_changes_to_and_fro_is_a_flap_too() {
        let mut links = Links::default();
        tell(&mut links, by("wlan0"), 0);
        let seen: Vec<_> =
            (1..=6).map(|change| tell(&mut links, by(["wlan0", "wwan0"][change as usize % 2]), change * 10)).collect();
        assert_eq!(seen, ["wwan0", "wlan0", "wwan0", "", "", ""]);
        // What is held is held until it has stayed, though told of again.
        let until = links.poll_timeout();
        assert_eq!(tell(&mut links, by("wlan0"), 70), "");
        assert_eq!(links.poll_timeout(), until);
    }

    #[test]
    fn what_changes_on_a_link_that_stays_is_no_flap() {
        let mut links = Links::default();
        tell(&mut links, by("wlan0"), 0);
        for (change, metered) in (1..=50).zip([Metered::Yes, Metered::No].into_iter().cycle()) {
            let network = Network { metered, ..by("wlan0") };
            links.sensed(BTreeMap::from([(main(), network.clone())]), at(change));
            assert_eq!(links.settled(at(change))[&main()], network);
        }
    }

    #[test]
    fn a_link_that_never_rests_is_believed_once_in_a_while() {
        let mut links = Links::default();
        tell(&mut links, by("wlan0"), 0);
        let mut believed = Vec::new();
        for flap in 1..=600 {
            tell(&mut links, Network::none(), flap * 100 - 10);
            if tell(&mut links, by("wlan0"), flap * 100) == "wlan0" {
                believed.push(flap * 100);
            }
        }
        assert_eq!(believed, [100, 200, 300, 15_400, 30_500, 45_600]);
    }

    #[test]
    fn what_the_sense_names_no_more_is_forgotten() {
        let mut links = Links::default();
        tell(&mut links, by("wlan0"), 0);
        links.sensed(BTreeMap::new(), at(10));
        assert!(links.settled(at(10)).is_empty());
    }
}
