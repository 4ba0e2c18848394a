//! Holds: an app asks that nothing starts for a while.

use super::{Moment, Owner};

/// A hold's number, never used again while the daemon runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HoldId(pub u64);

/// Who holds everything back, why, and for how long at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Whose it is.
    pub owner: Owner,
    /// The app's label.
    pub app: String,
    /// Its words; may be shown to anybody.
    pub reason: String,
    /// It ends then by itself.
    pub until: Moment,
}
