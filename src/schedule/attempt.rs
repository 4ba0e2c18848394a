//! A claim under way and the attempt made of it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::backend::Role;
use super::{Situation, blocked};
use crate::model::{
    Answer, AtChunk, AttemptId, BackendName, Claimed, Conditions, Cut, Kind, LaneId, Moment, Network, Now, Reason,
    Strategy, TaskId, World,
};

/// A claim that the store has not answered yet.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) attempt: AttemptId,
    pub(super) lane: LaneId,
    pub(super) backend: BackendName,
    pub(super) kind: Kind,
    pub(super) limit: usize,
    /// The store spoke of the lane since.
    pub(super) heard: bool,
    /// Cancelled before the answer came.
    pub(super) withdrawn: BTreeSet<TaskId>,
}

/// An attempt that runs, by the policy that held when it started.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) lane: LaneId,
    pub(super) strategy: Strategy,
    pub(super) backend: BackendName,
    pub(super) conditions: Conditions,
    /// Its backend shows a certificate.
    pub(super) certified: bool,
    pub(super) role: Role,
    /// The tasks, each with the attempts counted before.
    pub(super) tasks: Vec<(TaskId, u32)>,
    pub(super) withdrawn: BTreeSet<TaskId>,
    pub(super) route: Route,
    /// We asked for its end.
    pub(super) cut: Option<Cut>,
    /// A condition is missing: it is to end at its next chunk. What has no chunks ends by itself.
    pub(super) ending: Option<Cut>,
    /// The link is away: since when.
    pub(super) away: Option<Moment>,
    /// What it was last told to do at its next chunk.
    pub(super) at_chunk: AtChunk,
    /// It has ended with an answer that may be another's than the backend's.
    pub(super) kept: Option<Kept>,
}

/// An answer that is not judged yet.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) answer: Answer,
    /// When it came.
    pub(super) since: Moment,
}

/// What a world means for an attempt that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on, over its link.
    GoesOn,
    /// It goes on to the end of what is on its way.
    Finishes(Cut),
    /// It waits for its link.
    Waits,
    /// It must end.
    Ends(Cut),
}

/// The way that an attempt's bytes took when it started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    interface: String,
    /// Empty if unknown.
    subnet: String,
}

impl Route {
    pub(super) fn of(network: &Network) -> Self {
        Self { interface: network.interface.clone(), subnet: network.subnet.clone() }
    }

    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// Whether connections made over this route cannot go on over `now`: another interface, or another address on it.
    pub(super) fn is_lost_in(&self, now: &Network) -> bool {
        let readdressed = !self.subnet.is_empty() && !now.subnet.is_empty() && self.subnet != now.subnet;
        !now.connected || self.interface != now.interface || readdressed
    }
}

impl Attempt {
    pub(super) fn task_ids(&self) -> Vec<TaskId> {
        self.tasks.iter().map(|(id, _)| *id).collect()
    }

    /// The answer, but what broke when we were about to break it, or while the link is away or a condition missing, is no
    /// outage: it is that cut.
    pub(super) fn excused(&self, answer: Answer) -> Answer {
        match (self.cut.or(self.away.map(|_| Cut::Link)).or(self.ending), answer) {
            (Some(cut), Answer::Unreachable { .. }) => Answer::Cut(cut),
            (Some(_), Answer::Advanced(end)) => Answer::Advanced(Box::new(self.excused(*end))),
            (_, answer) => answer,
        }
    }

    /// What this world means for it. A link that went away is waited for during `grace`; what comes back as another
    /// link, or with another address, is not the same.
    pub(super) fn fate_in(&self, world: &World, spent: u64, now: Now, grace: Duration) -> Fate {
        let network = world.networks.get(&self.backend).filter(|network| network.connected);
        // How it goes was taken when it started: a link that proves slow does not end it.
        let slow = false;
        let situation = Situation { network, world, now: now.wall, spent, certified: self.certified, slow };
        let missing: Vec<Reason> = blocked(&self.conditions, situation);
        match network {
            Some(network) if self.route.is_lost_in(network) => Fate::Ends(Cut::Link),
            None if now.moment >= self.away.unwrap_or(now.moment) + grace => Fate::Ends(Cut::Link),
            None if missing.iter().all(|reason| *reason == Reason::Offline) => Fate::Waits,
            None => Fate::Ends(Cut::Condition),
            Some(_) if missing.is_empty() => Fate::GoesOn,
            Some(_) => Fate::Finishes(Cut::Condition),
        }
    }
}

/// The ids of claimed tasks with their counts.
pub(super) fn counted(tasks: &[Claimed]) -> Vec<(TaskId, u32)> {
    tasks.iter().map(|task| (task.id, task.attempts)).collect()
}
