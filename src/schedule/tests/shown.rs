//! What the core shows: status and explanations.

use std::path::PathBuf;
use std::sync::Arc;

use super::rig::*;
use crate::model::{
    Assume, Battery, Block, Connectivity, Counts, CountsByStrategy, Credential, LinkType, ManagerState, Metered,
    Network, NetworkNeed, Overrides, Owner, Pause, Power, Reason, Standing, Status, Task, TaskId, WallTime, World,
};
use crate::schedule::{Control, Effect, Input};

fn counts(pending: u64) -> CountsByStrategy {
    [(strategy("metadata"), Counts { pending, ..Counts::default() })].into()
}

fn shown(rig: &Rig, pending: u64) -> Status {
    rig.core.status(&counts(pending), rig.now)
}

fn blocked_of(rig: &Rig, name: &str) -> Vec<Reason> {
    shown(rig, 0).strategies[&strategy(name)].blocked.clone()
}

/// A task that waits.
pub(super) fn a_task(name: &str, due: WallTime, waits_for: Vec<TaskId>) -> Task {
    Task {
        id: task(1),
        owner: Owner(1000),
        app: String::new(),
        strategy: strategy(name),
        overrides: Overrides::default(),
        standing: Standing::Pending { due, waits_for },
        created: due,
        attempts: 0,
        last_error: String::new(),
        size: 2,
        key: None,
        tags: Vec::new(),
        after: Vec::new(),
        expires: None,
    }
}

fn explain(rig: &Rig, name: &str) -> Vec<Block> {
    explain_if(rig, name, &Assume::default())
}

fn explain_if(rig: &Rig, name: &str, assume: &Assume) -> Vec<Block> {
    rig.core.explain(&a_task(name, start_of_time().wall, Vec::new()), assume, rig.now)
}

fn reasons(rows: &[Block]) -> Vec<Reason> {
    rows.iter().map(|row| row.reason).collect()
}

#[test]
fn the_state_is_the_first_that_is_true() {
    let mut rig = Rig::new(config());
    assert_eq!(shown(&rig, 5).state, ManagerState::Starting);
    rig.feed(Input::World(world(&Network::none())));
    assert_eq!(shown(&rig, 0).state, ManagerState::Idle);
    assert_eq!(shown(&rig, 5).state, ManagerState::Waiting);
    rig.feed(Input::World(world(&wifi())));
    rig.enqueue("metadata", 1);
    assert_eq!((shown(&rig, 0).state, shown(&rig, 0).transfers), (ManagerState::Syncing, 1));
    rig.feed(Input::Control(Control::Pause(None, Pause::Indefinite)));
    assert_eq!((shown(&rig, 0).state, shown(&rig, 0).pause), (ManagerState::Paused, Some(Pause::Indefinite)));
    rig.feed(Input::Control(Control::Stop));
    assert_eq!(shown(&rig, 0).state, ManagerState::Stopping);
}

#[test]
fn a_strategy_is_blocked_when_none_of_its_lanes_can_go() {
    let mut rig = Rig::online(config());
    rig.feed(Input::World(world(&modem())));
    assert_eq!(blocked_of(&rig, "photo"), [Reason::Metered], "also without work");
    rig.enqueue("photo", 1);
    assert_eq!(blocked_of(&rig, "photo"), [Reason::Metered]);
    let any = Overrides { network: Some(NetworkNeed::Any), ..Overrides::default() };
    rig.enqueue_with("photo", any, 1);
    assert_eq!((rig.running.len(), blocked_of(&rig, "photo")), (1, vec![Reason::Metered]));
    rig.enqueue_with("photo", any, 1);
    rig.enqueue_with("photo", any, 1);
    assert_eq!(rig.running.len(), 2);
    assert_eq!(blocked_of(&rig, "photo"), [], "one of its lanes goes");
}

#[test]
fn the_whole_is_blocked_by_what_blocks_all_that_have_work() {
    let mut rig = Rig::new(config());
    rig.feed(Input::World(world(&Network::none())));
    assert_eq!(shown(&rig, 0).blocked, [Reason::Offline]);
    rig.enqueue("photo", 1);
    rig.feed(Input::World(world(&modem())));
    assert_eq!(shown(&rig, 0).blocked, [Reason::Metered]);
    let charging = Overrides { charging: Some(true), ..Overrides::default() };
    rig.feed(Input::World(World { power: Power { external: false, ..Power::mains() }, ..world(&modem()) }));
    rig.enqueue_with("metadata", charging, 1);
    assert_eq!(shown(&rig, 0).blocked, []);
}

#[test]
fn concurrency_is_a_reason_only_where_slots_are_lacking() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 150);
    rig.enqueue("analytics", 1);
    assert_eq!(blocked_of(&rig, "analytics"), [Reason::Concurrency]);
    assert_eq!(blocked_of(&rig, "metadata"), []);
    assert_eq!(reasons(&explain(&rig, "analytics")), [Reason::Concurrency]);
    assert_eq!(explain(&rig, "analytics")[0].detail["max_concurrent"], "3");
}

#[test]
fn the_next_attempt_is_shown_when_all_wait_for_a_time() {
    let mut rig = Rig::online(config());
    let id = rig.enqueue("metadata", 1)[0];
    rig.answer(status(500));
    let due = rig.store.get(id).due;
    let status = shown(&rig, 1);
    assert_eq!(status.strategies[&strategy("metadata")].next_attempt, Some(due));
    assert_eq!(status.next_wake, Some(("task-due", due)));
}

#[test]
fn only_what_may_change_the_status_is_announced() {
    let mut rig = Rig::online(config());
    rig.feed(Input::Woken);
    let before = rig.log.announced;
    rig.feed(Input::Woken);
    rig.feed(Input::World(world(&wifi())));
    rig.pass(SECOND);
    rig.feed(Input::Lanes(Vec::new()));
    assert_eq!(rig.log.announced, before);
    rig.feed(Input::World(world(&modem())));
    assert_eq!(rig.log.announced, before + 1);
}

#[test]
fn a_task_that_runs_or_goes_next_has_no_reason_to_wait() {
    let rig = Rig::online(config());
    assert_eq!(explain(&rig, "metadata"), []);
    let mut running = a_task("photo", rig.now.wall, vec![task(9)]);
    running.standing = Standing::Running { started: rig.now.wall };
    assert_eq!(rig.core.explain(&running, &Assume::default(), rig.now), []);
}

#[test]
fn order_and_backoff_are_of_the_task_itself() {
    let rig = Rig::online(config());
    let mut waiting = a_task("metadata", rig.now.wall + 250 * SECOND, vec![task(7), task(8)]);
    (waiting.attempts, waiting.last_error) = (2, "busy".to_owned());
    let rows = rig.core.explain(&waiting, &Assume::default(), rig.now);
    assert_eq!(reasons(&rows), [Reason::Order, Reason::Backoff]);
    assert_eq!(rows[0].detail["waiting_for"], format!("{},{}", task(7), task(8)));
    assert_eq!(rows[1].clears, "its wait is over, in 4 min 10 s");
    assert_eq!((&*rows[1].detail["attempts"], &*rows[1].detail["error"]), ("2", "busy"));
}

#[test]
fn each_missing_condition_has_a_row_and_says_since_when() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    rig.succeed();
    rig.pass(60 * SECOND);
    let since = rig.now.wall;
    let power = Power { power_save: true, ..Power::mains() };
    rig.feed(Input::World(World { power, ..world(&Network { roaming: true, ..modem() }) }));
    rig.pass(60 * SECOND);
    let rows = explain(&rig, "photo");
    assert_eq!(reasons(&rows), [Reason::Metered, Reason::Roaming, Reason::PowerSave]);
    assert!(rows.iter().all(|row| row.since == since), "{rows:?}");
    assert_eq!((&*rows[0].detail["interface"], &*rows[0].detail["type"]), ("wwan0", "cellular"));
}

#[test]
fn a_pause_is_explained_by_whose_it_is_and_its_end() {
    let mut rig = Rig::online(config());
    let since = rig.now.wall;
    rig.feed(Input::Control(Control::Pause(Some(strategy("metadata")), Pause::Until(since + 3600 * SECOND))));
    rig.pass(60 * SECOND);
    let rows = explain(&rig, "metadata");
    assert_eq!((reasons(&rows), rows[0].since), (vec![Reason::Paused], since));
    assert_eq!(rows[0].clears, "the pause of metadata ends in 59 min 0 s, or an admin resumes it");
    rig.feed(Input::Control(Control::Pause(None, Pause::Indefinite)));
    assert_eq!(explain(&rig, "metadata")[0].clears, "an admin resumes everything");
}

#[test]
fn a_link_that_is_held_back_says_for_how_long() {
    let mut rig = Rig::new(config());
    let until = rig.now.moment + 2 * SECOND;
    let settling = [(backend("main"), until)].into();
    rig.feed(Input::World(World { settling, ..world(&Network::none()) }));
    let rows = rig.core.explain(&a_task("metadata", rig.now.wall, Vec::new()), &Assume::default(), rig.now);
    assert_eq!(rows[0].reason, Reason::Offline);
    assert_eq!(rows[0].clears, "the link, which comes and goes, has stayed for another 2 s");
    assert_eq!(rows[0].detail["until"], rig.now.wall_of(until).as_micros().to_string());
}

#[test]
fn a_low_battery_names_the_floor() {
    let mut rig = Rig::new(config());
    let power = Power {
        external: false,
        battery: Battery::Percent(20.0),
        reached: Battery::Percent(20.0).reaches(),
        ..Power::mains()
    };
    rig.feed(Input::World(World { power, ..world(&wifi()) }));
    let mut choosy = a_task("metadata", rig.now.wall, Vec::new());
    choosy.overrides.min_battery = crate::model::BatteryFloor::new(50);
    let rows = rig.core.explain(&choosy, &Assume::default(), rig.now);
    assert_eq!(reasons(&rows), [Reason::LowBattery]);
    assert_eq!((&*rows[0].detail["battery_percent"], &*rows[0].detail["min_battery"]), ("20", "50"));
}

#[test]
fn a_refused_credential_is_named_and_never_shown() {
    let mut config = config();
    let credential = Some(Credential::File(PathBuf::from("/etc/ferryd/token")));
    config.backends.get_mut(&backend("main")).expect("a backend").credential = credential;
    let mut rig = Rig::online(config);
    rig.enqueue("metadata", 1);
    rig.pass(SECOND);
    rig.answer(status(401));
    let rows = explain(&rig, "metadata");
    assert_eq!((reasons(&rows), rows[0].since), (vec![Reason::BackendAuth], rig.now.wall));
    assert_eq!(rows[0].detail["credential"], "file /etc/ferryd/token");
    assert!(rows[0].clears.contains("/etc/ferryd/token") && rows[0].clears.contains("reload"), "{rows:?}");
    assert_eq!(rows[0].detail["url"], "https://sync.example/v1/items", "a query may hold a secret");
    assert_eq!(rows[0].detail["error"], "status 401");
}

#[test]
fn an_outage_says_when_it_is_asked_again() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    rig.answer(status(404));
    let rows = explain(&rig, "metadata");
    assert_eq!(reasons(&rows), [Reason::BackendConfig]);
    assert!(rows[0].clears.ends_with("asked again in 15 min 0 s"), "{}", rows[0].clears);
    rig.sleep(900 * SECOND);
    let rows = explain(&rig, "metadata");
    assert!(rows[0].clears.ends_with("a request is asking just now"), "{}", rows[0].clears);
}

#[test]
fn a_strategy_without_backend_says_what_to_write() {
    let mut rig = Rig::online(config());
    let mut config = config();
    config.strategies.get_mut(&strategy("metadata")).expect("a strategy").backend = Some(backend("gone"));
    config.strategies.remove(&strategy("photo"));
    rig.feed(Input::Control(Control::Configure(Arc::new(config))));
    assert_eq!(explain(&rig, "metadata")[0].clears, "the config gets a section [backend.gone] and is reloaded");
    assert_eq!(explain(&rig, "photo")[0].clears, "the config gets a section [strategy.photo] and is reloaded");
    assert_eq!(reasons(&explain(&rig, "photo")), [Reason::NoBackend]);
}

#[test]
fn what_if() {
    let mut rig = Rig::new(config());
    rig.feed(Input::World(world(&Network::none())));
    let ask = |assume: Assume| reasons(&explain_if(&rig, "photo", &assume));
    let none = Assume::default;
    assert_eq!(ask(none()), [Reason::Offline]);
    assert_eq!(ask(Assume { link: Some(LinkType::Wifi), ..none() }), []);
    assert_eq!(ask(Assume { link: Some(LinkType::Cellular), ..none() }), [Reason::Metered]);
    let cheap = Assume { link: Some(LinkType::Cellular), metered: Some(Metered::No), ..none() };
    assert_eq!(ask(cheap.clone()), []);
    assert_eq!(ask(Assume { roaming: Some(true), ..cheap.clone() }), [Reason::Roaming]);
    assert_eq!(ask(Assume { connectivity: Some(Connectivity::Portal), ..cheap.clone() }), [Reason::CaptivePortal]);
    assert_eq!(ask(Assume { power_save: Some(true), ..cheap.clone() }), [Reason::PowerSave]);
    assert_eq!(ask(Assume { connected: Some(false), ..cheap }), [Reason::Offline]);
    let mut choosy = a_task("metadata", rig.now.wall, Vec::new());
    choosy.overrides = Overrides { charging: Some(true), ..Overrides::default() };
    let unplugged = Assume { connected: Some(true), external_power: Some(false), ..none() };
    assert_eq!(reasons(&rig.core.explain(&choosy, &unplugged, rig.now)), [Reason::NotCharging]);
}

/// Found by the simulator: after a full disk nothing was said of tasks that the store could not hand over.
#[test]
fn a_task_that_the_store_could_not_hand_over_is_explained() {
    let mut rig = Rig::online(config());
    let lane = rig.store.lane(&strategy("metadata"), Overrides::default());
    rig.store.enqueue(lane, None, rig.now.wall);
    let news = rig.store.news();
    rig.core.handle(Input::Lanes(news), rig.now);
    let Some(Effect::Claim { attempt, .. }) = rig.core.poll_effect() else { panic!("no claim") };
    rig.feed(Input::Claimed { attempt, tasks: Vec::new() });
    let rows = explain(&rig, "metadata");
    assert_eq!(reasons(&rows), [Reason::Backoff]);
    assert_eq!(rows[0].clears, "the queue on disk can be written; asked again in 1 s");
    rig.sleep(SECOND);
    assert_eq!((rig.log.started.len(), explain(&rig, "metadata").len()), (1, 0));
}
