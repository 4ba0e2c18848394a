//! One task of the queue in memory.

use std::collections::BTreeSet;

use crate::model::{Claimed, LaneId, NewTask, Standing, State, Task, TaskError, TaskResult, WallTime};

/// A task and where it stands.
#[derive(Debug, Clone)]
pub struct Row {
    /// As it was handed over.
    pub task: NewTask,
    /// Where it stands.
    pub state: State,
    /// Not before.
    pub due: WallTime,
    /// Attempts counted.
    pub attempts: u32,
    /// Why it failed.
    pub error: Option<TaskError>,
    /// What its attempts keep for later ones.
    pub note: Option<String>,
    /// How often it was found running after a start, without another end in between.
    pub(super) crashes: u32,
    pub(super) lane: LaneId,
    /// Places of tasks that must be done before it.
    pub(super) waits_for: BTreeSet<usize>,
    /// Taken back while an attempt has it.
    pub(super) withdrawn: bool,
    last_error: String,
}

impl Row {
    pub(super) fn new(task: NewTask, lane: LaneId, waits_for: BTreeSet<usize>) -> Self {
        let due = task.created;
        let (state, last_error) = (State::Pending, String::new());
        let (error, note, withdrawn) = (None, None, false);
        Self { task, state, due, attempts: 0, error, note, crashes: 0, lane, waits_for, withdrawn, last_error }
    }

    pub(super) fn comes_back(&mut self, due: WallTime, attempts: u32, error: &str) {
        (self.due, self.attempts, self.crashes) = (due, attempts, 0);
        error.clone_into(&mut self.last_error);
    }

    pub(super) fn is_with_an_attempt(&self) -> bool {
        self.withdrawn || self.state == State::Running
    }

    /// Whether a repeated request says the same.
    pub(super) fn has_content_of(&self, other: &NewTask) -> bool {
        let mine = &self.task;
        mine.strategy == other.strategy && mine.payload == other.payload && mine.key == other.key
    }

    pub(super) fn claimed(&self) -> Claimed {
        Claimed {
            id: self.task.id,
            owner: self.task.owner,
            payload: self.task.payload.clone(),
            created: self.task.created,
            attempts: self.attempts,
            note: self.note.clone(),
        }
    }

    pub(super) fn shown(&self, waits_for: Vec<crate::model::TaskId>) -> Task {
        let finished = WallTime::default();
        let standing = match self.state {
            State::Pending => Standing::Pending { due: self.due, waits_for },
            State::Running => Standing::Running { started: finished },
            State::Done => Standing::Done { finished, result: TaskResult::default() },
            State::Failed => {
                let unknown = || TaskError { failure: crate::model::Failure::Rejected, words: String::new() };
                Standing::Failed { finished, error: self.error.clone().unwrap_or_else(unknown) }
            }
            State::Cancelled => Standing::Cancelled { finished },
        };
        Task {
            id: self.task.id,
            owner: self.task.owner,
            app: self.task.app.clone(),
            strategy: self.task.strategy.clone(),
            overrides: self.task.overrides,
            standing,
            created: self.task.created,
            attempts: self.attempts,
            last_error: self.last_error.clone(),
            size: self.task.payload.size(),
            key: self.task.key.clone(),
            tags: Vec::new(),
            after: self.task.after.clone(),
            expires: self.task.expires,
        }
    }
}
