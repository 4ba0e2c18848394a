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
