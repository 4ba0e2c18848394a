//! The heart: which conditions are missing. Scheduler, Explain and what-if all ask this one function.

use super::hours;
use crate::model::{Conditions, Connectivity, LinkType, Metered, Network, NetworkNeed, Power, Reason, WallTime, World};

/// What conditions are held against.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What a backend's traffic would go over; `None`: no route is known.
    pub network: Option<&'a Network>,
    /// The rest of the device.
    pub world: &'a World,
    /// What the wall clock shows.
    pub now: WallTime,
    /// Bytes that left over metered links today.
    pub spent: u64,
    /// Whether the backend shows a certificate, which has dates.
    pub certified: bool,
    /// The link is known to be too slow, or to lose too much, for photos.
    pub slow: bool,
}

/// What of `conditions` is missing in this situation; empty if all holds.
pub fn blocked(conditions: &Conditions, situation: Situation<'_>) -> Vec<Reason> {
    let Situation { network, world, .. } = situation;
    let mut missing = match network.filter(|network| network.connected) {
        Some(network) => missing_of_network(conditions, network),
        None => vec![Reason::Offline],
    };
    missing.extend((situation.slow && conditions.heed_slow_link).then_some(Reason::SlowLink));
    missing.extend(missing_of_power(conditions, &world.power));
    missing.extend(missing_of_dates(conditions, situation));
    missing.extend(world.suspending.then_some(Reason::Suspending));
    missing
}

/// What hangs on the date: hours, the day's budget, certificates. Without a date, all of that waits for one.
fn missing_of_dates(conditions: &Conditions, situation: Situation<'_>) -> impl Iterator<Item = Reason> {
    let Situation { network, world, now, spent, certified, slow: _ } = situation;
    let costs = network.is_some_and(|network| network.connected && !is_unmetered(network));
    let budget = conditions.metered_budget.filter(|_| costs);
    let dated = certified || budget.is_some() || !conditions.window.is_always();
    let clock = world.clock_unset && dated;
    let window = !clock && !hours::is_open(&conditions.window, now, &world.zone);
    let budget = !clock && budget.is_some_and(|budget| spent >= budget);
    let found = [(budget, Reason::Budget), (window, Reason::Window), (clock, Reason::Clock)];
    found.into_iter().filter_map(|(missing, reason)| missing.then_some(reason))
}

fn missing_of_network(conditions: &Conditions, network: &Network) -> Vec<Reason> {
    let link = match conditions.network {
        NetworkNeed::Any => None,
        NetworkNeed::Unmetered => (!is_unmetered(network)).then_some(Reason::Metered),
        NetworkNeed::Wifi => (!is_wifi(network)).then_some(Reason::NotWifi),
    };
    let roaming = (network.roaming && !conditions.roaming).then_some(Reason::Roaming);
    [reach(network), link, roaming].into_iter().flatten().collect()
}

/// What is missing where the network does not reach the server. A server on the link itself needs no internet.
pub(super) fn reach(network: &Network) -> Option<Reason> {
    match network.connectivity {
        Connectivity::Unknown | Connectivity::Full => None,
        Connectivity::None | Connectivity::Limited => (!network.direct).then_some(Reason::NoInternet),
        Connectivity::Portal => Some(Reason::CaptivePortal),
    }
}

fn missing_of_power(conditions: &Conditions, power: &Power) -> Vec<Reason> {
    let charging = (conditions.charging && !power.external).then_some(Reason::NotCharging);
    let low = power.reached < conditions.min_battery;
    let battery = (!power.external && low).then_some(Reason::LowBattery);
    let power_save = (conditions.heed_power_save && power.power_save).then_some(Reason::PowerSave);
    [charging, battery, power_save].into_iter().flatten().collect()
}

/// Whether bytes cost nothing there.
pub(super) fn is_unmetered(network: &Network) -> bool {
    match network.metered {
        Metered::No | Metered::GuessNo => true,
        Metered::Unknown => is_wifi(network),
        Metered::Yes | Metered::GuessYes => false,
    }
}

fn is_wifi(network: &Network) -> bool {
    match network.link {
        LinkType::Wifi | LinkType::Ethernet => true,
        LinkType::Cellular | LinkType::Other | LinkType::None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Battery, BatteryFloor, Span, Window};

    fn free() -> Conditions {
        Conditions {
            network: NetworkNeed::Any,
            roaming: true,
            charging: false,
            min_battery: BatteryFloor::default(),
            heed_power_save: false,
            heed_slow_link: false,
            window: Window::default(),
            metered_budget: None,
        }
    }

    fn network(link: LinkType, metered: Metered) -> Network {
        Network { connected: true, link, metered, connectivity: Connectivity::Full, ..Network::none() }
    }

    fn world(power: Power) -> World {
        World { power, ..World::unknown() }
    }

    fn situation<'a>(network: Option<&'a Network>, world: &'a World) -> Situation<'a> {
        Situation { network, world, now: WallTime::default(), spent: 0, certified: false, slow: false }
    }

    fn on(conditions: &Conditions, network: &Network) -> Vec<Reason> {
        blocked(conditions, situation(Some(network), &World::unknown()))
    }

    #[test]
    fn without_a_route_only_offline_is_said_of_the_network() {
        let choosy = Conditions { network: NetworkNeed::Wifi, roaming: false, ..free() };
        assert_eq!(blocked(&choosy, situation(None, &World::unknown())), [Reason::Offline]);
        assert_eq!(on(&choosy, &Network { roaming: true, ..Network::none() }), [Reason::Offline]);
    }

    #[test]
    fn reach() {
        for (connectivity, reason) in [
            (Connectivity::Unknown, None),
            (Connectivity::Full, None),
            (Connectivity::None, Some(Reason::NoInternet)),
            (Connectivity::Limited, Some(Reason::NoInternet)),
            (Connectivity::Portal, Some(Reason::CaptivePortal)),
        ] {
            let network = Network { connectivity, ..network(LinkType::Wifi, Metered::No) };
            assert_eq!(on(&free(), &network), reason.into_iter().collect::<Vec<_>>(), "{connectivity}");
        }
    }

    #[test]
    fn unmetered_takes_no_and_guess_no_and_unknown_only_on_wifi_and_ethernet() {
        let unmetered = Conditions { network: NetworkNeed::Unmetered, ..free() };
        for link in [LinkType::Wifi, LinkType::Ethernet, LinkType::Cellular, LinkType::Other] {
            for metered in Metered::ALL.iter().copied() {
                let good = match metered {
                    Metered::No | Metered::GuessNo => true,
                    Metered::Yes | Metered::GuessYes => false,
                    Metered::Unknown => link == LinkType::Wifi || link == LinkType::Ethernet,
                };
                let expected = if good { vec![] } else { vec![Reason::Metered] };
                assert_eq!(on(&unmetered, &network(link, metered)), expected, "{link} {metered}");
                assert_eq!(on(&free(), &network(link, metered)), []);
            }
        }
    }

    #[test]
    fn wifi_takes_wifi_and_ethernet_metered_or_not() {
        let wifi = Conditions { network: NetworkNeed::Wifi, ..free() };
        assert_eq!(on(&wifi, &network(LinkType::Wifi, Metered::Yes)), []);
        assert_eq!(on(&wifi, &network(LinkType::Ethernet, Metered::Yes)), []);
        assert_eq!(on(&wifi, &network(LinkType::Cellular, Metered::No)), [Reason::NotWifi]);
        assert_eq!(on(&wifi, &network(LinkType::Other, Metered::No)), [Reason::NotWifi]);
    }

    #[test]
    fn roaming_matters_to_those_who_mind() {
        let abroad = Network { roaming: true, ..network(LinkType::Cellular, Metered::GuessYes) };
        assert_eq!(on(&Conditions { roaming: false, ..free() }, &abroad), [Reason::Roaming]);
        assert_eq!(on(&free(), &abroad), []);
    }

    #[test]
    fn nobody_goes_while_the_device_goes_to_sleep() {
        let world = World { suspending: true, ..World::unknown() };
        assert_eq!(
            blocked(&free(), situation(Some(&network(LinkType::Wifi, Metered::No)), &world)),
            [Reason::Suspending]
        );
    }

    #[test]
    fn power() {
        let wifi = network(LinkType::Wifi, Metered::No);
        let of = |battery: Battery| Power { external: false, battery, reached: battery.reaches(), ..Power::mains() };
        let battery = |percent| of(Battery::Percent(percent));
        let floor = Conditions { min_battery: BatteryFloor::new(30).expect("a floor"), ..free() };
        let charging = Conditions { charging: true, ..free() };
        let saver = Conditions { heed_power_save: true, ..free() };
        let ask = |conditions: &Conditions, power| blocked(conditions, situation(Some(&wifi), &world(power)));

        assert_eq!(ask(&floor, battery(29.9)), [Reason::LowBattery]);
        assert_eq!(ask(&floor, battery(30.0)), []);
        assert_eq!(ask(&floor, Power { external: true, ..battery(5.0) }), []);
        assert_eq!(ask(&floor, of(Battery::None)), []);
        let unreadable = of(Battery::Unreadable);
        assert_eq!(ask(&floor, unreadable.clone()), [Reason::LowBattery], "never taken for good news");
        assert_eq!(ask(&free(), unreadable), []);
        assert_eq!(ask(&charging, battery(100.0)), [Reason::NotCharging]);
        assert_eq!(ask(&charging, Power::mains()), []);
        assert_eq!(ask(&saver, Power { power_save: true, ..Power::mains() }), [Reason::PowerSave]);
        assert_eq!(ask(&free(), Power { power_save: true, ..battery(1.0) }), []);
    }

    #[test]
    fn a_slow_link_holds_back_those_who_mind() {
        let wifi = network(LinkType::Wifi, Metered::No);
        let photo = Conditions { heed_slow_link: true, ..free() };
        let world = World::unknown();
        let slow = Situation { slow: true, ..situation(Some(&wifi), &world) };
        assert_eq!((blocked(&photo, slow), blocked(&free(), slow)), (vec![Reason::SlowLink], vec![]));
        assert_eq!(blocked(&photo, situation(Some(&wifi), &world)), []);
    }

    #[test]
    fn hours_and_a_budget() {
        let evening = Window::new(Span::new(22 * 60, 6 * 60).into_iter().collect());
        let (hours, frugal) =
            (Conditions { window: evening, ..free() }, Conditions { metered_budget: Some(100), ..free() });
        let (modem, wifi) = (network(LinkType::Cellular, Metered::GuessYes), network(LinkType::Wifi, Metered::No));
        let world = World::unknown();
        let ask = |conditions: &Conditions, network: &Network, hour: u64, spent: u64| {
            let now = WallTime::from_micros(hour * 3_600_000_000);
            blocked(conditions, Situation { now, spent, ..situation(Some(network), &world) })
        };
        assert_eq!(ask(&hours, &wifi, 21, 0), [Reason::Window]);
        assert_eq!(ask(&hours, &wifi, 22, 0), []);
        assert_eq!(ask(&frugal, &modem, 0, 99), []);
        assert_eq!(ask(&frugal, &modem, 0, 100), [Reason::Budget]);
        assert_eq!(ask(&frugal, &wifi, 0, 100), []);
        assert_eq!(ask(&Conditions { metered_budget: Some(0), ..free() }, &modem, 0, 0), [Reason::Budget]);
        assert_eq!(blocked(&frugal, Situation { spent: 100, ..situation(None, &world) }), [Reason::Offline]);
    }

    #[test]
    fn without_a_date_what_hangs_on_it_waits_and_nothing_else() {
        let morning = Window::new(Span::new(0, 60).into_iter().collect());
        let (hours, frugal) =
            (Conditions { window: morning, ..free() }, Conditions { metered_budget: Some(0), ..free() });
        let (modem, wifi) = (network(LinkType::Cellular, Metered::GuessYes), network(LinkType::Wifi, Metered::No));
        let world = World { clock_unset: true, ..World::unknown() };
        let ask = |conditions: &Conditions, network: &Network, certified: bool| {
            blocked(conditions, Situation { certified, ..situation(Some(network), &world) })
        };
        assert_eq!(ask(&free(), &modem, false), []);
        assert_eq!(ask(&free(), &modem, true), [Reason::Clock]);
        assert_eq!(ask(&hours, &wifi, false), [Reason::Clock], "whatever the hour seems to be");
        assert_eq!(ask(&frugal, &wifi, false), []);
        assert_eq!(ask(&frugal, &modem, false), [Reason::Clock]);
    }
}
