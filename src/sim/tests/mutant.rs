//! The core, deliberately broken in one way.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Assume, AttemptId, Block, Claimed, Config, LaneId, Metered, Moment, NewTask, Now, Reason, Settlement, StrategyName,
    Task, TaskId, TaskResult, Window, World, Zone,
};
use crate::schedule::{Control, Effect, Input, Scheduler, Wake};
use crate::sim::Core;

/// How it is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    DropsASettlement,
    TakesARequestForASuccess,
    StartsTwice,
    ForgetsASuccess,
    ForgetsKeys,
    ForgetsAfter,
    CountsOutages,
    TakesAllForUnmetered,
    SeesNoPortal,
    ForgetsHolds,
    ForgetsPauses,
    LetsChunksGo,
    KnowsNoMaxWait,
    Restless,
    Timeless,
    SaysNothing,
    KeepsAHoldSecret,
    BlamesTheLink,
    BlamesServers,
    BlamesTheConfig,
    SupposesNothing,
    IgnoresHours,
    KnowsNoZone,
    TrustsAnUnsetClock,
    IgnoresBudgets,
    CountsNoBytes,
    ForgetsWhatWasSpent,
    StartsBlindly,
    LosesWhatRan,
    GivesUpAtOnce,
    NeverGivesUp,
}

pub(super) struct Mutant {
    core: Scheduler,
    flaw: Flaw,
    settled: usize,
    again: Vec<Effect>,
    now: Moment,
    config: Arc<Config>,
    lanes: BTreeMap<LaneId, StrategyName>,
    /// The claim under way, and what came of it.
    claim: Option<(AttemptId, LaneId, Vec<Claimed>)>,
}

impl Mutant {
    pub(super) fn new(flaw: Flaw, config: &Arc<Config>, seed: u64) -> Self {
        let mut config = (**config).clone();
        for strategy in config.strategies.values_mut() {
            let conditions = &mut strategy.conditions;
            strategy.max_wait = strategy.max_wait.filter(|_| flaw != Flaw::KnowsNoMaxWait);
            conditions.metered_budget = conditions.metered_budget.filter(|_| flaw != Flaw::IgnoresBudgets);
            if flaw == Flaw::IgnoresHours {
                conditions.window = Window::default();
            }
        }
        let config = Arc::new(config);
        let core = Scheduler::new(Arc::clone(&config), seed);
        let (again, lanes, now) = (Vec::new(), BTreeMap::new(), Moment::default());
        Self { core, flaw, settled: 0, again, now, config, lanes, claim: None }
    }

    fn heard(&self, input: Input) -> Option<Input> {
        match (self.flaw, input) {
            (Flaw::TakesAllForUnmetered, Input::World(world)) => Some(Input::World(unmetered(world))),
            (Flaw::SeesNoPortal, Input::World(world)) => Some(Input::World(open(world))),
            (Flaw::KnowsNoZone, Input::World(world)) => Some(Input::World(World { zone: Zone::UTC, ..world })),
            (Flaw::TrustsAnUnsetClock, Input::World(world)) => {
                Some(Input::World(World { clock_unset: false, ..world }))
            }
            (Flaw::CountsNoBytes, Input::Sent { .. }) => None,
            (Flaw::ForgetsHolds, Input::Control(Control::Hold(..))) => None,
            (Flaw::ForgetsPauses, Input::Control(Control::Pause(..))) => None,
            (_, input) => Some(input),
        }
    }

    /// What was claimed goes, whatever has changed since.
    fn start_blindly(&mut self, settlements: Vec<(TaskId, Settlement)>) -> Effect {
        let released = |id: TaskId| settlements.iter().any(|(settled, _)| *settled == id);
        let claim = self.claim.take_if(|(.., tasks)| !tasks.is_empty() && tasks.iter().all(|task| released(task.id)));
        let start = claim.and_then(|(attempt, lane, tasks)| {
            let strategy = self.lanes.get(&lane)?.clone();
            let backend = self.config.strategies.get(&strategy)?.backend.clone()?;
            Some(Effect::Start { attempt, strategy, backend, tasks })
        });
        start.unwrap_or(Effect::Settle(settlements))
    }

    /// Notes what a claim brought.
    fn follow(&mut self, input: &Input) {
        match input {
            Input::Lanes(lanes) => {
                self.lanes.extend(lanes.iter().map(|lane| (lane.id, lane.strategy.clone())));
            }
            Input::Claimed { tasks, .. } => {
                if let Some((.., claimed)) = &mut self.claim {
                    claimed.clone_from(tasks);
                }
            }
            _ => {}
        }
    }

    fn done(&mut self, effect: Effect) -> Option<Effect> {
        match (self.flaw, effect) {
            (Flaw::DropsASettlement, Effect::Settle(_)) if self.settled == 9 => {
                self.settled = 0;
                None
            }
            (Flaw::LetsChunksGo, Effect::AtChunk { .. }) => None,
            (Flaw::ForgetsWhatWasSpent, Effect::KeepSpent(_)) => None,
            (Flaw::StartsBlindly, Effect::Settle(settlements)) => Some(self.start_blindly(settlements)),
            (Flaw::StartsTwice, Effect::Start { attempt, strategy, backend, tasks }) => {
                let start = Effect::Start { attempt, strategy, backend, tasks };
                self.again.push(as_attempt(AttemptId(attempt.0 + 1_000_000), start.clone()));
                Some(start)
            }
            (flaw, Effect::Settle(settlements)) => {
                self.settled += 1;
                let settled = settlements.into_iter();
                Some(Effect::Settle(settled.map(|(id, how)| (id, settled_by(flaw, how))).collect()))
            }
            (_, effect) => Some(effect),
        }
    }
}

fn as_attempt(number: AttemptId, start: Effect) -> Effect {
    let Effect::Start { strategy, backend, tasks, .. } = start else { panic!("no start") };
    Effect::Start { attempt: number, strategy, backend, tasks }
}

fn settled_by(flaw: Flaw, how: Settlement) -> Settlement {
    match (flaw, how) {
        (Flaw::TakesARequestForASuccess, Settlement::Release { cause }) if cause.contains("timed out") => {
            Settlement::Done(TaskResult::default())
        }
        (Flaw::ForgetsASuccess, Settlement::Done(_)) => Settlement::Release { cause: String::new() },
        (Flaw::CountsOutages, Settlement::Release { cause }) if !cause.is_empty() => {
            Settlement::Retry { due: crate::model::WallTime::default(), error: cause }
        }
        (_, how) => how,
    }
}

fn unmetered(mut world: World) -> World {
    world.networks.values_mut().for_each(|network| network.metered = Metered::No);
    world
}

fn open(mut world: World) -> World {
    world.networks.values_mut().for_each(|network| network.connectivity = crate::model::Connectivity::Full);
    world
}

impl Core for Mutant {
    fn anew(&self, config: Arc<Config>, seed: u64) -> Self {
        Self::new(self.flaw, &config, seed)
    }

    fn given_up_at(&self) -> Option<u32> {
        match self.flaw {
            Flaw::LosesWhatRan => None,
            Flaw::GivesUpAtOnce => Some(1),
            Flaw::NeverGivesUp => Some(u32::MAX),
            _ => Some(3),
        }
    }

    fn handle(&mut self, input: Input, now: Now) {
        self.now = now.moment;
        self.follow(&input);
        if let Some(input) = self.heard(input) {
            self.core.handle(input, now);
        }
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        if let Some(effect) = self.again.pop() {
            return Some(effect);
        }
        loop {
            let effect = self.core.poll_effect()?;
            if let Effect::Claim { attempt, lane, .. } = &effect {
                self.claim = Some((*attempt, *lane, Vec::new()));
            }
            if let Some(effect) = self.done(effect) {
                return Some(effect);
            }
        }
    }

    fn poll_timeout(&self) -> Option<(Moment, Wake)> {
        let minute = self.now + std::time::Duration::from_secs(20);
        match (self.flaw, self.core.poll_timeout()) {
            (Flaw::Restless, Some((at, wake))) if at > minute => Some((minute, wake)),
            (Flaw::Timeless, _) => None,
            (_, timeout) => timeout,
        }
    }

    fn explain(&self, task: &Task, assume: &Assume, now: Now) -> Vec<Block> {
        let nothing = Assume::default();
        let assume = if self.flaw == Flaw::SupposesNothing { &nothing } else { assume };
        let mut rows = self.core.explain(task, assume, now);
        if self.flaw == Flaw::SaysNothing {
            rows.clear();
        } else if self.flaw == Flaw::KeepsAHoldSecret {
            rows.retain(|row| row.reason != Reason::Held);
        } else if self.flaw == Flaw::BlamesTheLink {
            rows.iter_mut().for_each(|row| row.reason = Reason::Offline);
        } else if self.flaw == Flaw::BlamesServers {
            let waits = |row: &&mut Block| row.reason == Reason::Backoff;
            rows.iter_mut().filter(waits).for_each(|row| row.reason = Reason::BackendDown);
        } else if self.flaw == Flaw::BlamesTheConfig {
            // Which no ledger knows better: what is granted for it brings nothing about.
            let down = |row: &&mut Block| row.reason == Reason::BackendDown;
            rows.iter_mut().filter(down).for_each(|row| row.reason = Reason::NoBackend);
        }
        rows
    }

    fn file(&self, task: NewTask) -> NewTask {
        if self.flaw == Flaw::ForgetsKeys {
            NewTask { key: None, ..task }
        } else if self.flaw == Flaw::ForgetsAfter {
            NewTask { after: Vec::new(), ..task }
        } else {
            task
        }
    }
}
