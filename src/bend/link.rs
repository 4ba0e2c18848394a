//! The link that all connections share: what it is now, its two lanes, and how much is under way. It must not know what goes
//! over it, nor why it changes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::lane::Lane;
use crate::sim::LinkState;

/// Bytes that all connections together may have under way.
const AIR: usize = 16 * 1024 * 1024;

/// The most that is sent at once. Less on a slow link: what takes 20 ms, so that connections take turns.
const PARCEL: u64 = 16 * 1024;
const LEAST: u64 = 64;
const PARCELS_A_SECOND: u64 = 50;

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client.
    Up,
    /// To the client.
    Down,
}

/// What holds for all connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Condition {
    /// The link as it is now.
    pub(super) state: LinkState,
    /// Grows whenever all connections break.
    pub(super) era: u64,
}

/// What a change does to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connections {
    /// They stay.
    Stay,
    /// They are reset.
    Break,
}

/// The link.
#[derive(Debug)]
pub(super) struct Link {
    condition: watch::Sender<Condition>,
    up: Mutex<Lane>,
    down: Mutex<Lane>,
    air: Arc<Semaphore>,
}

impl Link {
    pub(super) fn new(state: LinkState) -> Self {
        let lane = || Mutex::new(Lane::new(Instant::now()));
        let condition = watch::Sender::new(Condition { state, era: 0 });
        Self { condition, up: lane(), down: lane(), air: Arc::new(Semaphore::new(AIR)) }
    }

    pub(super) fn now(&self) -> Condition {
        *self.condition.borrow()
    }

    pub(super) fn become_so(&self, state: LinkState, connections: Connections) {
        self.condition.send_modify(|condition| {
            condition.state = state;
            condition.era += u64::from(connections == Connections::Break);
        });
    }

    /// Waits until there is a link; what it is.
    pub(super) async fn up(&self) -> LinkState {
        self.until(|condition| condition.state.up).await.state
    }

    /// Waits until the connections of this era break.
    pub(super) async fn broken(&self, era: u64) {
        self.until(|condition| condition.era != era).await;
    }

    async fn until(&self, wanted: impl Fn(&Condition) -> bool) -> Condition {
        let now = self.now();
        if wanted(&now) {
            return now;
        }
        let mut news = self.condition.subscribe();
        // The sender is ours: waiting cannot fail.
        news.wait_for(wanted).await.map_or(now, |condition| *condition)
    }

    /// How much to send at once.
    pub(super) fn parcel(&self, way: Way) -> usize {
        (rate(&self.now().state, way) / PARCELS_A_SECOND).clamp(LEAST, PARCEL) as usize
    }

    /// Waits until so many bytes more may be under way; they are as long as this is kept.
    pub(super) async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // It is never closed.
        Arc::clone(&self.air).acquire_many_owned(bytes).await.ok()
    }

    /// Sends so many bytes; when the last has left.
    pub(super) fn send(&self, way: Way, bytes: usize, state: &LinkState) -> Instant {
        let lane = match way {
            Way::Up => &self.up,
            Way::Down => &self.down,
        };
        let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
        lane.send(bytes, rate(state, way).max(1), Instant::now())
    }
}

fn rate(state: &LinkState, way: Way) -> u64 {
    match way {
        Way::Up => state.up_rate,
        Way::Down => state.down_rate,
    }
}

/// How long bytes are under way once they have left: half a round trip, and some jitter.
pub(super) fn under_way(state: &LinkState, random: &mut Rng) -> Duration {
    (state.round_trip + state.jitter.mul_f64(random.f64())) / 2
}
