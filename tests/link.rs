//! The link sense on real links between network namespaces: what is taken for online, and by which link.

#[path = "common/netns.rs"]
mod netns;
#[path = "common/sensed.rs"]
mod sensed;
#[path = "common/tunnel.rs"]
mod tunnel;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::process::Command;

use ferryd::model::{Connectivity, InterfaceFacts, InterfaceRule, LinkType, Metered, Network, Radio};
use netns::{Netns, Pair};
use sensed::{Sensed, backend, parsed};
use tunnel::Tunnel;

/// A network over a cable, as it should be shown.
fn cable(interface: &str, subnet: &str, gateway: &str) -> Network {
    Network {
        connected: true,
        link: LinkType::Ethernet,
        interface: interface.into(),
        carrier: interface.into(),
        gateway: gateway.into(),
        connectivity: Connectivity::Unknown,
        metered: Metered::GuessNo,
        subnet: subnet.into(),
        ..Network::none()
    }
}

fn uplink() -> Network {
    cable(Pair::UPLINK, "10.77.0.2/24", "10.77.0.1")
}

/// The same, to a neighbour on it.
fn near(network: Network) -> Network {
    Network { direct: true, gateway: String::new(), ..network }
}

fn rule(pattern: &str, link: Option<LinkType>, metered: Option<Metered>) -> InterfaceRule {
    InterfaceRule { pattern: pattern.into(), ssid: None, link, metered, max_rate: None }
}

#[test]
fn without_a_route_it_is_offline() {
    if !netns::require() {
        return;
    }
    let sensed = Sensed::start(&Netns::new(), &[]);
    assert_eq!(sensed.next(), Network::none());
}

#[test]
fn a_default_route_makes_it_online_and_a_lost_carrier_offline_though_the_route_stays() {
    if !netns::require() {
        return;
    }
    for addresses in [&[][..], &["203.0.113.7"][..]] {
        let pair = Pair::new();
        let sensed = Sensed::start(&pair.device, addresses);
        assert_eq!(sensed.next(), Network::none());
        pair.default_route();
        assert_eq!(sensed.next(), uplink());
        for _ in 0..2 {
            pair.unplug();
            assert_eq!(sensed.next(), Network::none());
            pair.plug();
            assert_eq!(sensed.next(), uplink());
        }
    }
}

/// The kernel takes nearly any bytes for a name; one that is no text once hid all other interfaces.
#[test]
fn an_interface_whose_name_is_no_text_hides_no_other() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let mut add = Command::new("ip");
    add.args(["link", "add", "name"]).arg(OsStr::from_bytes(b"odd\xff")).args(["type", "veth"]);
    assert!(pair.device.spawn(&mut add).expect("ip runs").wait().expect("it ends").success());
    assert_eq!(Sensed::start(&pair.device, &[]).next(), uplink());
}

#[test]
fn an_interface_switched_off_is_offline_until_it_and_its_route_are_back() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let sensed = Sensed::start(&pair.device, &[]);
    assert_eq!(sensed.next(), uplink());
    pair.device.ip("link set uplink down");
    assert_eq!(sensed.until_offline(), Network::none());
    pair.device.ip("link set uplink up");
    pair.default_route();
    assert_eq!(sensed.until_connected(), uplink());
    pair.device.ip("link delete uplink");
    assert_eq!(sensed.until_offline(), Network::none());
}

#[test]
fn a_route_to_the_backend_alone_will_do_for_that_backend() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let sensed = Sensed::start(&pair.device, &["203.0.113.8", "203.0.113.7"]);
    assert_eq!(sensed.next(), Network::none());
    pair.device.ip("route add 203.0.113.7/32 via 10.77.0.1");
    assert_eq!(sensed.next(), uplink());

    let (beside, far) = (backend("beside"), backend("far"));
    let both = BTreeMap::from([(beside.clone(), parsed(&["10.77.0.1"])), (far.clone(), parsed(&["203.0.113.8"]))]);
    sensed.targets.send(both).unwrap();
    let news = sensed.next_at().1.unwrap();
    assert_eq!(news, BTreeMap::from([(beside, near(uplink())), (far, Network::none())]));
}

#[test]
fn other_targets_are_looked_up_at_once() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let sensed = Sensed::start(&pair.device, &["203.0.113.7"]);
    assert_eq!(sensed.next(), Network::none());
    sensed.retarget(&[Pair::SERVER]);
    assert_eq!(sensed.next(), near(uplink()));
    sensed.retarget(&[]);
    assert_eq!(sensed.next(), Network::none());
    sensed.retarget(&[Pair::SERVER6]);
    assert_eq!(sensed.next(), near(cable(Pair::UPLINK, "fd77::2/64", "fd77::1")));
}

#[test]
fn a_route_that_throws_packets_away_is_none() {
    if !netns::require() {
        return;
    }
    for kind in ["blackhole", "unreachable", "prohibit"] {
        let pair = Pair::new();
        let [unknown, known, known6] =
            [&[][..], &["203.0.113.7"], &["2001:db8::7"]].map(|it| Sensed::start(&pair.device, it));
        for sensed in [&unknown, &known, &known6] {
            assert_eq!(sensed.next(), Network::none());
        }
        pair.device.ip(&format!("route add {kind} default metric 5"));
        pair.device.ip(&format!("-6 route add {kind} default metric 5"));
        // Behind the wall: does not count either.
        pair.device.ip("route add default via 10.77.0.1 metric 10");
        // Each now learns of the first change that is real to it; the ones above must have told nothing.
        pair.device.ip("route add default via 10.77.0.1 metric 1");
        assert_eq!(unknown.next(), uplink(), "{kind}");
        assert_eq!(known.next(), uplink(), "{kind}");
        pair.device.ip("-6 route add 2001:db8::7 via fd77::1");
        assert_eq!(known6.next(), cable(Pair::UPLINK, "fd77::2/64", "fd77::1"), "{kind}");
        // A wall before the backend, though there is a default route.
        pair.device.ip(&format!("route add {kind} 203.0.113.7"));
        assert_eq!(known.next(), Network::none(), "{kind}");
    }
}

#[test]
fn of_two_default_routes_the_lower_metric_that_is_up() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.cable("second", "port2");
    pair.device.ip("address add 10.78.0.2/24 dev second");
    pair.device.ip("route add default via 10.77.0.1 metric 100");
    pair.device.ip("route add default via 10.78.0.1 metric 200");
    let sensed = Sensed::start(&pair.device, &[]);
    assert_eq!(sensed.next(), uplink());
    let second = cable("second", "10.78.0.2/24", "10.78.0.1");
    pair.unplug();
    assert_eq!(sensed.next(), second);
    pair.plug();
    assert_eq!(sensed.next(), uplink());
    pair.device.ip("route add default via 10.78.0.1 metric 50");
    assert_eq!(sensed.next(), second);
}

#[test]
fn a_default_route_over_several_hops_counts_by_those_that_are_up() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.cable("second", "port2");
    pair.device.ip("address add 10.78.0.2/24 dev second");
    pair.device.ip("route add default nexthop via 10.77.0.1 nexthop via 10.78.0.1");
    let sensed = Sensed::start(&pair.device, &[]);
    // Through which of them a packet goes is not known.
    assert_eq!(sensed.next(), Network { gateway: String::new(), ..uplink() });
    pair.unplug();
    assert_eq!(sensed.next(), cable("second", "10.78.0.2/24", ""));
}

#[test]
fn ipv6_alone_will_do_once_it_has_an_address_that_reaches() {
    if !netns::require() {
        return;
    }
    let pair = Pair::without_addresses();
    // As after a router advertisement: the route is there while the address is still being checked.
    pair.device.ip("address add fe80::2/64 dev uplink nodad");
    let sensed = [&[][..], &["2001:db8::7"], &["203.0.113.7"]].map(|it| Sensed::start(&pair.device, it));
    for sensed in &sensed {
        assert_eq!(sensed.next(), Network::none());
    }
    pair.device.ip("-6 route add default via fe80::1 dev uplink");
    pair.device.ip("address add fd77::2/64 dev uplink nodad");
    for sensed in &sensed {
        assert_eq!(sensed.next(), cable(Pair::UPLINK, "fd77::2/64", "fe80::1"));
    }
    pair.device.ip("address delete fd77::2/64 dev uplink");
    for sensed in &sensed {
        assert_eq!(sensed.next(), Network::none());
    }
}

#[test]
fn an_address_removed_is_news() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    pair.device.ip("address add 10.79.0.2/16 dev uplink");
    let sensed = Sensed::start(&pair.device, &["203.0.113.7"]);
    assert_eq!(sensed.next(), uplink());
    pair.device.ip("route replace default via 10.77.0.1 src 10.79.0.2");
    assert_eq!(sensed.next(), cable(Pair::UPLINK, "10.79.0.2/16", "10.77.0.1"));
    // With its source goes the route.
    pair.device.ip("address delete 10.79.0.2/16 dev uplink");
    assert_eq!(sensed.until_offline(), Network::none());
    pair.default_route();
    assert_eq!(sensed.until_connected(), uplink());
    // With the last address go all routes.
    pair.device.ip("address delete 10.77.0.2/24 dev uplink");
    assert_eq!(sensed.until_offline(), Network::none());
}

#[test]
fn the_first_rule_that_fits_the_name_decides() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let sensed = Sensed::start(&pair.device, &[]);
    assert_eq!(sensed.next(), uplink());
    let rules = vec![
        rule("up", Some(LinkType::Wifi), None),
        rule("up*", Some(LinkType::Cellular), None),
        rule("uplink", Some(LinkType::Wifi), Some(Metered::No)),
        rule("usb?", None, Some(Metered::Yes)),
    ];
    sensed.rules.send(rules).unwrap();
    let modem = Network { link: LinkType::Cellular, metered: Metered::GuessYes, ..uplink() };
    assert_eq!(sensed.next(), modem);
    pair.device.ip_batch("link set uplink down\nlink set uplink name usb0\nlink set usb0 up");
    pair.device.ip("route replace default via 10.77.0.1 dev usb0");
    let renamed = Network { metered: Metered::Yes, ..cable("usb0", "10.77.0.2/24", "10.77.0.1") };
    assert_eq!(sensed.until(|network| network.interface == "usb0").pop(), Some(renamed));
}

#[test]
fn what_is_built_on_another_link_is_as_that_one() {
    if !netns::require() {
        return;
    }
    let pair = Pair::without_addresses();
    pair.device.ip("link add link uplink name upper type macvlan");
    pair.device.ip("link set upper addrgenmode none up");
    pair.device.ip("address add 10.77.0.2/24 dev upper");
    pair.device.ip("route add default via 10.77.0.1");
    let sensed = Sensed::start(&pair.device, &[]);
    let upper = Network { carrier: Pair::UPLINK.into(), ..cable("upper", "10.77.0.2/24", "10.77.0.1") };
    assert_eq!(sensed.next(), upper);
    sensed.rules.send(vec![rule("uplink", Some(LinkType::Cellular), Some(Metered::Yes))]).unwrap();
    assert_eq!(sensed.next(), Network { link: LinkType::Cellular, metered: Metered::Yes, ..upper });
    pair.unplug();
    assert_eq!(sensed.until_offline(), Network::none());
}

#[test]
fn what_others_know_of_an_interface_is_shown_of_its_routes() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let sensed = Sensed::start(&pair.device, &[]);
    assert_eq!(sensed.next(), uplink());
    let of = |facts: InterfaceFacts| BTreeMap::from([(Pair::UPLINK.to_owned(), facts)]);
    let modem = InterfaceFacts { metered: Some(Metered::Yes), roaming: Some(true), radio: None };
    sensed.facts.send(of(modem)).unwrap();
    assert_eq!(sensed.next(), Network { metered: Metered::Yes, roaming: true, ..uplink() });
    let radio = Radio { ssid: "Ferry".into(), strength: 71, frequency: 5180 };
    let wifi = InterfaceFacts { radio: Some(radio), ..InterfaceFacts::default() };
    sensed.facts.send(of(wifi)).unwrap();
    let in_ferry = Network { link: LinkType::Wifi, ssid: "Ferry".into(), strength: 71, frequency: 5180, ..uplink() };
    assert_eq!(sensed.next(), in_ferry);
    let metered = InterfaceRule { ssid: Some("Ferry".into()), ..rule("*", None, Some(Metered::GuessYes)) };
    sensed.rules.send(vec![metered]).unwrap();
    assert_eq!(sensed.next(), Network { metered: Metered::GuessYes, ..in_ferry });
    sensed.facts.send(BTreeMap::new()).unwrap();
    assert_eq!(sensed.next(), uplink());
}

#[test]
fn a_tunnel_is_carried_by_the_best_route_beside_it() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let _open = Tunnel::new(&pair.device, "tun0", Some(Pair::SERVER));
    pair.device.ip("address add 10.99.0.2/24 dev tun0");
    pair.device.ip("route add default dev tun0 metric 1");
    pair.device.ip("route add default via 10.77.0.1 metric 100");
    // A neighbour in the tunnel may be anywhere: it is not met directly.
    let sensed = Sensed::start(&pair.device, &["10.99.0.1"]);
    let tunnel = Network { carrier: Pair::UPLINK.into(), ..cable("tun0", "10.99.0.2/24", "") };
    assert_eq!(sensed.next(), tunnel);
    sensed.rules.send(vec![rule("uplink", Some(LinkType::Cellular), None)]).unwrap();
    let modem = Network { link: LinkType::Cellular, metered: Metered::GuessYes, ..tunnel };
    assert_eq!(sensed.next(), modem);
    pair.unplug();
    assert_eq!(
        sensed.next(),
        Network { carrier: "tun0".into(), ..Network { link: LinkType::Other, metered: Metered::GuessNo, ..modem } }
    );
}

#[test]
fn a_backend_on_the_device_itself_is_always_there() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let loopback = |subnet: &str| Network { link: LinkType::Other, ..near(cable("lo", subnet, "")) };
    for (target, subnet) in [("127.0.0.1", "127.0.0.1/8"), ("::1", "::1/128"), (Pair::DEVICE, "")] {
        let sensed = Sensed::start(&pair.device, &[target]);
        assert_eq!(sensed.next(), loopback(subnet), "{target}");
    }
}

#[test]
fn what_makes_no_difference_is_no_news() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let sensed = Sensed::start(&pair.device, &[]);
    assert_eq!(sensed.next(), uplink());
    pair.cable("second", "port2");
    pair.device.ip("address add 10.78.0.2/24 dev second");
    pair.device.ip("route add 198.51.100.0/24 via 10.78.0.1");
    pair.device.ip("route add default via 10.78.0.1 table 7");
    pair.device.ip("rule add to 198.51.100.1 lookup 7");
    pair.device.ip("link delete second");
    sensed.retarget(&[]);
    pair.unplug();
    assert_eq!(sensed.next(), Network::none());
}

#[test]
fn a_rule_that_leads_the_backend_elsewhere_is_news() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    pair.device.ip("route add blackhole default table 7");
    pair.device.ip("-6 route add blackhole default table 7");
    let [v4, v6] = [Pair::SERVER, Pair::SERVER6].map(|target| Sensed::start(&pair.device, &[target]));
    assert_eq!((v4.next(), v6.next()), (near(uplink()), near(cable(Pair::UPLINK, "fd77::2/64", "fd77::1"))));
    pair.device.ip("rule add to 10.77.0.1 lookup 7");
    assert_eq!(v4.next(), Network::none());
    pair.device.ip("-6 rule add to fd77::1 lookup 7");
    assert_eq!(v6.next(), Network::none());
}
