//! How far the network reaches: when it is looked, whose an answer is, and what a portal costs: nothing.

use std::sync::Arc;
use std::time::Duration;

use super::rig::*;
use crate::model::{
    Answer, AttemptId, BackendConfig, Block, Config, Connectivity, CountsByStrategy, Credential, Finding, Network,
    Overrides, Owner, ProbeConfig, Reason, Settlement, Standing, Task, TaskId, WallTime, World,
};
use crate::schedule::{Control, Input, Wake};

const MINUTE: Duration = Duration::from_secs(60);

/// `main` by plain HTTP with a credential, and `other`, for analytics, by HTTPS; a probe that tells.
pub(super) fn probing() -> Config {
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
pub(super) fn sensed(network: Network) -> Network {
    Network { connectivity: Connectivity::Unknown, ..network }
}

/// A world of this network, in which NetworkManager says so.
pub(super) fn said(network: Network, word: Option<Connectivity>) -> World {
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
    let task = Task {
        id,
        owner: Owner(0),
        app: String::new(),
        strategy: strategy(name),
        overrides: Overrides::default(),
        standing: Standing::Pending { due: WallTime::default(), waits_for: Vec::new() },
        created: WallTime::default(),
        attempts: 0,
        last_error: String::new(),
        size: 2,
        key: None,
        tags: Vec::new(),
        after: Vec::new(),
        expires: None,
    };
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

#[test]
fn it_is_looked_once_beside_the_first_attempt_on_a_route_and_never_when_nothing_waits() {
    let mut rig = on(probing(), wifi());
    assert_eq!((rig.log.looks.len(), rig.core.poll_timeout()), (0, None), "nothing waits");
    rig.enqueue("analytics", 1);
    assert_eq!((rig.running.len(), rig.log.looks.as_slice()), (1, [(1, "wlan0".to_owned())].as_slice()));
    rig.succeed();
    rig.enqueue("analytics", 1);
    assert_eq!((rig.running.len(), rig.log.looks.len()), (1, 1), "one at a time");
    found(&mut rig, Connectivity::Full);
    rig.succeed();
    rig.enqueue("analytics", 1);
    rig.succeed();
    assert_eq!((rig.log.looks.len(), rig.core.poll_timeout()), (1, None));
    assert_eq!(shown(&rig), Connectivity::Full);
    rig.feed(Input::World(world(&sensed(modem()))));
    assert_eq!((rig.log.looks.len(), shown(&rig)), (1, Connectivity::Unknown), "forgotten with its route");
    rig.enqueue("analytics", 1);
    assert_eq!(rig.log.looks[1], (2, "wwan0".to_owned()));
}

#[test]
fn what_never_leaves_the_device_meets_no_portal() {
    let mut rig = on(probing(), Network { interface: "lo".to_owned(), ..wifi() });
    rig.enqueue("metadata", 1);
    assert_eq!((rig.running.len(), rig.log.looks.len()), (1, 0));
    rig.answer(status(403));
    assert_eq!(illness(&rig, "main"), Some(Reason::BackendAuth), "judged at once");
}

#[test]
fn a_credential_by_plain_http_waits_for_the_probe() {
    let mut rig = on(probing(), wifi());
    let id = rig.enqueue("metadata", 1)[0];
    assert_eq!((rig.running.len(), rig.log.looks.len(), rig.core.poll_timeout()), (0, 1, None));
    let row = rows(&rig, "metadata", id).remove(0);
    assert_eq!((row.reason, row.clears.as_str()), (Reason::NoInternet, "the probe has answered"));
    assert_eq!(row.detail["probe_url"], "http://probe.example/");
    found(&mut rig, Connectivity::Full);
    assert_eq!(rig.running.len(), 1);
    rig.succeed();
    rig.enqueue("metadata", 1);
    assert_eq!((rig.running.len(), rig.log.looks.len()), (1, 1), "once a route");
}

#[test]
fn without_a_probe_or_a_credential_nothing_is_waited_for() {
    let mut bare = probing();
    bare.backends.get_mut(&backend("main")).expect("it is there").credential = None;
    for (config, looks) in [(bare, 1), (blind(), 0)] {
        let mut rig = on(config, wifi());
        rig.enqueue("metadata", 1);
        assert_eq!((rig.running.len(), rig.log.looks.len()), (1, looks));
    }
}

#[test]
fn a_portal_costs_no_task_no_retry_no_backend_and_no_credential() {
    let mut rig = on(probing(), Network { ssid: "Hotel".to_owned(), ..wifi() });
    let plain = rig.enqueue("metadata", 3)[0];
    let secure = rig.enqueue("analytics", 1)[0];
    assert_eq!(rig.log.started.len(), 1, "only what TLS protects");
    rig.answer(untrusted());
    assert_eq!(rig.log.settled, [], "nothing is judged before the probe has spoken");
    found(&mut rig, Connectivity::Portal);
    assert_unharmed(&rig);
    assert!(rig.log.settled.iter().all(|(_, settled)| matches!(settled, Settlement::Release { .. })));
    for (name, id) in [("metadata", plain), ("analytics", secure)] {
        let row = rows(&rig, name, id).remove(0);
        assert_eq!(row.reason, Reason::CaptivePortal);
        let clears = "somebody signs in at the portal of the Wi-Fi network Hotel; looked at again in 2 min 0 s";
        assert_eq!((row.clears.as_str(), row.detail["found"].as_str()), (clears, "found portal"));
        let until = rig.now.wall + 2 * MINUTE;
        assert_eq!(row.detail["until"], until.as_micros().to_string());
    }
    let blocked = rig.core.status(&CountsByStrategy::new(), rig.now).blocked;
    assert_eq!((blocked, shown(&rig)), (vec![Reason::CaptivePortal], Connectivity::Portal));
    assert!(!rig.core.reaches(&backend("main")) && !rig.core.reaches(&backend("other")));
}

#[test]
fn a_portal_is_looked_at_again_ever_later_and_the_sign_in_is_found() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("metadata", 2);
    for minutes in [2, 4, 8, 15, 15] {
        found(&mut rig, Connectivity::Portal);
        assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + minutes * MINUTE, Wake::ReachProbe)));
        let looks = rig.log.looks.len();
        rig.sleep(minutes * MINUTE);
        assert_eq!((rig.log.looks.len(), rig.core.poll_timeout()), (looks + 1, None));
    }
    assert_eq!(rig.log.started, []);
    found(&mut rig, Connectivity::Full);
    assert_eq!((rig.running.len(), rig.log.started[0].2.len()), (1, 2));
    rig.succeed();
    assert_eq!(rig.core.poll_timeout(), None);
}

#[test]
fn whoever_wants_it_has_it_looked_at_again_at_once() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("metadata", 1);
    found(&mut rig, Connectivity::Portal);
    rig.feed(Input::Control(Control::SyncNow(None)));
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + SECOND, Wake::ReachProbe)), "once a second");
    rig.sleep(SECOND);
    assert_eq!(rig.log.looks.len(), 2);
    found(&mut rig, Connectivity::Portal);
    rig.enqueue("metadata", 1);
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + 10 * SECOND, Wake::ReachProbe)), "once in ten");
    rig.sleep(10 * SECOND);
    assert_eq!(rig.log.looks.len(), 3);
    found(&mut rig, Connectivity::Portal);
    rig.pass(11 * SECOND);
    rig.enqueue("metadata", 1);
    assert_eq!(rig.log.looks.len(), 4, "at once");
    found(&mut rig, Connectivity::Portal);
}

#[test]
fn what_an_attempt_left_is_no_new_work() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("analytics", 1);
    found(&mut rig, Connectivity::Portal);
    rig.answer(untrusted());
    assert_unharmed(&rig);
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + 2 * MINUTE, Wake::ReachProbe)));
}

#[test]
fn an_answer_is_believed_when_the_probe_was_reached_after_the_attempt_began() {
    for (answer, ill) in [
        (status(403), Some(Reason::BackendAuth)),
        (status(404), Some(Reason::BackendConfig)),
        (status(511), Some(Reason::BackendDown)),
        (foreign(), Some(Reason::BackendDown)),
        (status(422), None),
    ] {
        for verdict in [Connectivity::Full, Connectivity::Limited, Connectivity::Portal] {
            let mut rig = on(probing(), wifi());
            rig.enqueue("metadata", 1);
            found(&mut rig, Connectivity::Full);
            rig.succeed();
            rig.pass(SECOND);
            let id = rig.enqueue("metadata", 1)[0];
            rig.pass(SECOND);
            rig.answer(answer.clone());
            assert_eq!((rig.log.looks.len(), rig.log.settled.len()), (2, 1), "nothing is known yet");
            assert_eq!(rig.store.get(id).row, Row::Running);
            found(&mut rig, verdict);
            if verdict == Connectivity::Portal {
                assert_eq!(
                    (rig.store.get(id).row, rig.store.get(id).attempts, illness(&rig, "main")),
                    (Row::Pending, 0, None)
                );
            } else {
                let proven = ill.filter(|ill| *ill != Reason::BackendConfig);
                assert_eq!(illness(&rig, "main"), proven, "{answer:?} {verdict}");
                let refused = proven.is_none();
                assert_eq!(rig.store.get(id).row == Row::Failed, refused, "{answer:?} {verdict}");
            }
        }
    }
}

#[test]
fn while_an_answer_is_in_doubt_no_credential_goes_by_plain_http() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("metadata", 1);
    found(&mut rig, Connectivity::Full);
    rig.succeed();
    rig.pass(SECOND);
    rig.enqueue("metadata", 1);
    rig.answer(foreign());
    let id = rig.enqueue("metadata", 1)[0];
    assert_eq!((rig.running.len(), reasons(&rig, "metadata", id)), (0, vec![Reason::NoInternet]));
    rig.enqueue("analytics", 1);
    assert_eq!(rig.running.len(), 1, "TLS protects it");
    found(&mut rig, Connectivity::Full);
    assert_eq!(illness(&rig, "main"), Some(Reason::BackendDown), "it was the server's own nonsense");
}

#[test]
fn without_a_probe_nothing_is_kept_and_a_status_of_portals_is_nobody_s() {
    for (answer, ill) in
        [(status(511), Reason::BackendDown), (foreign(), Reason::BackendDown), (status(403), Reason::BackendAuth)]
    {
        let mut rig = on(blind(), wifi());
        rig.enqueue("metadata", 1);
        rig.answer(answer);
        assert_eq!((illness(&rig, "main"), rig.log.looks.len()), (Some(ill), 0));
    }
}

/// An attempt whose answer is kept, since it may be a portal's.
fn in_doubt() -> (Rig, TaskId) {
    let mut rig = on(probing(), wifi());
    let id = rig.enqueue("analytics", 1)[0];
    rig.answer(foreign());
    assert_eq!((rig.log.settled.len(), rig.store.get(id).row), (0, Row::Running));
    (rig, id)
}

#[test]
fn an_attempt_in_doubt_can_be_ended_in_every_way() {
    let (mut rig, id) = in_doubt();
    rig.feed(Input::Control(Control::Stop));
    assert_eq!((rig.store.get(id).row, rig.log.aborted.len()), (Row::Pending, 0), "the daemon stops");

    let (mut rig, id) = in_doubt();
    rig.store.find(id).row = Row::Cancelled;
    rig.feed(Input::Withdrawn(id));
    assert_eq!((rig.log.settled.len(), rig.log.aborted.len()), (1, 0), "its task is cancelled");

    for other in [Network::none(), sensed(modem())] {
        let (mut rig, id) = in_doubt();
        rig.feed(Input::World(world(&other)));
        assert_eq!((rig.store.get(id).attempts, illness(&rig, "other")), (0, None), "the route is another");
        assert!(matches!(rig.log.settled[..], [(_, Settlement::Release { .. })]));
    }

    let (mut rig, id) = in_doubt();
    rig.feed(Input::World(World { suspending: true, ..world(&sensed(wifi())) }));
    assert_eq!((rig.store.get(id).row, rig.core.poll_timeout()), (Row::Pending, None), "the device goes to sleep");

    let (mut rig, _) = in_doubt();
    rig.feed(Input::Control(Control::Configure(Arc::new(blind()))));
    assert_eq!(illness(&rig, "other"), Some(Reason::BackendDown), "nobody can tell any more");
    found(&mut rig, Connectivity::Portal);
    assert_eq!(illness(&rig, "other"), Some(Reason::BackendDown), "what comes too late says nothing");
}

#[test]
fn an_attempt_in_doubt_keeps_its_slot_and_no_file_waits_for_it() {
    let mut config = probing();
    config.strategies.get_mut(&strategy("photo")).expect("shipped").backend = Some(backend("other"));
    config.strategies.get_mut(&strategy("metadata")).expect("shipped").backend = Some(backend("other"));
    config.limits.max_concurrent = 2;
    let mut rig = on(config, wifi());
    rig.enqueue("photo", 1);
    rig.enqueue("metadata", 2);
    assert_eq!(rig.log.at_chunk.len(), 1, "the file waits for what is more urgent");
    rig.finish(AttemptId(2), foreign());
    rig.enqueue("analytics", 1);
    assert_eq!((rig.running.len(), rig.log.started.len(), rig.log.at_chunk.len()), (1, 2, 2));
    found(&mut rig, Connectivity::Full);
    assert_eq!(rig.log.started.len(), 2, "one request at a time asks an ailing backend");
}

#[test]
fn a_network_without_the_internet_is_told_from_a_backend_that_is_down() {
    let mut rig = on(probing(), wifi());
    let id = rig.enqueue("analytics", 1)[0];
    rig.answer(unreachable());
    assert_eq!(rig.log.settled, [], "the look beside it will tell");
    found(&mut rig, Connectivity::Limited);
    assert_unharmed(&rig);
    let row = rows(&rig, "analytics", id).remove(0);
    let clears = "the network reaches the internet; looked at again in 2 min 0 s";
    assert_eq!((row.reason, row.clears.as_str()), (Reason::NoInternet, clears));
    rig.sleep(2 * MINUTE);
    found(&mut rig, Connectivity::Full);
    assert_eq!(rig.running.len(), 1, "at once: no backoff is left over");
    rig.answer(unreachable());
    assert_eq!(illness(&rig, "other"), Some(Reason::BackendDown), "others are reached");
}

#[test]
fn an_outage_that_was_the_network_s_is_over_with_it() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("analytics", 1);
    found(&mut rig, Connectivity::Full);
    for _ in 0..12 {
        rig.answer(unreachable());
        let wait = rig.core.poll_timeout().expect("it is asked again").0;
        rig.sleep(wait.saturating_since(rig.now.moment));
    }
    rig.answer(unreachable());
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Portal))));
    assert_eq!((rig.running.len(), illness(&rig, "other")), (0, Some(Reason::BackendDown)), "silence told nothing");
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Full))));
    assert_eq!(rig.running.len(), 1, "at once");
}

#[test]
fn a_probe_that_is_down_stops_nobody_for_good() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("metadata", 1);
    rig.enqueue("analytics", 1);
    found(&mut rig, Connectivity::Limited);
    assert_eq!(rig.running.len(), 2, "what waited may try, what was on its way goes on");
    rig.answer(unreachable());
    rig.answer(unreachable());
    assert_unharmed(&rig);
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + 2 * MINUTE, Wake::ReachProbe)));
    rig.sleep(2 * MINUTE);
    found(&mut rig, Connectivity::Limited);
    assert_eq!(rig.running.len(), 2, "after each look each may try once");
    rig.succeed();
    rig.answer(unreachable());
    assert_eq!(
        (rig.running.len(), reach_of(&rig, "main"), reach_of(&rig, "other")),
        (0, Connectivity::Full, Connectivity::Limited)
    );
    rig.enqueue("metadata", 1);
    assert_eq!(rig.running.len(), 1, "its own answer is the best evidence");
    rig.answer(unreachable());
    assert_eq!((rig.running.len(), illness(&rig, "main")), (0, None), "and the lack of one, too");
}

/// Two uploads behind a portal kept each other going: found by the simulator.
#[test]
fn those_that_try_together_try_once() {
    for connectivity in [Connectivity::Portal, Connectivity::Limited] {
        let mut rig = on(probing(), wifi());
        rig.enqueue("analytics", 350);
        assert_eq!(rig.running.len(), 3);
        found(&mut rig, connectivity);
        for running in [2, 1, 0] {
            rig.answer(unreachable());
            assert_eq!(rig.running.len(), running, "{connectivity}");
        }
        assert_unharmed(&rig);
        assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + 2 * MINUTE, Wake::ReachProbe)));
        rig.sleep(2 * MINUTE);
        found(&mut rig, connectivity);
        rig.succeed();
        assert_eq!(
            (rig.running.len(), reach_of(&rig, "other")),
            (3, Connectivity::Full),
            "one that gets through is enough"
        );
    }
}

#[test]
fn a_backend_that_answered_over_a_route_is_reached_there_whatever_others_say() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("analytics", 1);
    rig.succeed();
    found(&mut rig, Connectivity::Portal);
    rig.enqueue("analytics", 1);
    assert_eq!((rig.running.len(), reach_of(&rig, "other")), (1, Connectivity::Full));
    rig.answer(foreign());
    assert_eq!((rig.running.len(), illness(&rig, "other"), reach_of(&rig, "other")), (0, None, Connectivity::Portal));
    // Another route with the same portal: what it showed on the old one does not count.
    let mut rig = on(probing(), wifi());
    rig.enqueue("analytics", 1);
    rig.succeed();
    rig.feed(Input::World(said(modem(), Some(Connectivity::Portal))));
    assert_eq!(reach_of(&rig, "other"), Connectivity::Portal);
}

#[test]
fn a_neighbour_needs_no_internet() {
    let mut rig = on(probing(), Network { direct: true, ..wifi() });
    rig.enqueue("metadata", 1);
    found(&mut rig, Connectivity::Limited);
    assert_eq!((rig.running.len(), shown(&rig)), (1, Connectivity::Limited));
    rig.succeed();
    rig.enqueue("metadata", 1);
    assert_eq!((rig.running.len(), shown(&rig), rig.core.poll_timeout()), (1, Connectivity::Limited, None));
    rig.answer(unreachable());
    assert_eq!(illness(&rig, "main"), Some(Reason::BackendDown), "it could have answered");
    // A name that a portal resolves to itself makes it a neighbour.
    let mut rig = on(probing(), Network { direct: true, ..wifi() });
    let id = rig.enqueue("metadata", 1)[0];
    found(&mut rig, Connectivity::Portal);
    assert_eq!(reasons(&rig, "metadata", id), [Reason::CaptivePortal]);
}

#[test]
fn nobody_can_stand_before_a_neighbour_at_an_address_that_is_configured() {
    for (url, near) in [
        ("http://192.0.2.1:8080/x", true),
        ("HTTP://[fe80::1]:80/", true),
        ("http://192.0.2.1", true),
        ("http://server.example/192.0.2.1", false),
        ("http://192.0.2.1.example:80/", false),
    ] {
        let mut config = probing();
        config.backends.get_mut(&backend("main")).expect("it is there").url = url.to_owned();
        for direct in [true, false] {
            let mut rig = on(config.clone(), Network { direct, ..wifi() });
            rig.enqueue("metadata", 1);
            let asked = !(near && direct);
            assert_eq!((rig.running.len(), rig.log.looks.len()), (usize::from(!asked), usize::from(asked)), "{url}");
            if !asked {
                rig.answer(status(403));
                assert_eq!(illness(&rig, "main"), Some(Reason::BackendAuth), "judged at once");
            }
        }
    }
}

#[test]
fn each_route_has_its_own_verdict() {
    let mut rig = Rig::new(probing());
    let networks = [(backend("main"), sensed(wifi())), (backend("other"), sensed(modem()))].into();
    rig.feed(Input::World(World { networks, ..World::unknown() }));
    let waits = rig.enqueue("metadata", 1)[0];
    rig.enqueue("analytics", 1);
    assert_eq!((rig.log.looks.as_slice(), rig.running.len()), ([(1, "wlan0".to_owned())].as_slice(), 1));
    found(&mut rig, Connectivity::Portal);
    assert_eq!(rig.log.looks[1..], [(2, "wwan0".to_owned())], "one at a time");
    found(&mut rig, Connectivity::Full);
    assert_eq!((reach_of(&rig, "main"), reach_of(&rig, "other")), (Connectivity::Portal, Connectivity::Full));
    assert_eq!(reasons(&rig, "metadata", waits), [Reason::CaptivePortal]);
    rig.succeed();
}

#[test]
fn a_look_by_a_route_that_has_gone_says_nothing() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("metadata", 1);
    rig.feed(Input::World(world(&Network::none())));
    rig.pass(SECOND);
    rig.feed(Input::World(world(&sensed(wifi()))));
    found(&mut rig, Connectivity::Full);
    assert_eq!((rig.running.len(), rig.log.looks.len()), (0, 2), "it may be another network of the same address");
    found(&mut rig, Connectivity::Full);
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn networkmanager_s_word_takes_the_probe_s_place() {
    let mut rig = Rig::new(probing());
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Full))));
    rig.enqueue("metadata", 1);
    assert_eq!((rig.running.len(), rig.log.looks.len()), (1, 0));
    rig.succeed();
    rig.pass(SECOND);
    rig.enqueue("metadata", 1);
    rig.answer(status(403));
    assert_eq!(rig.log.looks.len(), 1, "but not where an answer may be another's");
    found(&mut rig, Connectivity::Portal);
    assert_unharmed_but_done(&rig, 1);
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Full))));
    assert_eq!(rig.running.len(), 0, "that is no news");
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Portal))));
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Full))));
    assert_eq!(rig.running.len(), 1, "a difference is");
}

fn assert_unharmed_but_done(rig: &Rig, done: usize) {
    assert_eq!(rig.store.tasks.iter().filter(|task| task.row == Row::Done).count(), done);
    assert!(rig.store.tasks.iter().all(|task| task.row != Row::Failed && task.attempts == 0));
    assert_eq!((rig.running.len(), illness(rig, "main"), illness(rig, "other")), (0, None, None));
}

#[test]
fn networkmanager_alone_is_enough_to_know_a_portal() {
    let mut rig = Rig::new(blind());
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Unknown))));
    rig.enqueue("metadata", 1);
    assert_eq!(rig.running.len(), 1, "it does not know");
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Portal))));
    rig.answer(status(403));
    assert_unharmed(&rig);
    assert_eq!(rig.core.poll_timeout(), None, "its next word is an event");
    rig.enqueue("analytics", 1);
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + 10 * SECOND, Wake::ReachProbe)), "TLS may try");
    rig.sleep(10 * SECOND);
    assert_eq!(rig.running.len(), 1);
    rig.answer(untrusted());
    assert_unharmed(&rig);
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + 4 * MINUTE, Wake::ReachProbe)));
    rig.feed(Input::World(said(wifi(), Some(Connectivity::Full))));
    assert_eq!(rig.running.len(), 2, "somebody signed in");
}

#[test]
fn another_probe_is_asked_anew() {
    let mut rig = on(probing(), wifi());
    rig.enqueue("metadata", 1);
    found(&mut rig, Connectivity::Portal);
    let mut other = probing();
    other.network.probe.as_mut().expect("it is there").status = 200;
    rig.feed(Input::Control(Control::Configure(Arc::new(other))));
    assert_eq!((rig.running.len(), rig.log.looks.len()), (0, 2));
    found(&mut rig, Connectivity::Full);
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn a_task_in_its_backoff_is_no_reason_to_look() {
    let mut rig = on(probing(), wifi());
    let id = rig.enqueue("metadata", 1)[0];
    found(&mut rig, Connectivity::Full);
    let later = crate::model::ItemOutcome::Retry { after: Some(3600 * SECOND), reason: String::new() };
    rig.answer(results(&[id], &later));
    rig.feed(Input::World(world(&sensed(modem()))));
    assert_eq!(rig.log.looks.len(), 1);
    let (at, wake) = rig.core.poll_timeout().expect("it is due some time");
    assert_eq!((at >= rig.now.moment + 3600 * SECOND, wake), (true, Wake::ReachProbe));
    rig.sleep(3610 * SECOND);
    assert_eq!((rig.log.looks.len(), rig.running.len()), (2, 0));
    found(&mut rig, Connectivity::Full);
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn an_upload_that_met_a_portal_keeps_what_it_had() {
    let mut config = probing();
    config.strategies.get_mut(&strategy("photo")).expect("shipped").backend = Some(backend("other"));
    let mut rig = on(config, wifi());
    let id = rig.enqueue("photo", 1)[0];
    found(&mut rig, Connectivity::Full);
    rig.pass(MINUTE);
    rig.answer(Answer::Advanced(Box::new(foreign())));
    assert_eq!(rig.log.looks.len(), 2, "what was so when it began says nothing of now");
    found(&mut rig, Connectivity::Portal);
    assert_eq!((rig.store.get(id).row, rig.store.get(id).attempts, illness(&rig, "other")), (Row::Pending, 0, None));
    assert!(matches!(&rig.log.settled[..], [(_, Settlement::Release { cause })] if cause.contains("not reach")));
}
