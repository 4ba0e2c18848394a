//! Which of those who know something of a route is believed: the backend, the probe, NetworkManager.

use super::super::rig::*;
use super::*;

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
