//! When it is looked how far the network reaches, and what a portal costs meanwhile.

use super::super::rig::*;
use super::*;

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
