//! Floor 4, feature `tools`: the embedded server that `ferryctl demo` and tests send to, and judge by.

mod log;
mod misbehave;
mod server;
mod wire;

pub use log::{Head, Log, Received};
pub use misbehave::{At, Behaviour, Fault, Gate, Item, Verdict, Wait};
pub use server::Server;
