//! What is true of the device: its network and power, and the reasons they give to wait.

use std::collections::{BTreeMap, BTreeSet};

use super::{BackendName, BatteryFloor, Moment, WallTime, Zone};

macro_rules! words {
    ($(#[$doc:meta])* $Name:ident { $($(#[$vdoc:meta])* $Variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $Name { $($(#[$vdoc])* $Variant,)+ }

        impl $Name {
            /// All values, in the order of their definition.
            pub const ALL: &[Self] = &[$(Self::$Variant,)+];

            /// The word used in config and on D-Bus.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$Variant => $word,)+ }
            }

            /// Reads the word; `None` for any other.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text)
            }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words!(
    /// The kind of link a route leaves by.
    LinkType {
        /// Wi-Fi.
        Wifi = "wifi",
        /// A cable.
        Ethernet = "ethernet",
        /// A modem.
        Cellular = "cellular",
        /// Anything else: loopback, a tunnel whose carrier is unknown.
        Other = "other",
        /// No link.
        None = "none",
    }
);

words!(
    /// Whether bytes cost money, in NetworkManager's words.
    Metered {
        /// Nobody knows.
        Unknown = "unknown",
        /// Said to be metered.
        Yes = "yes",
        /// Said not to be.
        No = "no",
        /// Taken to be metered from its type.
        GuessYes = "guess-yes",
        /// Taken not to be metered from its type.
        GuessNo = "guess-no",
    }
);

words!(
    /// How far the network reaches.
    Connectivity {
        /// Not probed.
        Unknown = "unknown",
        /// No link.
        None = "none",
        /// A captive portal answers for everyone.
        Portal = "portal",
        /// A link without the internet.
        Limited = "limited",
        /// The internet.
        Full = "full",
    }
);

words!(
    /// A missing condition: why a task does not go now.
    Reason {
        /// No route.
        Offline = "offline",
        /// A route, but the probe got no answer.
        NoInternet = "no-internet",
        /// A captive portal answers.
        CaptivePortal = "captive-portal",
        /// The link is metered.
        Metered = "metered",
        /// The link is roaming.
        Roaming = "roaming",
        /// The link is neither wifi nor ethernet.
        NotWifi = "not-wifi",
        /// No external power.
        NotCharging = "not-charging",
        /// The battery is below the floor.
        LowBattery = "low-battery",
        /// Power-save mode is on.
        PowerSave = "power-save",
        /// The link is too slow, or loses too much, for photos.
        SlowLink = "slow-link",
        /// The day's metered bytes are spent.
        Budget = "budget",
        /// Outside the strategy's hours.
        Window = "window",
        /// The wall clock is older than this build.
        Clock = "clock",
        /// Waiting after a failed attempt.
        Backoff = "backoff",
        /// Waiting for another task.
        Order = "order",
        /// All slots are taken.
        Concurrency = "concurrency",
        /// Paused by an admin.
        Paused = "paused",
        /// Held by an app.
        Held = "held",
        /// The device is going to sleep.
        Suspending = "suspending",
        /// The backend refused our credential.
        BackendAuth = "backend-auth",
        /// The backend's certificate is not trusted.
        BackendTls = "backend-tls",
        /// The backend does not answer, or not sensibly.
        BackendDown = "backend-down",
        /// The backend's URL is wrong.
        BackendConfig = "backend-config",
        /// The strategy names no backend.
        NoBackend = "no-backend",
    }
);

/// One row of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The missing condition.
    pub reason: Reason,
    /// Since when it has been missing; zero if unknown.
    pub since: WallTime,
    /// What would clear it, as a person would say it.
    pub clears: String,
    /// Details by name, as text (`interface`, `until`, `waiting_for`, `url`, …).
    pub detail: BTreeMap<String, String>,
}

/// The network as one backend's traffic sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// A usable route exists.
    pub connected: bool,
    /// The kind of link it leaves by.
    pub link: LinkType,
    /// The interface's name, empty without a route.
    pub interface: String,
    /// The name of the link that carries it: the interface itself, but for a tunnel.
    pub carrier: String,
    /// The address of the router that it leads to; empty if there is none or it is unknown.
    pub gateway: String,
    /// The server is a neighbour on the link, behind no gateway: whether the internet is reached says nothing of it.
    pub direct: bool,
    /// How far it reaches. A link's sense does not know.
    pub connectivity: Connectivity,
    /// Whether bytes cost money.
    pub metered: Metered,
    /// The most bytes a second that config lets go over it.
    pub max_rate: Option<u64>,
    /// Whether the modem is roaming.
    pub roaming: bool,
    /// The Wi-Fi network's name, empty if there is none or it is unknown.
    pub ssid: String,
    /// Signal strength in percent, 0 if unknown.
    pub strength: u32,
    /// Frequency in MHz, 0 if unknown.
    pub frequency: u32,
    /// The interface's address and prefix (`192.0.2.7/24`), empty if unknown.
    pub subnet: String,
}

impl Network {
    /// No link at all.
    pub fn none() -> Self {
        Self {
            connected: false,
            link: LinkType::None,
            interface: String::new(),
            carrier: String::new(),
            gateway: String::new(),
            direct: false,
            connectivity: Connectivity::None,
            metered: Metered::Unknown,
            max_rate: None,
            roaming: false,
            ssid: String::new(),
            strength: 0,
            frequency: 0,
            subnet: String::new(),
        }
    }

    /// By which it is known again: its name, else its gateway and interface; `None` without a route.
    pub fn identity(&self) -> Option<NetworkId> {
        let id = match (self.ssid.as_str(), self.gateway.as_str()) {
            ("", "") => self.interface.clone(),
            ("", gateway) => format!("{gateway} {}", self.interface),
            (ssid, _) => format!("wifi {ssid}"),
        };
        self.connected.then_some(NetworkId(id))
    }
}

/// A network that a device may come back to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetworkId(pub String);

/// What is known of an interface beside what the kernel's tables say of its links, addresses and routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InterfaceFacts {
    /// Whether its bytes cost money, by NetworkManager's word: yes and no outweigh the configuration, a guess does not.
    pub metered: Option<Metered>,
    /// Whether its modem roams, by ModemManager's word.
    pub roaming: Option<bool>,
    /// Its Wi-Fi network, while it is in one.
    pub radio: Option<Radio>,
}

/// What is known of the interfaces, by their names.
pub type Facts = BTreeMap<String, InterfaceFacts>;

/// The Wi-Fi network that an interface is in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Radio {
    /// Its name, control characters escaped; empty if hidden from us.
    pub ssid: String,
    /// Signal strength in percent, 0 if unknown.
    pub strength: u32,
    /// Frequency in MHz, 0 if unknown.
    pub frequency: u32,
}

/// What a look at the URL that tells how far the network reaches has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// `full`, `portal` or `limited`.
    pub connectivity: Connectivity,
    /// What came, as the end of a sentence.
    pub words: String,
}

/// The device's power.
#[derive(Debug, Clone, PartialEq)]
pub struct Power {
    /// A charger is plugged in, or there is no battery.
    pub external: bool,
    /// A battery is being charged.
    pub charging: bool,
    /// The device's own batteries, as if they were one.
    pub battery: Battery,
    /// The highest floor that these have reached; the scheduler sees to it that it does not flutter.
    pub reached: BatteryFloor,
    /// Power-save mode is on.
    pub power_save: bool,
}

/// How full the device's own batteries are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Battery {
    /// There is none.
    None,
    /// There is one, and nobody can tell: never taken for good news.
    Unreadable,
    /// So much, 0 to 100.
    Percent(f64),
}

impl Battery {
    /// The highest floor that it has surely reached; without a battery, all are.
    pub fn reaches(self) -> BatteryFloor {
        let percent = match self {
            Self::None => 100.0,
            Self::Unreadable => 0.0,
            Self::Percent(percent) => percent,
        };
        BatteryFloor::all().filter(|floor| f64::from(floor.percent()) <= percent).max().unwrap_or_default()
    }
}

impl Power {
    /// Not sensed: never taken for good news.
    pub fn unknown() -> Self {
        let battery = Battery::Unreadable;
        Self { external: false, charging: false, battery, reached: battery.reaches(), power_save: false }
    }

    /// A machine without a battery: always on external power.
    pub fn mains() -> Self {
        Self {
            external: true,
            charging: false,
            battery: Battery::None,
            reached: Battery::None.reaches(),
            power_save: false,
        }
    }
}

/// All that is true of the device at once. Senses write parts of it; the scheduler reads it.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// The network by backend.
    pub networks: BTreeMap<BackendName, Network>,
    /// NetworkManager's word on how far the network reaches, where its check is switched on.
    pub connectivity: Option<Connectivity>,
    /// Backends whose link flapped: it is there, and counts from then on if it stays.
    pub settling: BTreeMap<BackendName, Moment>,
    /// Power, until it is sensed: mains.
    pub power: Power,
    /// When it was read.
    pub power_read: Moment,
    /// The wall clock is older than this build, so dates mean nothing.
    pub clock_unset: bool,
    /// Where the device is, as far as clocks are concerned.
    pub zone: Zone,
    /// The device is going to sleep.
    pub suspending: bool,
    /// Senses that fail now, by name; a failing sense is never taken for good news.
    pub failing: BTreeSet<&'static str>,
}

impl World {
    /// Before any sense has spoken: offline.
    pub fn unknown() -> Self {
        Self {
            networks: BTreeMap::new(),
            settling: BTreeMap::new(),
            connectivity: None,
            power: Power::mains(),
            power_read: Moment::default(),
            clock_unset: false,
            zone: Zone::UTC,
            suspending: false,
            failing: BTreeSet::new(),
        }
    }
}

/// What-if: each value given stands in for the sensed one when a task is explained.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Assume {
    /// A route exists (`connected`).
    pub connected: Option<bool>,
    /// The kind of link (`type`); any but `none` implies a route.
    pub link: Option<LinkType>,
    /// Whether bytes cost money (`metered`).
    pub metered: Option<Metered>,
    /// Whether the modem roams (`roaming`).
    pub roaming: Option<bool>,
    /// How far the network reaches (`connectivity`).
    pub connectivity: Option<Connectivity>,
    /// Whether a charger is plugged in (`external_power`).
    pub external_power: Option<bool>,
    /// The battery's percentage (`battery_percent`).
    pub battery_percent: Option<f64>,
    /// Whether power-save mode is on (`power_save`).
    pub power_save: Option<bool>,
    /// What the wall clock shows (`time`).
    pub time: Option<WallTime>,
}
