//! The queue of the spec ("Intelligent Sync Manager"), to be held against ours: sorted by priority and then by time, three
//! tasks at once, each a request of its own; it goes when the device is online, and large files when it is on wifi. Every
//! failure counts, after `max_attempts` the task is gone, and an upload that breaks starts anew. Its bug that nothing wakes
//! it when a wait is over is mended here. It knows nothing of conditions, portals, batches and servers' words.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use crate::model::{
    Answer, Assume, AttemptId, Block, Claimed, Config, Failure, ItemOutcome, LaneId, LaneSummary, LinkType, Moment,
    NetworkNeed, Now, Settlement, Strategy, StrategyName, Task, TaskError, TaskId, TaskResult,
};
use crate::schedule::{Effect, Input, Wake};

const AT_ONCE: usize = 3;

/// The spec's queue.
#[derive(Debug)]
pub(super) struct Fifo {
    config: Arc<Config>,
    lanes: BTreeMap<LaneId, LaneSummary>,
    /// Lanes that had nothing although they said so.
    empty: BTreeSet<LaneId>,
    /// The kind of link, while there is one.
    link: Option<LinkType>,
    claim: Option<StrategyName>,
    running: BTreeMap<AttemptId, (StrategyName, Vec<Claimed>)>,
    claims: u64,
    effects: VecDeque<Effect>,
    now: Now,
}

impl Fifo {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Self {
            config,
            lanes: BTreeMap::new(),
            empty: BTreeSet::new(),
            link: None,
            claim: None,
            running: BTreeMap::new(),
            claims: 0,
            effects: VecDeque::new(),
            now: Now::default(),
        }
    }

    fn strategy(&self, name: &StrategyName) -> Option<&Strategy> {
        self.config.strategies.get(name)
    }

    fn may_use_the_link(&self, lane: &LaneSummary) -> bool {
        let wants_wifi = self.strategy(&lane.strategy).is_some_and(|s| s.conditions.network != NetworkNeed::Any);
        let on_wifi = matches!(self.link, Some(LinkType::Wifi | LinkType::Ethernet));
        self.link.is_some() && (on_wifi || !wants_wifi)
    }

    fn able(&self) -> impl Iterator<Item = &LaneSummary> {
        self.lanes.values().filter(|lane| !self.empty.contains(&lane.id) && self.may_use_the_link(lane))
    }

    fn has_room(&self) -> bool {
        self.running.len() < AT_ONCE && self.claim.is_none()
    }

    fn claim_next(&mut self) -> Option<Effect> {
        let due = self.able().filter(|lane| lane.first_due.is_some_and(|due| due <= self.now.wall));
        let first = due.min_by_key(|lane| (self.strategy(&lane.strategy).map(|s| s.priority), lane.first_due))?;
        let (lane, strategy) = (first.id, first.strategy.clone());
        self.claims += 1;
        self.claim = Some(strategy);
        // If it gets nothing, the lane is left alone until the store speaks of it.
        self.empty.insert(lane);
        Some(Effect::Claim { attempt: AttemptId(self.claims), lane, limit: 1 })
    }

    fn claimed(&mut self, attempt: AttemptId, tasks: Vec<Claimed>) {
        let Some(strategy) = self.claim.take().filter(|_| !tasks.is_empty()) else { return };
        let Some(backend) = self.strategy(&strategy).and_then(|strategy| strategy.backend.clone()) else { return };
        self.running.insert(attempt, (strategy.clone(), tasks.clone()));
        self.effects.push_back(Effect::Start { attempt, strategy, backend, tasks });
    }

    fn finished(&mut self, attempt: AttemptId, answer: &Answer) {
        let Some((name, tasks)) = self.running.remove(&attempt) else { return };
        let Some(strategy) = self.strategy(&name) else { return };
        let settled = tasks.iter().map(|task| (task.id, self.settlement(task, strategy, answer))).collect();
        self.effects.push_back(Effect::Settle(settled));
    }

    fn settlement(&self, task: &Claimed, strategy: &Strategy, answer: &Answer) -> Settlement {
        let attempts = task.attempts + 1;
        if is_taken(answer, task.id) {
            Settlement::Done(TaskResult::default())
        } else if attempts >= strategy.max_attempts {
            Settlement::Failed(TaskError { failure: Failure::Exhausted, words: String::new() })
        } else {
            let wait = Duration::from_secs_f64(strategy.multiplier.powi(attempts.min(30) as i32));
            Settlement::Retry { due: self.now.wall + wait, error: String::new() }
        }
    }
}

fn is_taken(answer: &Answer, task: TaskId) -> bool {
    let Answer::Results(results) = answer else { return false };
    let word = results.iter().find(|result| result.id == task).map(|result| &result.outcome);
    matches!(word, Some(ItemOutcome::Ok(_) | ItemOutcome::Duplicate))
}

impl Core for Fifo {
    fn anew(&self, config: Arc<Config>, _: u64) -> Self {
        Self::new(config)
    }

    fn handle(&mut self, input: Input, now: Now) {
        self.now = now;
        match input {
            Input::Lanes(lanes) => {
                for lane in lanes {
                    self.empty.remove(&lane.id);
                    self.lanes.insert(lane.id, lane);
                }
            }
            Input::World(world) => {
                let network = world.networks.values().find(|network| network.connected);
                self.link = network.map(|network| network.link);
            }
            Input::Claimed { attempt, tasks } => self.claimed(attempt, tasks),
            Input::Finished { attempt, answer } => self.finished(attempt, &answer),
            Input::TidyAt(_)
            | Input::Probed { .. }
            | Input::Sent { .. }
            | Input::Spent(_)
            | Input::Unsettled(_)
            | Input::Withdrawn(_)
            | Input::Control(_)
            | Input::Woken => {}
        }
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front().or_else(|| if self.has_room() { self.claim_next() } else { None })
    }

    fn poll_timeout(&self) -> Option<(Moment, Wake)> {
        let due = self.able().filter_map(|lane| lane.first_due).filter(|due| *due > self.now.wall).min();
        due.filter(|_| self.has_room()).map(|due| (self.now.moment_of(due), Wake::TaskDue))
    }

    fn explain(&self, _: &Task, _: &Assume, _: Now) -> Vec<Block> {
        Vec::new()
    }

    fn resumes(&self) -> bool {
        false
    }
}
