//! What a link bears, as far as it is known, and how files go over it.

use std::time::Duration;

use super::world::words;
use super::{NetworkId, WallTime};

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

/// How a file goes, taken when its attempt starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upload {
    /// What of it goes.
    pub strategy: UploadStrategy,
    /// Bytes of its first request.
    pub chunk: u64,
}

impl Default for Upload {
    /// Where nothing is known, as the spec begins.
    fn default() -> Self {
        Self { strategy: UploadStrategy::Conservative, chunk: 256 * 1024 }
    }
}

/// What a link is thought to bear.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// Mbit/s (10⁶ bits a second) up; `None`: nothing has told yet.
    pub upload: Option<f64>,
    /// Mbit/s down; `None`: nothing has told yet.
    pub download: Option<f64>,
    /// The round-trip time in milliseconds, of the link at rest; `None`: nothing has told yet.
    pub latency: Option<f64>,
    /// The share of requests that came through, weighed down by the share of segments that were sent again, 0 to 1;
    /// `None`: nothing has told yet.
    pub reliability: Option<f64>,
    /// How sure the speed is, 0 (a guess) to 1 (as many measurements of this run as are kept).
    pub certainty: f64,
    /// When it was last measured; zero: never.
    pub measured_at: WallTime,
}

/// One measurement of the speed, as it is kept; 0 for what was not known then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measurement {
    /// When.
    pub at: WallTime,
    /// Mbit/s up.
    pub upload: f64,
    /// Mbit/s down.
    pub download: f64,
    /// Milliseconds.
    pub latency: f64,
    /// 0 to 1.
    pub reliability: f64,
}

/// What is shown of the link of the first backend.
#[derive(Debug, Clone, PartialEq)]
pub struct Bandwidth {
    /// What it is thought to bear.
    pub estimate: Estimate,
    /// How photos go over it now.
    pub strategy: UploadStrategy,
    /// The last measurements of this network, oldest first.
    pub history: Vec<Measurement>,
}

impl Bandwidth {
    /// Of a network that nothing is known of.
    pub fn unknown() -> Self {
        Self { estimate: Estimate::default(), strategy: UploadStrategy::Conservative, history: Vec::new() }
    }
}

/// What is kept on disk of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Which.
    pub network: NetworkId,
    /// What it was thought to bear.
    pub estimate: Estimate,
}

/// What was seen of a link while something of ours went over it.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Sample {
    /// Payload bytes that the other ends acknowledged.
    pub sent: u64,
    /// For how long some of them were on their way.
    pub sending: Duration,
    /// How that began.
    pub flow: Flow,
    /// Bytes of an answer, after those that came with its head.
    pub received: u64,
    /// For how long they came.
    pub receiving: Duration,
    /// The least round-trip time that a connection has had.
    pub round_trip: Option<Duration>,
    /// The rate at which the last of it was delivered, in bytes a second, by the kernel's reckoning; 0 if unknown.
    pub delivery: u64,
    /// TCP segments that left.
    pub segments: u64,
    /// Those that were lost and left again.
    pub lost: u64,
    /// We held it back or had no more to send: the link may bear more.
    pub limited: bool,
    /// What became of the request that ended with it.
    pub passage: Passage,
}

/// How bytes began to flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flow {
    /// They went on from the sample before.
    #[default]
    Going,
    /// On a connection that had carried some before.
    Warm,
    /// On a new connection: TCP felt its way (slow start, RFC 5681).
    Cold,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Passage {
    /// It came through: an answer came back, whatever it says.
    Through,
    /// It broke on the way, after its connection stood.
    Broke,
    /// It goes on, we ended it, or nothing tells that the link is to blame.
    #[default]
    Open,
}
