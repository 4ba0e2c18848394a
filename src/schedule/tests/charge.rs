//! When the battery is looked at: before a claim that asks for a charge, once a minute while one runs or waits for it,
//! and never else.

use super::rig::*;
use super::shown::a_task;
use crate::model::{Assume, Battery, BatteryFloor, Overrides, Power, Reason, Task, World};
use crate::schedule::{Effect, Input, Wake};

fn on_battery(percent: f64, rig: &Rig) -> World {
    let battery = Battery::Percent(percent);
    let power = Power { external: false, battery, reached: battery.reaches(), ..Power::mains() };
    World { power, power_read: rig.now.moment, ..world(&wifi()) }
}

fn asking(percent: u8) -> Overrides {
    Overrides { min_battery: BatteryFloor::new(percent), ..Overrides::default() }
}

fn rig(percent: f64) -> Rig {
    let mut rig = Rig::new(config());
    let world = on_battery(percent, &rig);
    rig.feed(Input::World(world));
    rig
}

#[test]
fn a_claim_that_asks_for_a_charge_waits_for_a_fresh_reading() {
    let mut rig = rig(60.0);
    rig.pass(SECOND * 11);
    rig.enqueue_with("metadata", asking(50), 1);
    assert_eq!((rig.log.readings, rig.log.started.len()), (1, 1));
    rig.succeed();
    rig.pass(SECOND * 9);
    rig.enqueue_with("metadata", asking(50), 1);
    assert_eq!((rig.log.readings, rig.log.started.len()), (1, 2), "what was read nine seconds ago will do");
}

#[test]
fn nobody_looks_at_the_battery_for_what_does_not_ask() {
    let mut rig = rig(5.0);
    rig.sleep(SECOND * 3600);
    rig.enqueue("metadata", 3);
    rig.sleep(SECOND * 3600);
    rig.succeed();
    assert_eq!((rig.log.readings, rig.core.poll_timeout()), (0, None));
    rig.feed(Input::World(World { power_read: rig.now.moment, ..world(&wifi()) }));
    rig.sleep(SECOND * 3600);
    rig.enqueue_with("metadata", asking(80), 1);
    assert_eq!((rig.log.readings, rig.log.started.len()), (0, 2), "on external power it does not matter");
}

#[test]
fn while_something_waits_for_a_charge_or_runs_by_it_the_battery_is_looked_at_each_minute() {
    let mut rig = rig(20.0);
    rig.enqueue_with("metadata", asking(50), 1);
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + SECOND * 60, Wake::ReadPower)));
    rig.sleep(SECOND * 300);
    assert_eq!((rig.log.readings, rig.log.started.len()), (5, 0));
    let charged = on_battery(53.0, &rig);
    rig.feed(Input::World(charged));
    assert_eq!(rig.log.started.len(), 1);
    rig.sleep(SECOND * 120);
    assert_eq!(rig.log.readings, 7, "while it runs");
    rig.succeed();
    rig.sleep(SECOND * 3600);
    assert_eq!((rig.log.readings, rig.core.poll_timeout()), (7, None));
}

#[test]
fn what_could_not_go_anyway_has_nobody_look() {
    let mut rig = rig(20.0);
    rig.enqueue_with("metadata", asking(50), 1);
    let offline = World { networks: world(&crate::model::Network::none()).networks, ..on_battery(20.0, &rig) };
    rig.feed(Input::World(offline));
    rig.sleep(SECOND * 3600);
    assert_eq!((rig.log.readings, rig.core.poll_timeout()), (0, None));
}

#[test]
fn a_battery_that_does_not_answer_keeps_only_those_that_ask_for_it() {
    let mut rig = rig(60.0);
    rig.pass(SECOND * 11);
    let urgent = rig.store.lane(&strategy("metadata"), asking(50));
    rig.store.enqueue(urgent, None, rig.now.wall);
    let plain = rig.store.lane(&strategy("analytics"), Overrides::default());
    rig.store.enqueue(plain, None, rig.now.wall);
    let lanes = rig.store.news();
    rig.core.handle(Input::Lanes(lanes), rig.now);
    assert_eq!(rig.core.poll_effect(), Some(Effect::ReadPower));
    assert!(rig.core.poll_effect().is_none_or(|effect| effect == Effect::Announce), "nothing is claimed yet");
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment + SECOND, Wake::ReadPower)));
    let task = Task { overrides: asking(50), ..a_task("metadata", rig.now.wall, Vec::new()) };
    let rows = rig.core.explain(&task, &Assume::default(), rig.now);
    assert_eq!((rows[0].reason, &*rows[0].clears), (Reason::LowBattery, "the battery has been read"));
    rig.sleep(SECOND);
    let started: Vec<_> = rig.log.started.iter().map(|(_, strategy, _)| strategy.as_str()).collect();
    assert_eq!(started, ["analytics"]);
}

#[test]
fn the_first_reading_counts_as_it_is() {
    let mut rig = Rig::new(config());
    rig.feed(Input::World(World { power: Power::unknown(), ..world(&wifi()) }));
    let world = on_battery(51.0, &rig);
    rig.feed(Input::World(world));
    rig.enqueue_with("metadata", asking(50), 1);
    assert_eq!(rig.log.started.len(), 1, "nothing was lost that would have to be regained");
}
