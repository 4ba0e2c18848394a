//! Two rtnetlink sockets: one on which the kernel tells that something changed, one on which it is asked what is so.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NetlinkMessage, parse_i32,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkExtentMask, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{AsyncSocket, Socket, SocketAddr, TokioSocket};
use rustix::io::Errno;

use super::LinkError;
use super::tables::{Address, DefaultRoute, Interface, Lookup, Tables};

/// RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV4_RULE, _IPV6_IFADDR, _IPV6_ROUTE and RTNLGRP_IPV6_RULE (19) as a bit
/// (linux/rtnetlink.h).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x80 | 0x100 | 0x400 | 1 << 18;

/// MSG_TRUNC: a read tells the whole length of a message that did not fit.
const WHOLE_LENGTH: i32 = 0x20;

/// The kernel makes no dump message longer than this (`netlink_recvmsg`).
const LONGEST: usize = 32 * 1024;

/// How often a dump is tried that other changes keep interrupting; then what it gave is taken, for each of those changes
/// has sent a hint.
const DUMPS: usize = 4;

/// Tells that links, addresses, routes or rules may have changed.
pub(super) struct Hints {
    socket: TokioSocket,
    proven: bool,
}

impl Hints {
    /// Listens in the network namespace of this thread.
    pub(super) fn open() -> Result<Self, Errno> {
        let mut socket = TokioSocket::new(NETLINK_ROUTE).map_err(errno)?;
        socket.socket_mut().bind(&SocketAddr::new(0, GROUPS)).map_err(errno)?;
        Ok(Self { socket, proven: false })
    }

    /// Resolves when something was told since the last time, and takes all that was. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<(), Errno> {
        // What does not fit is cut off by the kernel: a hint need not be understood.
        let mut scrap = Vec::with_capacity(64);
        let first = poll_fn(|context| self.socket.poll_recv(context, &mut scrap)).await;
        told(first)?;
        loop {
            scrap.clear();
            match self.socket.socket_ref().recv(&mut scrap, 0).map(|_| ()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                read => told(read)?,
            }
        }
        self.proven = true;
        Ok(())
    }

    /// Whether it has ever told anything.
    pub(super) fn proven(&self) -> bool {
        self.proven
    }
}

/// ENOBUFS is a hint too: so much happened that the kernel could not tell it all.
fn told(read: io::Result<()>) -> Result<(), Errno> {
    match read.map_err(errno) {
        Err(Errno::NOBUFS | Errno::INTR) => Ok(()),
        other => other,
    }
}

/// Asks. The kernel answers a request while it is sent, so nothing is ever waited for: an answer that is not there is an
/// error.
pub(super) struct Query {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// How an answer ended.
#[derive(Debug, PartialEq)]
enum End {
    Complete,
    /// Something changed while it was given: it may be neither the old nor the new truth.
    Interrupted,
    Refused(Errno),
}

impl Query {
    /// Asks in the network namespace of this thread.
    pub(super) fn open() -> Result<Self, Errno> {
        Self::of(NETLINK_ROUTE)
    }

    pub(super) fn of(protocol: isize) -> Result<Self, Errno> {
        let mut socket = Socket::new(protocol).map_err(errno)?;
        socket.set_non_blocking(true).map_err(errno)?;
        socket.bind_auto().map_err(errno)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(LONGEST) })
    }

    /// All that is so now; the routes to `wanted` addresses as the kernel would choose them for our packets.
    pub(super) fn tables(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<Tables, LinkError> {
        let mut tables = Tables::default();
        for interface in self.dump("links", links(), Interface::parse)? {
            tables.interfaces.insert(interface.index, interface);
        }
        tables.addresses = self.dump("addresses", addresses(), Address::parse)?;
        tables.defaults = self.dump("routes", routes(), DefaultRoute::parse)?;
        for &address in wanted {
            tables.lookups.insert(address, self.lookup(address.to_canonical())?);
        }
        Ok(tables)
    }

    fn dump<T>(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
        parse: impl Fn(&[u8]) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, LinkError> {
        let mut found = Vec::new();
        for _ in 0..DUMPS {
            found.clear();
            let end = self.ask(what, request.clone(), NLM_F_DUMP, |message| {
                found.extend(parse(message)?);
                Ok(())
            })?;
            match end {
                End::Complete => break,
                End::Interrupted => {}
                End::Refused(errno) => return Err(LinkError::Ask { what, errno }),
            }
        }
        Ok(found)
    }

    fn lookup(&mut self, address: IpAddr) -> Result<Lookup, LinkError> {
        let what = "route to a backend";
        let mut found = Lookup::NoRoute;
        let end = self.ask(what, route_to(address), 0, |message| {
            found = Lookup::parse(message)?;
            Ok(())
        })?;
        match end {
            End::Complete | End::Interrupted => Ok(found),
            // No route of any kind; or a kernel without that protocol.
            End::Refused(Errno::NETUNREACH | Errno::OPNOTSUPP | Errno::AFNOSUPPORT) => Ok(Lookup::NoRoute),
            // The errors of unreachable, prohibit and blackhole (`fib_props` in net/ipv4/fib_semantics.c).
            End::Refused(Errno::HOSTUNREACH | Errno::ACCESS | Errno::INVAL) => Ok(Lookup::Refused),
            End::Refused(errno) => Err(LinkError::Ask { what, errno }),
        }
    }

    /// Sends a request and hands each message of the answer over, without its header.
    fn ask(
        &mut self,
        what: &'static str,
        request: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<End, LinkError> {
        let failed = |error: io::Error| LinkError::Ask { what, errno: errno(error) };
        let unreadable = |error: DecodeError| LinkError::Answer { what, reason: error.to_string() };
        self.send(request, flags).map_err(failed)?;
        let mut interrupted = false;
        loop {
            self.buffer.clear();
            let (length, sender) = self.socket.recv_from(&mut self.buffer, WHOLE_LENGTH).map_err(failed)?;
            if length > self.buffer.len() {
                return Err(LinkError::Answer { what, reason: format!("a message of {length} bytes was cut off") });
            }
            let mut rest = if sender.port_number() == 0 { self.buffer.as_slice() } else { &[] };
            while !rest.is_empty() {
                let message = NetlinkBuffer::new_checked(rest).map_err(unreadable)?;
                let next = (message.length() as usize).next_multiple_of(4).min(rest.len());
                rest = &rest[next..];
                if message.sequence_number() != self.sequence {
                    continue;
                }
                interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
                match message.message_type() {
                    NLMSG_ERROR | NLMSG_DONE => return ended(message.payload(), interrupted).map_err(unreadable),
                    _ => each(message.payload()).map_err(unreadable)?,
                }
                if message.flags() & NLM_F_MULTIPART == 0 {
                    return Ok(End::Complete);
                }
            }
        }
    }

    fn send(&mut self, request: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut message = NetlinkMessage::from(request);
        message.header.flags = NLM_F_REQUEST | flags;
        message.header.sequence_number = self.sequence;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }
}

/// Reads the error code, zero or negative, with which both NLMSG_ERROR and NLMSG_DONE begin.
fn ended(payload: &[u8], interrupted: bool) -> Result<End, DecodeError> {
    let code = if payload.is_empty() { 0 } else { parse_i32(payload.get(..4).unwrap_or(payload))? };
    Ok(match (code, interrupted) {
        (0, false) => End::Complete,
        (0, true) => End::Interrupted,
        (code, _) => End::Refused(Errno::from_raw_os_error(code.saturating_neg())),
    })
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

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
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
        assert_eq!(refused.err(), Some(LinkError::Ask { what: "links", errno: Errno::NOENT }));
    }

    #[test]
    fn an_end_carries_its_error() {
        assert_eq!(ended(&[], false).unwrap(), End::Complete);
        assert_eq!(ended(&0_i32.to_ne_bytes(), true).unwrap(), End::Interrupted);
        assert_eq!(ended(&(-105_i32).to_ne_bytes(), false).unwrap(), End::Refused(Errno::NOBUFS));
        assert!(ended(&[1, 2], false).is_err());
    }
}
