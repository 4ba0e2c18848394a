//! What is true of the device at a time, as it is or as somebody supposes it, and what is missing then.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use super::{Group, Ledger};
use crate::model::{
    Assume, BackendName, Battery, BatteryFloor, Connectivity, LinkType, Metered, Network, NetworkNeed, Now, Power,
    Reason, Span, WallTime, Window, World, Zone,
};

/// A wall clock is slewed from one end of what goes unheard to the other by so much.
const SLEWED: Duration = Duration::from_secs(2);

/// A world, and what the clock on the wall shows.
#[derive(Debug, Clone)]
pub(in crate::sim::laws) struct Scene<'a> {
    world: Cow<'a, World>,
    /// Floors below which the battery is.
    low: Cow<'a, BTreeSet<u8>>,
    wall: WallTime,
}

impl Scene<'_> {
    /// The scene with what is supposed in place of what is so, for whoever sends to `backend`.
    pub(in crate::sim::laws) fn supposing(mut self, assume: &Assume, backend: &BackendName) -> Self {
        let world = self.world.to_mut();
        let network = world.networks.remove(backend).unwrap_or_else(Network::none);
        world.networks.insert(backend.clone(), supposed(network, assume));
        if let Some(external) = assume.external_power {
            world.power.external = external;
        }
        if let Some(power_save) = assume.power_save {
            world.power.power_save = power_save;
        }
        if let Some(time) = assume.time {
            (self.wall, world.clock_unset) = (time, false);
        }
        if let Some(percent) = assume.battery_percent {
            let lower = BatteryFloor::ALL.into_iter().filter(|floor| percent < f64::from(*floor));
            self.low = Cow::Owned(lower.collect());
        }
        self
    }

    fn network(&self, backend: Option<&BackendName>) -> Option<&Network> {
        self.world.networks.get(backend?).filter(|network| network.connected)
    }
}

/// A network with what is supposed of it. Another kind of link costs what its kind does, and only a modem roams; of one that
/// comes into being by that nobody knows how far it reaches.
fn supposed(mut network: Network, assume: &Assume) -> Network {
    let was_there = network.connected;
    if let Some(link) = assume.link {
        network.connected = link != LinkType::None;
        if link != network.link {
            let cellular = link == LinkType::Cellular;
            network.metered = if cellular { Metered::GuessYes } else { Metered::GuessNo };
            network.roaming = network.roaming && cellular;
        }
        network.link = link;
    }
    if let Some(connected) = assume.connected {
        network.connected = connected;
    }
    if network.connected && !was_there {
        network.connectivity = Connectivity::Unknown;
    }
    if let Some(connectivity) = assume.connectivity {
        network.connectivity = connectivity;
    }
    if let Some(metered) = assume.metered {
        network.metered = metered;
    }
    if let Some(roaming) = assume.roaming {
        network.roaming = roaming;
    }
    network
}

impl Ledger {
    /// The device as it is.
    pub(in crate::sim::laws) fn scene(&self, now: Now) -> Scene<'_> {
        Scene { world: Cow::Borrowed(&self.world), low: Cow::Borrowed(&self.low), wall: now.wall }
    }

    /// A floor is low from when the battery falls below it until it is three percent above; a first reading is believed, and
    /// what cannot be read is no good news.
    pub(super) fn world_is(&mut self, world: World, now: Now) {
        let read_before = matches!(self.world.power.battery, Battery::Percent(_));
        for floor in BatteryFloor::ALL.into_iter().filter(|floor| *floor > 0) {
            let (lost, reached) = match world.power.battery {
                Battery::Percent(percent) => (percent < f64::from(floor), percent >= f64::from(floor + 3)),
                Battery::Unreadable => (true, false),
                Battery::None => (false, true),
            };
            if lost {
                self.low.insert(floor);
            } else if reached || !read_before {
                self.low.remove(&floor);
            }
        }
        if !world.clock_unset && !self.spent.is_nothing() {
            self.spent.is_today(world.zone.local(now.wall).day);
        }
        self.world = world;
    }

    /// Whether a group lacks nothing but slots and time.
    pub(in crate::sim::laws) fn is_free(&self, group: &Group, now: Now) -> bool {
        let well = self.backend(group).is_some_and(|backend| !self.ill.contains(backend));
        well && self.reasons(group, &self.scene(now)).is_empty()
    }

    /// Whether the hours of a group were over before a clock can have been slewed by that.
    pub(in crate::sim::laws) fn has_long_been_closed(&self, group: &Group, now: Now) -> bool {
        let before = WallTime::from_micros(now.wall.as_micros().saturating_sub(SLEWED.as_micros() as u64));
        let scene = Scene { wall: before, ..self.scene(now) };
        self.missing(group, &scene).contains(&Reason::Window)
    }

    /// What keeps a group from going, but for servers, slots and time.
    pub(in crate::sim::laws) fn reasons(&self, group: &Group, scene: &Scene<'_>) -> BTreeSet<Reason> {
        let mut reasons = self.missing(group, scene);
        if self.paused.contains_key(&None) || self.paused.contains_key(&Some(group.0.clone())) {
            reasons.insert(Reason::Paused);
        }
        if !self.holds.is_empty() {
            reasons.insert(Reason::Held);
        }
        reasons
    }

    /// What is missing of a group's conditions.
    pub(in crate::sim::laws) fn missing(&self, group: &Group, scene: &Scene<'_>) -> BTreeSet<Reason> {
        let Some(strategy) = self.strategy(group) else { return BTreeSet::from([Reason::NoBackend]) };
        let conditions = strategy.conditions.with(&group.1);
        let network = scene.network(strategy.backend.as_ref());
        let Power { external, power_save, .. } = scene.world.power;
        let low = scene.low.contains(&conditions.min_battery.percent());
        let of_network = network.map_or(vec![(true, Reason::Offline)], |network| {
            vec![
                (network.connectivity == Connectivity::Portal, Reason::CaptivePortal),
                (matches!(network.connectivity, Connectivity::None | Connectivity::Limited), Reason::NoInternet),
                (costs(network) && conditions.network == NetworkNeed::Unmetered, Reason::Metered),
                (!is_near(network) && conditions.network == NetworkNeed::Wifi, Reason::NotWifi),
                (network.roaming && !conditions.roaming, Reason::Roaming),
            ]
        });
        let of_device = [
            (conditions.charging && !external, Reason::NotCharging),
            (low && !external, Reason::LowBattery),
            (conditions.heed_power_save && power_save, Reason::PowerSave),
            (scene.world.suspending, Reason::Suspending),
        ];
        let budget = conditions.metered_budget.filter(|_| network.is_some_and(costs));
        let of_dates = self.missing_of_dates(group, &conditions.window, budget, scene);
        let all = of_network.into_iter().chain(of_device).filter(|(is_so, _)| *is_so).map(|(_, reason)| reason);
        all.chain(of_dates).collect()
    }

    /// What depends on the date waits while the clock is unset: certificates, hours, a budget that counts.
    fn missing_of_dates(&self, group: &Group, hours: &Window, budget: Option<u64>, scene: &Scene<'_>) -> Vec<Reason> {
        let Scene { world, wall, .. } = scene;
        let backend = self.backend(group).and_then(|name| self.config.backends.get(name));
        let certified = backend.is_some_and(|backend| backend.url.starts_with("https:"));
        if world.clock_unset && (certified || budget.is_some() || !hours.spans().is_empty()) {
            return vec![Reason::Clock];
        }
        let spent = budget.map(|budget| (budget, self.spent.on(&group.0, world.zone.local(*wall).day)));
        let closed = (!is_open(hours, *wall, &world.zone)).then_some(Reason::Window);
        let used_up = spent.filter(|(budget, spent)| spent >= budget).map(|_| Reason::Budget);
        closed.into_iter().chain(used_up).collect()
    }
}

/// Whether a clock on the wall shows one of the hours.
fn is_open(hours: &Window, wall: WallTime, zone: &Zone) -> bool {
    let within = |minute: u32, span: &Span| {
        let (from, to) = (u32::from(span.from()), u32::from(span.to()));
        if from < to { (from..to).contains(&minute) } else { !(to..from).contains(&minute) }
    };
    hours.spans().is_empty() || {
        let minute = zone.local(wall).second / 60;
        hours.spans().iter().any(|span| within(minute, span))
    }
}

/// Whether bytes cost money there.
pub(super) fn costs(network: &Network) -> bool {
    match network.metered {
        Metered::Yes | Metered::GuessYes => true,
        Metered::Unknown => !is_near(network),
        Metered::No | Metered::GuessNo => false,
    }
}

fn is_near(network: &Network) -> bool {
    matches!(network.link, LinkType::Wifi | LinkType::Ethernet)
}
