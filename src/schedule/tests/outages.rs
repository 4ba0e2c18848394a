//! Outages: what counts against the backend, and when it is asked again.

use std::sync::Arc;
use std::time::Duration;

use super::rig::*;
use crate::model::{Answer, Config, Cut, ItemOutcome, Network, Reason, Settlement};
use crate::schedule::{Control, Input, Wake};

/// A configuration whose `main` is at another URL.
fn moved() -> Config {
    let mut config = config();
    config.backends.get_mut(&backend("main")).expect("a backend").url = "https://other.example/".to_owned();
    config
}

fn reload(rig: &mut Rig, config: Config) {
    rig.feed(Input::Control(Control::Configure(Arc::new(config))));
}

fn reason(rig: &Rig) -> Option<Reason> {
    rig.core.backends[&backend("main")].illness().map(|illness| illness.reason())
}

fn failures(rig: &Rig) -> u32 {
    rig.core.backends[&backend("main")].illness().map_or(0, |illness| illness.failures)
}

/// Time to the next probe.
fn wait(rig: &Rig) -> Duration {
    match rig.core.poll_timeout() {
        Some((at, Wake::BackendProbe)) => at.saturating_since(rig.now.moment),
        other => panic!("no probe but {other:?}"),
    }
}

fn busy(retry_after: Duration) -> Answer {
    Answer::Status { code: 503, words: String::new(), retry_after: Some(retry_after) }
}

#[test]
fn an_outage_counts_against_the_backend_and_one_request_probes_it() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 120);
    assert_eq!(rig.running.len(), 3);
    for _ in 0..3 {
        rig.answer(status(503));
    }
    assert_eq!(failures(&rig), 1, "those that had begun before count once");
    assert!(rig.running.is_empty());
    assert!(rig.log.settled.iter().all(|(_, settled)| matches!(settled, Settlement::Release { .. })));
    let longest = wait(&rig);
    rig.sleep(longest);
    assert_eq!(rig.running.len(), 1, "one probe");
    rig.succeed();
    assert_eq!(rig.running.len(), 2, "then all that waits");
    rig.succeed();
    rig.succeed();
    assert!(rig.store.tasks.iter().all(|task| task.row == Row::Done && task.attempts == 0));
}

#[test]
fn after_an_hour_of_outage_nothing_has_failed_and_few_requests_were_made() {
    for answer in [unreachable(), foreign(), status(502), Answer::Untrusted { words: String::new() }, status(401)] {
        let mut rig = Rig::online(config());
        rig.enqueue("metadata", 120);
        rig.enqueue("photo", 3);
        let end = rig.now + 3600 * SECOND;
        while rig.now.moment < end.moment {
            while !rig.running.is_empty() {
                assert!(rig.log.started.len() < 60, "{} requests", rig.log.started.len());
                rig.answer(answer.clone());
            }
            let next = wait(&rig);
            rig.sleep(next);
        }
        while !rig.running.is_empty() {
            rig.succeed();
        }
        assert!(rig.store.tasks.iter().all(|task| task.row == Row::Done && task.attempts == 0));
    }
}

#[test]
fn the_backoff_of_a_backend_grows_to_the_cap() {
    let mut longest = [Duration::ZERO; 14];
    for seed in 0..200 {
        let mut rig = Rig::new(config());
        rig.core = crate::schedule::Scheduler::new(Arc::new(config()), seed);
        rig.feed(Input::World(world(&wifi())));
        rig.enqueue("metadata", 1);
        for (failure, longest) in longest.iter_mut().enumerate() {
            rig.answer(status(503));
            let waited = wait(&rig);
            assert!(waited <= (SECOND * 2u32.pow(failure as u32)).min(900 * SECOND));
            *longest = waited.max(*longest);
            rig.sleep(waited);
        }
    }
    assert!(longest[0] > SECOND / 2 && longest[3] > 4 * SECOND && longest[13] > 800 * SECOND, "{longest:?}");
}

#[test]
fn retry_after_is_honoured_up_to_a_day() {
    for (asked, least) in [(100, 100), (1_000_000, 86_400)] {
        let mut rig = Rig::online(config());
        rig.enqueue("metadata", 1);
        rig.answer(busy(asked * SECOND));
        assert!(wait(&rig) >= least * SECOND && wait(&rig) <= (least + 1) * SECOND);
    }
}

#[test]
fn retry_after_counts_also_from_requests_that_had_begun_before() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 100);
    rig.answer(status(503));
    rig.answer(busy(100 * SECOND));
    assert!(wait(&rig) >= 100 * SECOND);
    assert_eq!(failures(&rig), 1);
}

#[test]
fn a_new_way_to_the_backend_is_tried_at_once_unless_it_asked_for_silence() {
    for (answer, at_once) in [(unreachable(), true), (busy(3600 * SECOND), false)] {
        let mut rig = Rig::online(config());
        rig.enqueue("metadata", 1);
        for _ in 0..8 {
            rig.answer(unreachable());
            let next = wait(&rig);
            rig.sleep(next);
        }
        rig.answer(answer);
        rig.feed(Input::World(world(&Network::none())));
        assert_eq!(rig.core.poll_timeout(), None, "no probe without a link");
        rig.feed(Input::World(world(&modem())));
        assert_eq!(rig.running.len(), usize::from(at_once));
    }
}

/// In an hour: a backoff of its own asks a few times, and another way must not make many of it.
#[test]
fn a_link_that_comes_and_goes_does_not_outrun_the_backoff() {
    for ways in [[wifi(), wifi()], [wifi(), modem()]] {
        let mut rig = Rig::online(config());
        rig.enqueue("metadata", 1);
        rig.answer(unreachable());
        let begins = rig.log.started.len();
        for network in ways.iter().flat_map(|way| [Network::none(), way.clone()]).cycle().take(720) {
            rig.feed(Input::World(world(&network)));
            rig.sleep(5 * SECOND);
            while !rig.running.is_empty() {
                rig.answer(unreachable());
            }
        }
        let asked = rig.log.started.len() - begins;
        assert!((10..30).contains(&asked), "{asked} requests");
    }
}

/// A router that was switched off and on is no reason to wait.
#[test]
fn the_first_ways_that_come_are_tried_soon() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    for _ in 0..12 {
        rig.answer(unreachable());
        let next = wait(&rig);
        rig.sleep(next);
    }
    rig.answer(unreachable());
    for seconds in [0, 2, 4, 8] {
        rig.feed(Input::World(world(&Network::none())));
        rig.feed(Input::World(world(&wifi())));
        assert_eq!(rig.running.len(), usize::from(seconds == 0));
        if seconds > 0 {
            assert_eq!(wait(&rig), seconds * SECOND);
            rig.sleep(seconds * SECOND);
        }
        rig.answer(unreachable());
        assert!(wait(&rig) > Duration::ZERO);
    }
}

#[test]
fn a_probe_that_we_cut_is_made_again_and_teaches_nothing() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    rig.answer(unreachable());
    let next = wait(&rig);
    rig.sleep(next);
    rig.feed(Input::World(world(&modem())));
    rig.answer(Answer::Cut(Cut::Link));
    assert_eq!((failures(&rig), rig.running.len()), (1, 1));
}

#[test]
fn a_connection_that_broke_with_the_link_is_no_outage() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    rig.feed(Input::World(world(&Network::none())));
    rig.answer(unreachable());
    assert_eq!(reason(&rig), None);
}

#[test]
fn a_word_about_an_item_shows_that_the_backend_is_up() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    rig.answer(unreachable());
    let next = wait(&rig);
    rig.sleep(next);
    rig.answer(status(422));
    assert_eq!(reason(&rig), None);
}

#[test]
fn a_wrong_url_is_looked_at_again_every_quarter_of_an_hour() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 2);
    for _ in 0..3 {
        rig.answer(status(404));
        assert_eq!((reason(&rig), wait(&rig)), (Some(Reason::BackendConfig), 900 * SECOND));
        rig.sleep(900 * SECOND);
    }
    rig.succeed();
    let id = rig.enqueue("metadata", 1)[0];
    rig.answer(status(404));
    assert_eq!((rig.store.get(id).row, reason(&rig)), (Row::Failed, None), "the URL has proved right");
}

#[test]
fn any_documented_answer_proves_the_url_until_the_next_configuration() {
    let mut rig = Rig::online(config());
    let ids = rig.enqueue("metadata", 1);
    rig.answer(results(&ids, &ItemOutcome::Rejected { reason: String::new() }));
    rig.enqueue("metadata", 1);
    reload(&mut rig, config());
    rig.answer(status(405));
    assert_eq!(reason(&rig), Some(Reason::BackendConfig));
}

#[test]
fn a_reload_looks_again_at_what_an_admin_may_have_mended() {
    for (answer, illness) in [
        (status(401), Reason::BackendAuth),
        (Answer::NoCredential { words: String::new() }, Reason::BackendAuth),
        (Answer::Unauthorized { words: String::new() }, Reason::BackendAuth),
        (Answer::Misplaced { words: String::new() }, Reason::BackendConfig),
        (Answer::Untrusted { words: String::new() }, Reason::BackendTls),
        (status(404), Reason::BackendConfig),
    ] {
        let mut rig = Rig::online(config());
        rig.enqueue("metadata", 120);
        for _ in 0..3 {
            rig.answer(answer.clone());
        }
        assert_eq!((reason(&rig), rig.running.len()), (Some(illness), 0));
        reload(&mut rig, config());
        assert_eq!(rig.running.len(), 1, "one request tells");
    }
}

#[test]
fn a_reload_does_not_hurry_a_backend_that_is_down() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    rig.answer(busy(3600 * SECOND));
    reload(&mut rig, config());
    assert!(rig.running.is_empty() && wait(&rig) >= 3600 * SECOND);
}

#[test]
fn another_section_is_another_backend() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 100);
    rig.answer(busy(3600 * SECOND));
    reload(&mut rig, moved());
    assert_eq!(reason(&rig), None);
    assert_eq!(rig.running.len(), 2, "one from before, one anew");
    rig.answer(unreachable());
    assert_eq!(reason(&rig), None, "what the old one says teaches nothing");
}
