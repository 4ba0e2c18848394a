//! Floor 3: the daemon.

mod arguments;

pub use arguments::{BusChoice, DaemonArguments};
