//! What rtnetlink(7) is asked, and the groups on which it tells of changes.

use std::collections::BTreeSet;
use std::net::IpAddr;

use netlink_packet_core::{DecodeError, NetlinkSerializable as _};
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, address::AddressMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use rustix::io::Errno;

use super::super::netlink::{End, Hints, Questions, Unanswered};
use super::sysfs;
use super::tables::{Address, DefaultRoute, Interface, Lookup, Tables};

/// RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV6_IFADDR, _IPV6_ROUTE and RTNLGRP_IPV6_RULE (19) as a bit
/// (linux/rtnetlink.h).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18;

/// Listens for changes of links, addresses, routes and rules in the network namespace of this thread.
pub(super) fn hints() -> Result<Hints, Errno> {
    Hints::open(NETLINK_ROUTE, GROUPS)
}

/// Asks for the truth.
pub(super) struct Query(Questions);

impl Query {
    /// Asks in the network namespace of this thread.
    pub(super) fn open() -> Result<Self, Errno> {
        Self::of(NETLINK_ROUTE)
    }

    pub(super) fn of(protocol: isize) -> Result<Self, Errno> {
        Questions::open(protocol).map(Self)
    }

    /// All that is so now; the routes to `wanted` addresses as the kernel would choose them for our packets.
    pub(super) fn tables(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<Tables, Unanswered> {
        let mut tables = Tables::default();
        for mut interface in self.dump("links", &links(), Interface::parse)? {
            if interface.kind.is_none() {
                interface.radio = sysfs::radio(&interface.name, interface.index);
            }
            tables.interfaces.insert(interface.index, interface);
        }
        tables.addresses = self.dump("addresses", &addresses(), Address::parse)?;
        tables.defaults = self.dump("routes", &routes(), DefaultRoute::parse)?;
        for &address in wanted {
            tables.lookups.insert(address, self.lookup(address.to_canonical())?);
        }
        Ok(tables)
    }

    fn dump<T>(
        &mut self,
        what: &'static str,
        request: &RouteNetlinkMessage,
        parse: impl Fn(&[u8]) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, Unanswered> {
        let found = self.0.dump(request.message_type(), &bytes(request), parse);
        found.map_err(|trouble| trouble.about(what))
    }

    fn lookup(&mut self, address: IpAddr) -> Result<Lookup, Unanswered> {
        let (what, request) = ("route to a backend", route_to(address));
        let mut found = Lookup::NoRoute;
        let end = self.0.ask(request.message_type(), 0, &bytes(&request), |message| {
            found = Lookup::parse(message)?;
            Ok(())
        });
        match end.map_err(|trouble| trouble.about(what))? {
            End::Complete | End::Interrupted => Ok(found),
            // No route of any kind; or a kernel without that protocol.
            End::Refused(Errno::NETUNREACH | Errno::OPNOTSUPP | Errno::AFNOSUPPORT) => Ok(Lookup::NoRoute),
            // The errors of unreachable, prohibit and blackhole (`fib_props` in net/ipv4/fib_semantics.c).
            End::Refused(Errno::HOSTUNREACH | Errno::ACCESS | Errno::INVAL) => Ok(Lookup::Refused),
            End::Refused(errno) => Err(Unanswered::Failed { what, errno }),
        }
    }
}

fn bytes(request: &RouteNetlinkMessage) -> Vec<u8> {
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    bytes
}

fn links() -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
    RouteNetlinkMessage::GetLink(message)
}

fn addresses() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetAddress(AddressMessage::default())
}

/// Of all families: where one is missing, its part is.
fn routes() -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetRoute(RouteMessage::default())
}

fn route_to(address: IpAddr) -> RouteNetlinkMessage {
    let mut message = RouteMessage::default();
    (message.header.address_family, message.header.destination_prefix_length) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    message.attributes.push(RouteAttribute::Destination(address.into()));
    RouteNetlinkMessage::GetRoute(message)
}

#[cfg(test)]
mod tests {
    use netlink_sys::protocols::NETLINK_GENERIC;

    use super::*;

    #[test]
    fn the_loopback_interface_is_there() {
        let tables = Query::open().unwrap().tables(&BTreeSet::new()).unwrap();
        assert!(tables.interfaces.values().any(|interface| interface.name == "lo"));
    }

    #[test]
    fn a_refused_dump_is_an_error_and_not_an_empty_answer() {
        let refused = Query::of(NETLINK_GENERIC).unwrap().tables(&BTreeSet::new());
        assert_eq!(refused.err(), Some(Unanswered::Failed { what: "links", errno: Errno::NOENT }));
    }
}
