//! All that can wake the daemon.

use std::collections::BTreeMap;

use crate::bus::Command;
use crate::model::{
    Answer, AttemptId, BackendName, Claimed, Finding, HoldId, Network, Power, Settlement, StoreNews, TaskId, Transfer,
    Zone,
};
use crate::sense::link::LinkError;
use crate::sense::power::PowerError;
use crate::sense::services::Word;
use crate::sense::wifi::{Radios, WifiError};
use crate::sense::zone::ZoneError;
use crate::store::StoreError;

/// One reason to wake. The loop handles one at a time, to the end.
#[derive(Debug)]
pub(crate) enum Event {
    /// The store committed something.
    Stored(StoreNews),
    /// Only opening the store anew mends it.
    StoreBroken,
    /// The network is now so, or its sense fails.
    Networks(Result<BTreeMap<BackendName, Network>, LinkError>),
    /// Power was read, or its sense fails.
    Power(Result<Power, PowerError>),
    /// It was looked how far the network reaches.
    Probed {
        /// The look's number.
        look: u64,
        /// By way of which interface.
        interface: String,
        /// What came.
        finding: Finding,
    },
    /// A service of the machine says this now.
    Said(Word),
    /// The bus of those services is not there, or no longer.
    ServicesGone(Result<(), String>),
    /// The radios were read, or their sense fails.
    Radios(Result<Radios, WifiError>),
    /// The time zone is now so, or cannot be told.
    Zone(Result<Zone, ZoneError>),
    /// More has left for a strategy with a budget.
    Sent,
    /// A backend's name resolved to other addresses.
    Resolved,
    /// A claim came back.
    Claimed {
        /// Its number.
        attempt: AttemptId,
        /// The rows, now marked as running.
        tasks: Result<Vec<Claimed>, StoreError>,
    },
    /// An upload has come further.
    Progress {
        /// Which.
        attempt: AttemptId,
        /// How far.
        transfer: Transfer,
    },
    /// An attempt ended.
    Finished {
        /// Which.
        attempt: AttemptId,
        /// What it brought.
        answer: Answer,
    },
    /// A backend was told of a cancelled upload.
    Abandoned {
        /// The store's number of it.
        id: i64,
        /// What the backend said.
        answer: Answer,
    },
    /// How these tasks were left could not be written.
    Unsettled {
        /// What is still to be written.
        settlements: Vec<(TaskId, Settlement)>,
        /// Why it was not.
        error: StoreError,
    },
    /// Settlements are on disk.
    Settled,
    /// An app closed its hold.
    LetGo(HoldId),
    /// Somebody called a method that concerns the whole daemon.
    Command(Command),
    /// The deadline has come.
    Woken,
    /// The wall clock was set.
    WallJumped,
    /// The process got a signal.
    Signal(Signal),
    /// The bus connection ended.
    BusLost,
}

/// A signal that the daemon heeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGTERM or SIGINT: reach a safe point and end.
    Terminate,
    /// SIGHUP: read the configuration anew.
    Reload,
}
