//! What a commit changed: the store's news to the loop.

use super::{BackendName, CountsByStrategy, LaneSummary, Owner, State, StrategyName, TaskId, Transfer, WallTime};

/// A task moved to another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskChange {
    /// Which.
    pub id: TaskId,
    /// Whose.
    pub owner: Owner,
    /// Its strategy.
    pub strategy: StrategyName,
    /// The state it is in now.
    pub state: State,
    /// The state it left; `None` for a new task.
    pub from: Option<State>,
    /// When.
    pub at: WallTime,
    /// Attempts counted so far.
    pub attempts: u32,
    /// The failure's text, or what the last attempt brought; empty without.
    pub error: String,
}

/// An upload has come further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskProgress {
    /// Which.
    pub id: TaskId,
    /// Whose.
    pub owner: Owner,
    /// How far.
    pub transfer: Transfer,
}

/// What subscribers are told of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskNews {
    /// It is in another state.
    Changed(TaskChange),
    /// More of it has arrived.
    Progress(TaskProgress),
}

/// What a cancelled task had begun at a backend, to be ended there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoned {
    /// By which the store knows it.
    pub id: i64,
    /// Where.
    pub backend: BackendName,
    /// What its attempt had kept.
    pub note: String,
}

/// What one commit, or several gathered, changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreNews {
    /// Lanes whose summary changed, as they are now; a lane that is empty has `waiting` 0.
    pub lanes: Vec<LaneSummary>,
    /// Counts of the strategies touched, as they are now.
    pub counts: CountsByStrategy,
    /// State changes in the order they took effect.
    pub changes: Vec<TaskChange>,
    /// Tasks that are gone, pruned or discarded.
    pub removed: Vec<TaskId>,
    /// What cancelled tasks had begun at backends.
    pub abandoned: Vec<Abandoned>,
    /// When the store next wants [`tidy`](crate::store::Store::tidy) (an expiry or pruning), if this changed.
    pub tidy_at: Option<Option<WallTime>>,
}
