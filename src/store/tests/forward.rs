//! What `SyncNow` does to the queue.

use super::*;
use crate::model::Waiver;

fn waived(waivers: &[Waiver]) -> Waivers {
    waivers.iter().copied().collect()
}

fn due(rig: &Rig, id: TaskId) -> WallTime {
    let standing = rig.get(id).standing;
    let Standing::Pending { due, .. } = standing else { panic!("{id} is {standing:?}") };
    due
}

fn bring(rig: &Rig, scope: Scope, name: Option<&str>, waivers: &[Waiver], now: WallTime) {
    wait(rig.store.bring_forward(scope, name.map(strategy), waived(waivers), now)).unwrap();
}

fn in_backoff(rig: &Rig, task: NewTask) -> TaskId {
    let id = rig.add(task);
    assert_eq!(rig.claim(1, START), [id]);
    rig.settle(id, retry_at(START + seconds(800)), START);
    id
}

#[test]
fn backoffs_of_ones_own_are_over_and_those_of_others_are_not() {
    let rig = Rig::new();
    let own = in_backoff(&rig, task());
    let others = in_backoff(&rig, NewTask { owner: Owner(1001), ..task() });
    let now = START + seconds(10);
    bring(&rig, Scope::Owner(Owner(1000)), None, &[], now);
    assert_eq!((due(&rig, own), due(&rig, others)), (START, START + seconds(800)));
    assert_eq!(rig.told().lanes[0].first_due, Some(START));
    assert_eq!(rig.events(own), ["retry", "sync-now"]);
    assert_eq!(rig.claim(10, now), [own]);
    assert_consistent(&rig);
}

#[test]
fn only_the_strategy_that_was_named_is_meant() {
    let rig = Rig::new();
    let named = in_backoff(&rig, task());
    bring(&rig, Scope::All, Some("analytics"), &[Waiver::Metered], START + seconds(1));
    assert_eq!((due(&rig, named), rig.get(named).overrides), (START + seconds(800), Overrides::default()));
}

#[test]
fn what_waits_goes_to_the_lane_that_waives_and_keeps_its_own_conditions() {
    let rig = Rig::new();
    let choosy = Overrides { charging: Some(true), ..Overrides::default() };
    let (plain, own) = (rig.add(task()), rig.add(NewTask { overrides: choosy, ..task() }));
    let (head, behind) = (rig.add(keyed("k")), rig.add(keyed("k")));
    let running = rig.claim(1, START);
    bring(&rig, Scope::All, None, &[Waiver::Metered, Waiver::Roaming], START);
    assert_eq!(running, [plain]);
    assert_eq!(rig.get(plain).overrides, Overrides::default(), "what runs is not touched");
    let both = waived(&[Waiver::Metered, Waiver::Roaming]);
    assert_eq!(rig.get(own).overrides, Overrides { waived: both, ..choosy });
    for id in [head, behind] {
        assert_eq!(rig.get(id).overrides, Overrides { waived: both, ..Overrides::default() });
    }
    let later = rig.add(task());
    assert_eq!(rig.get(later).overrides, Overrides::default(), "what comes later is not meant");
    bring(&rig, Scope::All, None, &[Waiver::Budget], START);
    assert_eq!(rig.get(head).overrides.waived, both.and(waived(&[Waiver::Budget])), "waivers add up");
    assert_eq!(rig.events(head), ["sync-now", "sync-now"]);
    let waiting: u64 = rig.told().lanes.iter().map(|lane| lane.waiting).sum();
    assert_eq!(waiting, 3, "own, head and later");
    assert_consistent(&rig);
    let rig = rig.reopen(START + seconds(1));
    assert_eq!(rig.get(head).overrides.waived, both.and(waived(&[Waiver::Budget])), "a restart keeps it");
}

#[test]
fn many_tasks_are_brought_forward_piece_by_piece() {
    let rig = Rig::new();
    let tasks: Vec<NewTask> = (0..4500).map(|_| task()).collect();
    wait(rig.store.enqueue(tasks)).unwrap();
    let gone = rig.claim(2500, START);
    let settled = gone.iter().map(|id| (*id, done())).collect();
    wait(rig.store.settle(settled, START)).unwrap();
    bring(&rig, Scope::Owner(Owner(1000)), None, &[Waiver::LowBattery], START);
    assert_eq!(rig.claim(5000, START), []);
    assert_eq!(rig.claim_of(LaneId(2), 5000, START).len(), 2000);
    assert_consistent(&rig);
}

#[test]
fn there_is_an_end_to_lanes() {
    let rig = Rig::new();
    for number in 0..1024 {
        let name = StrategyName::new(&format!("s{number}")).unwrap();
        rig.add(NewTask { strategy: name, ..task() });
    }
    let refused = wait(rig.store.bring_forward(Scope::All, None, waived(&[Waiver::Metered]), START));
    assert!(matches!(refused, Err(BringForwardError::TooManyLanes)), "{refused:?}");
    assert_consistent(&rig);
    assert_eq!(rows(&rig, "lane"), 1024);
    bring(&rig, Scope::All, None, &[], START);
}
