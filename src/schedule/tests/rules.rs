//! One test a rule.

use super::rig::*;
use crate::model::{Cut, Pause, Settlement};
use crate::schedule::{Control, Input, Wake};

#[test]
fn a_task_goes_at_once_and_is_done() {
    let mut rig = Rig::online(config());
    let ids = rig.enqueue("metadata", 2);
    assert_eq!(rig.first_running().1, ids);
    rig.succeed();
    assert!(matches!(rig.log.settled[..], [(_, Settlement::Done(_)), (_, Settlement::Done(_))]));
    assert!(rig.running.is_empty());
    assert_eq!(rig.core.poll_timeout(), None);
    assert_eq!(rig.log.claims.len(), 1, "one claim, no empty one after it");
}

#[test]
fn offline_nothing_starts_and_nothing_wakes() {
    let mut rig = Rig::new(config());
    rig.enqueue("metadata", 40);
    assert!(rig.log.claims.is_empty());
    assert_eq!(rig.core.poll_timeout(), None);
    rig.feed(Input::World(world(&wifi())));
    assert_eq!(rig.first_running().1.len(), 40);
}

#[test]
fn a_cut_link_aborts_and_the_tasks_go_again_with_the_link() {
    let mut rig = Rig::online(config());
    let ids = rig.enqueue("metadata", 3);
    let (attempt, _) = rig.first_running();
    rig.feed(Input::World(world(&crate::model::Network::none())));
    assert_eq!(rig.log.aborted, [(attempt, Cut::Link)]);
    rig.answer(crate::model::Answer::Cut(Cut::Link));
    assert!(rig.running.is_empty() && ids.iter().all(|id| rig.store.get(*id).attempts == 0));
    assert_eq!(rig.core.poll_timeout(), None);
    rig.feed(Input::World(world(&wifi())));
    assert_eq!(rig.first_running().1, ids);
}

#[test]
fn a_pause_starts_nothing_and_lets_what_runs_finish() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    let until = rig.now.wall + 60 * SECOND;
    rig.feed(Input::Control(Control::Pause(None, Pause::Until(until))));
    rig.enqueue("metadata", 1);
    assert!(rig.log.aborted.is_empty());
    rig.succeed();
    assert!(rig.running.is_empty());
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment_of(until), Wake::PauseEnds)));
    rig.sleep(60 * SECOND);
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn an_outage_counts_against_the_backend_and_one_request_probes_it() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 120);
    assert_eq!(rig.running.len(), 3);
    for _ in 0..3 {
        rig.answer(status(503));
    }
    assert!(rig.running.is_empty());
    assert!(rig.log.settled.iter().all(|(_, settled)| matches!(settled, Settlement::Release { .. })));
    let (_, wake) = rig.core.poll_timeout().expect("a probe");
    assert_eq!(wake, Wake::BackendProbe);
    rig.sleep(SECOND);
    assert_eq!(rig.running.len(), 1, "one probe");
    rig.succeed();
    assert_eq!(rig.running.len(), 2, "then all that waits");
    rig.succeed();
    rig.succeed();
    assert!(rig.store.tasks.iter().all(|task| task.row == Row::Done && task.attempts == 0));
}
