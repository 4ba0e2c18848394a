//! Wi-Fi: which network each interface is in, how strong its signal is and on which frequency, by nl80211 (linux/nl80211.h).
//! What the kernel sends is a hint on which everything is read anew; no message tells of a signal that fades, so that
//! whoever wants to know asks. Where the kernel has no Wi-Fi there is nothing to tell, until its module is loaded.

mod family;
mod radio;

use std::collections::BTreeMap;
use std::io;
use std::thread;

use netlink_sys::protocols::NETLINK_GENERIC;
use rustix::io::Errno;
use tokio::sync::{oneshot, watch};

use super::changed;
use super::netlink::{Ear, Hints, Questions, Unanswered};
use crate::model::Radio;
use family::Family;

/// Why nothing is known of Wi-Fi now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WifiError {
    /// The kernel's hints cannot be heard.
    #[error("listening for changes of Wi-Fi: {0}")]
    Listen(Errno),
    /// The kernel has not told.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    /// No thread to read on.
    #[error("reading the radios: {0}")]
    Thread(String),
}

/// The Wi-Fi network that each interface is in, by the interface's name.
pub type Radios = BTreeMap<String, Radio>;

/// Calls `news` with the radios: once at the start, whenever `asked` has a new value, and after hints of the kernel if they
/// differ from the last time. Never ends; drop it to stop. Asleep while nothing happens. An `Err` says that nothing is
/// known until the next call.
pub async fn watch(mut asked: watch::Receiver<u64>, mut news: impl FnMut(Result<Radios, WifiError>)) {
    let mut sense = Sense::default();
    let (mut last, mut wanted) = (None, true);
    loop {
        let found = sense.look().await;
        if wanted || last.as_ref() != Some(&found) {
            last = Some(found.clone());
            news(found);
        }
        wanted = tokio::select! {
            () = changed(&mut asked) => true,
            () = sense.ear.hint() => false,
        };
    }
}

/// The ear, and to which family's groups it listens.
#[derive(Default)]
struct Sense {
    ear: Ear,
    joined: Option<Family>,
}

impl Sense {
    async fn look(&mut self) -> Result<Radios, WifiError> {
        if let Some(errno) = self.ear.deafness() {
            return Err(WifiError::Listen(errno));
        }
        match self.listen() {
            Ok(Some(family)) => read_on_a_thread(family).await,
            Ok(None) => Ok(Radios::new()),
            // A kernel without generic netlink has no nl80211.
            Err(WifiError::Listen(Errno::PROTONOSUPPORT)) => Ok(Radios::new()),
            Err(error) => Err(error),
        }
    }

    /// Listens to all that concerns us. Listening comes first: what changes while the truth is read sends another hint.
    fn listen(&mut self) -> Result<Option<Family>, WifiError> {
        if !self.ear.listens() {
            self.joined = None;
        }
        let open = || Hints::open(NETLINK_GENERIC, family::COMINGS_AND_GOINGS);
        let hints = self.ear.listen(open).map_err(WifiError::Listen)?;
        let mut questions = Questions::open(NETLINK_GENERIC).map_err(WifiError::Listen)?;
        let family = Family::find(&mut questions)?;
        if self.joined != family
            && let Some(family) = &family
        {
            family.groups.iter().try_for_each(|group| hints.join(*group)).map_err(WifiError::Listen)?;
        }
        self.joined.clone_from(&family);
        Ok(family)
    }
}

/// Reads on a thread, since the kernel asks the driver and that may ask its firmware; one of its own, since the runtime's
/// would stay for a while and wake once more to end.
async fn read_on_a_thread(family: Family) -> Result<Radios, WifiError> {
    let (told, heard) = oneshot::channel();
    let read = move || told.send(read(&family));
    let started = thread::Builder::new().name("wifi".to_owned()).spawn(read);
    started.map_err(|error: io::Error| WifiError::Thread(error.to_string()))?;
    heard.await.unwrap_or_else(|_| Err(WifiError::Thread("the thread has ended".to_owned())))
}

fn read(family: &Family) -> Result<Radios, WifiError> {
    let mut questions = Questions::open(NETLINK_GENERIC).map_err(WifiError::Listen)?;
    Ok(radio::read(family, &mut questions)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn deafness_is_told_once_and_healed_by_the_next_look() {
        let mut sense = Sense { ear: Ear::broken(Errno::IO), ..Sense::default() };
        assert_eq!(sense.look().await, Err(WifiError::Listen(Errno::IO)));
        assert!(!sense.ear.listens(), "what broke at once is not opened again at once");
        assert!(sense.look().await.is_ok());
        assert!(sense.ear.listens());
    }
}
