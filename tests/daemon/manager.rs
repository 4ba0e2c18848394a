//! A stand-in for the service manager: the datagrams that the daemon sends to `NOTIFY_SOCKET` (`sd_notify(3)`).

use std::os::unix::net::UnixDatagram;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::device::{Device, HANG};

/// Hears what one device's daemons say.
pub(crate) struct Manager {
    messages: Receiver<String>,
    /// All lines heard so far.
    pub(crate) heard: Vec<String>,
}

impl Manager {
    /// Will be told by the daemons of this device.
    pub(crate) fn of(device: &mut Device<'_>) -> Self {
        let path = device.file("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        device.set("NOTIFY_SOCKET", path.display().to_string());
        let (sender, messages) = mpsc::channel();
        // Read at once: a sender waits for a socket that is full.
        thread::spawn(move || {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(length) = socket.recv(&mut bytes) {
                let text = String::from_utf8(bytes[..length].to_vec()).expect("UTF-8");
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self { messages, heard: Vec::new() }
    }

    /// The lines of the next message; `None` if none comes in this time.
    pub(crate) fn message(&mut self, patience: Duration) -> Option<Vec<String>> {
        let message = self.messages.recv_timeout(patience).ok()?;
        let lines: Vec<_> = message.lines().map(ToOwned::to_owned).collect();
        self.heard.extend(lines.iter().cloned());
        Some(lines)
    }

    /// Waits for a line that begins so; gives its message.
    pub(crate) fn until(&mut self, begin: &str) -> Vec<String> {
        let deadline = Instant::now() + HANG;
        loop {
            let message = self.message(HANG).unwrap_or_default();
            if message.iter().any(|line| line.starts_with(begin)) {
                return message;
            }
            assert!(Instant::now() < deadline, "waited in vain for {begin}: {:?}", self.heard);
        }
    }

    /// Takes in what was sent already.
    pub(crate) fn catch_up(&mut self) {
        while self.message(Duration::from_millis(1)).is_some() {}
    }

    /// How many lines so far begin so.
    pub(crate) fn count(&self, begin: &str) -> usize {
        self.heard.iter().filter(|line| line.starts_with(begin)).count()
    }
}
