//! The network as each backend's traffic would meet it, by rtnetlink(7). What the kernel sends is only a hint that
//! something may be different; the truth is then asked for whole, and only a real difference becomes news. It knows no
//! names and no DNS: addresses come in as [`Targets`].

mod choose;
mod nature;
mod netlink;
mod sysfs;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rustix::io::Errno;
use tokio::sync::watch;

use super::changed;
use super::netlink::{Ear, Unanswered};
use crate::model::{BackendName, Facts, InterfaceRule, Network};
use netlink::Query;

/// The addresses to which each backend's (or its proxy's) name last resolved, in the order they would be tried. An empty
/// list: unknown, so that only a default route counts.
pub type Targets = BTreeMap<BackendName, Vec<IpAddr>>;

/// Why nothing is known about the network now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// No rtnetlink socket could be had.
    #[error("opening an rtnetlink socket: {0}")]
    Open(Errno),
    /// The socket that tells of changes broke, twice in a row.
    #[error("listening for changes of the network: {0}")]
    Listen(Errno),
    /// The kernel has not told.
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
}

/// Calls `news` with the network by backend: once at the start, then whenever it differs from the last time, because of
/// the kernel, other `targets`, other `rules` or other `facts`. Never ends; drop it to stop. Asleep while nothing happens.
///
/// An `Err` says that nothing is known until the next call. It is tried again when the kernel hints at a change or what
/// was given changes, after one attempt with new sockets at once.
pub async fn watch(
    mut targets: watch::Receiver<Targets>,
    mut rules: watch::Receiver<Vec<InterfaceRule>>,
    mut facts: watch::Receiver<Facts>,
    mut news: impl FnMut(Result<BTreeMap<BackendName, Network>, LinkError>),
) {
    let mut sense = Sense::default();
    let mut last = None;
    loop {
        let found = sense.look(&targets.borrow_and_update(), &rules.borrow_and_update(), &facts.borrow_and_update());
        if last.as_ref() != Some(&found) {
            last = Some(found.clone());
            news(found);
        }
        tokio::select! {
            () = changed(&mut targets) => {}
            () = changed(&mut rules) => {}
            () = changed(&mut facts) => {}
            () = sense.ear.hint() => {}
        }
    }
}

/// The two sockets, opened when they are needed.
#[derive(Default)]
struct Sense {
    ear: Ear,
    query: Option<Query>,
}

impl Sense {
    fn look(
        &mut self,
        targets: &Targets,
        rules: &[InterfaceRule],
        facts: &Facts,
    ) -> Result<BTreeMap<BackendName, Network>, LinkError> {
        if let Some(errno) = self.ear.deafness() {
            return Err(LinkError::Listen(errno));
        }
        // Listening comes first: what changes while the truth is read sends another hint.
        self.ear.listen(netlink::hints).map_err(LinkError::Open)?;
        let wanted: BTreeSet<IpAddr> = targets.values().flatten().copied().collect();
        let tables = self.read(&wanted).or_else(|_broken| self.read(&wanted))?;
        let network = |addresses: &Vec<IpAddr>| choose::network(addresses, &tables, rules, facts);
        Ok(targets.iter().map(|(backend, addresses)| (backend.clone(), network(addresses))).collect())
    }

    /// Reads the truth. After a failure the socket may still hold the rest of an answer: the next read opens a new one.
    fn read(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<tables::Tables, LinkError> {
        let mut query = match self.query.take() {
            Some(query) => query,
            None => Query::open().map_err(LinkError::Open)?,
        };
        let tables = query.tables(wanted)?;
        self.query = Some(query);
        Ok(tables)
    }
}

#[cfg(test)]
mod tests {
    use netlink_sys::protocols::NETLINK_GENERIC;

    use super::*;

    #[tokio::test]
    async fn a_query_that_fails_is_tried_once_more_on_a_new_socket() {
        let broken = Query::of(NETLINK_GENERIC).unwrap();
        let mut sense = Sense { query: Some(broken), ..Sense::default() };
        assert_eq!(sense.look(&Targets::new(), &[], &Facts::new()), Ok(BTreeMap::new()));
    }

    #[tokio::test]
    async fn deafness_is_told_once_and_healed_by_the_next_look() {
        let mut sense = Sense { ear: Ear::broken(Errno::IO), ..Sense::default() };
        assert_eq!(sense.look(&Targets::new(), &[], &Facts::new()), Err(LinkError::Listen(Errno::IO)));
        assert!(!sense.ear.listens(), "what broke at once is not opened again at once");
        assert_eq!(sense.look(&Targets::new(), &[], &Facts::new()), Ok(BTreeMap::new()));
        assert!(sense.ear.listens());
    }
}
