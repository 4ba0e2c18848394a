//! What the core is told of a link.

use super::LinkState;
use crate::model::{Connectivity, LinkType, Network};

/// The network that a sense would make of a link. Each kind of link is an interface of its own.
pub(super) fn network(link: &LinkState, roaming: bool) -> Network {
    if !link.up {
        return Network::none();
    }
    let (interface, subnet) = match link.link {
        LinkType::Cellular => ("wwan0", "198.51.100.7/32"),
        LinkType::Wifi | LinkType::Ethernet | LinkType::Other | LinkType::None => ("wlan0", "192.0.2.7/24"),
    };
    Network {
        connected: true,
        link: link.link,
        interface: interface.to_owned(),
        carrier: interface.to_owned(),
        connectivity: if link.portal { Connectivity::Portal } else { Connectivity::Full },
        metered: link.metered,
        roaming: roaming && link.link == LinkType::Cellular,
        subnet: subnet.to_owned(),
        ..Network::none()
    }
}

/// Whether a connection made over `then` can go on over `now`.
pub(super) fn is_same_way(then: &LinkState, now: &LinkState) -> bool {
    now.up && then.link == now.link
}
