//! A claim under way and the attempt made of it.

use std::collections::BTreeSet;

use super::backend::Role;
use crate::model::{
    AttemptId, BackendName, Claimed, Conditions, Cut, Kind, LaneId, Network, Reason, Strategy, TaskId, World,
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
    pub(super) role: Role,
    /// The tasks, each with the attempts counted before.
    pub(super) tasks: Vec<(TaskId, u32)>,
    pub(super) withdrawn: BTreeSet<TaskId>,
    pub(super) route: Route,
    /// We asked for its end.
    pub(super) cut: Option<Cut>,
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

    /// Why it cannot go on in this world, if so.
    pub(super) fn hindered_by(&self, world: &World) -> Option<Cut> {
        let network = world.networks.get(&self.backend);
        if network.is_none_or(|network| self.route.is_lost_in(network)) {
            return Some(Cut::Link);
        }
        let missing: Vec<Reason> = super::blocked(&self.conditions, network, world);
        (!missing.is_empty()).then_some(Cut::Condition)
    }
}

/// The ids of claimed tasks with their counts.
pub(super) fn counted(tasks: &[Claimed]) -> Vec<(TaskId, u32)> {
    tasks.iter().map(|task| (task.id, task.attempts)).collect()
}
