//! Floor 1: which lane goes next, and how many of it. Pure and deterministic: time and randomness come in as arguments,
//! and what is to be done comes out as [`Effect`]s. It never sees a queue: the store decides which rows.

mod attempt;
mod backend;
mod backoff;
mod bandwidth;
mod blocked;
mod budget;
mod charge;
mod choose;
mod deadline;
mod explain;
mod hold;
mod hours;
mod lane;
mod links;
mod looks;
#[cfg(any(test, feature = "tools"))]
pub mod memory;
mod outcome;
mod pause;
mod policy;
pub mod quality;
mod reach;
mod rendition;
mod scheduler;
mod settle;
mod sleep;
mod spread;
mod status;
#[cfg(test)]
mod tests;
mod unsettled;

pub use backoff::full_jitter;
pub use bandwidth::Unmeasurable;
pub use blocked::{Situation, blocked};
pub use budget::Spending;
pub use links::Links;
pub use rendition::rendition;
pub use scheduler::Scheduler;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Answer, AtChunk, AttemptId, BackendName, Claimed, Config, Cut, Finding, Hold, HoldId, Kept, LaneId, LaneSummary,
    Pause, Sample, Settlement, StrategyName, TaskId, Upload, WallTime, World,
};

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// These lanes are now so.
    Lanes(Vec<LaneSummary>),
    /// The store next wants tidying at this time.
    TidyAt(Option<WallTime>),
    /// The world is now so.
    World(World),
    /// The rows that a [`Effect::Claim`] got; empty if there were none or the store failed.
    Claimed {
        /// The claim's number.
        attempt: AttemptId,
        /// What was claimed.
        tasks: Vec<Claimed>,
    },
    /// What an attempt brought.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// The answer.
        answer: Answer,
    },
    /// What an [`Effect::Probe`] found.
    Probed {
        /// Its number.
        look: u64,
        /// What came.
        finding: Finding,
    },
    /// The store could not write these settlements.
    Unsettled(Vec<(TaskId, Settlement)>),
    /// So many bytes left for a strategy's attempts at this backend.
    Sent {
        /// The strategy.
        strategy: StrategyName,
        /// The backend.
        backend: BackendName,
        /// Bytes on the wire.
        bytes: u64,
    },
    /// What is kept of earlier days' and this day's metered bytes.
    Spent(BTreeMap<StrategyName, Spending>),
    /// What was seen of the link to this backend.
    Sample {
        /// The backend.
        backend: BackendName,
        /// What was seen.
        sample: Sample,
    },
    /// What is kept of what networks bear.
    Estimates(Vec<Kept>),
    /// A running task was cancelled.
    Withdrawn(TaskId),
    /// Somebody decided something.
    Control(Control),
    /// The moment of [`Scheduler::poll_timeout`] has come, or may have.
    Woken,
}

/// What people decide.
#[derive(Debug, Clone, PartialEq)]
pub enum Control {
    /// Another configuration holds; a backend's state is forgotten where its section changed.
    Configure(Arc<Config>),
    /// Start nothing more, of one strategy or of all.
    Pause(Option<StrategyName>, Pause),
    /// Go on.
    Resume(Option<StrategyName>),
    /// Start nothing more until this hold ends; what runs goes on.
    Hold(HoldId, Hold),
    /// A hold has ended.
    LetGo(HoldId),
    /// Ask ailing backends again now, of one strategy or of all, where their servers have not asked for silence.
    SyncNow(Option<StrategyName>),
    /// Start nothing more and cut what runs.
    Stop,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Let the store mark the next rows of a lane as running; answered by [`Input::Claimed`].
    Claim {
        /// The number of the attempt to be made of it.
        attempt: AttemptId,
        /// From which lane.
        lane: LaneId,
        /// How many at most, at least 1.
        limit: usize,
    },
    /// Make one attempt; answered by [`Input::Finished`].
    Start {
        /// Its number.
        attempt: AttemptId,
        /// The tasks' strategy.
        strategy: StrategyName,
        /// Where to.
        backend: BackendName,
        /// What to carry.
        tasks: Vec<Claimed>,
        /// How a file goes.
        upload: Upload,
    },
    /// End an attempt now; it still answers by [`Input::Finished`], with [`Answer::Cut`] or what came before.
    Abort {
        /// Which.
        attempt: AttemptId,
        /// Why.
        cut: Cut,
    },
    /// Tell an upload what to do where a chunk of its file ends.
    AtChunk {
        /// Which.
        attempt: AttemptId,
        /// What to do, until told otherwise.
        then: AtChunk,
    },
    /// The link that an attempt waited for is back: what it had on its way may be lost.
    LinkBack {
        /// Which.
        attempt: AttemptId,
    },
    /// Read the device's power anew; answered by [`Input::World`].
    ReadPower,
    /// Look how far the network reaches; answered by [`Input::Probed`].
    Probe {
        /// The number of the look.
        look: u64,
        /// By way of which interface.
        interface: String,
    },
    /// Keep what was spent: it must outlast the daemon.
    KeepSpent(BTreeMap<StrategyName, Spending>),
    /// Keep what networks bear: it must outlast the daemon.
    KeepEstimates(Vec<Kept>),
    /// The time of a hold is over: whoever has it is told.
    HoldEnds(HoldId),
    /// Write how tasks were left, all in one transaction.
    Settle(Vec<(TaskId, Settlement)>),
    /// Let the store fail what expired and prune what is old.
    Tidy,
    /// What [`Scheduler::status`] shows has changed.
    Announce,
}

/// The name of a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// A task is due.
    TaskDue,
    /// A backend may be probed.
    BackendProbe,
    /// After what all of a fleet waited for, it is this device's turn.
    RandomizedDelay,
    /// A pause ends.
    PauseEnds,
    /// The time of a hold is over.
    HoldEnds,
    /// A lost link has been away for as long as an attempt waits for it.
    LinkGrace,
    /// A link that flapped has stayed for long enough to count again.
    LinkSettles,
    /// What runs is cut, so that the device can sleep.
    SleepLimit,
    /// A battery on which something depends is looked at again.
    ReadPower,
    /// It is looked again how far the network reaches, since something waits for that.
    ReachProbe,
    /// A strategy's hours begin or end.
    Window,
    /// A new day brings a new budget of metered bytes.
    BudgetDay,
    /// A link that was slow was not measured for so long that it may be better by now.
    SlowLink,
    /// The store wants tidying.
    Tidy,
    /// The store may be able to write again.
    SettleAgain,
}

impl Wake {
    /// The word used in logs and on D-Bus.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskDue => "task-due",
            Self::BackendProbe => "backend-probe",
            Self::RandomizedDelay => "randomized-delay",
            Self::PauseEnds => "pause-ends",
            Self::HoldEnds => "hold-ends",
            Self::LinkGrace => "link-grace",
            Self::LinkSettles => "link-settles",
            Self::SleepLimit => "sleep-limit",
            Self::ReadPower => "read-power",
            Self::ReachProbe => "reach-probe",
            Self::Window => "window",
            Self::BudgetDay => "budget-day",
            Self::SlowLink => "slow-link",
            Self::Tidy => "tidy",
            Self::SettleAgain => "settle-again",
        }
    }
}
