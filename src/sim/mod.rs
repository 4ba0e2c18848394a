//! Floor 4, feature `tools`: the simulated world. Pure: it reads no clock and draws no random number that no seed gave it;
//! of sockets, files and the bus it must know nothing.

mod acts;
mod apps;
mod attempts;
mod clock;
mod config;
mod core;
mod device;
mod disk;
mod fifo;
mod figures;
mod fleet;
mod flight;
mod laws;
mod life;
mod link;
mod lot;
mod power;
mod restart;
mod scenario;
mod seen;
mod server;
mod soak;

pub use config::config;
pub use core::Core;
pub use figures::{Fate, Figures, Spread};
pub use fleet::{Fleet, Queue};
pub use laws::{Breach, Tell};
pub use life::{Lived, live};
pub use scenario::{LinkState, NotAScenario, Scenario, Timeline};
pub use seen::Seen;
pub use soak::{Failed, soak};

#[cfg(test)]
mod tests;
