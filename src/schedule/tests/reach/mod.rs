//! How far the network reaches: when it is looked, whose an answer is, and what a portal costs: nothing.

mod doubt;
mod looks;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use super::rig::*;
use super::shown::a_task;
use crate::model::{
    Answer, AttemptId, BackendConfig, Block, Config, Connectivity, CountsByStrategy, Credential, Finding, Network,
    ProbeConfig, Reason, Settlement, Task, TaskId, WallTime, World,
};
use crate::schedule::{Control, Input, Wake};

const MINUTE: Duration = Duration::from_secs(60);

/// `main` by plain HTTP with a credential, and `other`, for analytics, by HTTPS; a probe that tells.
pub(in crate::schedule::tests) fn probing() -> Config {
    let mut config = config();
    let credential = Some(Credential::Systemd("ferryd.token".to_owned()));
    let at = |url: &str| BackendConfig {
        url: url.to_owned(),
        credential: credential.clone(),
        ..config.backends[&backend("main")].clone()
    };
    let (plain, secure) = (at("http://sync.example/"), at("HTTPS://sync.example/"));
    config.backends = [(backend("main"), plain), (backend("other"), secure)].into();
    config.strategies.get_mut(&strategy("analytics")).expect("shipped").backend = Some(backend("other"));
    config.network.probe =
        Some(ProbeConfig { url: "http://probe.example/?key=secret".to_owned(), status: 204, body: String::new() });
    config
}

/// The same without a probe.
fn blind() -> Config {
    let mut config = probing();
    config.network.probe = None;
    config
}

/// As a link's sense shows it.
pub(in crate::schedule::tests) fn sensed(network: Network) -> Network {
    Network { connectivity: Connectivity::Unknown, ..network }
}

/// A world of this network, in which NetworkManager says so.
pub(in crate::schedule::tests) fn said(network: Network, word: Option<Connectivity>) -> World {
    World { connectivity: word, ..world(&sensed(network)) }
}

fn on(config: Config, network: Network) -> Rig {
    let mut rig = Rig::new(config);
    rig.feed(Input::World(world(&sensed(network))));
    rig
}

fn found(rig: &mut Rig, connectivity: Connectivity) {
    let look = rig.log.looks.last().expect("it looked").0;
    rig.feed(Input::Probed { look, finding: Finding { connectivity, words: format!("found {connectivity}") } });
}

fn shown(rig: &Rig) -> Connectivity {
    rig.core.status(&CountsByStrategy::new(), rig.now).network.connectivity
}

fn reach_of(rig: &Rig, name: &str) -> Connectivity {
    rig.core.network_of(&backend(name)).expect("sensed").connectivity
}

fn illness(rig: &Rig, name: &str) -> Option<Reason> {
    rig.core.backends[&backend(name)].illness().map(|illness| illness.reason())
}

fn rows(rig: &Rig, name: &str, id: TaskId) -> Vec<Block> {
    let task = Task { id, ..a_task(name, WallTime::default(), Vec::new()) };
    rig.core.explain(&task, &Default::default(), rig.now)
}

fn reasons(rig: &Rig, name: &str, id: TaskId) -> Vec<Reason> {
    rows(rig, name, id).into_iter().map(|row| row.reason).collect()
}

fn untrusted() -> Answer {
    Answer::Untrusted { words: "UnknownIssuer".to_owned() }
}

/// Nothing was counted against a task, and each waits.
fn assert_unharmed(rig: &Rig) {
    assert!(rig.running.is_empty());
    assert!(rig.store.tasks.iter().all(|task| task.row == Row::Pending && task.attempts == 0));
    assert_eq!((illness(rig, "main"), illness(rig, "other")), (None, None));
}
