//! Floor 2: what the device knows of itself and its surroundings. A sense only tells; it decides nothing.

pub mod clock;
pub mod link;
mod netlink;
pub mod power;
pub mod reach;
pub mod services;
mod text;
mod uevent;
pub mod wifi;
pub mod zone;

use std::future::pending;

use tokio::sync::watch;

pub use netlink::Unanswered;

/// Resolves when there is a new value; never if nobody can send one any more.
async fn changed<T>(values: &mut watch::Receiver<T>) {
    if values.changed().await.is_err() {
        pending::<()>().await;
    }
}
