//! Stands between the daemon and its bus, and lets no reply of the daemon through once it is told so.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

/// The relay. It ends with the runtime.
pub(crate) struct Relay {
    address: String,
    withholds: Arc<AtomicBool>,
}

impl Relay {
    /// Listens at `socket` for the daemon and passes on to the bus at this address.
    pub(crate) fn new(socket: &Path, bus: &str) -> Self {
        let path = bus.strip_prefix("unix:path=").and_then(|rest| rest.split(',').next());
        let bus = PathBuf::from(path.expect("the private bus listens at a path"));
        let listener = UnixListener::bind(socket).expect("a socket");
        let withholds = Arc::new(AtomicBool::new(false));
        tokio::spawn(accept(listener, bus, Arc::clone(&withholds)));
        Self { address: format!("unix:path={}", socket.display()), withholds }
    }

    /// Where the daemon connects.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// From now on no reply of the daemon reaches anybody, or again.
    pub(crate) fn withhold(&self, replies: bool) {
        self.withholds.store(replies, Ordering::SeqCst);
    }
}

async fn accept(listener: UnixListener, bus: PathBuf, withholds: Arc<AtomicBool>) {
    while let Ok((daemon, _)) = listener.accept().await {
        let bus = UnixStream::connect(&bus).await.expect("the bus listens");
        let (from_daemon, mut to_daemon) = daemon.into_split();
        let (mut from_bus, to_bus) = bus.into_split();
        let withholds = Arc::clone(&withholds);
        // Either way ends when one side is gone; dropping its half tells the other.
        tokio::spawn(async move { copy(&mut from_bus, &mut to_daemon).await });
        tokio::spawn(async move { pass(from_daemon, to_bus, &withholds).await });
    }
}

/// Passes on the daemon's authentication, then message by message.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, withholds: &AtomicBool) -> std::io::Result<()> {
    let mut line = Vec::new();
    while line != b"BEGIN\r\n" {
        if line.ends_with(b"\n") {
            line.clear();
        }
        let byte = from.read_u8().await?;
        line.push(byte);
        to.write_all(&[byte]).await?;
    }
    loop {
        let mut message = vec![0; 16];
        from.read_exact(&mut message).await?;
        // "Message Format" of the D-Bus specification: kind, then the lengths of the body and of the header's fields,
        // which are padded to 8 bytes.
        let kind = message[1];
        let (body, fields) = (number(&message, 4), number(&message, 12).next_multiple_of(8));
        message.resize(16 + fields + body, 0);
        from.read_exact(&mut message[16..]).await?;
        let is_reply = kind == 2 || kind == 3;
        if !(is_reply && withholds.load(Ordering::SeqCst)) {
            to.write_all(&message).await?;
        }
    }
}

fn number(message: &[u8], at: usize) -> usize {
    let bytes = message[at..at + 4].try_into().expect("four bytes");
    let number = if message[0] == b'l' { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
    usize::try_from(number).expect("a length")
}
