//! Links as devices meet them: what each scenario promises, and the timeline that a seed makes of it. It must not know who
//! lives on the link: the simulator in virtual time, or a proxy in real time.
//!
//! The figures of `offline`, `slow_3g`, `fast_3g`, `wifi` and `intermittent` are those of the spec's section "Network
//! Simulation". Its latency delays a request once, and by up to half as much again: here a round trip and its jitter. Its
//! Mbit/s counts 1024 × 1024 bits; ours 10⁶, as networks do. Where it has one rate, both directions have it. The other
//! scenarios are ours.

use std::collections::VecDeque;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;

use crate::model::{LinkType, Metered};

/// A kind of weather on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scenario {
    /// No link.
    Offline,
    /// The spec's slow mobile network.
    Slow3g,
    /// The spec's fast mobile network.
    Fast3g,
    /// The spec's wifi.
    Wifi,
    /// The spec's link that toggles.
    Intermittent,
    /// A wifi whose portal answers for everyone until somebody signs in.
    CaptivePortal,
    /// A mobile network whose bytes cost money.
    Metered,
    /// A day between home and work.
    Commute,
    /// A wifi at the edge of its reach.
    FlakyWifi,
    /// A wifi whose provider fails, for every device at the same time.
    Outage,
}

impl Scenario {
    /// All of them, in the order of their definition.
    pub const ALL: &[Self] = &[
        Self::Offline,
        Self::Slow3g,
        Self::Fast3g,
        Self::Wifi,
        Self::Intermittent,
        Self::CaptivePortal,
        Self::Metered,
        Self::Commute,
        Self::FlakyWifi,
        Self::Outage,
    ];

    /// The word for it on command lines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Slow3g => "slow_3g",
            Self::Fast3g => "fast_3g",
            Self::Wifi => "wifi",
            Self::Intermittent => "intermittent",
            Self::CaptivePortal => "captive_portal",
            Self::Metered => "metered",
            Self::Commute => "commute",
            Self::FlakyWifi => "flaky_wifi",
            Self::Outage => "outage",
        }
    }

    /// What it promises, in a line.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Offline => "no link at all",
            Self::Slow3g => "cellular, metered: 400 ms, 0.4 Mbit/s, one request in ten fails",
            Self::Fast3g => "cellular, metered: 200 ms, 1.6 Mbit/s, one request in twenty fails",
            Self::Wifi => "wifi: 50 ms, 50 Mbit/s, one request in a hundred fails",
            Self::Intermittent => "wifi that goes and comes every 5 to 15 s; gone at first",
            Self::CaptivePortal => "wifi with a portal for 1 to 3 min, then open for 20 to 60 min, and so on",
            Self::Metered => "cellular, metered: 60 ms, 8 Mbit/s up, 30 down, one request in fifty fails",
            Self::Commute => "a day from midnight: wifi at home and at work, cellular with tunnels between",
            Self::FlakyWifi => "wifi by turns good, weak (one request in five fails) and gone for 1 to 8 s",
            Self::Outage => "wifi that is gone from eight to ten each day, on every device at once",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|scenario| scenario.as_str() == text)
    }

    /// What the link is, and from when on: without end, the first from zero. One seed, one timeline. A link that never
    /// changes is told once a day.
    pub fn timeline(self, seed: u64) -> Timeline {
        Timeline { scenario: self, random: Rng::with_seed(seed), begins: Duration::ZERO, legs: VecDeque::new() }
    }

    /// The legs of its next round.
    fn round(self, random: &mut Rng) -> Vec<Leg> {
        match self {
            Self::Offline => vec![leg(DAY, LinkState::DOWN)],
            Self::Slow3g => vec![leg(DAY, LinkState::SLOW_3G)],
            Self::Fast3g => vec![leg(DAY, LinkState::FAST_3G)],
            Self::Wifi => vec![leg(DAY, LinkState::WIFI)],
            Self::Intermittent => [LinkState::DOWN, LinkState::WIFI].map(|link| between(5..=15, link, random)).into(),
            Self::CaptivePortal => {
                let open = between(20 * MINUTE..=60 * MINUTE, LinkState::WIFI, random);
                vec![between(MINUTE..=3 * MINUTE, LinkState::PORTAL, random), open]
            }
            Self::Metered => vec![leg(DAY, LinkState::CELLULAR)],
            Self::Commute => commute(random),
            Self::FlakyWifi => vec![
                between(10..=60, LinkState::WIFI, random),
                between(10..=60, LinkState::WEAK_WIFI, random),
                between(1..=8, LinkState::DOWN, random),
                between(10..=60, LinkState::WEAK_WIFI, random),
            ],
            Self::Outage => [(8, LinkState::WIFI), (2, LinkState::DOWN), (14, LinkState::WIFI)]
                .map(|(hours, link)| leg(hours * DAY / 24, link))
                .into(),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scenario {
    type Err = NotAScenario;

    fn from_str(text: &str) -> Result<Self, NotAScenario> {
        Self::parse(text).ok_or_else(|| NotAScenario(text.to_owned()))
    }
}

/// A word that names no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scenario: there are {names}", names = names())]
pub struct NotAScenario(String);

fn names() -> String {
    Scenario::ALL.iter().map(|scenario| scenario.as_str()).collect::<Vec<_>>().join(", ")
}

/// What is true of a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkState {
    /// Whether there is one; all rates are 0 if not.
    pub up: bool,
    /// Its kind.
    pub link: LinkType,
    /// Whether its bytes cost money.
    pub metered: Metered,
    /// Whether a captive portal answers for everyone.
    pub portal: bool,
    /// There and back, at least.
    pub round_trip: Duration,
    /// A round trip takes up to this much longer.
    pub jitter: Duration,
    /// From the device, in bytes a second.
    pub up_rate: u64,
    /// To the device, in bytes a second.
    pub down_rate: u64,
    /// The share of requests that come through, 0 to 1.
    pub reliability: f64,
}

impl LinkState {
    /// No link.
    pub const DOWN: Self = Self {
        up: false,
        link: LinkType::None,
        metered: Metered::Unknown,
        portal: false,
        round_trip: Duration::ZERO,
        jitter: Duration::ZERO,
        up_rate: 0,
        down_rate: 0,
        reliability: 0.0,
    };

    const SLOW_3G: Self = Self {
        round_trip: Duration::from_millis(400),
        jitter: Duration::from_millis(200),
        up_rate: kilobits(400),
        down_rate: kilobits(400),
        reliability: 0.9,
        ..Self::CELLULAR
    };

    const FAST_3G: Self = Self {
        round_trip: Duration::from_millis(200),
        jitter: Duration::from_millis(100),
        up_rate: kilobits(1_600),
        down_rate: kilobits(1_600),
        reliability: 0.95,
        ..Self::CELLULAR
    };

    const WIFI: Self = Self {
        up: true,
        link: LinkType::Wifi,
        metered: Metered::GuessNo,
        portal: false,
        round_trip: Duration::from_millis(50),
        jitter: Duration::from_millis(25),
        up_rate: kilobits(50_000),
        down_rate: kilobits(50_000),
        reliability: 0.99,
    };

    const WEAK_WIFI: Self = Self {
        round_trip: Duration::from_millis(120),
        jitter: Duration::from_millis(200),
        up_rate: kilobits(1_000),
        down_rate: kilobits(3_000),
        reliability: 0.8,
        ..Self::WIFI
    };

    const PORTAL: Self = Self { portal: true, ..Self::WIFI };

    const CELLULAR: Self = Self {
        up: true,
        link: LinkType::Cellular,
        metered: Metered::GuessYes,
        portal: false,
        round_trip: Duration::from_millis(60),
        jitter: Duration::from_millis(30),
        up_rate: kilobits(8_000),
        down_rate: kilobits(30_000),
        reliability: 0.98,
    };
}

/// Bytes a second.
const fn kilobits(kilobits: u64) -> u64 {
    kilobits * 1_000 / 8
}

/// Seconds.
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: Duration = Duration::from_secs(24 * HOUR);

/// When the link changes, and to what; see [`Scenario::timeline`].
#[derive(Debug, Clone)]
pub struct Timeline {
    scenario: Scenario,
    random: Rng,
    begins: Duration,
    legs: VecDeque<Leg>,
}

impl Iterator for Timeline {
    type Item = (Duration, LinkState);

    fn next(&mut self) -> Option<Self::Item> {
        if self.legs.is_empty() {
            self.legs.extend(self.scenario.round(&mut self.random));
        }
        let leg = self.legs.pop_front()?;
        let begins = self.begins;
        self.begins += leg.length;
        Some((begins, leg.link))
    }
}

/// How long the link stays so.
#[derive(Debug, Clone, Copy)]
struct Leg {
    length: Duration,
    link: LinkState,
}

fn leg(length: Duration, link: LinkState) -> Leg {
    Leg { length, link }
}

/// A leg of any length between these seconds.
fn between(seconds: RangeInclusive<u64>, link: LinkState, random: &mut Rng) -> Leg {
    leg(Duration::from_millis(random.u64(seconds.start() * 1_000..=seconds.end() * 1_000)), link)
}

/// A day, exactly: out between half past six and eight, back between four and half past six.
fn commute(random: &mut Rng) -> Vec<Leg> {
    let home = between(6 * HOUR + 30 * MINUTE..=8 * HOUR, LinkState::WIFI, random);
    let out = ride(random);
    let leaves = Duration::from_millis(random.u64(16 * HOUR * 1_000..=(18 * HOUR + 30 * MINUTE) * 1_000));
    let work = leg(leaves - home.length - total(&out), LinkState::WIFI);
    let back = ride(random);
    let evening = leg(DAY - leaves - total(&back), LinkState::WIFI);
    [vec![home], out, vec![work], back, vec![evening]].concat()
}

/// A ride of some stretches and the tunnels between them: at most 80 min.
fn ride(random: &mut Rng) -> Vec<Leg> {
    let mut legs = vec![between(2 * MINUTE..=12 * MINUTE, LinkState::CELLULAR, random)];
    for _ in 0..random.u64(2..=5) {
        legs.push(between(10..=90, LinkState::DOWN, random));
        legs.push(between(2 * MINUTE..=12 * MINUTE, LinkState::CELLULAR, random));
    }
    legs
}

fn total(legs: &[Leg]) -> Duration {
    legs.iter().map(|leg| leg.length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some legs of a scenario, with their lengths.
    fn legs(scenario: Scenario, seed: u64, count: usize) -> Vec<(Duration, LinkState)> {
        let changes: Vec<_> = scenario.timeline(seed).take(count + 1).collect();
        assert_eq!(changes[0].0, Duration::ZERO, "{scenario} begins at once");
        changes.windows(2).map(|pair| (pair[1].0 - pair[0].0, pair[0].1)).collect()
    }

    fn milliseconds(link: &LinkState) -> u128 {
        link.round_trip.as_millis()
    }

    #[test]
    fn every_scenario_has_a_word_that_reads_back_and_a_line() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.as_str().parse(), Ok(*scenario));
            assert!(!scenario.about().is_empty() && !scenario.about().contains('\n'));
        }
        let error = Scenario::from_str("dial_up").expect_err("there is none");
        let there_are =
            "offline, slow_3g, fast_3g, wifi, intermittent, captive_portal, metered, commute, flaky_wifi, outage";
        assert_eq!(error.to_string(), format!("\"dial_up\" is no scenario: there are {there_are}"));
    }

    #[test]
    fn one_seed_makes_one_timeline_and_another_seed_another() {
        for scenario in Scenario::ALL {
            assert_eq!(legs(*scenario, 7, 200), legs(*scenario, 7, 200), "{scenario}");
        }
        for changing in [Scenario::Intermittent, Scenario::CaptivePortal, Scenario::Commute, Scenario::FlakyWifi] {
            assert_ne!(legs(changing, 7, 200), legs(changing, 8, 200), "{changing}");
        }
    }

    #[test]
    fn figures_are_within_their_ranges() {
        for (scenario, seed) in Scenario::ALL.iter().flat_map(|scenario| (0..20).map(move |seed| (*scenario, seed))) {
            for (length, link) in legs(scenario, seed, 100) {
                assert!(length >= Duration::from_secs(1) && length <= DAY, "{scenario}: {length:?}");
                assert!((0.0..=1.0).contains(&link.reliability), "{scenario}: {link:?}");
                let carries = link.up_rate > 0 && link.down_rate > 0 && link.reliability > 0.0;
                assert_eq!((carries, link.link != LinkType::None), (link.up, link.up), "{scenario}: {link:?}");
                assert!(link.up || link == LinkState::DOWN, "{scenario}: {link:?}");
            }
        }
    }

    #[test]
    fn the_spec_s_figures_are_the_spec_s() {
        let table = [
            (Scenario::Slow3g, 400, 50_000, 0.9),
            (Scenario::Fast3g, 200, 200_000, 0.95),
            (Scenario::Wifi, 50, 6_250_000, 0.99),
        ];
        for (scenario, latency, rate, reliability) in table {
            for (length, link) in legs(scenario, 1, 3) {
                assert_eq!(
                    (length, milliseconds(&link), link.jitter),
                    (DAY, latency, link.round_trip / 2),
                    "{scenario}"
                );
                assert_eq!((link.up_rate, link.down_rate, link.reliability), (rate, rate, reliability), "{scenario}");
            }
        }
        assert!(legs(Scenario::Offline, 1, 3).iter().all(|(_, link)| *link == LinkState::DOWN));
    }

    #[test]
    fn intermittent_toggles_every_five_to_fifteen_seconds() {
        for seed in 0..50 {
            for (number, (length, link)) in legs(Scenario::Intermittent, seed, 100).into_iter().enumerate() {
                assert!((5_000..=15_000).contains(&length.as_millis()), "{length:?}");
                assert_eq!(link.up, number % 2 == 1, "gone at first, then by turns");
            }
        }
    }

    #[test]
    fn a_portal_opens_and_asks_again() {
        for (number, (length, link)) in legs(Scenario::CaptivePortal, 3, 40).into_iter().enumerate() {
            assert!(link.up && link.link == LinkType::Wifi);
            let minutes = if link.portal { 60..=180 } else { 1_200..=3_600 };
            assert!(minutes.contains(&length.as_secs()), "{length:?}");
            assert_eq!(link.portal, number % 2 == 0, "the portal first, then by turns");
        }
    }

    #[test]
    fn mobile_networks_are_metered_and_wifi_is_not() {
        for scenario in [Scenario::Metered, Scenario::Slow3g, Scenario::Fast3g, Scenario::Commute, Scenario::Wifi] {
            for (_, link) in legs(scenario, 5, 30).into_iter().filter(|(_, link)| link.up) {
                let cellular = link.link == LinkType::Cellular;
                assert_eq!(cellular, link.metered == Metered::GuessYes, "{scenario}: {link:?}");
            }
        }
        assert!(legs(Scenario::Metered, 5, 3).iter().all(|(_, link)| link.link == LinkType::Cellular));
    }

    #[test]
    fn a_commuter_is_at_home_at_night_at_work_at_noon_and_without_a_link_in_tunnels() {
        for seed in 0..20 {
            let changes: Vec<_> = Scenario::Commute.timeline(seed).take(400).collect();
            let at = |time: Duration| changes.iter().rev().find(|(begins, _)| *begins <= time).expect("from zero").1;
            for day in 0..10 {
                let hour = |hour: u64| at(DAY * day + Duration::from_secs(hour * HOUR));
                for at_rest in [0, 3, 6, 12, 15, 20, 23] {
                    assert_eq!(hour(at_rest), LinkState::WIFI, "seed {seed}, day {day}, {at_rest} h");
                }
                let ends = DAY * (day + 1);
                let within = |(begins, _): &&(Duration, LinkState)| *begins >= DAY * day && *begins < ends;
                let links = || changes.iter().filter(within).map(|(_, link)| *link);
                assert!(links().filter(|link| *link == LinkState::CELLULAR).count() >= 6, "two rides");
                assert!(links().filter(|link| *link == LinkState::DOWN).count() >= 4, "with tunnels");
            }
        }
    }

    #[test]
    fn a_flaky_wifi_is_good_weak_and_gone() {
        let legs = legs(Scenario::FlakyWifi, 9, 80);
        for link in [LinkState::WIFI, LinkState::WEAK_WIFI, LinkState::DOWN] {
            assert!(legs.iter().filter(|(_, seen)| *seen == link).count() >= 20, "{link:?}");
        }
        let gone = legs.iter().filter(|(_, link)| !link.up);
        assert!(gone.clone().all(|(length, _)| (1_000..=8_000).contains(&length.as_millis())));
    }
}
