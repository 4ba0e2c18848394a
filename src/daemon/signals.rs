//! SIGTERM, SIGINT and SIGHUP as events: signal-hook writes a byte to a socket that the loop reads.

use std::io;
use std::os::unix::net::UnixStream as Socket;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;
use tokio::net::UnixStream;

use super::event::Signal;

/// The signals of this process, until it is dropped by the end of the program.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: UnixStream,
    reload: UnixStream,
}

impl Signals {
    /// Registers the handlers. Needs a running tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: stream(&[SIGTERM, SIGINT])?, reload: stream(&[SIGHUP])? })
    }

    /// The next signal. Several of one kind that came together are one.
    pub(crate) async fn next(&self) -> Signal {
        tokio::select! {
            () = arrival(&self.terminate) => Signal::Terminate,
            () = arrival(&self.reload) => Signal::Reload,
        }
    }
}

fn stream(signals: &[i32]) -> io::Result<UnixStream> {
    let (read, write) = Socket::pair()?;
    for signal in signals {
        pipe::register(*signal, write.try_clone()?)?;
    }
    read.set_nonblocking(true)?;
    UnixStream::from_std(read)
}

/// Waits until a signal's byte is there and takes all that wait. An unreadable socket cannot bring a signal: it waits on.
async fn arrival(stream: &UnixStream) {
    let mut bytes = [0; 64];
    loop {
        if stream.readable().await.is_err() {
            return std::future::pending().await;
        }
        match stream.try_read(&mut bytes) {
            Ok(0) => return std::future::pending().await,
            Ok(_) => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return std::future::pending().await,
        }
    }
}
