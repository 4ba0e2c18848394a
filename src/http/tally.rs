//! What the kernel has sent of a TCP connection (sock_diag(7), linux/inet_diag.h, linux/tcp.h).

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use netlink_sys::{Socket, SocketAddr as Kernel};
use rustix::io::Errno;

/// SOCK_DIAG_BY_FAMILY, and the netlink message that says "no".
const BY_FAMILY: u16 = 20;
const ERROR: u16 = 2;

/// NLM_F_REQUEST, and NLM_F_DUMP with it.
const ONE: u16 = 0x1;
const ALL: u16 = 0x301;

/// The attribute INET_DIAG_INFO, and the bit that asks for it.
const INFO: u16 = 2;
const ASK_FOR_INFO: u8 = 1 << (INFO - 1);

/// IPPROTO_TCP.
const TCP: u8 = 6;

/// Sizes of `struct nlmsghdr` and `struct inet_diag_msg`.
const HEADER: usize = 16;
const MESSAGE: usize = 72;

/// Where in `struct tcp_info` the segments stand that were sent, the bytes that were not yet, and those that were, again
/// ones included (tcpEStatsPerfDataSegsOut and tcpEStatsPerfHCDataOctetsOut of RFC 4898; Linux 4.19).
const SEGMENTS: usize = 136;
const UNSENT: usize = 144;
const BYTES: usize = 200;

/// Of a TCP segment, what is not payload: the headers of TCP with timestamps and of IP.
const TCP_HEADER: u64 = 32;
const IPV4_HEADER: u64 = 20;
const IPV6_HEADER: u64 = 40;

/// What has left of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// IP packets' bytes.
    pub(super) sent: u64,
    /// Payload that the program handed over and that has not left.
    pub(super) unsent: u64,
}

/// What the kernel has sent of the connection between these addresses; `None`: there is no such connection any more. The
/// error: the kernel does not tell, as one without tcp_diag.
pub(super) fn look(local: SocketAddr, remote: SocketAddr) -> io::Result<Option<Tally>> {
    let answer = ask(&request(TCP, ONE, u32::MAX, local, remote))?;
    match read(&answer, remote.is_ipv4()) {
        // It says the same of a connection that it does not have and of a protocol that it tells nothing about.
        Err(Errno::NOENT) if tells_of(TCP, local, remote)? => Ok(None),
        Err(Errno::NOENT) => Err(io::Error::new(io::ErrorKind::Unsupported, "it has no tcp_diag")),
        found => Ok(found?),
    }
}

/// Whether the kernel tells of a protocol's sockets at all: asked for all of them that are in no state, it tells of none.
fn tells_of(protocol: u8, local: SocketAddr, remote: SocketAddr) -> io::Result<bool> {
    let answer = ask(&request(protocol, ALL, 0, local, remote))?;
    // The end of the list, and an error, begin with an error's number.
    Ok(i32::from_ne_bytes(part(&answer, HEADER)?) == 0)
}

fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let socket = Socket::new(NETLINK_SOCK_DIAG)?;
    socket.send_to(request, &Kernel::new(0, 0), 0)?;
    let mut answer = Vec::with_capacity(4096);
    socket.recv(&mut answer, 0)?;
    Ok(answer)
}

fn request(protocol: u8, flags: u16, states: u32, local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family: u8 = if remote.is_ipv4() { 2 } else { 10 };
    let no_cookie = [0xff; 8];
    let mut body = vec![family, protocol, ASK_FOR_INFO, 0];
    body.extend(states.to_ne_bytes());
    body.extend(local.port().to_be_bytes());
    body.extend(remote.port().to_be_bytes());
    body.extend(octets(local.ip()));
    body.extend(octets(remote.ip()));
    body.extend(scope(remote).to_ne_bytes());
    body.extend(no_cookie);
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let (number, sender) = (1u32, 0u32);
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(number.to_ne_bytes());
    message.extend(sender.to_ne_bytes());
    message.extend(body);
    message
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => {
            let mut octets = [0; 16];
            octets[..4].copy_from_slice(&address.octets());
            octets
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// The interface of a link-local connection.
fn scope(remote: SocketAddr) -> u32 {
    match remote {
        SocketAddr::V4(_) => 0,
        SocketAddr::V6(remote) => remote.scope_id(),
    }
}

fn read(answer: &[u8], v4: bool) -> Result<Option<Tally>, Errno> {
    let kind = u16::from_ne_bytes(part(answer, 4)?);
    let body = answer.get(HEADER..).unwrap_or_default();
    if kind == ERROR {
        let code = io::Error::from_raw_os_error(i32::from_ne_bytes(part(body, 0)?).saturating_neg());
        return Err(Errno::from_io_error(&code).unwrap_or(Errno::BADMSG));
    }
    let mut attributes = body.get(MESSAGE..).unwrap_or_default();
    while attributes.len() >= 4 {
        let length = usize::from(u16::from_ne_bytes(part(attributes, 0)?));
        let kind = u16::from_ne_bytes(part(attributes, 2)?);
        if kind == INFO {
            let info = attributes.get(4..length).ok_or(Errno::BADMSG)?;
            let header = TCP_HEADER + if v4 { IPV4_HEADER } else { IPV6_HEADER };
            let segments = u64::from(u32::from_ne_bytes(part(info, SEGMENTS)?));
            let unsent = u64::from(u32::from_ne_bytes(part(info, UNSENT)?));
            let sent = u64::from_ne_bytes(part(info, BYTES)?).saturating_add(segments * header);
            return Ok(Some(Tally { sent, unsent }));
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..).unwrap_or_default();
    }
    // It is closed, and only waits for stragglers.
    Ok(None)
}

fn part<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], Errno> {
    bytes.get(at..at + N).and_then(|part| part.try_into().ok()).ok_or(Errno::BADMSG)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::fuzz::fuzz;

    fn count(bind: &str) {
        let listener = TcpListener::bind(bind).expect("a socket");
        let mut near = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
        let (mut far, _) = listener.accept().expect("a connection");
        let (local, remote) = (near.local_addr().expect("an address"), near.peer_addr().expect("an address"));
        let before = look(local, remote).expect("the kernel tells").expect("a connection");
        near.write_all(&[7; 100_000]).expect("sent");
        far.read_exact(&mut [0; 100_000]).expect("received");
        let after = look(local, remote).expect("the kernel tells").expect("a connection");
        let sent = after.sent - before.sent;
        assert!((100_052..110_000).contains(&sent), "{sent}");
        near.set_nonblocking(true).expect("set");
        while near.write(&[7; 100_000]).is_ok() {}
        assert!(
            look(local, remote).expect("the kernel tells").expect("a connection").unsent > 100_000,
            "it lies in the buffer"
        );
        drop(far);
        drop(near);
        assert_eq!(look(local, remote).expect("the kernel tells"), None);
    }

    #[test]
    fn the_kernel_tells_what_left_and_what_did_not() {
        count("127.0.0.1:0");
        count("[::1]:0");
    }

    #[test]
    fn a_connection_that_is_gone_is_told_from_a_kernel_that_does_not_tell() {
        let [local, remote] = ["127.0.0.1:1", "127.0.0.1:2"].map(|address| address.parse().expect("an address"));
        assert_eq!(look(local, remote).expect("the kernel tells"), None);
        assert!(tells_of(TCP, local, remote).expect("the kernel answers"));
        // No kernel tells of this one's sockets; so it answers of TCP where tcp_diag is not built or cannot be loaded.
        let unheard_of = 200;
        assert!(!tells_of(unheard_of, local, remote).expect("the kernel answers"));
        let gone = read(&ask(&request(unheard_of, ONE, u32::MAX, local, remote)).expect("an answer"), true);
        assert_eq!(gone, Err(Errno::NOENT), "as of a connection that is gone");
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert_eq!(read(&[], true), Err(Errno::BADMSG));
        assert_eq!(read(&[0; 100], true), Ok(None));
    }

    #[test]
    fn an_error_that_is_none_of_the_kernel_s_is_unreadable() {
        for code in [0, 1, i32::MIN, -4096] {
            let answer = [&[0; 4][..], &ERROR.to_ne_bytes(), &[0; 10], &code.to_ne_bytes()].concat();
            assert_eq!(read(&answer, true), Err(Errno::BADMSG), "{code}");
        }
    }

    #[test]
    fn any_answer_is_an_error_or_a_tally() {
        fuzz!("sock_diag", |input: &[u8]| {
            let Ok(Some(tally)) = read(input, true) else { return };
            assert!(tally.unsent <= u32::MAX.into());
            let v6 = read(input, false).expect("the same answer").expect("the same answer");
            assert!(v6.sent >= tally.sent, "an IPv6 header is longer");
        });
    }
}
