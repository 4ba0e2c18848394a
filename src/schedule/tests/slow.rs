//! Files on slow links: how they go is taken when they start, those that would take too long wait, and none waits for ever.

use std::time::Duration;

use super::rig::{Rig, SECOND, backend, config, modem, strategy, task, wifi, world};
use crate::model::{
    Assume, AtChunk, AttemptId, CountsByStrategy, Network, NetworkId, Now, Overrides, Owner, Passage, Pause, Reason,
    Sample, Standing, Task, TaskId, UploadStrategy,
};
use crate::schedule::{Control, Input, Unmeasurable, Wake};

const DOUBTED_AFTER: Duration = super::super::bandwidth::DOUBTED_AFTER;

/// A second of an upload at this rate, in Mbit/s.
fn measured(megabits: f64) -> Input {
    let sample = Sample { sent: (megabits * 125_000.0) as u64, sending: SECOND, ..Sample::default() };
    Input::Sample { backend: backend("main"), sample }
}

fn ended(passage: Passage) -> Input {
    Input::Sample { backend: backend("main"), sample: Sample { passage, ..Sample::default() } }
}

fn blocked(rig: &Rig, name: &str) -> Vec<Reason> {
    rig.core.status(&CountsByStrategy::new(), rig.now).strategies[&strategy(name)].blocked.clone()
}

/// A slow link is known, and a photo waits.
fn waiting() -> Rig {
    let mut rig = Rig::online(config());
    rig.feed(measured(0.2));
    rig.enqueue("photo", 1);
    assert_eq!((rig.running.len(), blocked(&rig, "photo")), (0, vec![Reason::SlowLink]));
    rig
}

fn pending(id: TaskId, now: Now) -> Task {
    Task {
        id,
        owner: Owner(0),
        app: String::new(),
        strategy: strategy("photo"),
        overrides: Overrides::default(),
        standing: Standing::Pending { due: now.wall, waits_for: Vec::new() },
        created: now.wall,
        attempts: 0,
        last_error: String::new(),
        size: 1,
        key: None,
        tags: Vec::new(),
        after: Vec::new(),
        expires: None,
    }
}

#[test]
fn how_a_file_goes_is_taken_when_it_starts() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    assert_eq!(rig.log.uploads[0].strategy, UploadStrategy::Conservative, "nothing is known");
    for (megabits, strategy) in
        [(30.0, UploadStrategy::HighQuality), (4.0, UploadStrategy::Balanced), (1.0, UploadStrategy::Conservative)]
    {
        (0..6).for_each(|_| rig.feed(measured(megabits)));
        rig.succeed();
        rig.enqueue("photo", 1);
        let upload = rig.log.uploads.last().expect("it started");
        assert_eq!(upload.strategy, strategy);
        let seconds = upload.chunk as f64 / (megabits * 125_000.0);
        assert!((2.0..=5.0).contains(&seconds), "{seconds} s at {megabits}");
    }
}

#[test]
fn a_link_that_proves_slow_ends_no_file_but_lets_none_begin() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    rig.feed(measured(0.2));
    rig.enqueue("photo", 1);
    rig.enqueue("metadata", 1);
    assert_eq!((rig.running.len(), blocked(&rig, "photo")), (2, vec![Reason::SlowLink]));
    let ends = |(_, then): &&(AttemptId, AtChunk)| matches!(then, AtChunk::End(_));
    assert!(rig.log.aborted.is_empty() && !rig.log.at_chunk.iter().any(|told| ends(&told)));
    assert_eq!(blocked(&rig, "metadata"), []);
}

#[test]
fn explain_names_slow_link_with_what_was_measured_and_when_it_is_tried_again() {
    let rig = waiting();
    let rows = rig.core.explain(&pending(task(9), rig.now), &Assume::default(), rig.now);
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!((row.reason.as_str(), row.since), ("slow-link", rig.now.wall));
    assert!(row.clears.ends_with("one file tries it again in 10 min 0 s"), "{}", row.clears);
    assert_eq!((row.detail["upload_speed"].as_str(), row.detail["reliability"].as_str()), ("0.20", "unknown"));
    assert_eq!(row.detail["interface"], "wlan0");
    let later = Assume { time: Some(rig.now.wall + 2 * DOUBTED_AFTER), ..Assume::default() };
    let rows = rig.core.explain(&pending(task(9), rig.now), &later, rig.now);
    assert_eq!(rows.len(), 1, "another time of day makes no link faster");
}

#[test]
fn when_nothing_was_measured_for_a_while_one_file_tries_the_link() {
    let mut rig = waiting();
    rig.enqueue("photo", 2);
    let at = rig.now.moment + DOUBTED_AFTER;
    assert_eq!(rig.core.poll_timeout(), Some((at, Wake::SlowLink)));
    rig.sleep(DOUBTED_AFTER);
    assert_eq!((rig.running.len(), rig.log.uploads[0].strategy), (1, UploadStrategy::Conservative));
    assert_eq!((blocked(&rig, "photo"), rig.core.poll_timeout()), (vec![Reason::SlowLink], None), "one at a time");
    rig.feed(measured(0.2));
    rig.succeed();
    assert_eq!(rig.running.len(), 0, "it is as slow as before");
    rig.sleep(DOUBTED_AFTER);
    assert_eq!(rig.running.len(), 1);
    (0..4).for_each(|_| rig.feed(measured(3.0)));
    assert_eq!((rig.running.len(), blocked(&rig, "photo")), (2, vec![]), "it is fast now, and the other goes too");
}

#[test]
fn a_file_that_tries_a_link_and_measures_nothing_is_followed_by_the_next() {
    let mut rig = waiting();
    rig.enqueue("photo", 5);
    rig.sleep(DOUBTED_AFTER);
    for _ in 0..6 {
        assert_eq!(rig.running.len(), 1);
        rig.succeed();
    }
    assert_eq!((rig.running.len(), rig.core.poll_timeout()), (0, None));
}

#[test]
fn small_requests_neither_clear_it_nor_keep_it() {
    let mut rig = waiting();
    for _ in 0..9 {
        rig.pass(DOUBTED_AFTER / 10);
        rig.feed(ended(Passage::Through));
        assert_eq!(rig.running.len(), 0);
    }
    rig.sleep(DOUBTED_AFTER / 10);
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn requests_that_break_make_files_wait_and_those_that_come_through_let_them_go() {
    let mut rig = Rig::online(config());
    (0..7).for_each(|_| rig.feed(ended(Passage::Broke)));
    rig.enqueue("photo", 1);
    assert_eq!(blocked(&rig, "photo"), [Reason::SlowLink]);
    rig.feed(ended(Passage::Through));
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn another_network_is_another_and_the_first_is_known_again() {
    let mut rig = waiting();
    let home = Network { ssid: "Home".to_owned(), ..wifi() };
    rig.feed(Input::World(world(&home)));
    assert_eq!(rig.running.len(), 1, "nothing is known of it");
    rig.succeed();
    rig.enqueue("photo", 1);
    rig.succeed();
    rig.feed(Input::World(world(&wifi())));
    rig.enqueue("photo", 1);
    assert_eq!(blocked(&rig, "photo"), [Reason::SlowLink]);
    // What broke when the network went away is its fault, though it is told of when it has gone.
    rig.feed(Input::World(world(&Network::none())));
    (0..7).for_each(|_| rig.feed(ended(Passage::Broke)));
    rig.feed(Input::World(world(&home)));
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn somebody_who_wants_it_now_has_it_tried_now() {
    let mut rig = waiting();
    rig.enqueue("photo", 1);
    rig.feed(Input::Control(Control::SyncNow(None)));
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn who_does_not_mind_goes_over_any_link() {
    let mut config = config();
    config.strategies.get_mut(&strategy("photo")).expect("it is there").conditions.heed_slow_link = false;
    let mut rig = Rig::online(config);
    rig.feed(measured(0.2));
    rig.enqueue("photo", 1);
    assert_eq!((rig.running.len(), rig.log.uploads[0].strategy), (1, UploadStrategy::BackgroundOnly));
}

#[test]
fn what_was_measured_is_kept_with_the_end_of_an_attempt_and_when_the_daemon_stops() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    rig.feed(measured(5.0));
    assert_eq!(rig.log.estimates.len(), 0);
    rig.succeed();
    let kept = rig.log.estimates.pop().expect("it is kept");
    assert_eq!(kept[0].network, NetworkId("wlan0".to_owned()));
    rig.feed(measured(50.0));
    rig.feed(Input::Control(Control::Stop));
    assert_eq!(rig.log.estimates.len(), 1);

    let mut again = Rig::new(config());
    again.feed(Input::Estimates(kept));
    again.feed(Input::World(world(&wifi())));
    let shown = again.core.status(&CountsByStrategy::new(), again.now).bandwidth;
    assert_eq!((shown.strategy, shown.history.len()), (UploadStrategy::Balanced, 1));
}

#[test]
fn nothing_is_sent_only_to_measure_where_bytes_cost() {
    let mut rig = Rig::online(config());
    assert_eq!(rig.core.to_measure(|_| true), Ok(&backend("main")));
    assert_eq!(rig.core.to_measure(|_| false), Err(Unmeasurable::Nowhere));
    rig.feed(Input::World(world(&modem())));
    assert_eq!(rig.core.to_measure(|_| true), Err(Unmeasurable::Metered("wwan0".to_owned())));
    rig.feed(Input::World(world(&Network::none())));
    assert_eq!(rig.core.to_measure(|_| true), Err(Unmeasurable::NoRoute(backend("main"))));
}

#[test]
fn the_wake_is_nobodys_who_waits_for_something_else_too() {
    let mut rig = waiting();
    rig.feed(Input::Control(Control::Pause(None, Pause::Indefinite)));
    assert_eq!(rig.core.poll_timeout(), None);
    rig.feed(Input::Control(Control::Resume(None)));
    assert!(rig.core.poll_timeout().is_some());
}
