//! The kernel's tables as far as we need them, and how they are read from its messages. Only the attributes named here are
//! looked at, so that one that is new or odd spoils nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;

use netlink_packet_core::{DecodeError, parse_ip, parse_u32};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressFlags, AddressHeader};
use netlink_packet_route::link::{LinkFlags, LinkHeader, LinkLayerType};
use netlink_packet_route::route::{RouteHeader, RouteType};

use super::super::netlink::for_each_attribute;
use super::super::text;
use super::sysfs::Radio;

/// All that is so at one time.
#[derive(Debug, Default)]
pub(super) struct Tables {
    /// By index.
    pub(super) interfaces: BTreeMap<u32, Interface>,
    pub(super) addresses: Vec<Address>,
    pub(super) defaults: Vec<DefaultRoute>,
    /// The kernel's choice for the addresses that were asked for.
    pub(super) lookups: BTreeMap<IpAddr, Lookup>,
}

#[derive(Debug, Clone)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    /// Switched on, with a carrier, and operational in the sense of RFC 2863 (a bridge with a port, a Wi-Fi that is
    /// authenticated).
    pub(super) up: bool,
    pub(super) hardware: LinkLayerType,
    /// IFLA_INFO_KIND (`veth`, `wireguard`, …); real devices have none.
    pub(super) kind: Option<String>,
    /// The interface in this namespace that this one is built on.
    pub(super) lower: Option<u32>,
    /// What sysfs says of a real device.
    pub(super) radio: Option<Radio>,
}

#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) interface: u32,
    pub(super) address: IpAddr,
    pub(super) prefix: u8,
    /// It may be the source of packets: not still being checked for a duplicate, nor found to be one.
    pub(super) settled: bool,
}

/// A route of the main table to everywhere.
#[derive(Debug, Clone)]
pub(super) struct DefaultRoute {
    pub(super) ipv6: bool,
    /// Lower is preferred.
    pub(super) metric: u32,
    /// The interfaces it leaves by; none: it throws packets away (blackhole, unreachable, prohibit).
    pub(super) interfaces: Vec<u32>,
    pub(super) source: Option<IpAddr>,
}

/// How the kernel would send to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    Via {
        interface: u32,
        source: Option<IpAddr>,
        hop: Hop,
    },
    /// A route says that packets go nowhere.
    Refused,
    /// No route says anything.
    NoRoute,
}

/// Where a packet goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hop {
    /// It stays on this host.
    Host,
    /// To whoever is at the other end of the link.
    Link,
    Gateway,
}

// linux/if_link.h
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
// linux/if_addr.h
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
// linux/rtnetlink.h
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;

impl Interface {
    /// Reads an RTM_NEWLINK, which says nothing of a radio.
    pub(super) fn parse(message: &[u8]) -> Result<Option<Self>, DecodeError> {
        let header = LinkHeader::parse(message)?;
        let (mut name, mut kind, mut lower, mut elsewhere) = (None, None, None, false);
        for_each_attribute(message, 16, |attribute, value| {
            match attribute {
                IFLA_IFNAME => name = Some(text::name(value)),
                IFLA_LINK => lower = Some(parse_u32(value)?).filter(|&index| index != 0 && index != header.index),
                IFLA_LINK_NETNSID => elsewhere = true,
                IFLA_LINKINFO => for_each_attribute(value, 0, |attribute, value| {
                    if attribute == IFLA_INFO_KIND {
                        kind = Some(text::name(value));
                    }
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        let name = name.ok_or("an interface without a name")?;
        Ok(Some(Self {
            index: header.index,
            up: header.flags.contains(LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp),
            hardware: header.link_layer_type,
            lower: lower.filter(|_| !elsewhere),
            name,
            kind,
            radio: None,
        }))
    }
}

impl Address {
    /// Reads an RTM_NEWADDR.
    pub(super) fn parse(message: &[u8]) -> Result<Option<Self>, DecodeError> {
        let header = AddressHeader::parse(message)?;
        let (mut address, mut local) = (None, None);
        let mut flags = AddressFlags::from_bits_retain(header.flags.bits().into());
        if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
            return Ok(None);
        }
        for_each_attribute(message, 8, |attribute, value| {
            match attribute {
                IFA_ADDRESS => address = Some(parse_ip(value)?),
                // On a point-to-point link IFA_ADDRESS is the other end.
                IFA_LOCAL => local = Some(parse_ip(value)?),
                IFA_FLAGS => flags = AddressFlags::from_bits_retain(parse_u32(value)?),
                _ => {}
            }
            Ok(())
        })?;
        let unsettled = flags.contains(AddressFlags::Tentative) && !flags.contains(AddressFlags::Optimistic)
            || flags.contains(AddressFlags::Dadfailed);
        Ok(local.or(address).map(|address| Self {
            interface: header.index,
            address,
            prefix: header.prefix_len,
            settled: !unsettled,
        }))
    }
}

impl DefaultRoute {
    /// Reads an RTM_NEWROUTE of a dump; `None` for any but a default route of the main table.
    pub(super) fn parse(message: &[u8]) -> Result<Option<Self>, DecodeError> {
        let header = RouteHeader::parse(message)?;
        let ipv6 = header.address_family == AddressFamily::Inet6;
        if !ipv6 && header.address_family != AddressFamily::Inet {
            return Ok(None);
        }
        if header.destination_prefix_length != 0 || header.kind == RouteType::Throw {
            return Ok(None);
        }
        let mut table = u32::from(header.table);
        let mut route = Self { ipv6, metric: 0, interfaces: Vec::new(), source: None };
        for_each_attribute(message, 12, |attribute, value| {
            match attribute {
                RTA_TABLE => table = parse_u32(value)?,
                RTA_PRIORITY => route.metric = parse_u32(value)?,
                RTA_PREFSRC => route.source = Some(parse_ip(value)?),
                RTA_OIF => route.interfaces.push(parse_u32(value)?),
                RTA_MULTIPATH => route.interfaces.extend(hops(value)?),
                _ => {}
            }
            Ok(())
        })?;
        // An unreachable IPv6 route names the loopback interface.
        if header.kind != RouteType::Unicast {
            route.interfaces.clear();
        }
        Ok((table == u32::from(RouteHeader::RT_TABLE_MAIN)).then_some(route))
    }
}

impl Lookup {
    /// Reads the RTM_NEWROUTE that answers an RTM_GETROUTE for one address.
    pub(super) fn parse(message: &[u8]) -> Result<Self, DecodeError> {
        let header = RouteHeader::parse(message)?;
        if !matches!(header.kind, RouteType::Unicast | RouteType::Local) {
            return Ok(Self::Refused);
        }
        let mut hop = if header.kind == RouteType::Local { Hop::Host } else { Hop::Link };
        let (mut interface, mut source) = (None, None);
        for_each_attribute(message, 12, |attribute, value| {
            match attribute {
                RTA_OIF => interface = Some(parse_u32(value)?),
                RTA_PREFSRC => source = Some(parse_ip(value)?),
                // RTA_VIA: a gateway of the other protocol.
                RTA_GATEWAY | RTA_VIA => hop = Hop::Gateway,
                _ => {}
            }
            Ok(())
        })?;
        Ok(interface.map_or(Self::NoRoute, |interface| Self::Via { interface, source, hop }))
    }
}

/// The interfaces of an RTA_MULTIPATH: `struct rtnexthop`s (length, flags, weight, interface) with attributes.
fn hops(mut value: &[u8]) -> Result<Vec<u32>, DecodeError> {
    let mut interfaces = Vec::new();
    while let Some((hop, _)) = value.split_at_checked(8) {
        let length = usize::from(u16::from_ne_bytes([hop[0], hop[1]]));
        interfaces.push(parse_u32(&hop[4..])?);
        let next = length.next_multiple_of(4);
        value = value.get(next.max(8)..).unwrap_or_default();
    }
    Ok(interfaces)
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Parseable as _;
    use netlink_packet_route::link::{LinkAttribute, LinkMessage};

    use super::*;
    use crate::fuzz::fuzz;

    #[test]
    fn hops_are_read_whole_or_not_at_all() {
        let hop = |length: u16, interface: u32| {
            let mut bytes = [&length.to_ne_bytes()[..], &[0, 0], &interface.to_ne_bytes()].concat();
            bytes.resize(usize::from(length).next_multiple_of(4).max(8), 0);
            bytes
        };
        assert_eq!(hops(&[hop(16, 3), hop(8, 4)].concat()).unwrap(), [3, 4]);
        assert_eq!(hops(&[hop(10, 3), hop(8, 4)].concat()).unwrap(), [3, 4]);
        assert_eq!(hops(&hop(0, 3)).unwrap(), [3], "a length of zero does not hang");
        assert!(hops(&hop(8, 3)[..7]).unwrap().is_empty());
    }

    #[test]
    fn what_is_cut_short_is_an_error() {
        assert!(Interface::parse(&[0; 15]).is_err());
        assert!(Interface::parse(&[0; 16]).is_err(), "no name");
        assert!(Address::parse(&[0; 7]).is_err());
        assert!(DefaultRoute::parse(&[0; 11]).is_err());
        assert!(Lookup::parse(&[0; 11]).is_err());
    }

    #[test]
    fn an_interface_may_be_called_by_any_bytes() {
        let named = |name: &[u8]| {
            let mut message = [0; 16].to_vec();
            message.extend([&(4 + name.len() as u16).to_ne_bytes()[..], &IFLA_IFNAME.to_ne_bytes(), name].concat());
            Interface::parse(&message).unwrap().unwrap().name
        };
        assert_eq!(named(b"wlan0\0"), "wlan0");
        assert_eq!(named(b"wlan\xff\0"), "wlan\\xff", "one that is no text hides no other");
    }

    /// The first byte says which message the others are.
    #[test]
    fn any_message_is_an_error_or_makes_sense() {
        fuzz!("rtnetlink", |input: &[u8]| {
            let Some((kind, message)) = input.split_first() else { return };
            match kind % 4 {
                0 => link_makes_sense(message),
                1 => drop(Address::parse(message)),
                2 => {
                    if let Ok(Some(route)) = DefaultRoute::parse(message) {
                        assert!(route.interfaces.len() <= message.len() / 8);
                    }
                }
                _ => {
                    // Which interface it was is not made up: the number is in the message.
                    if let Ok(Lookup::Via { interface, .. }) = Lookup::parse(message) {
                        assert!(message.windows(4).any(|bytes| bytes == interface.to_ne_bytes()));
                    }
                }
            }
        });
    }

    /// Whatever netlink-packet-route makes of a message, ours is the same as far as it goes.
    fn link_makes_sense(message: &[u8]) {
        let ours = Interface::parse(message);
        if let Ok(Some(interface)) = &ours {
            assert!(!interface.name.contains(char::is_control));
        }
        let Ok(theirs) = LinkMessage::parse(message) else { return };
        let name = |attribute: &LinkAttribute| {
            if let LinkAttribute::IfName(name) = attribute { Some(text::name(name.as_bytes())) } else { None }
        };
        let mut names = theirs.attributes.iter().filter_map(name);
        match (ours, names.next_back()) {
            (Ok(Some(ours)), name) => assert_eq!((ours.index, Some(ours.name)), (theirs.header.index, name)),
            (Ok(None) | Err(_), name) => assert_eq!(name, None),
        }
    }
}
