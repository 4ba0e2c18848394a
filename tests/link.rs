//! The link sense on real links between network namespaces.

#[path = "common/netns.rs"]
mod netns;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ferryd::model::{BackendName, Connectivity, InterfaceRule, LinkType, Metered, Network};
use ferryd::sense::link::{self, LinkError, Targets};
use netns::{Netns, Pair};
use tokio::sync::{oneshot, watch};

/// Only guards against a hang: nothing is measured by it.
const HANG: Duration = Duration::from_secs(60);

type News = Result<BTreeMap<BackendName, Network>, LinkError>;

/// The sense, at work on a thread of its own in a namespace. It stops when this is dropped.
struct Sense {
    targets: watch::Sender<Targets>,
    rules: watch::Sender<Vec<InterfaceRule>>,
    news: Receiver<(Instant, News)>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Sense {
    fn start(netns: &Netns, addresses: &[&str], rules: Vec<InterfaceRule>) -> Self {
        let (targets, targets_seen) = watch::channel(targets(addresses));
        let (rules, rules_seen) = watch::channel(rules);
        let (told, news) = channel();
        let (stop, stopped) = oneshot::channel();
        let thread = netns.inside(|| {
            thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let watching = link::watch(targets_seen, rules_seen, |news| {
                    let _nobody_listens = told.send((Instant::now(), news));
                });
                runtime.block_on(async {
                    tokio::select! {
                        () = watching => {}
                        _ = stopped => {}
                    }
                });
            })
        });
        Self { targets, rules, news, stop: Some(stop), thread: Some(thread) }
    }

    /// The next news of the one backend.
    fn next(&self) -> Network {
        self.next_at().1
    }

    fn next_at(&self) -> (Instant, Network) {
        let (at, news) = self.news.recv_timeout(HANG).expect("news");
        (at, news.expect("a network").remove(&backend()).expect("the backend's"))
    }

    /// Takes news until this holds; gives all that was told.
    fn until(&self, holds: impl Fn(&Network) -> bool) -> Vec<Network> {
        let mut told = vec![self.next()];
        while !told.last().is_some_and(&holds) {
            told.push(self.next());
        }
        told
    }

    fn until_connected(&self) -> Network {
        self.until(|network| network.connected).pop().expect("the last")
    }

    fn until_offline(&self) -> Network {
        self.until(|network| !network.connected).pop().expect("the last")
    }
}

impl Drop for Sense {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || thread::panicking(), "the sense's thread panicked");
    }
}

fn backend() -> BackendName {
    BackendName::new("main").unwrap()
}

fn targets(addresses: &[&str]) -> Targets {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    BTreeMap::from([(backend(), addresses)])
}

/// The pair's cable as it should be shown.
fn cable(subnet: &str) -> Network {
    Network {
        connected: true,
        link: LinkType::Ethernet,
        interface: Pair::UPLINK.into(),
        connectivity: Connectivity::Unknown,
        metered: Metered::GuessNo,
        subnet: subnet.into(),
        ..Network::none()
    }
}

#[test]
fn without_a_route_it_is_offline() {
    if !netns::require() {
        return;
    }
    let sense = Sense::start(&Netns::new(), &[], vec![]);
    assert_eq!(sense.next(), Network::none());
}

#[test]
fn a_default_route_makes_it_online_and_a_lost_carrier_offline_though_the_route_stays() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let sense = Sense::start(&pair.device, &[], vec![]);
    assert_eq!(sense.next(), Network::none());
    pair.default_route();
    assert_eq!(sense.next(), cable("10.77.0.2/24"));
    for _ in 0..2 {
        pair.unplug();
        assert_eq!(sense.next(), Network::none());
        pair.plug();
        assert_eq!(sense.next(), cable("10.77.0.2/24"));
    }
}
