//! A task: from what an app hands over to how it ended.

use std::collections::BTreeMap;

use super::world::words;
use super::{LaneId, Overrides, Owner, Payload, Quality, StrategyName, TaskId, WallTime};

words!(
    /// The word for where a task stands.
    State {
        /// Waits to be sent.
        Pending = "pending",
        /// An attempt has it.
        Running = "running",
        /// The server has it.
        Done = "done",
        /// It ended without: a dead letter, kept until retried or discarded by hand.
        Failed = "failed",
        /// Its owner took it back.
        Cancelled = "cancelled",
    }
);

words!(
    /// What an Enqueue does when a pending task of the same owner has the same key.
    OnExisting {
        /// Stand behind it.
        Append = "append",
        /// Return that task and add nothing.
        Keep = "keep",
        /// Cancel it and take its place.
        Replace = "replace",
    }
);

words!(
    /// Why a task failed.
    Failure {
        /// The server refused it.
        Rejected = "rejected",
        /// The server holds something else under its name.
        Conflict = "conflict",
        /// The server asked for another attempt once too often.
        Exhausted = "exhausted",
        /// Its time passed.
        Expired = "expired",
        /// A task it came after was cancelled or discarded.
        Dependency = "dependency",
        /// The daemon died three times while it ran.
        Crashed = "crashed",
    }
);

/// A failure and the words that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskError {
    /// The kind.
    pub failure: Failure,
    /// The server's words or ours; at most 4 KiB, control characters escaped; may be empty.
    pub words: String,
}

impl std::fmt::Display for TaskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.words.is_empty() {
            return f.write_str(self.failure.as_str());
        }
        write!(f, "{}: {}", self.failure, self.words)
    }
}

/// What the server gave back for a task that is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskResult {
    /// The HTTP status.
    pub status: u16,
    /// The server had it already.
    pub duplicate: bool,
    /// The answer's body where the backend hands one back; at most 4 KiB.
    pub body: String,
    /// A file: where the server keeps it.
    pub upload: Option<Uploaded>,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Uploaded {
    /// Where the server keeps it.
    pub url: String,
    /// Bytes that it has there.
    pub sent: u64,
    /// Bytes that the app handed over.
    pub original: u64,
    /// What was sent.
    pub quality: Quality,
    /// The task that carries the original there later.
    pub original_task: Option<TaskId>,
}

/// A task as an app hands it over, checked and ready to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Its identity, minted by the caller.
    pub id: TaskId,
    /// The UID that enqueued it.
    pub owner: Owner,
    /// The label of the app.
    pub app: String,
    /// The policy it follows.
    pub strategy: StrategyName,
    /// The conditions it sets for itself.
    pub overrides: Overrides,
    /// What it carries.
    pub payload: Payload,
    /// Tasks of one owner with one key go one by one, in order.
    pub key: Option<String>,
    /// What to do when the key is taken.
    pub on_existing: OnExisting,
    /// Tasks of the same owner that must be done first.
    pub after: Vec<TaskId>,
    /// Labels to filter by.
    pub tags: Vec<String>,
    /// When it stops making sense.
    pub expires: Option<WallTime>,
    /// Makes a repeated call harmless.
    pub request_id: Option<String>,
    /// When it was handed over.
    pub created: WallTime,
}

/// What an Enqueue did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// A new task is on disk.
    Added(TaskId),
    /// The `request_id` or `on_existing = keep` named this one; nothing was added.
    AlreadyQueued(TaskId),
}

impl Enqueued {
    /// The task that the caller is told.
    pub const fn id(self) -> TaskId {
        match self {
            Self::Added(id) | Self::AlreadyQueued(id) => id,
        }
    }
}

/// Where a task stands, with what is true there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Waits.
    Pending {
        /// Not before this time.
        due: WallTime,
        /// Tasks that must end first: the one before it under its key, and those of `after` that are not done.
        waits_for: Vec<TaskId>,
    },
    /// An attempt has it.
    Running {
        /// Since when.
        started: WallTime,
    },
    /// The server has it.
    Done {
        /// Since when.
        finished: WallTime,
        /// What the server said.
        result: TaskResult,
    },
    /// A dead letter.
    Failed {
        /// Since when.
        finished: WallTime,
        /// Why.
        error: TaskError,
    },
    /// Taken back.
    Cancelled {
        /// Since when.
        finished: WallTime,
    },
}

impl Standing {
    /// The word for it.
    pub const fn state(&self) -> State {
        match self {
            Self::Pending { .. } => State::Pending,
            Self::Running { .. } => State::Running,
            Self::Done { .. } => State::Done,
            Self::Failed { .. } => State::Failed,
            Self::Cancelled { .. } => State::Cancelled,
        }
    }
}

/// A stored task, as shown to its owner.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its identity.
    pub id: TaskId,
    /// Its owner.
    pub owner: Owner,
    /// The app's label.
    pub app: String,
    /// Its policy.
    pub strategy: StrategyName,
    /// The conditions it set.
    pub overrides: Overrides,
    /// Where it stands.
    pub standing: Standing,
    /// When it was handed over.
    pub created: WallTime,
    /// Attempts that the server answered and asked to repeat.
    pub attempts: u32,
    /// What the last attempt without success brought, empty if there was none.
    pub last_error: String,
    /// The payload's size in bytes.
    pub size: u64,
    /// Its key.
    pub key: Option<String>,
    /// Its labels.
    pub tags: Vec<String>,
    /// The tasks it comes after.
    pub after: Vec<TaskId>,
    /// When it stops making sense.
    pub expires: Option<WallTime>,
}

/// A task that a claim handed to an attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    /// Its identity.
    pub id: TaskId,
    /// Its owner.
    pub owner: Owner,
    /// What it carries.
    pub payload: Payload,
    /// When it was handed over.
    pub created: WallTime,
    /// Attempts counted so far.
    pub attempts: u32,
    /// What an earlier attempt kept, such as the URL of its upload.
    pub note: Option<String>,
}

/// How an attempt left one task; written in one transaction with all that follows from it.
#[derive(Debug, Clone, PartialEq)]
pub enum Settlement {
    /// The server has it.
    Done(TaskResult),
    /// The server asked for another attempt: counted, due again at this time.
    Retry {
        /// Not before.
        due: WallTime,
        /// What the server said.
        error: String,
    },
    /// More of it arrived than before, then it ended: the count is 0 again, due at this time.
    Advanced {
        /// Not before.
        due: WallTime,
        /// What happened.
        error: String,
    },
    /// Nothing counted, due at this time: the device was not ready for it.
    Postponed {
        /// Not before.
        due: WallTime,
        /// What stood in the way.
        error: String,
    },
    /// Nothing counted: it waits as before, due as before.
    Release {
        /// What happened, for the task's history; empty leaves no trace.
        cause: String,
    },
    /// A dead letter.
    Failed(TaskError),
}

/// A line of a task's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// When.
    pub at: WallTime,
    /// What happened, one word (`retry`, `released`, `failed`, `crashed`, `retried-by-hand`, …).
    pub event: String,
    /// What was said.
    pub detail: String,
}

/// Which tasks a List asks for; empty lists match all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only of this owner.
    pub owner: Option<Owner>,
    /// Only in one of these states.
    pub states: Vec<State>,
    /// Only of one of these strategies.
    pub strategies: Vec<StrategyName>,
    /// Only with one of these keys.
    pub keys: Vec<String>,
    /// Only with at least one of these tags.
    pub tags: Vec<String>,
    /// Only of one of these apps.
    pub apps: Vec<String>,
}

/// A page of a List, newest last.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The tasks, in the order they were enqueued.
    pub tasks: Vec<Task>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<String>,
}

/// How many tasks a strategy has in the states that people watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Waiting, for whatever reason.
    pub pending: u64,
    /// With an attempt.
    pub running: u64,
    /// Dead letters.
    pub failed: u64,
}

/// Counts by strategy.
pub type CountsByStrategy = BTreeMap<StrategyName, Counts>;

/// A lane as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSummary {
    /// Its number.
    pub id: LaneId,
    /// Its strategy.
    pub strategy: StrategyName,
    /// The conditions that its tasks override.
    pub overrides: Overrides,
    /// Pending tasks that wait for no other task, due or not.
    pub waiting: u64,
    /// The earliest due time among them: in the past, the lane has been ready since; `None` if `waiting` is 0.
    pub first_due: Option<WallTime>,
}
