//! What the daemon shows of itself: the source of every property on D-Bus.

use std::collections::BTreeMap;

use super::world::words;
use super::{Bandwidth, Counts, Network, Power, Reason, StrategyName, TaskId, Transfer, WallTime};

words!(
    /// What the daemon does, the first that is true.
    ManagerState {
        /// On its way out.
        Stopping = "stopping",
        /// Not ready yet.
        Starting = "starting",
        /// Paused by an admin.
        Paused = "paused",
        /// At least one attempt runs.
        Syncing = "syncing",
        /// Tasks wait.
        Waiting = "waiting",
        /// Nothing to do.
        Idle = "idle",
    }
);

/// A pause, of everything or of one strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Until somebody resumes.
    Indefinite,
    /// Until this time.
    Until(WallTime),
}

/// One strategy, as shown.
#[derive(Debug, Clone, PartialEq)]
pub struct StrategyStatus {
    /// Its priority.
    pub priority: u32,
    /// Its counts.
    pub counts: Counts,
    /// Why nothing of it goes now; empty if it could.
    pub blocked: Vec<Reason>,
    /// When the next of its waiting tasks is due, if all of them wait for a time.
    pub next_attempt: Option<WallTime>,
    /// Its pause.
    pub pause: Option<Pause>,
    /// Metered bytes of the day, and how many it may use, if that is limited.
    pub budget: Option<(u64, u64)>,
}

/// The whole daemon, as shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// What it does.
    pub state: ManagerState,
    /// The pause of everything.
    pub pause: Option<Pause>,
    /// Why nothing goes, where one reason holds for every strategy that has work.
    pub blocked: Vec<Reason>,
    /// The name of the next wake and its time.
    pub next_wake: Option<(&'static str, WallTime)>,
    /// Holds of apps.
    pub holds: u32,
    /// Attempts that run.
    pub transfers: u32,
    /// How far the files have come that are on their way.
    pub running: BTreeMap<TaskId, Transfer>,
    /// The network of the first backend.
    pub network: Network,
    /// What it bears.
    pub bandwidth: Bandwidth,
    /// Power.
    pub power: Power,
    /// Every strategy by name.
    pub strategies: BTreeMap<StrategyName, StrategyStatus>,
}
