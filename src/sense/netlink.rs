//! Netlink sockets (netlink(7)): one on which the kernel tells that something changed, one on which it is asked what is
//! so. They know no protocol beyond the header that all of them share.

use std::future::{pending, poll_fn};
use std::io;

use netlink_packet_core::{
    DecodeError, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer,
    NlasIterator, parse_i32,
};
use netlink_sys::{AsyncSocket, Socket, SocketAddr, TokioSocket};
use rustix::io::Errno;

/// MSG_TRUNC: a read tells the whole length of a message that did not fit.
const WHOLE_LENGTH: i32 = 0x20;

/// The kernel makes no dump message longer than this (`netlink_recvmsg`).
const LONGEST: usize = 32 * 1024;

/// The length of `struct nlmsghdr` (linux/netlink.h).
const HEADER: usize = 16;

/// How often a dump is tried that other changes keep interrupting; then what it gave is taken, for each of those changes
/// has sent a hint.
const DUMPS: usize = 4;

/// Tells that something may have changed.
pub(super) struct Hints {
    socket: TokioSocket,
    proven: bool,
}

impl Hints {
    /// Listens in the network namespace of this thread; `groups` are bits, the lowest for group 1.
    pub(super) fn open(protocol: isize, groups: u32) -> Result<Self, Errno> {
        let mut socket = TokioSocket::new(protocol).map_err(errno)?;
        socket.socket_mut().bind(&SocketAddr::new(0, groups)).map_err(errno)?;
        Ok(Self { socket, proven: false })
    }

    /// Listens to one more group, by its number.
    pub(super) fn join(&mut self, group: u32) -> Result<(), Errno> {
        self.socket.socket_mut().add_membership(group).map_err(errno)
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

/// Listens, with a socket that may break.
#[derive(Default)]
pub(super) struct Ear {
    hints: Option<Hints>,
    /// Why the last [`Hints`] broke, if they had told nothing before.
    deaf: Option<Errno>,
}

impl Ear {
    /// Why nothing can be heard, told once. The socket that broke is not replaced before that, or this would spin.
    pub(super) fn deafness(&mut self) -> Option<Errno> {
        self.deaf.take()
    }

    /// Whether it listens already.
    pub(super) fn listens(&self) -> bool {
        self.hints.is_some()
    }

    /// Listens, by `open` if it does not yet.
    pub(super) fn listen(&mut self, open: impl FnOnce() -> Result<Hints, Errno>) -> Result<&mut Hints, Errno> {
        match &mut self.hints {
            Some(hints) => Ok(hints),
            none => Ok(none.insert(open()?)),
        }
    }

    /// Resolves when the truth may have changed, or no longer can be heard of. Cancel-safe.
    pub(super) async fn hint(&mut self) {
        let Some(hints) = &mut self.hints else {
            return pending().await;
        };
        if let Err(errno) = hints.next().await {
            self.deaf = (!hints.proven()).then_some(errno);
            self.hints = None;
        }
    }

    #[cfg(test)]
    pub(super) fn broken(errno: Errno) -> Self {
        Self { hints: None, deaf: Some(errno) }
    }
}

/// Asks. The kernel answers a request while it is sent, so nothing is ever waited for: an answer that is not there is an
/// error.
pub(super) struct Questions {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

/// How an answer ended.
#[derive(Debug, PartialEq)]
pub(super) enum End {
    Complete,
    /// Something changed while it was given: it may be neither the old nor the new truth.
    Interrupted,
    Refused(Errno),
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It failed, or was refused.
    Failed(Errno),
    /// It makes no sense to us.
    Unreadable(String),
}

/// What the kernel has not told, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It did not answer, or refused to.
    #[error("asking the kernel for its {what}: {errno}")]
    Failed {
        /// What was asked for.
        what: &'static str,
        /// How it failed.
        errno: Errno,
    },
    /// Its answer makes no sense to us.
    #[error("reading the kernel's {what}: {reason}")]
    Unreadable {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
}

impl Trouble {
    /// Says what was asked for.
    pub(super) fn about(self, what: &'static str) -> Unanswered {
        match self {
            Self::Failed(errno) => Unanswered::Failed { what, errno },
            Self::Unreadable(reason) => Unanswered::Unreadable { what, reason },
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Failed(errno(error))
    }
}

impl From<DecodeError> for Trouble {
    fn from(error: DecodeError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl Questions {
    /// Asks in the network namespace of this thread.
    pub(super) fn open(protocol: isize) -> Result<Self, Errno> {
        let mut socket = Socket::new(protocol).map_err(errno)?;
        socket.set_non_blocking(true).map_err(errno)?;
        socket.bind_auto().map_err(errno)?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(LONGEST) })
    }

    /// All entries of a table.
    pub(super) fn dump<T>(
        &mut self,
        kind: u16,
        request: &[u8],
        parse: impl Fn(&[u8]) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, Trouble> {
        let mut found = Vec::new();
        for _ in 0..DUMPS {
            found.clear();
            let end = self.ask(kind, NLM_F_DUMP, request, |message| {
                found.extend(parse(message)?);
                Ok(())
            })?;
            match end {
                End::Complete => break,
                End::Interrupted => {}
                End::Refused(errno) => return Err(Trouble::Failed(errno)),
            }
        }
        Ok(found)
    }

    /// Sends a request and hands each message of the answer over; both without the header.
    pub(super) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        request: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), DecodeError>,
    ) -> Result<End, Trouble> {
        self.send(kind, flags, request)?;
        let mut interrupted = false;
        loop {
            self.buffer.clear();
            let (length, sender) = self.socket.recv_from(&mut self.buffer, WHOLE_LENGTH)?;
            if length > self.buffer.len() {
                return Err(Trouble::Unreadable(format!("a message of {length} bytes was cut off")));
            }
            let told = if sender.port_number() == 0 { self.buffer.as_slice() } else { &[] };
            if let Some(end) = read(told, self.sequence, &mut interrupted, &mut each)? {
                return Ok(end);
            }
        }
    }

    fn send(&mut self, kind: u16, flags: u16, request: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = HEADER + request.len();
        let mut bytes = vec![0; length];
        bytes[HEADER..].copy_from_slice(request);
        let mut message = NetlinkBuffer::new(&mut bytes);
        message.set_length(u32::try_from(length).map_err(io::Error::other)?);
        message.set_message_type(kind);
        message.set_flags(NLM_F_REQUEST | flags);
        message.set_sequence_number(self.sequence);
        self.socket.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        Ok(())
    }
}

/// Hands over each message of one read that answers the request of this number, without its header; how the answer ended, if
/// it did. `interrupted`: whether any of it said so.
fn read(
    mut rest: &[u8],
    sequence: u32,
    interrupted: &mut bool,
    each: &mut impl FnMut(&[u8]) -> Result<(), DecodeError>,
) -> Result<Option<End>, DecodeError> {
    while !rest.is_empty() {
        let message = NetlinkBuffer::new_checked(rest)?;
        let next = (message.length() as usize).next_multiple_of(4).min(rest.len());
        rest = &rest[next..];
        if message.sequence_number() != sequence {
            continue;
        }
        *interrupted |= message.flags() & NLM_F_DUMP_INTR != 0;
        match message.message_type() {
            NLMSG_ERROR | NLMSG_DONE => return ended(message.payload(), *interrupted).map(Some),
            _ => each(message.payload())?,
        }
        if message.flags() & NLM_F_MULTIPART == 0 {
            return Ok(Some(End::Complete));
        }
    }
    Ok(None)
}

/// Reads the error code, zero or negative, with which both NLMSG_ERROR and NLMSG_DONE begin.
fn ended(payload: &[u8], interrupted: bool) -> Result<End, DecodeError> {
    let code = if payload.is_empty() { 0 } else { parse_i32(payload.get(..4).unwrap_or(payload))? };
    match (code, interrupted) {
        (0, false) => Ok(End::Complete),
        (0, true) => Ok(End::Interrupted),
        (code, _) => {
            let errno = Errno::from_io_error(&io::Error::from_raw_os_error(code.saturating_neg()));
            errno.map(End::Refused).ok_or_else(|| format!("an error of {code}").into())
        }
    }
}

/// Calls with each attribute that stands behind the first `header` bytes: its type, without flags, and its value.
pub(super) fn for_each_attribute(
    message: &[u8],
    header: usize,
    mut each: impl FnMut(u16, &[u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    for attribute in NlasIterator::new(message.get(header..).unwrap_or_default()) {
        let attribute = attribute?;
        each(attribute.kind(), attribute.value())?;
    }
    Ok(())
}

fn errno(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    #[test]
    fn an_end_carries_its_error() {
        assert_eq!(ended(&[], false).unwrap(), End::Complete);
        assert_eq!(ended(&0_i32.to_ne_bytes(), true).unwrap(), End::Interrupted);
        assert_eq!(ended(&(-105_i32).to_ne_bytes(), false).unwrap(), End::Refused(Errno::NOBUFS));
        assert!(ended(&[1, 2], false).is_err());
    }

    #[test]
    fn an_end_that_is_no_error_of_the_kernel_is_unreadable() {
        for code in [1, 4096, -4096, i32::MAX, i32::MIN] {
            assert!(ended(&code.to_ne_bytes(), false).is_err(), "{code}");
        }
    }

    #[test]
    fn any_read_ends_and_hands_over_what_is_in_it() {
        fuzz!("netlink", |input: &[u8]| {
            let (mut handed, mut interrupted) = (0, false);
            let end = read(input, 1, &mut interrupted, &mut |message| {
                handed += HEADER + message.len();
                for_each_attribute(message, 0, |_, value| {
                    assert!(value.len() < message.len());
                    Ok(())
                })
            });
            assert!(handed <= input.len());
            assert!(interrupted || !matches!(end, Ok(Some(End::Interrupted))));
        });
    }
}
