//! Floor 4, feature `tools`: the simulated world. Pure: it reads no clock and draws no random number that no seed gave it;
//! of sockets, files and the bus it must know nothing.

mod scenario;

pub use scenario::{LinkState, NotAScenario, Scenario, Timeline};
