//! What is known of the interfaces beside what the kernel's tables say, gathered from the senses that know a part each.

use std::collections::BTreeMap;

use super::run::Daemon;
use crate::model::{Facts, Metered, Network};
use crate::sense::wifi::Radios;

/// The parts, each by interface.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// `None` before they are read for the first time.
    radios: Option<Radios>,
    metered: BTreeMap<String, Metered>,
    roaming: BTreeMap<String, bool>,
}

impl Surroundings {
    /// The Wi-Fi networks that interfaces are in are now these. Whether that makes a difference to anything but the
    /// strength of signals, on which nothing depends; the first time always.
    pub(super) fn radios(&mut self, radios: Radios) -> bool {
        let same_but_for_strength = self.radios.as_ref().is_some_and(|known| {
            known.len() == radios.len()
                && known.iter().zip(&radios).all(|((name, known), (same, new))| {
                    name == same && known.ssid == new.ssid && known.frequency == new.frequency
                })
        });
        self.radios = Some(radios);
        !same_but_for_strength
    }

    /// Shows how strong the signal of a network's carrier is now.
    pub(super) fn show_strength(&self, network: &mut Network) {
        let radio = self.radios.as_ref().and_then(|radios| radios.get(&network.carrier));
        if let Some(radio) = radio.filter(|radio| radio.ssid == network.ssid) {
            network.strength = radio.strength;
        }
    }

    /// What bytes cost, by NetworkManager's word, is now this. Whether that makes a difference.
    pub(super) fn metered(&mut self, metered: BTreeMap<String, Metered>) -> bool {
        replace(&mut self.metered, metered)
    }

    /// Which modems roam, by ModemManager's word, is now this. Whether that makes a difference.
    pub(super) fn roaming(&mut self, roaming: BTreeMap<String, bool>) -> bool {
        replace(&mut self.roaming, roaming)
    }

    /// NetworkManager is not understood: only what it said against sending still counts. Whether that makes a difference.
    pub(super) fn metering_lost(&mut self) -> bool {
        let costs = |metered: &Metered| match metered {
            Metered::Yes | Metered::GuessYes => true,
            Metered::Unknown | Metered::No | Metered::GuessNo => false,
        };
        retain(&mut self.metered, costs)
    }

    /// ModemManager is not understood: the same.
    pub(super) fn roaming_lost(&mut self) -> bool {
        retain(&mut self.roaming, |roams| *roams)
    }

    /// All of it.
    pub(super) fn facts(&self) -> Facts {
        let mut facts = Facts::new();
        for (name, radio) in self.radios.iter().flatten() {
            facts.entry(name.clone()).or_default().radio = Some(radio.clone());
        }
        for (name, metered) in &self.metered {
            facts.entry(name.clone()).or_default().metered = Some(*metered);
        }
        for (name, roaming) in &self.roaming {
            facts.entry(name.clone()).or_default().roaming = Some(*roaming);
        }
        facts
    }
}

impl Daemon {
    /// More is known of the interfaces, or less: the link's sense looks at its routes in that light.
    pub(super) fn surroundings_changed(&self) {
        self.wiring.surrounded(self.surroundings.facts());
    }
}

fn replace<T: PartialEq>(known: &mut T, new: T) -> bool {
    let differs = *known != new;
    *known = new;
    differs
}

fn retain<T>(known: &mut BTreeMap<String, T>, counts: impl Fn(&T) -> bool) -> bool {
    let before = known.len();
    known.retain(|_, value| counts(value));
    known.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Radio;

    fn of<T>(name: &str, value: T) -> BTreeMap<String, T> {
        BTreeMap::from([(name.to_owned(), value)])
    }

    #[test]
    fn parts_are_put_together_by_interface_and_only_differences_count() {
        let mut surroundings = Surroundings::default();
        assert!(surroundings.facts().is_empty());
        let radio = Radio { ssid: "Home".to_owned(), strength: 70, frequency: 5180 };
        assert!(surroundings.radios(BTreeMap::new()), "the first time");
        assert!(!surroundings.radios(BTreeMap::new()));
        assert!(surroundings.radios(of("wlan0", radio.clone())));
        assert!(!surroundings.radios(of("wlan0", Radio { strength: 10, ..radio.clone() })), "fainter");
        assert!(surroundings.radios(of("wlan0", Radio { frequency: 2412, ..radio.clone() })));
        assert!(surroundings.radios(of("wlan1", Radio { frequency: 2412, ..radio.clone() })));
        assert!(surroundings.radios(of("wlan0", radio.clone())));
        assert!(surroundings.metered(of("wlan0", Metered::GuessYes)));
        assert!(surroundings.roaming(of("wwan0", true)));
        assert!(!surroundings.roaming(of("wwan0", true)));
        let facts = surroundings.facts();
        assert_eq!((&facts["wlan0"].radio, facts["wlan0"].metered), (&Some(radio), Some(Metered::GuessYes)));
        assert_eq!((facts["wwan0"].roaming, facts["wwan0"].metered), (Some(true), None));
        let mut network = Network { carrier: "wlan0".to_owned(), ssid: "Home".to_owned(), ..Network::none() };
        surroundings.show_strength(&mut network);
        assert_eq!(network.strength, 70);
        assert!(surroundings.roaming(BTreeMap::new()));
        assert!(!surroundings.facts().contains_key("wwan0"));
    }

    #[test]
    fn of_what_a_service_said_that_is_not_understood_the_bad_news_stays() {
        let mut surroundings = Surroundings::default();
        surroundings.metered([("a".to_owned(), Metered::Yes), ("b".to_owned(), Metered::No)].into());
        surroundings.roaming([("a".to_owned(), false), ("b".to_owned(), true)].into());
        assert!(surroundings.metering_lost() && surroundings.roaming_lost());
        assert!(!surroundings.metering_lost() && !surroundings.roaming_lost());
        let facts = surroundings.facts();
        assert_eq!((facts["a"].metered, facts["a"].roaming), (Some(Metered::Yes), None));
        assert_eq!((facts["b"].metered, facts["b"].roaming), (None, Some(true)));
    }
}
