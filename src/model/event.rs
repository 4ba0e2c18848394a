//! What a commit changed: the store's news to the loop.

use super::{CountsByStrategy, LaneSummary, Owner, State, StrategyName, TaskId, WallTime};

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

/// What one commit, or several gathered, changed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoreNews {
    /// Lanes whose summary changed, as they are now; a lane that is empty has `waiting` 0.
    pub lanes: Vec<LaneSummary>,
    /// Counts of the strategies touched, as they are now.
    pub counts: CountsByStrategy,
    /// State changes in the order they took effect.
    pub changes: Vec<TaskChange>,
    /// When the store next wants [`tidy`](crate::store::Store::tidy) (an expiry or pruning), if this changed.
    pub tidy_at: Option<Option<WallTime>>,
}
