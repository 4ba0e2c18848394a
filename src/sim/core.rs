//! What decides on a simulated device: the daemon's own core, or another to be held against it.

use std::sync::Arc;

use crate::model::{Assume, Block, Config, Moment, NewTask, Now, Task};
use crate::schedule::{Effect, Input, Scheduler, Wake};

/// The face of a core, as [`Scheduler`] has it.
pub trait Core: Sized {
    /// The core of a daemon that has started again: it knows what this one knew at its start.
    fn anew(&self, config: Arc<Config>, seed: u64) -> Self;

    /// Takes what happened.
    fn handle(&mut self, input: Input, now: Now);

    /// The next thing to be done.
    fn poll_effect(&mut self) -> Option<Effect>;

    /// When time alone will change something.
    fn poll_timeout(&self) -> Option<(Moment, Wake)>;

    /// Why a pending task does not go.
    fn explain(&self, task: &Task, assume: &Assume, now: Now) -> Vec<Block>;

    /// How a task that was handed over is written down.
    fn file(&self, task: NewTask) -> NewTask {
        task
    }

    /// By which start that finds a task running it is given up; `None`: no start looks for what ran.
    fn given_up_at(&self) -> Option<u32> {
        Some(3)
    }

    /// Whether an upload that broke goes on where the server has it, and not from the start.
    fn resumes(&self) -> bool {
        true
    }
}

impl Core for Scheduler {
    fn anew(&self, config: Arc<Config>, seed: u64) -> Self {
        Self::new(config, seed)
    }

    fn handle(&mut self, input: Input, now: Now) {
        self.handle(input, now);
    }

    fn poll_effect(&mut self) -> Option<Effect> {
        self.poll_effect()
    }

    fn poll_timeout(&self) -> Option<(Moment, Wake)> {
        self.poll_timeout()
    }

    fn explain(&self, task: &Task, assume: &Assume, now: Now) -> Vec<Block> {
        self.explain(task, assume, now)
    }
}
