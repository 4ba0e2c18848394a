//! Whose an answer is: the backend's, or that of whoever answers in its place.

use super::super::rig::*;
use super::*;

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
