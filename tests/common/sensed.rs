//! The link sense at work in a namespace, and its news one by one.
#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses another part of this")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ferryd::model::{BackendName, Facts, InterfaceRule, Network};
use ferryd::sense::link::{self, LinkError, Targets};
use tokio::sync::{oneshot, watch};

use crate::netns::Netns;

/// Only guards against a hang: nothing is measured by it.
const HANG: Duration = Duration::from_secs(60);

pub(crate) type News = Result<BTreeMap<BackendName, Network>, LinkError>;

/// The sense, on a thread of its own. It stops when this is dropped.
pub(crate) struct Sensed {
    pub(crate) targets: watch::Sender<Targets>,
    pub(crate) rules: watch::Sender<Vec<InterfaceRule>>,
    pub(crate) facts: watch::Sender<Facts>,
    news: Receiver<(Instant, News)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sensed {
    /// Starts it for one backend, whose name resolved to these addresses.
    pub(crate) fn start(netns: &Netns, addresses: &[&str]) -> Self {
        Self::start_with(netns, addresses, || {}, |_| {})
    }

    /// Starts it; on its thread, `before` runs before it opens anything and `also` hears each news first.
    pub(crate) fn start_with(
        netns: &Netns,
        addresses: &[&str],
        before: impl FnOnce() + Send + 'static,
        also: impl Fn(&News) + Send + 'static,
    ) -> Self {
        let (targets, targets_seen) = watch::channel(targets(addresses));
        let (rules, rules_seen) = watch::channel(Vec::new());
        let (facts, facts_seen) = watch::channel(Facts::new());
        let (told, news) = channel();
        let (stop, stopped) = oneshot::channel();
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let watching = link::watch(targets_seen, rules_seen, facts_seen, |news| {
                let at = Instant::now();
                also(&news);
                let _nobody_listens = told.send((at, news));
            });
            before();
            runtime.block_on(async {
                tokio::select! {
                    () = watching => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = netns.inside(|| thread::spawn(work));
        Self { targets, rules, facts, news, stop: Some(stop), thread: Some(thread) }
    }

    /// The next news and when it was told.
    pub(crate) fn next_at(&self) -> (Instant, News) {
        self.news.recv_timeout(HANG).expect("news")
    }

    /// The network of the one backend, by the next news.
    pub(crate) fn next(&self) -> Network {
        self.next_at().1.expect("a network").remove(&backend("main")).expect("the backend's")
    }

    /// Takes news until this holds; gives all that was told.
    pub(crate) fn until(&self, holds: impl Fn(&Network) -> bool) -> Vec<Network> {
        let mut told = vec![self.next()];
        while !told.last().is_some_and(&holds) {
            told.push(self.next());
        }
        told
    }

    /// Takes news until it is connected; gives the last.
    pub(crate) fn until_connected(&self) -> Network {
        self.until(|network| network.connected).pop().expect("the last")
    }

    /// Takes news until it is offline; gives the last.
    pub(crate) fn until_offline(&self) -> Network {
        self.until(|network| !network.connected).pop().expect("the last")
    }

    /// Makes these the addresses of the one backend.
    pub(crate) fn retarget(&self, addresses: &[&str]) {
        self.targets.send(targets(addresses)).expect("the sense");
    }
}

impl Drop for Sensed {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the sense's thread panicked");
    }
}

pub(crate) fn backend(name: &str) -> BackendName {
    BackendName::new(name).expect("a name")
}

pub(crate) fn targets(addresses: &[&str]) -> Targets {
    BTreeMap::from([(backend("main"), parsed(addresses))])
}

pub(crate) fn parsed(addresses: &[&str]) -> Vec<IpAddr> {
    addresses.iter().map(|address| address.parse().expect("an address")).collect()
}
