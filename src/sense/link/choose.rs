//! From the kernel's tables to the network that one backend's traffic meets. Pure.

use std::net::{IpAddr, Ipv6Addr};

use super::nature::{Make, Nature, Stack, make};
use super::tables::{Address, DefaultRoute, Hop, Interface, Lookup, Tables};
use crate::model::{Connectivity, Facts, InterfaceRule, Network};

/// How many interfaces may be built on one another before we stop asking what carries them.
const DEEPEST: usize = 8;

/// The network as seen by traffic to these addresses.
pub(super) fn network(targets: &[IpAddr], tables: &Tables, rules: &[InterfaceRule], facts: &Facts) -> Network {
    let Some(Way { interface, source, gateway, direct }) = way(targets, tables) else {
        return Network::none();
    };
    let stack = stack(interface, tables);
    let Nature { link, metered, max_rate, roaming, radio } = Nature::of(&stack, rules, facts);
    Network {
        connected: true,
        link,
        interface: interface.name.clone(),
        carrier: stack.bottom.name.clone(),
        gateway: gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        direct: direct && stack.levels().all(|level| is_built_on_a_link(level, tables)),
        connectivity: Connectivity::Unknown,
        metered,
        max_rate,
        roaming,
        ssid: radio.ssid,
        strength: radio.strength,
        frequency: radio.frequency,
        subnet: subnet(interface, source, tables),
    }
}

/// How packets leave.
struct Way<'a> {
    interface: &'a Interface,
    source: Option<IpAddr>,
    gateway: Option<IpAddr>,
    /// To this host itself or to a neighbour on the link.
    direct: bool,
}

/// The way to the first address that can be reached. If no route speaks of any of them (none is known, or they are of a
/// protocol that this network has not), a default route will do: the name may resolve to others here.
fn way<'a>(targets: &[IpAddr], tables: &'a Tables) -> Option<Way<'a>> {
    let lookup = |target: &IpAddr| *tables.lookups.get(target).unwrap_or(&Lookup::NoRoute);
    if targets.iter().all(|target| lookup(target) == Lookup::NoRoute) {
        return defaults(tables).next();
    }
    targets.iter().find_map(|target| match lookup(target) {
        Lookup::Via { interface, source, hop } => {
            let interface = tables.interfaces.get(&interface).filter(|interface| interface.up)?;
            let (direct, gateway) = match hop {
                Hop::Host => (true, None),
                Hop::Gateway(gateway) => (false, gateway),
                // A modem's default route names no gateway either.
                Hop::Link => (addresses(interface, tables).any(|own| is_in_subnet(*target, own)), None),
            };
            reaches(source?, *target).then_some(Way { interface, source, gateway, direct })
        }
        Lookup::Refused | Lookup::NoRoute => None,
    })
}

/// Whether an address is of the subnet that another is of.
fn is_in_subnet(target: IpAddr, own: &Address) -> bool {
    let differing = match (target.to_canonical(), own.address) {
        (IpAddr::V4(target), IpAddr::V4(own)) => (target.to_bits() ^ own.to_bits()).leading_zeros(),
        (IpAddr::V6(target), IpAddr::V6(own)) => (target.to_bits() ^ own.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    differing >= u32::from(own.prefix)
}

fn addresses<'a>(interface: &'a Interface, tables: &'a Tables) -> impl Iterator<Item = &'a Address> {
    tables.addresses.iter().filter(|address| address.interface == interface.index)
}

/// The default routes that lead somewhere, the preferred first; IPv4 before IPv6 where they are equal.
fn defaults(tables: &Tables) -> impl Iterator<Item = Way<'_>> {
    let mut routes: Vec<_> = tables.defaults.iter().collect();
    routes.sort_by_key(|route| (route.metric, route.ipv6));
    // One that throws packets away hides those of its protocol that come after it.
    let wall = |ipv6| routes.iter().find(|route| route.ipv6 == ipv6 && route.interfaces.is_empty()).map(|it| it.metric);
    let walls = [wall(false), wall(true)];
    let open = move |route: &&DefaultRoute| walls[usize::from(route.ipv6)].is_none_or(|wall| route.metric < wall);
    routes.into_iter().filter(open).flat_map(move |route| {
        let interfaces = route.interfaces.iter().filter_map(|index| tables.interfaces.get(index));
        interfaces.filter(|interface| interface.up).filter_map(move |interface| {
            let source = route.source.or_else(|| source(interface, route.ipv6, tables));
            // Without an address IPv4 may borrow one from another interface. IPv6 has at least a link-local one at once,
            // its route too, but the address that reaches further comes later.
            let way = Way { interface, source, gateway: route.gateway, direct: false };
            (!route.ipv6 || source.is_some()).then_some(way)
        })
    })
}

/// An address of the interface from which packets can go anywhere.
fn source(interface: &Interface, ipv6: bool, tables: &Tables) -> Option<IpAddr> {
    let own = addresses(interface, tables).filter(|own| own.settled);
    own.map(|own| own.address).find(|&address| {
        let everywhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        address.is_ipv6() == ipv6 && reaches(address, everywhere)
    })
}

/// Whether packets from this address find their way to that one and back.
fn reaches(source: IpAddr, target: IpAddr) -> bool {
    match (source, target.to_canonical()) {
        (IpAddr::V6(source), IpAddr::V6(target)) => {
            !source.is_unspecified() && (!source.is_unicast_link_local() || target.is_unicast_link_local())
        }
        (source, _) => !source.is_unspecified(),
    }
}

/// The source address with its prefix; of another interface's address, which is borrowed, nothing.
fn subnet(interface: &Interface, source: Option<IpAddr>, tables: &Tables) -> String {
    let own = |wanted: &IpAddr| addresses(interface, tables).find(|own| own.address == *wanted);
    source.as_ref().and_then(own).map(|own| format!("{}/{}", own.address, own.prefix)).unwrap_or_default()
}

/// An interface with all that carries it.
fn stack<'a>(interface: &'a Interface, tables: &'a Tables) -> Stack<'a> {
    let mut stack = Stack { above: Vec::new(), bottom: interface };
    while stack.above.len() < DEEPEST
        && let Some(next) = carrier(stack.bottom, tables)
    {
        stack.above.push(stack.bottom);
        stack.bottom = next;
    }
    stack
}

/// The link below a tunnel: the one it is built on, else the best default route that is no tunnel.
fn carrier<'a>(interface: &Interface, tables: &'a Tables) -> Option<&'a Interface> {
    match make(interface) {
        Make::Real(_) => None,
        Make::Carried { .. } => lower(interface, tables)
            .or_else(|| defaults(tables).map(|way| way.interface).find(|other| matches!(make(other), Make::Real(_)))),
    }
}

fn lower<'a>(interface: &Interface, tables: &'a Tables) -> Option<&'a Interface> {
    interface.lower.and_then(|index| tables.interfaces.get(&index))
}

/// Whether its neighbours are those of a real link, and not behind a tunnel that goes anywhere.
fn is_built_on_a_link(interface: &Interface, tables: &Tables) -> bool {
    matches!(make(interface), Make::Real(_)) || lower(interface, tables).is_some()
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkLayerType;

    use super::super::sysfs::Radio;
    use super::*;
    use crate::model::{InterfaceFacts, LinkType, Metered};

    fn interface(index: u32, name: &str, kind: Option<&str>) -> Interface {
        Interface {
            index,
            name: name.into(),
            up: true,
            hardware: LinkLayerType::Ether,
            kind: kind.map(Into::into),
            lower: None,
            radio: None,
        }
    }

    fn default_by(index: u32, metric: u32) -> DefaultRoute {
        DefaultRoute { ipv6: false, metric, interfaces: vec![index], source: None, gateway: None }
    }

    /// The interfaces, each with a default route; the first is preferred.
    fn tables(interfaces: Vec<Interface>) -> Tables {
        let defaults =
            interfaces.iter().zip(0..).map(|(interface, metric)| default_by(interface.index, metric)).collect();
        let interfaces = interfaces.into_iter().map(|interface| (interface.index, interface)).collect();
        Tables { interfaces, defaults, ..Tables::default() }
    }

    fn rule(pattern: &str, link: Option<LinkType>, metered: Option<Metered>) -> InterfaceRule {
        InterfaceRule { pattern: pattern.into(), ssid: None, link, metered, max_rate: None }
    }

    /// Name, type and metering of what traffic to nowhere in particular meets.
    fn shown(tables: &Tables, rules: &[InterfaceRule]) -> (String, LinkType, Metered) {
        let network = network(&[], tables, rules, &Facts::new());
        assert!(network.connected);
        (network.interface, network.link, network.metered)
    }

    #[test]
    fn a_tunnel_is_as_the_best_default_route_that_is_none() {
        let wifi = Interface { radio: Some(Radio::Wifi), ..interface(4, "wlan0", None) };
        let modem = Interface { radio: Some(Radio::Modem), ..interface(3, "wwan0", None) };
        let tunnels = [interface(1, "wg0", Some("wireguard")), interface(2, "tun0", Some("tun"))];
        let all = tables([&tunnels[..], &[modem.clone(), wifi.clone()]].concat());
        assert_eq!(shown(&all, &[]), ("wg0".into(), LinkType::Cellular, Metered::GuessYes));
        let down = tables([&tunnels[..], &[Interface { up: false, ..modem }, wifi]].concat());
        assert_eq!(shown(&down, &[]), ("wg0".into(), LinkType::Wifi, Metered::GuessNo));
        assert_eq!(shown(&tables(tunnels.to_vec()), &[]), ("wg0".into(), LinkType::Other, Metered::GuessNo));
        let dialled = tables(vec![interface(1, "ppp0", Some("ppp"))]);
        assert_eq!(shown(&dialled, &[]), ("ppp0".into(), LinkType::Cellular, Metered::GuessYes));
    }

    #[test]
    fn a_tunnel_takes_what_a_rule_says_of_its_carrier_unless_a_rule_speaks_of_it() {
        let all = tables(vec![interface(1, "wg0", Some("wireguard")), interface(2, "eth1", None)]);
        let modem = rule("eth?", Some(LinkType::Cellular), None);
        assert_eq!(shown(&all, std::slice::from_ref(&modem)).1, LinkType::Cellular);
        let cheap = rule("wg*", None, Some(Metered::No));
        assert_eq!(shown(&all, &[modem.clone(), cheap]), ("wg0".into(), LinkType::Cellular, Metered::No));
        let office = rule("*", Some(LinkType::Ethernet), None);
        assert_eq!(shown(&all, &[office, modem]), ("wg0".into(), LinkType::Ethernet, Metered::GuessNo));
    }

    #[test]
    fn links_built_on_one_another_end_somewhere() {
        let on = |index, lower| Interface { lower: Some(lower), ..interface(index, "vlan", Some("vlan")) };
        let modem = Interface { radio: Some(Radio::Modem), ..interface(3, "wwan0", None) };
        let mut stack = tables(vec![on(1, 2), on(2, 3), modem]);
        stack.defaults.truncate(1);
        assert_eq!(shown(&stack, &[]).1, LinkType::Cellular);
        assert_eq!(shown(&tables(vec![on(1, 2), on(2, 1)]), &[]).1, LinkType::Other);
    }

    #[test]
    fn a_wall_hides_what_comes_after_it_in_its_own_protocol() {
        let mut tables = tables(vec![interface(1, "eth0", None)]);
        tables.defaults = vec![DefaultRoute { interfaces: vec![], ..default_by(0, 10) }, default_by(1, 20)];
        assert_eq!(network(&[], &tables, &[], &Facts::new()), Network::none());
        tables.defaults.push(DefaultRoute {
            ipv6: true,
            source: Some("fd77::2".parse().unwrap()),
            ..default_by(1, 30)
        });
        assert!(network(&[], &tables, &[], &Facts::new()).connected);
        tables.defaults.push(DefaultRoute { ipv6: true, interfaces: vec![], ..default_by(0, 30) });
        assert_eq!(network(&[], &tables, &[], &Facts::new()), Network::none());
        tables.defaults.push(default_by(1, 5));
        assert!(network(&[], &tables, &[], &Facts::new()).connected);
    }

    #[test]
    fn ipv6_needs_a_settled_address_that_reaches_beyond_the_link() {
        let mut tables = tables(vec![interface(1, "eth0", None)]);
        tables.defaults = vec![DefaultRoute { ipv6: true, ..default_by(1, 1024) }];
        let address =
            |address: &str, settled| Address { interface: 1, address: address.parse().unwrap(), prefix: 64, settled };
        tables.addresses = vec![address("fe80::2", true), address("2001:db8::2", false), address("192.0.2.7", true)];
        assert_eq!(network(&[], &tables, &[], &Facts::new()), Network::none());
        tables.addresses[1].settled = true;
        assert_eq!(network(&[], &tables, &[], &Facts::new()).subnet, "2001:db8::2/64");
    }

    #[test]
    fn targets_are_tried_in_order_and_a_default_route_only_if_no_route_speaks_of_them() {
        let [near, far, other] = ["192.0.2.1", "198.51.100.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        let mut tables = tables(vec![interface(1, "eth0", None), interface(2, "eth1", None)]);
        let by = |index| Lookup::Via {
            interface: index,
            source: Some("192.0.2.7".parse().unwrap()),
            hop: Hop::Gateway(None),
        };
        let name = |tables: &Tables| network(&[near, far, other], tables, &[], &Facts::new()).interface;
        assert_eq!(name(&tables), "eth0");
        tables.lookups = [(near, Lookup::NoRoute), (far, by(2)), (other, Lookup::NoRoute)].into();
        assert_eq!(name(&tables), "eth1");
        tables.lookups = [(near, Lookup::Refused), (far, Lookup::NoRoute), (other, Lookup::NoRoute)].into();
        assert_eq!(name(&tables), "");
        tables.lookups.insert(far, Lookup::Via { interface: 1, source: None, hop: Hop::Gateway(None) });
        assert_eq!(name(&tables), "", "nothing to send from");
        tables.lookups.insert(near, by(7));
        assert_eq!(name(&tables), "", "an interface that has just gone");
    }

    #[test]
    fn what_carries_a_route_is_named_and_lends_its_facts() {
        let wifi = Interface { radio: Some(Radio::Wifi), ..interface(2, "wlan0", None) };
        let all = tables(vec![interface(1, "wg0", Some("wireguard")), wifi]);
        let said = InterfaceFacts { metered: Some(Metered::Yes), ..InterfaceFacts::default() };
        let shown = network(&[], &all, &[], &[("wlan0".to_owned(), said)].into());
        assert_eq!((shown.interface.as_str(), shown.carrier.as_str()), ("wg0", "wlan0"));
        assert_eq!((shown.link, shown.metered), (LinkType::Wifi, Metered::Yes));
        let shown = network(&[], &tables(vec![interface(1, "eth0", None)]), &[], &Facts::new());
        assert_eq!((shown.interface.as_str(), shown.carrier.as_str()), ("eth0", "eth0"));
    }

    #[test]
    fn only_a_neighbour_or_this_host_is_met_directly() {
        let [near, far]: [IpAddr; 2] = ["192.0.2.1", "198.51.100.1"].map(|address| address.parse().unwrap());
        let direct = |interfaces: Vec<Interface>, target: IpAddr, hop| {
            let mut tables = tables(interfaces);
            tables.addresses.push(Address {
                interface: 1,
                address: "192.0.2.7".parse().unwrap(),
                prefix: 24,
                settled: true,
            });
            let via = Lookup::Via { interface: 1, source: Some("192.0.2.7".parse().unwrap()), hop };
            tables.lookups.insert(target, via);
            network(&[target], &tables, &[], &Facts::new()).direct
        };
        let cable = || vec![interface(1, "eth0", None)];
        assert!(direct(cable(), near, Hop::Link));
        assert!(direct(cable(), far, Hop::Host));
        assert!(!direct(cable(), near, Hop::Gateway(None)));
        assert!(!direct(cable(), far, Hop::Link), "a modem's route needs no gateway");
        assert!(!direct(vec![interface(1, "wg0", Some("wireguard"))], near, Hop::Link), "a tunnel leads anywhere");
        let vlan = Interface { lower: Some(2), ..interface(1, "eth0.7", Some("vlan")) };
        assert!(direct(vec![vlan, interface(2, "eth0", None)], near, Hop::Link));
        assert!(!network(&[], &tables(cable()), &[], &Facts::new()).direct);
    }

    #[test]
    fn a_subnet_is_of_one_protocol() {
        let own =
            |address: &str, prefix| Address { interface: 1, address: address.parse().unwrap(), prefix, settled: true };
        let is_in = |target: &str, own: &Address| is_in_subnet(target.parse().unwrap(), own);
        assert!(is_in("192.0.2.129", &own("192.0.2.200", 25)) && !is_in("192.0.2.127", &own("192.0.2.200", 25)));
        assert!(is_in("::ffff:192.0.2.1", &own("192.0.2.2", 24)));
        assert!(is_in("192.0.2.2", &own("192.0.2.2", 32)) && !is_in("192.0.2.3", &own("192.0.2.2", 32)));
        assert!(is_in("fd77::1", &own("fd77::2", 64)) && !is_in("fd78::1", &own("fd77::2", 64)));
        assert!(!is_in("0.0.0.1", &own("::1", 0)));
    }
}
