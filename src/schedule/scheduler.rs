//! The scheduler: takes what happened, decides what goes next, and names the one moment at which time alone would change
//! that. It reads no clock and performs nothing.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::attempt::{Attempt, Claim, Fate, Kept, Route, counted};
use super::backend::{Backend, Role};
use super::backoff;
use super::bandwidth::Bandwidths;
use super::budget::Budgets;
use super::choose::{Candidate, choose};
use super::hold::Holds;
use super::lane::{Lane, News};
use super::outcome::{Decision, Endpoint, Outcome, Verdict, judge};
use super::pause::Pauses;
use super::policy::Policy;
use super::reach::Reach;
use super::spread::{self, Spread};
use super::status::Shown;
use super::unsettled::Unsettled;
use super::{Control, Effect, Input, Wake, settle};
use crate::model::{
    Answer, AtChunk, AttemptId, BackendName, Claimed, Config, Cut, Failure, Kind, LaneId, LaneSummary, Moment,
    NetworkId, Now, Owner, Reason, Settlement, StrategyName, TaskError, TaskId, WallTime, World,
};

/// Which lane goes next, and how many of it.
///
/// Feed it with [`handle`](Self::handle), then perform what [`poll_effect`](Self::poll_effect) hands out until that is
/// `None`; only then ask [`poll_timeout`](Self::poll_timeout), and hand in [`Input::Woken`] when that moment has come. The
/// same inputs with the same seed give the same effects.
#[derive(Debug)]
pub struct Scheduler {
    pub(super) config: Arc<Config>,
    /// `None` until a sense has spoken.
    pub(super) world: Option<World>,
    pub(super) lanes: BTreeMap<LaneId, Lane>,
    pub(super) backends: BTreeMap<BackendName, Backend>,
    /// One at a time: what a claim leaves is known only when the store has spoken.
    pub(super) claim: Option<Claim>,
    pub(super) attempts: BTreeMap<AttemptId, Attempt>,
    pub(super) pauses: Pauses,
    pub(super) holds: Holds,
    pub(super) reach: Reach,
    pub(super) budgets: Budgets,
    pub(super) spreads: BTreeMap<StrategyName, Spread>,
    pub(super) bandwidths: Bandwidths,
    /// The network by which each backend was last reached.
    pub(super) met: BTreeMap<BackendName, NetworkId>,
    pub(super) stopping: bool,
    /// Since when a reading of power is under way.
    pub(super) reading_power: Option<Moment>,
    /// Since when sleep has been near, while it is.
    pub(super) sleep_since: Option<Moment>,
    pub(super) tidy_at: Option<WallTime>,
    pub(super) unsettled: Unsettled,
    pub(super) wake: Option<(Moment, Wake)>,
    /// When this configuration was loaded, if that was not at start.
    pub(super) configured: WallTime,
    shown: Option<Shown>,
    next_attempt: AttemptId,
    pub(super) effects: VecDeque<Effect>,
    /// When the last input came; `None` once all that follows from it is decided.
    undecided: Option<Now>,
    pub(super) rng: fastrand::Rng,
}

impl Scheduler {
    /// A scheduler that knows of no task and no network. `seed` drives the jitter of backoffs.
    pub fn new(config: Arc<Config>, seed: u64) -> Self {
        let next_attempt = AttemptId(1);
        Self {
            backends: config.backends.keys().map(|name| (name.clone(), Backend::new(next_attempt))).collect(),
            spreads: spread::at_start(&config),
            config,
            world: None,
            lanes: BTreeMap::new(),
            claim: None,
            attempts: BTreeMap::new(),
            pauses: Pauses::default(),
            holds: Holds::default(),
            reach: Reach::default(),
            budgets: Budgets::default(),
            bandwidths: Bandwidths::default(),
            met: BTreeMap::new(),
            stopping: false,
            reading_power: None,
            sleep_since: None,
            tidy_at: None,
            unsettled: Unsettled::default(),
            wake: None,
            configured: WallTime::default(),
            shown: None,
            next_attempt,
            effects: VecDeque::new(),
            undecided: None,
            rng: fastrand::Rng::with_seed(seed),
        }
    }

    /// Takes what happened. When the wall clock has jumped, hand in [`Input::Woken`] for its deadlines to move along.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.pauses.expire(now.wall);
        self.look_at_the_date(now);
        match input {
            Input::Lanes(lanes) => self.lanes_changed(lanes, now),
            Input::TidyAt(at) => self.tidy_at = at,
            Input::World(world) => self.world_changed(world, now),
            Input::Claimed { attempt, tasks } => self.claimed(attempt, tasks, now),
            Input::Finished { attempt, answer } => self.finished(attempt, answer, now),
            Input::Probed { look, finding } => self.probed(look, finding, now),
            Input::Sent { strategy, backend, bytes } => self.sent(strategy, &backend, bytes, now),
            Input::Spent(spent) => self.budgets.restore(spent),
            Input::Sample { backend, sample } => self.sampled(&backend, &sample, now),
            Input::Estimates(kept) => self.bandwidths.restore(kept, now),
            Input::Unsettled(settlements) => self.unsettled.keep(settlements, now),
            Input::Withdrawn(task) => self.withdrawn(task),
            Input::Control(control) => self.decided(control, now),
            Input::Woken => {}
        }
        self.effects.extend(self.holds.expire(now.moment).into_iter().map(Effect::HoldEnds));
        self.look_at_the_date(now);
        self.grant_tries(now);
        self.judge_attempts(now);
        self.judge_kept(now);
        self.look_at_reach(now);
        self.look_at_spreads(now);
        self.look(now);
        self.tidy(now);
        self.look_at_charge(now);
        self.effects.extend(self.unsettled.due(now, self.config.limits.backoff_cap));
        self.hold_files();
        self.undecided = Some(now);
    }

    /// The next thing to be done, in the order decided. A claim is decided last, so that a store which answers a
    /// [`Effect::Settle`] at once has told what it left.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty()
            && let Some(now) = self.undecided
        {
            self.claim_next(now);
        }
        if self.effects.is_empty()
            && let Some(now) = self.undecided.take()
        {
            self.look_for_slots(now);
            self.wake = self.next_wake(now);
            self.announce(now);
        }
        self.effects.pop_front()
    }

    /// When time alone will change something, and what; `None`: nothing will. Always later than the last input.
    pub fn poll_timeout(&self) -> Option<(Moment, Wake)> {
        self.wake
    }

    /// How many holds an owner has.
    pub fn holds_of(&self, owner: Owner) -> usize {
        self.holds.of(owner)
    }

    fn lanes_changed(&mut self, lanes: Vec<LaneSummary>, now: Now) {
        for summary in lanes {
            if self.lanes.get(&summary.id).is_none_or(|lane| lane.grows_to(summary.waiting))
                && let Some((backend, _)) = self.backend_of(&summary.strategy)
            {
                self.want_reach(&backend.clone(), true, now);
            }
            if let Some(claim) = self.claim.as_mut().filter(|claim| claim.lane == summary.id) {
                claim.heard = true;
            }
            match self.lanes.get_mut(&summary.id) {
                Some(lane) => lane.update(summary),
                None => drop(self.lanes.insert(summary.id, Lane::new(summary))),
            }
        }
    }

    fn world_changed(&mut self, mut world: World, now: Now) {
        let before = self.world.as_ref();
        if let Some(before) = before {
            world.power.reached = settle::reached(&before.power, world.power.battery);
            self.reading_power = self.reading_power.filter(|_| world.power_read <= before.power_read);
        }
        for (name, backend) in &mut self.backends {
            let old = before.and_then(|world| world.networks.get(name)).filter(|network| network.connected);
            let new = world.networks.get(name).filter(|network| network.connected);
            let rerouted = new.is_some_and(|new| old.is_none_or(|old| Route::of(old).is_lost_in(new)));
            if rerouted {
                backend.rerouted(now.moment, self.config.limits.backoff_cap);
            }
            if rerouted || new.is_none() {
                self.reach.forget(name);
            }
        }
        self.reach.follow(&world, now);
        self.meet(&world);
        self.look_at_sleep(&world, now);
        self.world = Some(world);
        self.settle_the_date(now);
        self.see_reach();
    }

    fn decided(&mut self, control: Control, now: Now) {
        match control {
            Control::Configure(config) => self.configure(config, now),
            Control::Pause(strategy, pause) => {
                self.pauses.begin(strategy, pause, now.wall);
                self.pauses.expire(now.wall);
            }
            Control::Resume(strategy) => self.pauses.end(strategy.as_ref()),
            Control::Hold(id, hold) => self.holds.begin(id, hold, now.wall),
            Control::LetGo(id) => self.holds.end(id),
            Control::SyncNow(strategy) => self.ask_again(strategy.as_ref(), now),
            Control::Stop => {
                self.stopping = true;
                self.keep_estimates();
            }
        }
    }

    /// Somebody wants it now: a backend that is thought to be ill is asked now.
    fn ask_again(&mut self, strategy: Option<&StrategyName>, now: Now) {
        self.want_reach_of(strategy, now);
        self.bandwidths.doubt(now.moment);
        self.end_spreads(strategy);
        let meant = self.config.strategies.values().filter(|policy| strategy.is_none_or(|name| *name == policy.name));
        for name in meant.filter_map(|policy| policy.backend.as_ref()) {
            if let Some(backend) = self.backends.get_mut(name) {
                backend.wanted(now.moment);
            }
        }
    }

    fn configure(&mut self, config: Arc<Config>, now: Now) {
        let mut before = std::mem::take(&mut self.backends);
        for (name, section) in &config.backends {
            let kept = before.remove(name).filter(|_| self.config.backends.get(name) == Some(section));
            let backend = match kept {
                Some(mut backend) => {
                    backend.reconfigured(now.moment);
                    backend
                }
                None => {
                    self.reach.forget(name);
                    Backend::new(self.next_attempt)
                }
            };
            self.backends.insert(name.clone(), backend);
        }
        if self.config.network.probe != config.network.probe {
            self.reach.forget_findings(now);
        }
        self.config = config;
        self.configure_spreads(now.moment);
        self.configured = now.wall;
        self.see_reach();
    }

    fn withdrawn(&mut self, task: TaskId) {
        if let Some(claim) = &mut self.claim {
            claim.withdrawn.insert(task);
        }
        let Some((id, attempt)) =
            self.attempts.iter_mut().find(|(_, attempt)| attempt.tasks.iter().any(|(id, _)| *id == task))
        else {
            return;
        };
        attempt.withdrawn.insert(task);
        if attempt.withdrawn.len() == attempt.tasks.len() && attempt.cut.is_none() {
            attempt.cut = Some(Cut::Withdrawn);
            if attempt.kept.is_none() {
                self.effects.push_back(Effect::Abort { attempt: *id, cut: Cut::Withdrawn });
            }
        }
    }

    /// The rows of a claim came. The world may have changed since it was made.
    fn claimed(&mut self, attempt: AttemptId, tasks: Vec<Claimed>, now: Now) {
        let Some(claim) = self.claim.take_if(|claim| claim.attempt == attempt) else {
            return;
        };
        let cap = self.config.limits.backoff_cap;
        if let Some(lane) = self.lanes.get_mut(&claim.lane) {
            let news = if claim.heard { News::Came } else { News::Outstanding };
            lane.claimed(&tasks, claim.limit, news, now, cap);
        }
        let (withdrawn, tasks): (Vec<_>, Vec<_>) =
            tasks.into_iter().partition(|task| claim.withdrawn.contains(&task.id));
        self.release(withdrawn.iter());
        if !tasks.is_empty() {
            self.start(&claim, tasks, now);
        }
    }

    fn start(&mut self, claim: &Claim, tasks: Vec<Claimed>, now: Now) {
        let (Some(policy), Some(network)) = (self.policy_of(claim.lane), self.network_of(&claim.backend)) else {
            return self.release(tasks.iter());
        };
        let started = Attempt {
            lane: claim.lane,
            strategy: policy.strategy.clone(),
            backend: policy.backend.clone(),
            conditions: policy.strategy.conditions.with(policy.overrides),
            certified: policy.certified,
            role: policy.role,
            tasks: counted(&tasks),
            withdrawn: BTreeSet::new(),
            route: Route::of(network),
            cut: None,
            ending: None,
            away: None,
            at_chunk: AtChunk::GoOn,
            kept: None,
        };
        if started.backend != claim.backend || tasks.len() > policy.limit || !self.may_go(claim.lane, now) {
            return self.release(tasks.iter());
        }
        self.effects.push_back(Effect::Start {
            attempt: claim.attempt,
            strategy: started.strategy.name.clone(),
            backend: started.backend.clone(),
            tasks,
            upload: self.upload_to(&started.backend, &started.strategy, now),
        });
        self.attempts.insert(claim.attempt, started);
    }

    fn release<'a>(&mut self, tasks: impl Iterator<Item = &'a Claimed>) {
        let settled: Vec<_> = tasks.map(|task| (task.id, Settlement::Release { cause: String::new() })).collect();
        if !settled.is_empty() {
            self.effects.push_back(Effect::Settle(settled));
        }
    }

    /// An answer came. It is judged at once if it is beyond doubt whose it is.
    fn finished(&mut self, id: AttemptId, answer: Answer, now: Now) {
        if let Some(attempt) = self.attempts.get_mut(&id).filter(|attempt| attempt.kept.is_none()) {
            attempt.kept = Some(Kept { answer: attempt.excused(answer), since: now.moment });
            self.judge_kept(now);
        }
    }

    pub(super) fn judge_answer(&mut self, id: AttemptId, answer: Answer, doubtful: bool, now: Now) {
        let Some(attempt) = self.attempts.remove(&id) else {
            return;
        };
        let endpoint = self.backends.get(&attempt.backend).map_or(Endpoint::Unproven, Backend::endpoint);
        let further = matches!(answer, Answer::Advanced(_));
        let Outcome { tasks, backend: verdict, batch } = judge(answer, &attempt.task_ids(), endpoint);
        if let Some(backend) = self.backends.get_mut(&attempt.backend) {
            let current = backend.knows(id);
            let cap = self.config.limits.backoff_cap;
            // A probe that brought more of its file there has met a server: what broke it off begins a new outage.
            if further && attempt.role == Role::Probe {
                backend.learn(Verdict::Up, (id, attempt.role), now, cap, &mut self.rng);
            }
            backend.learn(verdict.clone(), (id, attempt.role), now, cap, &mut self.rng);
            if current && self.network_of(&attempt.backend).is_some_and(|network| !attempt.route.is_lost_in(network)) {
                self.learn_reach(&attempt.backend, &verdict, doubtful);
            }
        }
        if let Some(lane) = self.lanes.get_mut(&attempt.lane) {
            lane.ended(&attempt.task_ids(), batch);
        }
        let settled = tasks
            .into_iter()
            .zip(&attempt.tasks)
            .map(|((task, decision), (_, attempts))| (task, self.settlement(decision, *attempts, &attempt, now)))
            .collect();
        self.effects.extend(self.budgets.unkept().map(Effect::KeepSpent));
        self.keep_estimates();
        self.effects.push_back(Effect::Settle(settled));
    }

    fn settlement(&mut self, decision: Decision, attempts: u32, attempt: &Attempt, now: Now) -> Settlement {
        let counted = attempts.saturating_add(1);
        match decision {
            Decision::Done(result) => Settlement::Done(result),
            Decision::Retry { after, error } if counted < attempt.strategy.max_attempts => {
                let cap = self.config.limits.backoff_cap;
                let wait = backoff::wait(&mut self.rng, cap, attempt.strategy.multiplier, counted, after);
                Settlement::Retry { due: now.wall + wait, error }
            }
            Decision::Retry { after: _, error } => {
                Settlement::Failed(TaskError { failure: Failure::Exhausted, words: error })
            }
            Decision::Advance { after, error } => {
                let cap = self.config.limits.backoff_cap;
                let wait = backoff::wait(&mut self.rng, cap, attempt.strategy.multiplier, 1, after);
                Settlement::Advanced { due: now.wall + wait, error }
            }
            Decision::Postpone { after, error } => {
                let cap = self.config.limits.backoff_cap;
                let wait = backoff::wait(&mut self.rng, cap, attempt.strategy.multiplier, 1, Some(after));
                Settlement::Postponed { due: now.wall + wait, error }
            }
            Decision::Fail(error) => Settlement::Failed(error),
            Decision::Release { cause } => Settlement::Release { cause },
        }
    }

    /// Ends attempts that cannot go on in this world, and notes which of them wait for their link or are to go no further.
    fn judge_attempts(&mut self, now: Now) {
        let (grace, must_sleep) = (self.config.network.link_grace, self.must_sleep(now));
        let run = |attempt: &Attempt| attempt.cut.is_none() && attempt.kept.is_none();
        for (id, attempt) in self.attempts.iter_mut().filter(|(_, attempt)| run(attempt)) {
            let fate = match &self.world {
                _ if self.stopping => Fate::Ends(Cut::Shutdown),
                Some(_) if must_sleep => Fate::Ends(Cut::Condition),
                Some(world) => {
                    let spent = self.budgets.spent(&attempt.strategy.name);
                    attempt.fate_in(world, spent, now, grace)
                }
                None => Fate::GoesOn,
            };
            match fate {
                Fate::GoesOn | Fate::Finishes(_) => {
                    if attempt.away.take().is_some() {
                        self.effects.push_back(Effect::LinkBack { attempt: *id });
                    }
                }
                Fate::Waits => attempt.away = attempt.away.or(Some(now.moment)),
                Fate::Ends(cut) => {
                    attempt.cut = Some(cut);
                    self.effects.push_back(Effect::Abort { attempt: *id, cut });
                }
            }
            attempt.ending = match fate {
                Fate::Finishes(cut) => Some(cut),
                Fate::GoesOn | Fate::Waits | Fate::Ends(_) => None,
            };
        }
    }

    /// No file begins a new chunk when a condition is missing, while the link is away, and while something more urgent
    /// runs.
    fn hold_files(&mut self) {
        let run = |attempt: &Attempt| attempt.kept.is_none();
        let running = self.attempts.values().filter(|attempt| run(attempt));
        let most_urgent = running.map(|attempt| attempt.strategy.priority).min();
        let files = |attempt: &Attempt| attempt.strategy.kind == Kind::File && run(attempt);
        for (id, attempt) in self.attempts.iter_mut().filter(|(_, attempt)| files(attempt)) {
            let waits = attempt.away.is_some() || most_urgent.is_some_and(|most| most < attempt.strategy.priority);
            let then = match attempt.ending {
                Some(cut) => AtChunk::End(cut),
                None if waits => AtChunk::Wait,
                None => AtChunk::GoOn,
            };
            if then != attempt.at_chunk {
                attempt.at_chunk = then;
                self.effects.push_back(Effect::AtChunk { attempt: *id, then });
            }
        }
    }

    /// Notes for every lane what hinders it, and since when.
    fn look(&mut self, now: Now) {
        let mut seen: Vec<(LaneId, Vec<Reason>, bool)> = Vec::with_capacity(self.lanes.len());
        for (id, lane) in &self.lanes {
            let hindrances = self.hindrances(&lane.strategy, &lane.overrides, now);
            let ill = self.backend_of(&lane.strategy).is_some_and(|(_, backend)| backend.illness().is_some());
            let free = hindrances.is_empty() && !ill;
            seen.push((*id, hindrances, free));
        }
        for (id, hindrances, free) in seen {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.see(&hindrances, free, now);
            }
        }
    }

    fn look_for_slots(&mut self, now: Now) {
        let crowded: Vec<(LaneId, bool)> =
            self.lanes.keys().map(|id| (*id, !self.stopping && self.is_crowded(*id, now))).collect();
        for (id, crowded) in crowded {
            if let Some(lane) = self.lanes.get_mut(&id) {
                lane.crowded_since = crowded.then(|| lane.crowded_since.unwrap_or(now.wall));
            }
        }
    }

    fn tidy(&mut self, now: Now) {
        if !self.stopping && self.tidy_at.take_if(|at| *at <= now.wall).is_some() {
            self.effects.push_back(Effect::Tidy);
        }
    }

    fn claim_next(&mut self, now: Now) {
        if self.claim.is_some() {
            return;
        }
        let able = |(id, lane): &(&LaneId, &Lane)| lane.is_ready(now) && self.may_go(**id, now);
        let candidates: Vec<Candidate> =
            self.lanes.iter().filter(able).filter_map(|(id, lane)| self.candidate(*id, lane, now)).collect();
        let Some(first) = choose(candidates.iter().copied()) else {
            return;
        };
        let urgent = self.stirred_before(&first, now).unwrap_or(first.lane);
        let Some(lane) = self.by_charge(urgent, &candidates, now) else {
            return;
        };
        let Some(Policy { strategy, backend, limit, .. }) = self.policy_of(lane) else {
            return;
        };
        let attempt = self.next_attempt;
        let (backend, kind) = (backend.clone(), strategy.kind);
        self.next_attempt = AttemptId(attempt.0 + 1);
        if let Some(lane) = self.lanes.get_mut(&lane) {
            lane.stirred = false;
        }
        self.claim = Some(Claim { attempt, lane, backend, kind, limit, heard: false, withdrawn: BTreeSet::new() });
        self.effects.push_back(Effect::Claim { attempt, lane, limit });
    }

    fn candidate(&self, id: LaneId, lane: &Lane, now: Now) -> Option<Candidate> {
        let strategy = self.config.strategies.get(&lane.strategy)?;
        let starved = lane.is_starved(strategy.max_wait, now);
        Some(Candidate { lane: id, priority: strategy.priority, first_due: lane.first_due?, starved })
    }

    /// A more urgent lane than `first` of which an attempt has just ended: what that released, or made way for, the store
    /// has not told yet. Claiming from it blindly costs one empty claim at most; a slot given away costs an attempt's time.
    fn stirred_before(&self, first: &Candidate, now: Now) -> Option<LaneId> {
        let stirred = self.lanes.iter().filter(|(id, lane)| lane.stirred && self.may_go(**id, now));
        let priority = |lane: &Lane| self.config.strategies.get(&lane.strategy).map(|strategy| strategy.priority);
        stirred
            .filter_map(|(id, lane)| Some((priority(lane)?, *id)))
            .min()
            .filter(|(priority, _)| *priority < first.priority && !first.starved)
            .map(|(_, id)| id)
    }

    fn announce(&mut self, now: Now) {
        let shown = self.shown(now);
        if self.shown.as_ref() != Some(&shown) {
            self.shown = Some(shown);
            self.effects.push_back(Effect::Announce);
        }
    }
}
