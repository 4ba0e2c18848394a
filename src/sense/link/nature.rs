//! What a link is like: its type, what its bytes cost, its radio; of a tunnel, as what carries it. Pure; it knows no routes.

use netlink_packet_route::link::LinkLayerType;

use super::sysfs::Radio;
use super::tables::Interface;
use crate::model::{self, Facts, InterfaceFacts, InterfaceRule, LinkType, Metered};

/// An interface and all that carries it.
pub(super) struct Stack<'a> {
    /// The interface itself and what is between, if another carries it.
    pub(super) above: Vec<&'a Interface>,
    /// What carries the others.
    pub(super) bottom: &'a Interface,
}

impl<'a> Stack<'a> {
    /// From the interface itself down.
    pub(super) fn levels(&self) -> impl Iterator<Item = &'a Interface> {
        self.above.iter().copied().chain([self.bottom])
    }
}

/// What a link is like.
pub(super) struct Nature {
    pub(super) link: LinkType,
    pub(super) metered: Metered,
    pub(super) roaming: bool,
    pub(super) radio: model::Radio,
}

impl Nature {
    /// Of each, what is said of the highest level of which anything is: an admin or NetworkManager may know of a tunnel
    /// what its carrier does not show.
    pub(super) fn of(stack: &Stack<'_>, rules: &[InterfaceRule], facts: &Facts) -> Self {
        let levels: Vec<Level<'_>> = stack.levels().map(|level| Level::of(level, rules, facts)).collect();
        let types = levels.iter().filter_map(|level| level.rule?.link).chain(bottom_type(&levels, stack.bottom));
        let guess =
            if types.clone().any(|link| link == LinkType::Cellular) { Metered::GuessYes } else { Metered::GuessNo };
        Self {
            link: types.clone().next().unwrap_or(LinkType::Other),
            metered: levels.iter().find_map(Level::metered).or_else(|| guessed(&levels)).unwrap_or(guess),
            roaming: levels.iter().find_map(|level| level.facts?.roaming).unwrap_or(false),
            radio: levels.iter().find_map(|level| level.facts?.radio.clone()).unwrap_or_default(),
        }
    }
}

/// What is said of one interface.
struct Level<'a> {
    rule: Option<&'a InterfaceRule>,
    facts: Option<&'a InterfaceFacts>,
}

impl<'a> Level<'a> {
    fn of(interface: &Interface, rules: &'a [InterfaceRule], facts: &'a Facts) -> Self {
        let facts = facts.get(&interface.name);
        let ssid = facts.and_then(|facts| facts.radio.as_ref()).map(|radio| &radio.ssid);
        let fits = |rule: &&InterfaceRule| {
            matches(&rule.pattern, &interface.name) && rule.ssid.as_ref().is_none_or(|wanted| ssid == Some(wanted))
        };
        Self { rule: rules.iter().find(fits), facts }
    }

    /// What NetworkManager was told (by its user, or by the access point) is surer than a rule.
    fn metered(&self) -> Option<Metered> {
        let told = self.by_manager().filter(|metered| matches!(metered, Metered::Yes | Metered::No));
        told.or_else(|| self.rule?.metered)
    }

    fn by_manager(&self) -> Option<Metered> {
        self.facts.and_then(|facts| facts.metered).filter(|metered| *metered != Metered::Unknown)
    }
}

/// NetworkManager has a guess for every link. That a tunnel would be free says nothing of its carrier, that anything costs does.
fn guessed(levels: &[Level<'_>]) -> Option<Metered> {
    let costs = levels.iter().find_map(|level| level.by_manager().filter(|metered| *metered == Metered::GuessYes));
    costs.or_else(|| levels.last()?.by_manager())
}

/// The type of what carries all else, unless a rule says it.
fn bottom_type(levels: &[Level<'_>], bottom: &Interface) -> Option<LinkType> {
    let level = levels.last().filter(|level| level.rule.is_none_or(|rule| rule.link.is_none()))?;
    let in_a_wifi = level.facts.is_some_and(|facts| facts.radio.is_some());
    Some(match make(bottom) {
        // sysfs may be another namespace's.
        Make::Real(LinkType::Ethernet) if in_a_wifi => LinkType::Wifi,
        Make::Real(link) | Make::Carried { otherwise: link } => link,
    })
}

/// What an interface is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Make {
    Real(LinkType),
    /// Another link carries its packets; `otherwise` if that cannot be found.
    Carried {
        otherwise: LinkType,
    },
}

pub(super) fn make(interface: &Interface) -> Make {
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

    fn rule(pattern: &str, ssid: Option<&str>, link: Option<LinkType>, metered: Option<Metered>) -> InterfaceRule {
        InterfaceRule { pattern: pattern.into(), ssid: ssid.map(Into::into), link, metered }
    }

    fn in_wifi(ssid: &str) -> InterfaceFacts {
        let radio = model::Radio { ssid: ssid.into(), strength: 60, frequency: 2437 };
        InterfaceFacts { radio: Some(radio), ..InterfaceFacts::default() }
    }

    fn by_manager(metered: Metered) -> InterfaceFacts {
        InterfaceFacts { metered: Some(metered), ..InterfaceFacts::default() }
    }

    fn facts<const N: usize>(facts: [(&str, InterfaceFacts); N]) -> Facts {
        facts.map(|(name, facts)| (name.to_owned(), facts)).into()
    }

    /// A tunnel over Wi-Fi over nothing.
    fn with_tunnel(see: impl Fn(&Stack<'_>)) {
        let tunnel = interface(1, "wg0", Some("wireguard"));
        let wifi = Interface { radio: Some(Radio::Wifi), ..interface(2, "wlan0", None) };
        see(&Stack { above: vec![&tunnel], bottom: &wifi });
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
    fn what_costs_is_said_by_the_manager_then_by_a_rule_then_by_the_carrier_then_by_the_type() {
        with_tunnel(|stack| {
            let metered = |rules: &[InterfaceRule], facts: &Facts| Nature::of(stack, rules, facts).metered;
            let of_carrier = rule("wlan0", None, None, Some(Metered::Yes));
            let of_tunnel = rule("wg0", None, None, Some(Metered::Unknown));
            assert_eq!(metered(&[], &Facts::new()), Metered::GuessNo);
            assert_eq!(metered(std::slice::from_ref(&of_carrier), &Facts::new()), Metered::Yes);
            let rules = [of_carrier, of_tunnel];
            let carrier_said = ("wlan0", by_manager(Metered::No));
            assert_eq!(metered(&rules[..1], &facts([carrier_said.clone()])), Metered::No);
            assert_eq!(
                metered(&rules, &facts([carrier_said.clone()])),
                Metered::Unknown,
                "a rule of the tunnel itself"
            );
            assert_eq!(
                metered(&rules, &facts([carrier_said.clone(), ("wg0", by_manager(Metered::Yes))])),
                Metered::Yes
            );
            let says_nothing = ("wg0", by_manager(Metered::Unknown));
            assert_eq!(metered(&rules[..1], &facts([carrier_said, says_nothing])), Metered::No);
            let guessed = facts([("wlan0", by_manager(Metered::GuessYes))]);
            assert_eq!(metered(&[], &guessed), Metered::GuessYes);
            for costs in [Metered::Yes, Metered::GuessYes] {
                let free = ("wg0", by_manager(Metered::GuessNo));
                assert_eq!(metered(&[], &facts([("wlan0", by_manager(costs)), free])), costs, "a guess for every link");
            }
            assert_eq!(metered(&rules[..1], &facts([("wg0", by_manager(Metered::GuessNo))])), Metered::Yes);
            assert_eq!(metered(&[rule("wlan0", None, None, Some(Metered::No))], &guessed), Metered::No);
        });
    }

    #[test]
    fn a_tunnel_called_something_else_still_costs_what_its_carrier_costs() {
        let tunnel = interface(1, "wg0", Some("wireguard"));
        let modem = Interface { radio: Some(Radio::Modem), ..interface(2, "wwan0", None) };
        let stack = Stack { above: vec![&tunnel], bottom: &modem };
        let office = Nature::of(&stack, &[rule("wg0", None, Some(LinkType::Ethernet), None)], &Facts::new());
        assert_eq!((office.link, office.metered), (LinkType::Ethernet, Metered::GuessYes));
    }

    #[test]
    fn a_rule_with_an_ssid_fits_only_what_is_in_that_wifi() {
        let (wifi, cable) =
            (Interface { radio: Some(Radio::Wifi), ..interface(1, "wlan0", None) }, interface(2, "eth0", None));
        let hotspot = rule("*", Some("Phone"), None, Some(Metered::Yes));
        let elsewhere = rule("wlan1", Some("Phone"), None, Some(Metered::No));
        let metered = |interface, facts: &Facts| {
            Nature::of(&Stack { above: vec![], bottom: interface }, &[elsewhere.clone(), hotspot.clone()], facts)
                .metered
        };
        assert_eq!(metered(&wifi, &facts([("wlan0", in_wifi("Phone"))])), Metered::Yes);
        assert_eq!(metered(&wifi, &facts([("wlan0", in_wifi("Home"))])), Metered::GuessNo);
        assert_eq!(metered(&wifi, &Facts::new()), Metered::GuessNo);
        assert_eq!(metered(&cable, &facts([("wlan0", in_wifi("Phone"))])), Metered::GuessNo);
    }

    #[test]
    fn a_tunnel_shows_the_radio_and_the_roaming_of_its_carrier() {
        with_tunnel(|stack| {
            let abroad = InterfaceFacts { roaming: Some(true), ..in_wifi("Home") };
            let nature = Nature::of(stack, &[], &facts([("wlan0", abroad)]));
            assert!(nature.roaming);
            assert_eq!((nature.radio.ssid.as_str(), nature.radio.strength, nature.radio.frequency), ("Home", 60, 2437));
            assert!(!Nature::of(stack, &[], &Facts::new()).roaming);
        });
    }

    #[test]
    fn what_is_in_a_wifi_is_one_though_its_driver_says_nothing() {
        let bare = interface(1, "wlan0", None);
        let link = |facts: &Facts| Nature::of(&Stack { above: vec![], bottom: &bare }, &[], facts).link;
        assert_eq!(link(&facts([("wlan0", in_wifi("Home"))])), LinkType::Wifi);
        assert_eq!(link(&Facts::new()), LinkType::Ethernet);
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
