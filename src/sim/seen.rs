//! What can be seen of a simulated device: by the laws, and by those who count.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{
    Answer, AttemptId, Claimed, Failure, LinkType, NewTask, Now, Overrides, Settlement, State, StrategyName, TaskId,
    World,
};
use crate::schedule::memory::Memory;
use crate::schedule::{Control, Spending, Wake};

/// Something that happened on a device.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A task was handed over and acknowledged.
    Enqueued(&'a NewTask),
    /// Its owner took a task back.
    Cancelled(TaskId),
    /// A dead letter is tried again by hand.
    Retried(TaskId),
    /// A task ended by no answer: it expired, was replaced, another was taken back, or the daemon died of it.
    Ended {
        /// Which.
        id: TaskId,
        /// How it stands.
        state: State,
        /// Why, if it failed.
        failure: Option<Failure>,
    },
    /// What is true of the device from now on.
    World(&'a World),
    /// Somebody decided something.
    Control(&'a Control),
    /// All backoffs were ended by hand.
    BroughtForward,
    /// The wall clock was set.
    ClockSet,
    /// It goes a little wrong, and nobody hears of it.
    Slewed,
    /// It is decided that this attempt is made next, if the queue has anything for it.
    Claims(AttemptId),
    /// The queue marked tasks as running, for an attempt that begins when the core hears of it.
    HandedOver {
        /// Its number.
        attempt: AttemptId,
        /// What was handed over.
        tasks: &'a [Claimed],
    },
    /// An attempt began.
    Started {
        /// Its number.
        attempt: AttemptId,
        /// The tasks' strategy.
        strategy: &'a StrategyName,
        /// What it carries.
        tasks: &'a [Claimed],
    },
    /// A request of it goes on the wire: all of it, or a chunk of a file.
    Request {
        /// Whose.
        attempt: AttemptId,
    },
    /// What an attempt keeps says that an upload has come further.
    CameFurther(TaskId),
    /// Bytes left for a strategy that has a budget.
    Sent {
        /// Whose.
        strategy: &'a StrategyName,
        /// How many.
        bytes: u64,
    },
    /// The power went before it was for good that a task was handed over.
    Undone(TaskId),
    /// The daemon died, and starts: the queue has been put right.
    Restarted {
        /// What it has on disk of metered bytes that were spent.
        spent: &'a BTreeMap<StrategyName, Spending>,
    },
    /// Requests were under way over a link.
    OnAir {
        /// Its kind.
        link: LinkType,
        /// For how long, up to now.
        took: Duration,
        /// Bytes that went meanwhile.
        bytes: u64,
    },
    /// The server has a task now.
    Taken(TaskId),
    /// The core was told what an attempt brought.
    Answered {
        /// Which.
        attempt: AttemptId,
        /// The answer.
        answer: &'a Answer,
    },
    /// The store wrote how tasks were left.
    Settled(&'a [(TaskId, Settlement)]),
    /// The queue handed nothing over for an attempt: it could not, or had nothing.
    NothingClaimed {
        /// Of which strategy.
        strategy: &'a StrategyName,
        /// With these conditions.
        overrides: Overrides,
    },
    /// A deadline of the core came.
    Woke {
        /// Its name.
        wake: Wake,
        /// Whether anything but a new status came of it.
        moved: bool,
    },
    /// Everything that followed from the last event is done.
    AtRest {
        /// The queue.
        store: &'a Memory,
        /// Tasks that are between the queue and the core: settled and not written, or handed over and not heard of.
        between: &'a BTreeSet<TaskId>,
    },
}

/// Somebody who watches a device.
pub(super) trait Witness {
    /// Takes note of what happened.
    fn see(&mut self, seen: &Seen<'_>, now: Now);
}
