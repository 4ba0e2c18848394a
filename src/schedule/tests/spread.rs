//! What a whole fleet waits for ends for all of it at once, and each device begins at a time of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use super::rig::*;
use super::shown::a_task;
use crate::model::{Assume, Config, Network, Reason, Span, Window};
use crate::schedule::{Control, Input, Scheduler, Wake};

const MINUTE: Duration = Duration::from_secs(60);

/// With a delay for analytics.
fn delayed(delay: Duration) -> Config {
    let mut config = config();
    config.strategies.get_mut(&strategy("analytics")).expect("a strategy").randomized_delay = delay;
    config
}

/// Whose delay after the start is over.
fn settled(delay: Duration) -> Rig {
    let mut rig = Rig::online(delayed(delay));
    rig.sleep(delay);
    rig
}

/// Without a network for so long.
fn be_away(rig: &mut Rig, time: Duration) {
    rig.feed(Input::World(world(&Network::none())));
    rig.sleep(time);
    rig.feed(Input::World(world(&wifi())));
}

/// How long until it goes by itself; the rig has gone there.
fn wait_for_it(rig: &mut Rig) -> Duration {
    let (begun, started) = (rig.now.moment, rig.log.started.len());
    let Some((at, Wake::RandomizedDelay)) = rig.core.poll_timeout() else {
        panic!("{:?}", rig.core.poll_timeout());
    };
    rig.sleep(at.saturating_since(rig.now.moment));
    assert_eq!(rig.log.started.len(), started + 1);
    at.saturating_since(begun)
}

#[test]
fn after_an_outage_each_device_begins_at_a_time_of_its_own() {
    let mut waits = BTreeSet::new();
    for seed in 0..100 {
        let mut rig = settled(MINUTE);
        rig.core = Scheduler::new(delayed(MINUTE).into(), seed);
        rig.feed(Input::World(world(&wifi())));
        rig.enqueue("analytics", 1);
        waits.insert(wait_for_it(&mut rig));
    }
    let within = |from: u64, to: u64| {
        let range = Duration::from_secs(from)..Duration::from_secs(to);
        waits.iter().filter(|wait| range.contains(wait)).count()
    };
    assert_eq!(within(0, 60), 100, "each its own: {waits:?}");
    assert!((0..6).all(|ten| within(10 * ten, 10 * ten + 10) >= 5), "all over the minute: {waits:?}");
}

#[test]
fn what_waits_for_its_own_time_says_so() {
    let mut rig = settled(MINUTE);
    be_away(&mut rig, MINUTE);
    rig.enqueue("analytics", 1);
    rig.enqueue("metadata", 1);
    assert_eq!(rig.log.started.len(), 1, "another strategy's goes at once");
    let task = a_task("analytics", rig.now.wall, Vec::new());
    let row = rig.core.explain(&task, &Assume::default(), rig.now).remove(0);
    assert_eq!((row.reason, row.since), (Reason::Backoff, rig.now.wall));
    let (at, _) = rig.core.poll_timeout().expect("a wake");
    assert_eq!(row.detail["until"], rig.now.wall_of(at).as_micros().to_string());
    let words = "this device's own time within strategy.analytics.randomized_delay has come, in ";
    assert!(row.clears.starts_with(words), "{}", row.clears);
    let status = rig.core.status(&Default::default(), rig.now);
    let shown = &status.strategies[&strategy("analytics")];
    assert_eq!(
        (shown.blocked.as_slice(), shown.next_attempt),
        ([Reason::Backoff].as_slice(), Some(rig.now.wall_of(at)))
    );
    wait_for_it(&mut rig);
}

#[test]
fn a_moment_without_a_network_costs_no_delay() {
    let mut rig = settled(MINUTE);
    be_away(&mut rig, MINUTE - SECOND);
    rig.enqueue("analytics", 1);
    assert_eq!(rig.log.started.len(), 1);
}

#[test]
fn a_start_of_the_daemon_is_one_of_many() {
    let mut rig = Rig::new(delayed(MINUTE));
    rig.enqueue("analytics", 1);
    rig.feed(Input::World(world(&wifi())));
    assert_eq!(rig.log.started.len(), 0);
    wait_for_it(&mut rig);
    rig.succeed();
    rig.enqueue("analytics", 1);
    assert_eq!(rig.log.started.len(), 2, "it is over");
}

#[test]
fn hours_that_begin_for_all_begin_for_each_on_its_own_and_leave_it_half_of_them() {
    for (delay, longest) in [(MINUTE, MINUTE), (60 * MINUTE, 5 * MINUTE)] {
        let mut config = delayed(delay);
        let analytics = config.strategies.get_mut(&strategy("analytics")).expect("a strategy");
        analytics.conditions.window = Window::new(Span::new(23 * 60, 23 * 60 + 10).into_iter().collect());
        let mut rig = Rig::online(config);
        // It is 22:13:20.
        rig.enqueue("analytics", 1);
        rig.sleep(46 * MINUTE + 40 * SECOND);
        assert_eq!(rig.log.started.len(), 0);
        assert!(wait_for_it(&mut rig) <= longest);
    }
}

#[test]
fn who_wants_it_now_does_not_wait() {
    let mut rig = settled(MINUTE);
    be_away(&mut rig, MINUTE);
    rig.enqueue("analytics", 1);
    rig.feed(Input::Control(Control::SyncNow(Some(strategy("photo")))));
    assert_eq!(rig.log.started.len(), 0);
    rig.feed(Input::Control(Control::SyncNow(None)));
    assert_eq!(rig.log.started.len(), 1);
}

#[test]
fn a_delay_that_is_configured_away_is_over_and_a_new_one_holds_from_the_next_outage_on() {
    let mut rig = settled(MINUTE);
    be_away(&mut rig, MINUTE);
    rig.enqueue("analytics", 1);
    rig.feed(Input::Control(Control::Configure(config().into())));
    assert_eq!(rig.log.started.len(), 1);
    rig.succeed();
    rig.feed(Input::Control(Control::Configure(delayed(MINUTE).into())));
    rig.enqueue("analytics", 1);
    assert_eq!(rig.log.started.len(), 2);
    rig.succeed();
    be_away(&mut rig, MINUTE);
    rig.enqueue("analytics", 1);
    wait_for_it(&mut rig);
}

#[test]
fn a_delay_that_is_made_shorter_holds_for_what_waits_already() {
    let mut rig = settled(60 * MINUTE);
    be_away(&mut rig, 60 * MINUTE);
    rig.enqueue("analytics", 1);
    rig.feed(Input::Control(Control::Configure(delayed(SECOND).into())));
    assert!(wait_for_it(&mut rig) <= SECOND);
}
