//! One test a rule of what goes when.

use std::sync::Arc;

use super::rig::*;
use crate::model::{
    Answer, AnswerMode, AtChunk, AttemptId, Claimed, Cut, Failure, ItemOutcome, ItemResult, LaneId, LaneSummary,
    Metered, Network, Overrides, Owner, Pause, Power, Settlement, TaskError, TaskId, WallTime, World,
};
use crate::schedule::{Control, Effect, Input, Scheduler, Wake};

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
    rig.feed(Input::World(world(&Network::none())));
    assert_eq!(rig.log.aborted, [(attempt, Cut::Link)]);
    rig.answer(Answer::Cut(Cut::Link));
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
fn one_strategy_can_be_paused_alone() {
    let mut rig = Rig::online(config());
    rig.feed(Input::Control(Control::Pause(Some(strategy("metadata")), Pause::Indefinite)));
    rig.enqueue("metadata", 1);
    let analytics = rig.enqueue("analytics", 1);
    assert_eq!(rig.first_running().1, analytics);
    assert_eq!((rig.running.len(), rig.core.poll_timeout()), (1, None));
    rig.feed(Input::Control(Control::Resume(Some(strategy("metadata")))));
    assert_eq!(rig.running.len(), 2);
}

#[test]
fn a_pause_that_is_over_when_it_begins_holds_nothing() {
    let mut rig = Rig::online(config());
    let past = rig.now.wall;
    rig.feed(Input::Control(Control::Pause(None, Pause::Until(past))));
    rig.enqueue("metadata", 1);
    assert_eq!(rig.running.len(), 1);
}

#[test]
fn priority_goes_before_due_time() {
    let mut rig = Rig::new(config());
    let analytics = rig.enqueue("analytics", 1);
    rig.pass(SECOND);
    let photos = rig.enqueue("photo", 3);
    rig.pass(SECOND);
    let metadata = rig.enqueue("metadata", 2);
    rig.feed(Input::World(world(&wifi())));
    let started: Vec<_> = rig.log.started.iter().map(|(_, _, tasks)| tasks.clone()).collect();
    assert_eq!(started, [metadata, vec![photos[0]], vec![photos[1]]]);
    rig.succeed();
    assert_eq!(rig.log.started[3].2, analytics, "files leave one slot");
}

#[test]
fn a_backend_that_answers_by_status_gets_one_task_a_request() {
    let mut config = config();
    config.backends.insert(backend("main"), backend_config(AnswerMode::Status));
    let mut rig = Rig::online(config);
    rig.enqueue("metadata", 5);
    assert_eq!(rig.log.started.iter().map(|(_, _, tasks)| tasks.len()).collect::<Vec<_>>(), [1, 1, 1]);
}

#[test]
fn a_starved_lane_gets_the_next_slot() {
    let mut config = config();
    config.limits.max_concurrent = 2;
    let mut rig = Rig::online(config);
    rig.enqueue("metadata", 500);
    let analytics = rig.enqueue("analytics", 1);
    rig.pass(7200 * SECOND);
    rig.succeed();
    assert_ne!(rig.log.started[2].2, analytics, "not yet longer than two hours");
    rig.pass(SECOND);
    rig.succeed();
    assert_eq!(rig.log.started[3].2, analytics);
}

#[test]
fn a_lane_whose_conditions_did_not_hold_was_not_starved() {
    let mut config = config();
    config.limits.max_concurrent = 2;
    let mut rig = Rig::new(config);
    let analytics = rig.enqueue("analytics", 1);
    rig.pass(10 * 3600 * SECOND);
    rig.enqueue("metadata", 500);
    rig.feed(Input::World(world(&wifi())));
    rig.pass(3600 * SECOND);
    rig.succeed();
    assert!(rig.log.started.iter().all(|(_, _, tasks)| *tasks != analytics));
    rig.pass(3601 * SECOND);
    rig.succeed();
    assert_eq!(rig.log.started.last().map(|(_, _, tasks)| tasks), Some(&analytics));
}

#[test]
fn a_batch_that_is_refused_is_halved_until_the_culprit_is_alone() {
    let mut rig = Rig::online(config());
    let ids = rig.enqueue("metadata", 40);
    let culprit = ids[29];
    let mut requests = 0;
    while let Some((attempt, tasks)) = rig.running.iter().next().map(|(id, tasks)| (*id, tasks.clone())) {
        assert_eq!(rig.running.len(), 1, "one attempt of the lane at a time");
        requests += 1;
        assert!(requests <= 2 * 6 + 1, "{requests} requests");
        let answer = if tasks.contains(&culprit) { status(422) } else { results(&tasks, &ok()) };
        rig.finish(attempt, answer);
    }
    for id in ids {
        let expected = if id == culprit { Row::Failed } else { Row::Done };
        assert_eq!((rig.store.get(id).row, rig.store.get(id).attempts), (expected, 0));
    }
    rig.enqueue("metadata", 40);
    assert_eq!(rig.first_running().1.len(), 40, "whole again");
}

#[test]
fn a_search_ends_when_its_suspects_are_done() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 5);
    rig.answer(status(500));
    rig.enqueue("metadata", 20);
    assert_eq!(rig.first_running().1.len(), 3);
    rig.succeed();
    assert_eq!(rig.first_running().1.len(), 3, "two suspects and one more");
    rig.succeed();
    assert_eq!(rig.first_running().1.len(), 19);
}

#[test]
fn a_search_ends_when_its_suspects_are_gone() {
    let mut rig = Rig::online(config());
    let ids = rig.enqueue("metadata", 4);
    rig.feed(Input::Control(Control::Pause(None, Pause::Indefinite)));
    rig.answer(status(500));
    for id in ids {
        rig.store.find(id).row = Row::Cancelled;
    }
    rig.enqueue("metadata", 30);
    rig.feed(Input::Control(Control::Resume(None)));
    assert_eq!(rig.running.values().map(Vec::len).collect::<Vec<_>>(), [2]);
    rig.succeed();
    assert_eq!(rig.running.values().map(Vec::len).collect::<Vec<_>>(), [28]);
}

#[test]
fn a_server_that_refuses_everything_gets_a_bounded_number_of_requests() {
    for (tasks, code) in [(120, 422), (40, 500)] {
        let mut rig = Rig::online(config());
        let ids = rig.enqueue("metadata", tasks);
        let mut requests = 0;
        while ids.iter().any(|id| rig.store.get(*id).row != Row::Failed) {
            while !rig.running.is_empty() {
                requests += 1;
                assert!(requests <= 10 * 5 * tasks, "a storm");
                rig.answer(status(code));
            }
            rig.sleep(SECOND);
        }
    }
}

#[test]
fn a_task_that_is_asked_for_again_too_often_fails() {
    let mut rig = Rig::online(config());
    let id = rig.enqueue("metadata", 1)[0];
    for attempt in 1..5 {
        rig.answer(status(500));
        assert_eq!(rig.store.get(id).attempts, attempt);
        let wait = rig.store.get(id).due.saturating_since(rig.now.wall);
        assert!(wait <= SECOND * 2u32.pow(attempt), "{wait:?} after attempt {attempt}");
        rig.sleep(wait);
    }
    rig.answer(status(500));
    let expected = TaskError { failure: Failure::Exhausted, words: "status 500".to_owned() };
    assert_eq!(rig.log.settled.last(), Some(&(id, Settlement::Failed(expected))));
}

#[test]
fn what_an_item_asks_for_is_a_minimum_and_at_most_a_day() {
    for (asked, least) in [(100, 100), (1_000_000, 86_400)] {
        let mut rig = Rig::online(config());
        let id = rig.enqueue("metadata", 1)[0];
        let outcome = ItemOutcome::Retry { after: Some(asked * SECOND), reason: "busy".to_owned() };
        rig.answer(results(&[id], &outcome));
        let wait = rig.store.get(id).due.saturating_since(rig.now.wall);
        assert!(wait >= least * SECOND && wait <= (least + 2) * SECOND, "{wait:?}");
        assert_eq!(rig.core.poll_timeout().map(|(_, wake)| wake), Some(Wake::TaskDue));
    }
}

#[test]
fn each_item_of_a_batch_gets_its_own_word() {
    let mut rig = Rig::online(config());
    let ids = rig.enqueue("metadata", 3);
    let reason = String::new;
    let outcomes =
        [ok(), ItemOutcome::Retry { after: None, reason: reason() }, ItemOutcome::Conflict { reason: reason() }];
    let items = ids.iter().zip(outcomes).map(|(id, outcome)| ItemResult { id: *id, outcome }).collect();
    rig.answer(Answer::Results(items));
    let rows: Vec<Row> = ids.iter().map(|id| rig.store.get(*id).row).collect();
    assert_eq!(rows, [Row::Done, Row::Pending, Row::Failed]);
}

#[test]
fn a_condition_that_goes_missing_ends_a_file_at_its_next_chunk_and_lets_a_request_end() {
    let mut rig = Rig::online(config());
    rig.enqueue("photo", 1);
    rig.enqueue("analytics", 1);
    let saving = World { power: Power { power_save: true, ..Power::mains() }, ..world(&wifi()) };
    rig.feed(Input::World(saving.clone()));
    assert_eq!(rig.log.at_chunk, [(AttemptId(1), AtChunk::End(Cut::Condition))]);
    rig.feed(Input::Woken);
    assert_eq!((rig.log.at_chunk.len(), rig.log.aborted.len()), (1, 0), "told once, and nothing is torn off");
    rig.feed(Input::World(world(&wifi())));
    assert_eq!(rig.log.at_chunk[1..], [(AttemptId(1), AtChunk::GoOn)], "it is back before the chunk ends");
    rig.feed(Input::World(saving));
    rig.answer(Answer::Cut(Cut::Condition));
    assert!(matches!(rig.log.settled[..], [(_, Settlement::Release { .. })]), "uncounted");
    rig.answer(unreachable());
    rig.feed(Input::World(world(&wifi())));
    assert_eq!(rig.running.len(), 2, "what broke meanwhile is no outage: both go again at once");
}

#[test]
fn a_link_that_comes_back_without_a_condition_is_told_of_all_the_same() {
    let mut config = config();
    config.network.link_grace = 3 * SECOND;
    let mut rig = Rig::online(config);
    rig.enqueue("photo", 1);
    rig.feed(Input::World(world(&Network::none())));
    rig.feed(Input::World(world(&Network { metered: Metered::Yes, ..wifi() })));
    assert_eq!(rig.log.linked, [AttemptId(1)]);
    assert_eq!(rig.log.at_chunk[1..], [(AttemptId(1), AtChunk::End(Cut::Condition))]);
}

#[test]
fn another_address_or_interface_cuts_and_more_bars_do_not() {
    for (network, cuts) in [
        (Network { strength: 80, ssid: "x".to_owned(), ..wifi() }, 0),
        (Network { subnet: String::new(), ..wifi() }, 0),
        (Network { subnet: "192.0.2.8/24".to_owned(), ..wifi() }, 1),
        (modem(), 1),
    ] {
        let mut rig = Rig::online(config());
        rig.enqueue("metadata", 1);
        rig.feed(Input::World(world(&network)));
        assert_eq!(rig.log.aborted.len(), cuts, "{network:?}");
        assert!(rig.log.aborted.iter().all(|(_, cut)| *cut == Cut::Link));
    }
}

#[test]
fn an_attempt_is_cut_when_all_its_tasks_are_withdrawn() {
    let mut rig = Rig::online(config());
    let ids = rig.enqueue("metadata", 2);
    rig.feed(Input::Withdrawn(ids[0]));
    rig.feed(Input::Withdrawn(ids[0]));
    assert!(rig.log.aborted.is_empty());
    rig.feed(Input::Withdrawn(ids[1]));
    assert_eq!(rig.log.aborted, [(AttemptId(1), Cut::Withdrawn)]);
    rig.answer(Answer::Cut(Cut::Withdrawn));
    assert_eq!(rig.log.settled.len(), 2, "each is settled all the same");
}

#[test]
fn stop_starts_nothing_more_and_cuts_what_runs() {
    let mut rig = Rig::online(config());
    rig.enqueue("metadata", 1);
    rig.feed(Input::TidyAt(Some(rig.now.wall + SECOND)));
    rig.feed(Input::Control(Control::Stop));
    assert_eq!(rig.log.aborted, [(AttemptId(1), Cut::Shutdown)]);
    rig.enqueue("metadata", 1);
    rig.answer(Answer::Cut(Cut::Shutdown));
    assert_eq!((rig.running.len(), rig.core.poll_timeout()), (0, None));
}

#[test]
fn the_store_is_tidied_once_when_it_asked() {
    let mut rig = Rig::online(config());
    let at = rig.now.wall + 60 * SECOND;
    rig.feed(Input::TidyAt(Some(at)));
    assert_eq!(rig.core.poll_timeout(), Some((rig.now.moment_of(at), Wake::Tidy)));
    rig.sleep(3600 * SECOND);
    assert_eq!((rig.log.tidied, rig.core.poll_timeout()), (1, None));
    rig.feed(Input::TidyAt(Some(at)));
    assert_eq!(rig.log.tidied, 2, "overdue at once");
}

#[test]
fn what_could_not_start_anyway_wakes_nobody() {
    let mut rig = Rig::online(config());
    let id = rig.enqueue("metadata", 1)[0];
    let outcome = ItemOutcome::Retry { after: Some(60 * SECOND), reason: String::new() };
    rig.answer(results(&[id], &outcome));
    assert_eq!(rig.core.poll_timeout().map(|(_, wake)| wake), Some(Wake::TaskDue));
    rig.feed(Input::Control(Control::Pause(None, Pause::Indefinite)));
    assert_eq!(rig.core.poll_timeout(), None, "paused");
    rig.feed(Input::Control(Control::Resume(None)));
    assert!(rig.core.poll_timeout().is_some());
    rig.feed(Input::World(world(&Network::none())));
    assert_eq!(rig.core.poll_timeout(), None, "offline");
}

#[test]
fn a_wake_follows_the_wall_clock_when_it_jumps() {
    let mut rig = Rig::online(config());
    let id = rig.enqueue("metadata", 1)[0];
    let outcome = ItemOutcome::Retry { after: Some(3600 * SECOND), reason: String::new() };
    rig.answer(results(&[id], &outcome));
    rig.now.wall = rig.store.get(id).due;
    rig.feed(Input::Woken);
    assert_eq!(rig.first_running().1, [id]);
}

#[test]
fn a_strategy_without_a_backend_waits() {
    let mut config = config();
    config.strategies.get_mut(&strategy("metadata")).expect("a strategy").backend = None;
    let mut rig = Rig::online(config);
    rig.enqueue("metadata", 1);
    assert!(rig.log.claims.is_empty());
    rig.feed(Input::Control(Control::Configure(Arc::new(super::rig::config()))));
    assert_eq!(rig.running.len(), 1);
}

/// The core alone, its claims answered by hand.
struct Alone {
    core: Scheduler,
    now: crate::model::Now,
}

impl Alone {
    fn online() -> Self {
        let mut alone = Self { core: Scheduler::new(Arc::new(config()), 1), now: start_of_time() };
        alone.feed(Input::World(world(&wifi())));
        alone
    }

    /// Hands in an input; gives the effects but for announcements.
    fn feed(&mut self, input: Input) -> Vec<Effect> {
        self.core.handle(input, self.now);
        std::iter::from_fn(|| self.core.poll_effect()).filter(|effect| *effect != Effect::Announce).collect()
    }

    fn lane(&mut self, id: i64, name: &str, waiting: u64) -> Vec<Effect> {
        let first_due = (waiting > 0).then_some(start_of_time().wall);
        let (id, strategy) = (LaneId(id), strategy(name));
        self.feed(Input::Lanes(vec![LaneSummary { id, strategy, overrides: Overrides::default(), waiting, first_due }]))
    }

    fn claimed(&mut self, attempt: u64, ids: &[u64]) -> Vec<Effect> {
        let attempt = AttemptId(attempt);
        self.feed(Input::Claimed { attempt, tasks: ids.iter().map(|id| claimed(task(*id))).collect() })
    }
}

fn claimed(id: TaskId) -> Claimed {
    Claimed {
        id,
        owner: Owner(0),
        payload: "{}".to_owned().into(),
        created: WallTime::default(),
        attempts: 0,
        note: None,
    }
}

fn released(ids: &[u64]) -> Effect {
    Effect::Settle(ids.iter().map(|id| (task(*id), Settlement::Release { cause: String::new() })).collect())
}

fn claim(attempt: u64, lane: i64, limit: usize) -> Effect {
    Effect::Claim { attempt: AttemptId(attempt), lane: LaneId(lane), limit }
}

#[test]
fn rows_claimed_for_a_world_that_is_gone_are_released() {
    let gone = [
        Input::World(world(&Network::none())),
        Input::Control(Control::Pause(None, Pause::Indefinite)),
        Input::Control(Control::Stop),
    ];
    for change in gone {
        let mut alone = Alone::online();
        assert_eq!(alone.lane(1, "metadata", 2), [claim(1, 1, 50)]);
        assert_eq!(alone.feed(change.clone()), []);
        assert_eq!(alone.claimed(1, &[1, 2]), [released(&[1, 2])], "{change:?}");
    }
}

#[test]
fn a_task_withdrawn_while_it_was_claimed_does_not_start() {
    let mut alone = Alone::online();
    alone.lane(1, "metadata", 2);
    alone.feed(Input::Withdrawn(task(1)));
    let effects = alone.claimed(1, &[1, 2]);
    assert_eq!(effects[0], released(&[1]));
    assert!(matches!(&effects[1], Effect::Start { tasks, .. } if *tasks == [claimed(task(2))]));
}

#[test]
fn an_empty_claim_does_not_spin() {
    let mut alone = Alone::online();
    assert_eq!(alone.lane(1, "metadata", 1), [claim(1, 1, 50)]);
    assert_eq!(alone.claimed(1, &[]), []);
    assert_eq!(alone.feed(Input::Woken), []);
    assert_eq!(alone.lane(1, "metadata", 1), [claim(2, 1, 50)], "the store spoke");
}

#[test]
fn a_store_that_failed_is_asked_again_later_and_later() {
    let mut alone = Alone::online();
    alone.lane(1, "metadata", 1);
    for attempt in 1..20 {
        assert_eq!(alone.claimed(attempt, &[]), []);
        let (at, wake) = alone.core.poll_timeout().expect("another try");
        let wait = (SECOND * 2u32.pow(attempt as u32 - 1)).min(900 * SECOND);
        assert_eq!((at.saturating_since(alone.now.moment), wake), (wait, Wake::TaskDue));
        alone.now = alone.now + wait;
        assert_eq!(alone.feed(Input::Woken), [claim(attempt + 1, 1, 50)]);
    }
}

#[test]
fn news_that_came_during_an_empty_claim_are_not_lost() {
    let mut alone = Alone::online();
    alone.lane(1, "metadata", 1);
    assert_eq!(alone.lane(1, "metadata", 1), [], "one claim at a time");
    assert_eq!(alone.claimed(1, &[]), [claim(2, 1, 50)]);
}

#[test]
fn a_claim_that_took_all_is_not_repeated_before_the_store_spoke() {
    let mut alone = Alone::online();
    alone.lane(1, "photo", 1);
    let effects = alone.claimed(1, &[1]);
    assert!(matches!(effects[..], [Effect::Start { .. }]), "{effects:?}");
}

#[test]
fn the_lane_of_an_attempt_that_ended_is_asked_before_its_slot_goes_to_a_lesser_one() {
    let mut alone = Alone::online();
    alone.lane(1, "metadata", 1);
    alone.claimed(1, &[1]);
    alone.lane(1, "metadata", 0);
    alone.lane(2, "analytics", 300);
    alone.claimed(2, &[2]);
    alone.lane(2, "analytics", 299);
    alone.claimed(3, &[3]);
    alone.lane(2, "analytics", 298);
    let finished = |attempt, id| Input::Finished { attempt: AttemptId(attempt), answer: results(&[task(id)], &ok()) };
    let effects = alone.feed(finished(1, 1));
    assert!(matches!(effects[..], [Effect::Settle(_), Effect::Claim { lane: LaneId(1), .. }]), "{effects:?}");
    assert_eq!(alone.claimed(4, &[]), [claim(5, 2, 100)], "nothing there: the next in order");
}

#[test]
fn answers_to_nothing_are_ignored() {
    let mut alone = Alone::online();
    assert_eq!(alone.claimed(7, &[1]), []);
    assert_eq!(alone.feed(Input::Finished { attempt: AttemptId(7), answer: unreachable() }), []);
    assert_eq!(alone.feed(Input::Withdrawn(task(1))), []);
}
