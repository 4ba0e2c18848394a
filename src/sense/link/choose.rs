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
