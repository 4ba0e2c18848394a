//! Files on their way: what is more urgent goes first, a short cut of the link is waited for, and what has come further
//! counts nothing.

use std::time::Duration;

use super::rig::{Rig, SECOND, config, strategy, unreachable, wifi, world};
use crate::model::{Answer, AtChunk, AttemptId, Config, CountsByStrategy, Cut, Network, Reason, Settlement};
use crate::schedule::{Input, Wake};

const GRACE: Duration = Duration::from_secs(3);

fn patient() -> Config {
    let mut config = config();
    config.network.link_grace = GRACE;
    config
}

fn blocked(rig: &Rig, name: &str) -> Vec<Reason> {
    rig.core.status(&CountsByStrategy::new(), rig.now).strategies[&strategy(name)].blocked.clone()
}

#[test]
fn no_file_begins_a_chunk_while_something_more_urgent_runs() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 2);
    let photos: Vec<AttemptId> = rig.running.keys().copied().collect();
    assert_eq!((photos.len(), rig.log.at_chunk.len()), (2, 0), "two files at once, nothing in their way");
    rig.enqueue("metadata", 1);
    assert_eq!(rig.running.len(), 3, "the third slot is free for it at once");
    assert_eq!(rig.log.at_chunk, [(photos[0], AtChunk::Wait), (photos[1], AtChunk::Wait)]);
    let metadata = *rig.running.keys().next_back().expect("it runs");
    let tasks = rig.running[&metadata].clone();
    rig.finish(metadata, super::rig::results(&tasks, &super::rig::ok()));
    assert_eq!(rig.log.at_chunk[2..], [(photos[0], AtChunk::GoOn), (photos[1], AtChunk::GoOn)]);
    rig.enqueue("analytics", 1);
    assert_eq!(rig.log.at_chunk.len(), 4, "what is less urgent is in nobody's way");
}

#[test]
fn a_link_that_comes_back_in_time_cuts_nothing() {
    let mut rig = Rig::online(patient());
    rig.enqueue("photo", 1);
    let (photo, _) = rig.first_running();
    rig.feed(Input::World(world(&Network::none())));
    assert_eq!((rig.log.aborted.len(), rig.log.at_chunk.as_slice()), (0, [(photo, AtChunk::Wait)].as_slice()));
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + GRACE, Wake::LinkGrace)));
    rig.pass(GRACE - Duration::from_millis(1));
    rig.feed(Input::World(world(&wifi())));
    assert_eq!((rig.log.aborted.len(), rig.log.linked.as_slice()), (0, [photo].as_slice()));
    assert_eq!(rig.log.at_chunk, [(photo, AtChunk::Wait), (photo, AtChunk::GoOn)]);
    assert_eq!(rig.core.poll_timeout(), None);
}

#[test]
fn a_link_that_stays_away_cuts_when_the_grace_is_over() {
    let mut rig = Rig::online(patient());
    rig.enqueue("metadata", 1);
    let (attempt, tasks) = rig.first_running();
    rig.feed(Input::World(world(&Network::none())));
    rig.pass(GRACE);
    rig.feed(Input::Woken);
    assert_eq!(rig.log.aborted, [(attempt, Cut::Link)]);
    rig.answer(Answer::Cut(Cut::Link));
    assert!(matches!(&rig.log.settled[..], [(id, Settlement::Release { .. })] if *id == tasks[0]));
}

#[test]
fn another_address_or_interface_cuts_at_once_also_after_a_while_without_any() {
    let readdressed = Network { subnet: "10.9.9.0/24".to_owned(), ..wifi() };
    let elsewhere = Network { interface: "wlan7".to_owned(), ..wifi() };
    for other in [readdressed, elsewhere] {
        for away in [false, true] {
            let mut rig = Rig::online(patient());
            rig.enqueue("photo", 1);
            let (photo, _) = rig.first_running();
            if away {
                rig.feed(Input::World(world(&Network::none())));
            }
            rig.feed(Input::World(world(&other)));
            assert_eq!((&rig.log.aborted[..], rig.log.linked.len()), ([(photo, Cut::Link)].as_slice(), 0));
        }
    }
}

#[test]
fn nobody_is_to_blame_for_being_out_of_reach_while_the_link_is_away() {
    let mut rig = Rig::online(patient());
    rig.enqueue("metadata", 1);
    rig.feed(Input::World(world(&Network::none())));
    rig.answer(Answer::Unreachable { words: "network is unreachable".to_owned() });
    assert_eq!(blocked(&rig, "metadata"), [Reason::Offline], "the backend is not taken for being down");
    rig.feed(Input::World(world(&wifi())));
    assert_eq!(rig.running.len(), 1, "it goes again at once");
}

#[test]
fn an_upload_that_came_further_blames_nobody_either_for_a_link_that_is_away_or_cut() {
    let further = || Answer::Advanced(Box::new(Answer::Unreachable { words: "network is unreachable".to_owned() }));
    for away in [Duration::ZERO, GRACE] {
        let mut rig = Rig::online(patient());
        rig.enqueue("photo", 1);
        rig.feed(Input::World(world(&Network::none())));
        rig.pass(away);
        rig.feed(Input::Woken);
        rig.answer(further());
        assert_eq!(blocked(&rig, "photo"), [Reason::Offline], "the backend is not taken for being down");
        rig.feed(Input::World(world(&wifi())));
        assert_eq!(rig.running.len(), 1, "it goes again at once");
    }
    let mut rig = Rig::online(patient());
    rig.enqueue("photo", 1);
    rig.answer(further());
    assert_eq!(blocked(&rig, "photo"), [Reason::BackendDown], "with its link there it is an outage");
}

#[test]
fn what_has_come_further_counts_nothing_and_starts_counting_anew() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    let busy = || Answer::Status { code: 500, words: "busy".to_owned(), retry_after: None };
    for attempt in 1..=9 {
        rig.answer(Answer::Advanced(Box::new(busy())));
        let (_, settlement) = rig.log.settled.last().expect("settled");
        assert!(matches!(settlement, Settlement::Advanced { error, .. } if error.contains("busy")), "{attempt}");
        rig.pass(Duration::from_secs(900));
        rig.feed(Input::Woken);
    }
    rig.answer(busy());
    rig.pass(Duration::from_secs(900));
    rig.feed(Input::Woken);
    rig.answer(Answer::Advanced(Box::new(Answer::Unreachable { words: "reset".to_owned() })));
    let (_, settlement) = rig.log.settled.last().expect("settled");
    assert!(matches!(settlement, Settlement::Release { .. }), "an outage is the backend's: {settlement:?}");
}

#[test]
fn what_the_device_is_not_ready_to_send_waits_uncounted_and_holds_up_no_other() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    let after = Duration::from_secs(300);
    for attempt in 1..=9 {
        rig.answer(Answer::Unready { words: "full".to_owned(), after });
        let (id, settlement) = rig.log.settled.last().cloned().expect("settled");
        let Settlement::Postponed { due, error } = settlement else { panic!("{attempt}: {settlement:?}") };
        assert!(due >= rig.now.wall + after && error == "full");
        assert_eq!(rig.store.get(id).attempts, 0);
        assert_eq!(blocked(&rig, "photo"), [], "the backend is not taken for being down");
        rig.pass(Duration::from_secs(900));
        rig.feed(Input::Woken);
        assert_eq!(rig.running.len(), 1);
    }
}

/// Found by the simulator: on a link that loses one request in ten, a server that takes chunk after chunk was soon asked
/// only each quarter of an hour.
#[test]
fn a_probe_that_came_further_ends_the_outage_and_what_broke_it_off_begins_another() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    for attempt in 0..12 {
        rig.answer(Answer::Advanced(Box::new(unreachable())));
        assert_eq!(blocked(&rig, "photo"), [Reason::BackendDown]);
        rig.sleep(SECOND);
        assert_eq!(rig.running.len(), 1, "attempt {attempt}: an outage is asked after again within a second at first");
    }
}
