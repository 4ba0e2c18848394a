//! From the kernel's tables to the network that one backend's traffic meets. Pure.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::link::LinkLayerType;

use super::sysfs::Radio;
use super::tables::{DefaultRoute, Interface, Lookup, Tables};
use crate::model::{Connectivity, InterfaceRule, LinkType, Metered, Network};

/// How many interfaces may be built on one another before we stop asking what carries them.
const DEEPEST: u8 = 8;

/// The network as seen by traffic to these addresses.
pub(super) fn network(targets: &[IpAddr], tables: &Tables, rules: &[InterfaceRule]) -> Network {
    let Some((interface, source)) = route(targets, tables) else {
        return Network::none();
    };
    let nature = nature(interface, tables, rules, DEEPEST);
    Network {
        connected: true,
        link: nature.link,
        interface: interface.name.clone(),
        connectivity: Connectivity::Unknown,
        metered: nature.metered,
        subnet: subnet(interface, source, tables),
        ..Network::none()
    }
}

/// The interface and source address for traffic to the first address that can be reached. If no route speaks of any of
/// them (none is known, or they are of a protocol that this network has not), a default route will do: the name may
/// resolve to others here.
fn route<'a>(targets: &[IpAddr], tables: &'a Tables) -> Option<(&'a Interface, Option<IpAddr>)> {
    let lookup = |target: &IpAddr| *tables.lookups.get(target).unwrap_or(&Lookup::NoRoute);
    if targets.iter().all(|target| lookup(target) == Lookup::NoRoute) {
        return defaults(tables).next();
    }
    targets.iter().find_map(|target| match lookup(target) {
        Lookup::Via { interface, source } => {
            let interface = tables.interfaces.get(&interface).filter(|interface| interface.up)?;
            reaches(source?, *target).then_some((interface, source))
        }
        Lookup::Refused | Lookup::NoRoute => None,
    })
}

/// The default routes that lead somewhere, the preferred first; IPv4 before IPv6 where they are equal.
fn defaults(tables: &Tables) -> impl Iterator<Item = (&Interface, Option<IpAddr>)> {
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
            (!route.ipv6 || source.is_some()).then_some((interface, source))
        })
    })
}

/// An address of the interface from which packets can go anywhere.
fn source(interface: &Interface, ipv6: bool, tables: &Tables) -> Option<IpAddr> {
    let own = tables.addresses.iter().filter(|address| address.interface == interface.index && address.settled);
    own.map(|address| address.address).find(|&address| {
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
    let own = |wanted: &IpAddr| {
        tables.addresses.iter().find(|own| own.interface == interface.index && own.address == *wanted)
    };
    source.as_ref().and_then(own).map(|own| format!("{}/{}", own.address, own.prefix)).unwrap_or_default()
}

/// What a link is like.
#[derive(Debug, Clone, Copy)]
struct Nature {
    link: LinkType,
    metered: Metered,
}

impl Nature {
    fn of(link: LinkType) -> Self {
        let metered = if link == LinkType::Cellular { Metered::GuessYes } else { Metered::GuessNo };
        Self { link, metered }
    }
}

/// What an interface is like: by the first rule that knows its name; else as what carries it; else as its driver says.
fn nature(interface: &Interface, tables: &Tables, rules: &[InterfaceRule], depth: u8) -> Nature {
    let rule = rules.iter().find(|rule| matches(&rule.pattern, &interface.name));
    let own = match (make(interface), rule.and_then(|rule| rule.link)) {
        (_, Some(link)) | (Make::Real(link), None) => Nature::of(link),
        (Make::Carried { otherwise }, None) => carrier(interface, tables)
            .filter(|_| depth > 0)
            .map_or(Nature::of(otherwise), |carrier| nature(carrier, tables, rules, depth - 1)),
    };
    Nature { metered: rule.and_then(|rule| rule.metered).unwrap_or(own.metered), ..own }
}

/// What an interface is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Make {
    Real(LinkType),
    /// Another link carries its packets; `otherwise` if that cannot be found.
    Carried {
        otherwise: LinkType,
    },
}

fn make(interface: &Interface) -> Make {
    match interface.kind.as_deref() {
        Some("veth" | "bridge" | "bond" | "team" | "dsa") => Make::Real(LinkType::Ethernet),
        Some("virt_wifi") => Make::Real(LinkType::Wifi),
        Some("wwan" | "rmnet") => Make::Real(LinkType::Cellular),
        // On a device without a cable's or a radio's route beside it, it is dialled over a modem.
        Some("ppp") => Make::Carried { otherwise: LinkType::Cellular },
        // vlan, macvlan, tun, wireguard, gre, …
        Some(_) => Make::Carried { otherwise: LinkType::Other },
        None => device(interface),
    }
}

fn device(interface: &Interface) -> Make {
    match (interface.radio, interface.hardware) {
        (Some(Radio::Wifi), _) => Make::Real(LinkType::Wifi),
        (Some(Radio::Modem), _) => Make::Real(LinkType::Cellular),
        (Some(Radio::Bluetooth), _) => Make::Real(LinkType::Other),
        (None, LinkLayerType::Ether) => Make::Real(LinkType::Ethernet),
        (None, LinkLayerType::Rawip | LinkLayerType::PhonetPipe) => Make::Real(LinkType::Cellular),
        (None, LinkLayerType::Ppp) => Make::Carried { otherwise: LinkType::Cellular },
        (None, _) => Make::Real(LinkType::Other),
    }
}

/// The link below: the one it is built on, else the best default route that is no tunnel.
fn carrier<'a>(interface: &Interface, tables: &'a Tables) -> Option<&'a Interface> {
    let below = interface.lower.and_then(|index| tables.interfaces.get(&index));
    below.or_else(|| defaults(tables).map(|(other, _)| other).find(|other| matches!(make(other), Make::Real(_))))
}

/// Whether a name fits a pattern of `*` (any characters) and `?` (any one).
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on if what follows the last star does not fit: it takes one character more.
    let mut retry = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(&c) if c == '?' || c == name[n] => (p, n) = (p + 1, n + 1),
            _ => match retry {
                Some((star, taken)) => {
                    retry = Some((star, taken + 1));
                    (p, n) = (star + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

#[cfg(test)]
mod tests {
    use super::super::tables::Address;
    use super::*;

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
        DefaultRoute { ipv6: false, metric, interfaces: vec![index], source: None }
    }

    /// The interfaces, each with a default route; the first is preferred.
    fn tables(interfaces: Vec<Interface>) -> Tables {
        let defaults =
            interfaces.iter().zip(0..).map(|(interface, metric)| default_by(interface.index, metric)).collect();
        let interfaces = interfaces.into_iter().map(|interface| (interface.index, interface)).collect();
        Tables { interfaces, defaults, ..Tables::default() }
    }

    fn rule(pattern: &str, link: Option<LinkType>, metered: Option<Metered>) -> InterfaceRule {
        InterfaceRule { pattern: pattern.into(), link, metered }
    }

    /// Name, type and metering of what traffic to nowhere in particular meets.
    fn shown(tables: &Tables, rules: &[InterfaceRule]) -> (String, LinkType, Metered) {
        let network = network(&[], tables, rules);
        assert!(network.connected);
        (network.interface, network.link, network.metered)
    }

    #[test]
    fn a_device_is_what_its_radio_or_hardware_says() {
        let with = |radio, hardware| make(&Interface { radio, hardware, ..interface(1, "x", None) });
        assert_eq!(with(Some(Radio::Wifi), LinkLayerType::Ether), Make::Real(LinkType::Wifi));
        assert_eq!(with(Some(Radio::Modem), LinkLayerType::None), Make::Real(LinkType::Cellular));
        assert_eq!(with(Some(Radio::Bluetooth), LinkLayerType::Ether), Make::Real(LinkType::Other));
        assert_eq!(with(None, LinkLayerType::Ether), Make::Real(LinkType::Ethernet));
        assert_eq!(with(None, LinkLayerType::Rawip), Make::Real(LinkType::Cellular));
        assert_eq!(with(None, LinkLayerType::Loopback), Make::Real(LinkType::Other));
        assert_eq!(with(None, LinkLayerType::Ppp), Make::Carried { otherwise: LinkType::Cellular });
        assert_eq!(make(&interface(1, "x", Some("veth"))), Make::Real(LinkType::Ethernet));
        assert_eq!(make(&interface(1, "x", Some("wwan"))), Make::Real(LinkType::Cellular));
        assert_eq!(make(&interface(1, "x", Some("wireguard"))), Make::Carried { otherwise: LinkType::Other });
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
        assert_eq!(network(&[], &tables, &[]), Network::none());
        tables.defaults.push(DefaultRoute {
            ipv6: true,
            source: Some("fd77::2".parse().unwrap()),
            ..default_by(1, 30)
        });
        assert!(network(&[], &tables, &[]).connected);
        tables.defaults.push(DefaultRoute { ipv6: true, interfaces: vec![], ..default_by(0, 30) });
        assert_eq!(network(&[], &tables, &[]), Network::none());
        tables.defaults.push(default_by(1, 5));
        assert!(network(&[], &tables, &[]).connected);
    }

    #[test]
    fn ipv6_needs_a_settled_address_that_reaches_beyond_the_link() {
        let mut tables = tables(vec![interface(1, "eth0", None)]);
        tables.defaults = vec![DefaultRoute { ipv6: true, ..default_by(1, 1024) }];
        let address =
            |address: &str, settled| Address { interface: 1, address: address.parse().unwrap(), prefix: 64, settled };
        tables.addresses = vec![address("fe80::2", true), address("2001:db8::2", false), address("192.0.2.7", true)];
        assert_eq!(network(&[], &tables, &[]), Network::none());
        tables.addresses[1].settled = true;
        assert_eq!(network(&[], &tables, &[]).subnet, "2001:db8::2/64");
    }

    #[test]
    fn targets_are_tried_in_order_and_a_default_route_only_if_no_route_speaks_of_them() {
        let [near, far, other] = ["192.0.2.1", "198.51.100.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        let mut tables = tables(vec![interface(1, "eth0", None), interface(2, "eth1", None)]);
        let by = |index| Lookup::Via { interface: index, source: Some("192.0.2.7".parse().unwrap()) };
        let name = |tables: &Tables| network(&[near, far, other], tables, &[]).interface;
        assert_eq!(name(&tables), "eth0");
        tables.lookups = [(near, Lookup::NoRoute), (far, by(2)), (other, Lookup::NoRoute)].into();
        assert_eq!(name(&tables), "eth1");
        tables.lookups = [(near, Lookup::Refused), (far, Lookup::NoRoute), (other, Lookup::NoRoute)].into();
        assert_eq!(name(&tables), "");
        tables.lookups.insert(far, Lookup::Via { interface: 1, source: None });
        assert_eq!(name(&tables), "", "nothing to send from");
        tables.lookups.insert(near, by(7));
        assert_eq!(name(&tables), "", "an interface that has just gone");
    }

    #[test]
    fn patterns_are_those_of_a_shell() {
        for (pattern, name) in
            [("eth0", "eth0"), ("*", ""), ("*", "x"), ("usb?", "usb0"), ("w*n*0", "wwan0"), ("a*ab", "aaab")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("eth", "eth0"), ("eth0", "eth"), ("", "x"), ("usb?", "usb"), ("?", ""), ("*a", "ab")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
