//! `org.ferryd.Ferry1.Network`: the network as the first backend's traffic sees it.

use super::route::{Interface, Property};
use super::wire::Dictionary;
use crate::model::{Connectivity, Network};

/// Its shape.
pub(super) const INTERFACE: Interface = Interface {
    name: "org.ferryd.Ferry1.Network",
    xml: include_str!("../../dbus/org.ferryd.Ferry1.Network.xml"),
    methods: &[],
    properties: &[
        Property { name: "Connected", signature: "b", emits: true },
        Property { name: "Type", signature: "s", emits: true },
        Property { name: "Interface", signature: "s", emits: true },
        Property { name: "Connectivity", signature: "s", emits: true },
        Property { name: "InternetReachable", signature: "b", emits: true },
        Property { name: "Metered", signature: "s", emits: true },
        Property { name: "Ssid", signature: "s", emits: true },
        Property { name: "Strength", signature: "u", emits: false },
        Property { name: "Frequency", signature: "u", emits: true },
        Property { name: "Subnet", signature: "s", emits: true },
    ],
};

/// Its properties now.
pub(super) fn properties(network: &Network) -> Dictionary<'static> {
    Dictionary::from([
        ("Connected", network.connected.into()),
        ("Type", network.link.as_str().into()),
        ("Interface", network.interface.clone().into()),
        ("Connectivity", network.connectivity.as_str().into()),
        ("InternetReachable", reachable(network).into()),
        ("Metered", network.metered.as_str().into()),
        ("Ssid", network.ssid.clone().into()),
        ("Strength", network.strength.into()),
        ("Frequency", network.frequency.into()),
        ("Subnet", network.subnet.clone().into()),
    ])
}

/// Whether the radios are to be read before this property of an interface (`None`: all of them) is shown: no event tells
/// how strong a signal is.
pub(super) fn needs_radios(network: &Network, interface: &str, property: Option<&str>) -> bool {
    let on_wifi = network.frequency != 0 || !network.ssid.is_empty();
    let meant = interface == INTERFACE.name || interface.is_empty();
    on_wifi && meant && property.is_none_or(|name| ["Strength", "Frequency"].contains(&name))
}

/// Whether traffic is tried: a route exists and no probe has found otherwise.
fn reachable(network: &Network) -> bool {
    let stopped = [Connectivity::None, Connectivity::Portal, Connectivity::Limited];
    network.connected && !stopped.contains(&network.connectivity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_radios_are_read_for_who_looks_at_the_signal_on_wifi() {
        let wifi = Network { frequency: 2412, ..Network::none() };
        let hidden = Network { ssid: "x".to_owned(), ..Network::none() };
        for network in [&wifi, &hidden] {
            assert!(needs_radios(network, INTERFACE.name, None) && needs_radios(network, "", None));
            assert!(needs_radios(network, INTERFACE.name, Some("Strength")));
            assert!(!needs_radios(network, INTERFACE.name, Some("Connected")));
            assert!(!needs_radios(network, "org.ferryd.Ferry1.Manager", None));
        }
        assert!(!needs_radios(&Network::none(), INTERFACE.name, Some("Strength")));
    }

    #[test]
    fn a_route_counts_as_the_internet_until_a_probe_finds_otherwise() {
        let with = |connected, connectivity| Network { connected, connectivity, ..Network::none() };
        assert!(!reachable(&Network::none()));
        assert!(reachable(&with(true, Connectivity::Unknown)));
        assert!(reachable(&with(true, Connectivity::Full)));
        assert!(!reachable(&with(true, Connectivity::Portal)));
        assert!(!reachable(&with(true, Connectivity::Limited)));
        assert!(!reachable(&with(false, Connectivity::Unknown)));
    }
}
