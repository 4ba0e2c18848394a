//! What a link bears, as far as it is known, and how photos go over it.

use super::WallTime;
use super::world::words;

words!(
    /// How a photo goes, taken when it starts.
    UploadStrategy {
        /// The bytes as they are.
        HighQuality = "high_quality",
        /// JPEG at 90.
        Balanced = "balanced",
        /// JPEG at 70.
        Conservative = "conservative",
        /// Not now: the link is too slow, or loses too much.
        BackgroundOnly = "background_only",
    }
);

/// What a link is thought to bear.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Mbit/s (10⁶ bits a second) up; `None`: nothing has told yet.
    pub upload: Option<f64>,
    /// Mbit/s down; `None`: nothing has told yet.
    pub download: Option<f64>,
    /// The round-trip time in milliseconds; `None`: nothing has told yet.
    pub latency: Option<f64>,
    /// The share of attempts that succeeded, weighed down by the share of segments that were sent again, 0 to 1; `None`:
    /// nothing has told yet.
    pub reliability: Option<f64>,
    /// How sure it is, 0 (a guess) to 1 (as many recent measurements as are kept).
    pub certainty: f64,
    /// When it was last measured; zero: never.
    pub measured_at: WallTime,
}
