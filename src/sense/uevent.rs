//! What the kernel tells of devices (`NETLINK_KOBJECT_UEVENT`, lib/kobject_uevent.c): that something of a subsystem may
//! be different now. A hint, not a truth.

use std::future::poll_fn;
use std::io;

use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{AsyncSocket, SocketAddr, TokioSocket};
use rustix::io::Errno;

/// The kernel's own messages; group 2 are udev's.
const KERNEL: u32 = 1;

/// Enough for the header and the first variables, of which the subsystem is the third. What is beyond is cut off.
const ENOUGH: usize = 2048;

/// Hears of one subsystem.
pub(super) struct Uevents {
    socket: TokioSocket,
    subsystem: Vec<u8>,
}

impl Uevents {
    /// Listens in the network namespace of this thread, which hears of all devices but other namespaces' interfaces.
    pub(super) fn open(subsystem: &str) -> io::Result<Self> {
        let mut socket = TokioSocket::new(NETLINK_KOBJECT_UEVENT)?;
        socket.socket_mut().bind(&SocketAddr::new(0, KERNEL))?;
        Ok(Self { socket, subsystem: format!("SUBSYSTEM={subsystem}").into_bytes() })
    }

    /// Resolves when something of the subsystem was told since the last time, and takes all that was. Cancel-safe.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        let mut message = Vec::with_capacity(ENOUGH);
        loop {
            message.clear();
            let read = poll_fn(|context| self.socket.poll_recv(context, &mut message)).await;
            if self.concerns(read, &message)? {
                return self.take_the_rest(message);
            }
        }
    }

    fn take_the_rest(&mut self, mut message: Vec<u8>) -> io::Result<()> {
        loop {
            message.clear();
            match self.socket.socket_ref().recv(&mut message, 0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                read => drop(self.concerns(read.map(drop), &message)?),
            }
        }
    }

    /// Whether what was read is about the subsystem. So much may have happened that the kernel could not tell it all.
    fn concerns(&self, read: io::Result<()>, message: &[u8]) -> io::Result<bool> {
        match read {
            Ok(()) => Ok(says(message, &self.subsystem)),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether one of the variables of a message, each with a NUL behind it, is this.
fn says(message: &[u8], variable: &[u8]) -> bool {
    message.split(|byte| *byte == 0).any(|other| other == variable)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::fuzz::fuzz;

    /// Of it only those hear who are in its namespace: nobody's rest elsewhere is disturbed.
    const LO: &str = "/sys/class/net/lo";

    /// Root may have the kernel tell of a device again (Documentation/ABI/testing/sysfs-uevent).
    fn poke(device: &str) -> bool {
        fs::write(format!("{device}/uevent"), "change").is_ok()
    }

    #[tokio::test]
    async fn the_kernel_tells_of_the_subsystem_and_of_no_other() {
        let [mut net, mut other] = ["net", "mem"].map(|subsystem| Uevents::open(subsystem).expect("a socket"));
        if !poke(LO) {
            eprintln!("NOT TESTED: only root may have the kernel tell of a device");
            return;
        }
        assert!(poke(LO) && poke(LO));
        net.next().await.expect("told");
        for (heard, why) in [(&mut net, "all were taken at once"), (&mut other, "another subsystem is passed over")] {
            let more = tokio::time::timeout(Duration::from_millis(50), heard.next()).await;
            assert!(more.is_err(), "{why}");
        }
    }

    #[test]
    fn any_message_says_what_stands_between_its_ends() {
        let wanted = b"SUBSYSTEM=power_supply";
        fuzz!("uevent", |input: &[u8]| {
            let framed = [b"\0", input, b"\0"].concat();
            let found = framed.windows(wanted.len() + 2).any(|part| part == [b"\0", &wanted[..], b"\0"].concat());
            assert_eq!(says(input, wanted), found);
        });
    }
}
