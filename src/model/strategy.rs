//! Strategies: the policy that tasks follow, and the conditions a task may override.

use std::time::Duration;

use super::{BackendName, StrategyName};

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
}

impl Conditions {
    /// These conditions with what a task overrides.
    pub fn with(&self, overrides: &Overrides) -> Conditions {
        Conditions {
            network: overrides.network.unwrap_or(self.network),
            charging: overrides.charging.unwrap_or(self.charging),
            min_battery: overrides.min_battery.unwrap_or(self.min_battery),
            ..self.clone()
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
}
