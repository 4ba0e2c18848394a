//! Strategies: the policy that tasks follow, and the conditions a task may override.

use std::time::Duration;

use super::world::words;
use super::{BackendName, StrategyName, Window};

/// What a strategy's tasks carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A JSON payload, sent in batches.
    Json,
    /// A file, one an attempt.
    File,
}

/// Which networks a task may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NetworkNeed {
    /// Any link.
    Any,
    /// Metered `no` or `guess-no`, or `unknown` on wifi and ethernet.
    Unmetered,
    /// Wifi or ethernet, metered or not.
    Wifi,
}

impl NetworkNeed {
    /// The word used in config and on D-Bus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Unmetered => "unmetered",
            Self::Wifi => "wifi",
        }
    }

    /// Reads the word; `None` for any other.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Any, Self::Unmetered, Self::Wifi].into_iter().find(|need| need.as_str() == text)
    }
}

/// The least battery a task asks for, in percent: one of 0, 15, 30, 50, 80.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BatteryFloor(u8);

impl BatteryFloor {
    /// The floors there are.
    pub const ALL: [u8; 5] = [0, 15, 30, 50, 80];

    /// Each of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().map(Self)
    }

    /// A floor of `percent`, if it is one of [`ALL`](Self::ALL).
    pub fn new(percent: u8) -> Option<Self> {
        Self::ALL.contains(&percent).then_some(Self(percent))
    }

    /// The percentage.
    pub const fn percent(self) -> u8 {
        self.0
    }
}

/// What must be true of the device before a task goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// Which networks will do.
    pub network: NetworkNeed,
    /// Whether a roaming cellular link will do.
    pub roaming: bool,
    /// Whether external power is asked for.
    pub charging: bool,
    /// The least battery, when on battery.
    pub min_battery: BatteryFloor,
    /// Whether power-save mode holds it back.
    pub heed_power_save: bool,
    /// Whether a link that is too slow, or loses too much, holds it back.
    pub heed_slow_link: bool,
    /// The times of day at which it may go.
    pub window: Window,
    /// The most bytes a day that may leave over metered links.
    pub metered_budget: Option<u64>,
}

impl Conditions {
    /// These conditions with what a task overrides. What is waived of them is asked of nobody.
    pub fn with(&self, overrides: &Overrides) -> Conditions {
        let waived = |what: Waiver| overrides.waived.has(what);
        let network = overrides.network.unwrap_or(self.network);
        let min_battery = overrides.min_battery.unwrap_or(self.min_battery);
        Conditions {
            network: match network {
                NetworkNeed::Unmetered if waived(Waiver::Metered) => NetworkNeed::Any,
                NetworkNeed::Any | NetworkNeed::Unmetered | NetworkNeed::Wifi => network,
            },
            roaming: self.roaming || waived(Waiver::Roaming),
            charging: overrides.charging.unwrap_or(self.charging) && !waived(Waiver::NotCharging),
            min_battery: if waived(Waiver::LowBattery) { BatteryFloor::default() } else { min_battery },
            heed_power_save: self.heed_power_save,
            heed_slow_link: self.heed_slow_link,
            window: if waived(Waiver::Window) { Window::default() } else { self.window.clone() },
            metered_budget: self.metered_budget.filter(|_| !waived(Waiver::Budget)),
        }
    }
}

/// The conditions that a task may set for itself; `None` leaves the strategy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Overrides {
    /// Which networks will do.
    pub network: Option<NetworkNeed>,
    /// Whether external power is asked for.
    pub charging: Option<bool>,
    /// The least battery, when on battery.
    pub min_battery: Option<BatteryFloor>,
    /// What somebody has waived since, by `SyncNow`.
    pub waived: Waivers,
}

words!(
    /// A block reason that `SyncNow` may set aside, `override` on D-Bus.
    Waiver {
        /// Metered bytes may be used. A task that asks for wifi still does.
        Metered = "metered",
        /// A roaming link may be used.
        Roaming = "roaming",
        /// No charger is needed.
        NotCharging = "not-charging",
        /// Any battery will do.
        LowBattery = "low-battery",
        /// Any time of day will do.
        Window = "window",
        /// The day's budget of metered bytes may be exceeded.
        Budget = "budget",
    }
);

/// A set of [`Waiver`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Waivers(u8);

impl Waivers {
    /// Whether `what` is one of them.
    pub const fn has(self, what: Waiver) -> bool {
        self.0 & 1 << what as u8 != 0
    }

    /// These and those.
    pub const fn and(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }

    /// Each of them, in the order of their definition.
    pub fn iter(self) -> impl Iterator<Item = Waiver> {
        Waiver::ALL.iter().copied().filter(move |waiver| self.has(*waiver))
    }

    /// Reads what [`Display`](std::fmt::Display) writes; a word that is unknown waives nothing.
    pub fn parse(text: &str) -> Self {
        text.split(',').filter_map(Waiver::parse).collect()
    }
}

impl FromIterator<Waiver> for Waivers {
    fn from_iter<I: IntoIterator<Item = Waiver>>(waivers: I) -> Self {
        Self(waivers.into_iter().fold(0, |bits, waiver| bits | 1 << waiver as u8))
    }
}

impl std::fmt::Display for Waivers {
    /// Their words, with commas between.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<&str> = self.iter().map(Waiver::as_str).collect();
        f.write_str(&words.join(","))
    }
}

/// A policy: priority, batch, retries and conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Strategy {
    /// Its name.
    pub name: StrategyName,
    /// Where its tasks go; `None` = block reason `no-backend`.
    pub backend: Option<BackendName>,
    /// What its tasks carry.
    pub kind: Kind,
    /// Lower goes first.
    pub priority: u32,
    /// The most tasks in one request, at least 1.
    pub batch: usize,
    /// Attempts that the server answered before a task fails, at least 1.
    pub max_attempts: u32,
    /// The backoff's growth with each attempt, at least 1.
    pub multiplier: f64,
    /// What must be true of the device.
    pub conditions: Conditions,
    /// After waiting this long with its conditions held, a lane gets the next free slot.
    pub max_wait: Option<Duration>,
    /// After what a whole fleet may have waited for (a network, hours, a day's budget, a start) it begins within this, at a
    /// random time; zero: at once.
    pub randomized_delay: Duration,
    /// The most bytes a second that all its attempts together send; at least 8 KiB.
    pub max_rate: Option<u64>,
    /// Whether photos go without the place where they were taken.
    pub strip_gps: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    fn strict() -> Conditions {
        Conditions {
            network: NetworkNeed::Unmetered,
            roaming: false,
            charging: true,
            min_battery: BatteryFloor(50),
            heed_power_save: true,
            heed_slow_link: true,
            window: Window::new(Span::new(60, 120).into_iter().collect()),
            metered_budget: Some(1000),
        }
    }

    fn waiving(waived: &[Waiver]) -> Conditions {
        strict().with(&Overrides { waived: waived.iter().copied().collect(), ..Overrides::default() })
    }

    #[test]
    fn each_waiver_sets_its_own_condition_aside_and_no_other() {
        assert_eq!(waiving(&[]), strict());
        assert_eq!(waiving(&[Waiver::Metered]), Conditions { network: NetworkNeed::Any, ..strict() });
        assert_eq!(waiving(&[Waiver::Roaming]), Conditions { roaming: true, ..strict() });
        assert_eq!(waiving(&[Waiver::NotCharging]), Conditions { charging: false, ..strict() });
        assert_eq!(waiving(&[Waiver::LowBattery]), Conditions { min_battery: BatteryFloor(0), ..strict() });
        assert_eq!(waiving(&[Waiver::Window]), Conditions { window: Window::default(), ..strict() });
        assert_eq!(waiving(&[Waiver::Budget]), Conditions { metered_budget: None, ..strict() });
    }

    #[test]
    fn a_waiver_goes_before_what_the_task_set_itself_but_wifi_stays_wifi() {
        let waived = [Waiver::Metered, Waiver::NotCharging, Waiver::LowBattery].into_iter().collect();
        let own = Overrides {
            network: Some(NetworkNeed::Wifi),
            charging: Some(true),
            min_battery: Some(BatteryFloor(80)),
            waived,
        };
        let left = strict().with(&own);
        assert_eq!((left.network, left.charging, left.min_battery), (NetworkNeed::Wifi, false, BatteryFloor(0)));
    }

    #[test]
    fn waivers_survive_being_written() {
        for bits in 0..1 << Waiver::ALL.len() {
            assert_eq!(Waivers::parse(&Waivers(bits).to_string()), Waivers(bits));
        }
        assert_eq!(Waivers::parse("roaming,offline,"), [Waiver::Roaming].into_iter().collect());
    }
}
