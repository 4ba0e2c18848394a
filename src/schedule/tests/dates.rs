//! Hours and budgets: what hangs on the date, the wall clock and the time zone.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use super::rig::*;
use super::shown::a_task;
use crate::model::{
    Answer, Assume, AtChunk, Block, Config, Cut, ItemOutcome, Metered, Network, NetworkNeed, Overrides, Reason, Span,
    Waiver, WallTime, Window, World, Zone,
};
use crate::schedule::{Input, Spending, Wake};

const HOUR: u64 = 3_600;

/// The rig's time is 2023-11-14 22:13:20 UTC.
fn utc(hour: u64, minute: u64) -> WallTime {
    WallTime::from_micros((1_699_920_000 + hour * HOUR + minute * 60) * 1_000_000)
}

/// With hours for photos, and a budget for metadata.
fn limited(hours: &[(u16, u16)], budget: Option<u64>) -> Config {
    let mut config = config();
    let spans = hours.iter().filter_map(|(from, to)| Span::new(from * 60, to * 60));
    let photo = config.strategies.get_mut(&strategy("photo")).expect("a strategy");
    photo.conditions.window = Window::new(spans.collect());
    photo.conditions.network = NetworkNeed::Any;
    photo.conditions.metered_budget = budget;
    config.strategies.get_mut(&strategy("metadata")).expect("a strategy").conditions.metered_budget = budget;
    config
}

fn explain(rig: &Rig, name: &str, assume: &Assume) -> Vec<Block> {
    rig.core.explain(&a_task(name, start_of_time().wall, Vec::new()), assume, rig.now)
}

fn blocked(rig: &Rig, name: &str) -> Vec<Reason> {
    rig.core.status(&BTreeMap::new(), rig.now).strategies[&strategy(name)].blocked.clone()
}

fn wake(rig: &Rig) -> Option<(WallTime, Wake)> {
    rig.core.poll_timeout().map(|(at, wake)| (until(rig.now, at).wall, wake))
}

fn send(rig: &mut Rig, name: &str, bytes: u64) {
    rig.feed(Input::Sent { strategy: strategy(name), backend: backend("main"), bytes });
}

/// Sets the wall clock.
fn set_clock(rig: &mut Rig, wall: WallTime) {
    rig.now.wall = wall;
    let world = rig.core.world.clone().expect("a world");
    rig.feed(Input::World(world));
}

fn set_zone(rig: &mut Rig, rules: &str) {
    let world = rig.core.world.clone().expect("a world");
    let zone = Zone::of(TimeZone::posix(rules).expect("rules"));
    rig.feed(Input::World(World { zone, ..world }));
}

#[test]
fn what_waits_for_its_hours_goes_when_they_come() {
    let mut rig = Rig::online(limited(&[(23, 24)], None));
    rig.enqueue("photo", 1);
    assert_eq!((rig.log.started.len(), blocked(&rig, "photo")), (0, vec![Reason::Window]));
    assert_eq!(wake(&rig), Some((utc(23, 0), Wake::Window)));
    let row = explain(&rig, "photo", &Assume::default()).remove(0);
    assert_eq!((row.reason, row.since), (Reason::Window, start_of_time().wall));
    assert_eq!(row.clears, "the hours of strategy photo begin at 23:00, in 46 min 40 s");
    assert_eq!(row.detail["until"], utc(23, 0).as_micros().to_string());
    assert_eq!(row.detail["window"], "23:00-24:00");
    let then = Assume { time: Some(utc(23, 30)), ..Assume::default() };
    assert_eq!(explain(&rig, "photo", &then), []);
    rig.sleep(SECOND * 2_800);
    assert_eq!(rig.log.started.len(), 1);
}

#[test]
fn a_waiver_and_another_clock_open_the_hours() {
    let mut rig = Rig::online(limited(&[(1, 2)], None));
    let waived = Overrides { waived: [Waiver::Window].into_iter().collect(), ..Overrides::default() };
    rig.enqueue_with("photo", waived, 1);
    assert_eq!(rig.log.started.len(), 1, "waived");
    rig.enqueue("photo", 1);
    set_clock(&mut rig, utc(25, 30));
    assert_eq!(rig.log.started.len(), 2, "set forward into the hours");
    set_clock(&mut rig, utc(26, 0));
    rig.succeed();
    rig.succeed();
    rig.enqueue("photo", 1);
    assert_eq!(wake(&rig), Some((utc(49, 0), Wake::Window)));
    set_zone(&mut rig, "<-01>1");
    assert_eq!(rig.log.started.len(), 3, "a journey west, where it is 01:00");
}

#[test]
fn hours_that_end_end_an_upload_at_its_next_chunk() {
    let mut rig = Rig::online(limited(&[(22, 23)], None));
    rig.enqueue("photo", 2);
    let (attempt, _) = rig.first_running();
    assert_eq!(wake(&rig), Some((utc(23, 0), Wake::Window)));
    rig.sleep(SECOND * 2_800);
    assert_eq!(rig.log.at_chunk.last().map(|(_, then)| *then), Some(AtChunk::End(Cut::Condition)));
    assert_eq!(rig.log.aborted, []);
    rig.finish(attempt, Answer::Cut(Cut::Condition));
    assert_eq!(rig.running.len(), 1, "nothing new begins");
}

#[test]
fn nobody_wakes_for_what_is_due_when_its_hours_are_over() {
    let mut rig = Rig::online(limited(&[(22, 23)], None));
    rig.enqueue("photo", 1);
    let (attempt, tasks) = rig.first_running();
    let hour = Some(SECOND * 3_600);
    rig.finish(attempt, results(&tasks, &ItemOutcome::Retry { after: hour, reason: String::new() }));
    assert_eq!(wake(&rig), Some((utc(46, 0), Wake::Window)));
    rig.sleep(SECOND * 3_600 * 24);
    assert_eq!(rig.log.started.len(), 2);
}

#[test]
fn nobody_wakes_for_hours_while_something_else_is_missing_or_nothing_waits() {
    let mut rig = Rig::online(limited(&[(23, 24)], None));
    assert_eq!(rig.core.poll_timeout(), None);
    rig.enqueue("photo", 1);
    rig.feed(Input::World(world(&Network::none())));
    assert_eq!(rig.core.poll_timeout(), None);
    rig.feed(Input::World(world(&wifi())));
    assert!(rig.core.poll_timeout().is_some());
}

#[test]
fn a_budget_ends_what_runs_and_begins_anew_at_local_midnight() {
    let mut rig = Rig::online(limited(&[], Some(1_000)));
    rig.feed(Input::World(world(&modem())));
    rig.enqueue("photo", 2);
    assert_eq!(rig.running.len(), 2);
    send(&mut rig, "photo", 999);
    assert_eq!(rig.log.at_chunk, []);
    send(&mut rig, "photo", 1);
    assert!(rig.log.at_chunk.iter().all(|(_, then)| *then == AtChunk::End(Cut::Condition)));
    assert_eq!(rig.log.at_chunk.len(), 2);
    for _ in 0..2 {
        rig.answer(Answer::Cut(Cut::Condition));
    }
    assert_eq!((rig.running.len(), blocked(&rig, "photo")), (0, vec![Reason::Budget]));
    assert_eq!(blocked(&rig, "metadata"), [], "each strategy has its own");
    assert_eq!(wake(&rig), Some((utc(24, 0), Wake::BudgetDay)));
    let row = explain(&rig, "photo", &Assume::default()).remove(0);
    assert_eq!(row.clears, "a new day begins at 00:00, in 1 h 46 min, or the network is not metered");
    assert_eq!((row.detail["used"].as_str(), row.detail["limit"].as_str()), ("1000", "1000"));
    let tomorrow = Assume { time: Some(utc(24, 0)), ..Assume::default() };
    assert_eq!(explain(&rig, "photo", &tomorrow), []);
    let free = Assume { metered: Some(Metered::No), ..Assume::default() };
    assert_eq!(explain(&rig, "photo", &free), []);

    set_zone(&mut rig, "<+01>-1");
    assert_eq!(wake(&rig), Some((utc(23, 0), Wake::BudgetDay)));
    rig.sleep(SECOND * 2_800);
    assert_eq!(rig.running.len(), 2);
    let budget = rig.core.status(&BTreeMap::new(), rig.now).strategies[&strategy("photo")].budget;
    assert_eq!(budget, Some((0, 1_000)));
}

#[test]
fn a_network_that_is_free_and_a_waiver_go_past_a_spent_budget() {
    let mut rig = Rig::online(limited(&[], Some(1_000)));
    send(&mut rig, "photo", 5_000);
    assert_eq!(blocked(&rig, "photo"), [], "what left over wifi costs nothing");
    rig.feed(Input::World(world(&modem())));
    send(&mut rig, "photo", 5_000);
    send(&mut rig, "analytics", 5_000);
    rig.enqueue("photo", 1);
    assert_eq!(rig.running.len(), 0);
    let waived = Overrides { waived: [Waiver::Budget].into_iter().collect(), ..Overrides::default() };
    rig.enqueue_with("photo", waived, 1);
    assert_eq!(rig.running.len(), 1);
    rig.feed(Input::World(world(&wifi())));
    assert_eq!((rig.running.len(), blocked(&rig, "analytics")), (2, vec![]));
}

#[test]
fn a_clock_that_is_set_back_brings_no_new_budget() {
    let mut rig = Rig::online(limited(&[], Some(1_000)));
    rig.feed(Input::World(world(&modem())));
    send(&mut rig, "photo", 1_000);
    for hour in [23, 1, 22] {
        set_clock(&mut rig, utc(hour, 0));
        assert_eq!(blocked(&rig, "photo"), [Reason::Budget], "{hour}");
    }
    set_clock(&mut rig, utc(24, 0));
    assert_eq!(blocked(&rig, "photo"), []);
    send(&mut rig, "photo", 1_000);
    set_clock(&mut rig, utc(23, 59));
    assert_eq!(blocked(&rig, "photo"), [Reason::Budget], "yesterday again");
    set_clock(&mut rig, utc(24, 0));
    assert_eq!(blocked(&rig, "photo"), [Reason::Budget], "and today again");
}

#[test]
fn a_clock_that_was_years_ahead_does_not_hold_the_budget_up_for_years() {
    let mut rig = Rig::online(limited(&[], Some(1_000)));
    rig.feed(Input::World(world(&modem())));
    set_clock(&mut rig, utc(24 * 4_000, 0));
    send(&mut rig, "photo", 1_000);
    set_clock(&mut rig, start_of_time().wall);
    rig.enqueue("photo", 1);
    assert_eq!((blocked(&rig, "photo"), wake(&rig)), (vec![Reason::Budget], Some((utc(24, 0), Wake::BudgetDay))));
    rig.sleep(SECOND * 7_200);
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn a_clock_that_loses_the_time_and_finds_it_brings_no_new_budget() {
    let mut rig = Rig::online(limited(&[], Some(1_000)));
    rig.feed(Input::World(world(&modem())));
    send(&mut rig, "photo", 1_000);
    let right = rig.now.wall;
    rig.now.wall = WallTime::from_micros(946_684_800_000_000);
    rig.feed(Input::Woken);
    rig.feed(Input::World(World { clock_unset: true, ..world(&modem()) }));
    rig.now.wall = right;
    rig.feed(Input::World(world(&modem())));
    assert_eq!(blocked(&rig, "photo"), [Reason::Budget]);
}

#[test]
fn what_was_spent_is_kept_now_and_then_and_at_the_end_of_each_attempt() {
    let mut rig = Rig::online(limited(&[], Some(1 << 30)));
    rig.feed(Input::World(world(&modem())));
    rig.enqueue("photo", 1);
    let kept = |rig: &Rig| rig.log.kept.last().map_or(0, |spent| spent[&strategy("photo")].bytes);
    send(&mut rig, "photo", 200_000);
    assert_eq!(kept(&rig), 0);
    send(&mut rig, "photo", 100_000);
    assert_eq!(kept(&rig), 300_000);
    send(&mut rig, "photo", 7);
    rig.succeed();
    assert_eq!((kept(&rig), rig.log.kept.len()), (300_007, 2));
    rig.enqueue("photo", 1);
    rig.succeed();
    assert_eq!(rig.log.kept.len(), 2, "nothing was sent");

    let spent: BTreeMap<_, Spending> = rig.log.kept.last().expect("kept").clone();
    let mut restarted = Rig::new(limited(&[], Some(300_000)));
    restarted.feed(Input::Spent(spent));
    restarted.feed(Input::World(world(&modem())));
    assert_eq!(blocked(&restarted, "photo"), [Reason::Budget]);
}

#[test]
fn without_a_date_what_hangs_on_it_waits_for_the_clock() {
    let mut rig = Rig::new(limited(&[(0, 24)], Some(1_000)));
    let unset = World { clock_unset: true, ..world(&wifi()) };
    rig.feed(Input::World(unset.clone()));
    rig.enqueue("photo", 1);
    rig.enqueue("metadata", 1);
    assert_eq!((rig.log.started.len(), blocked(&rig, "photo")), (0, vec![Reason::Clock]), "its certificate too");
    assert_eq!(rig.core.poll_timeout(), None, "no time alone sets a clock");
    let row = explain(&rig, "photo", &Assume::default()).remove(0);
    assert_eq!(row.detail["depends"], "certificate,window,metered_bytes_per_day");
    rig.feed(Input::World(World { clock_unset: false, ..unset }));
    assert_eq!(rig.log.started.len(), 2);
}
