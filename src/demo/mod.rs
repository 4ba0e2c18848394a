//! Floor 4, feature `tools`: `ferryctl demo`, and the embedded server that it and tests send to, and judge by.

mod files;
mod jpeg;
mod link;
mod log;
mod misbehave;
mod observe;
mod photos;
mod play;
mod server;
mod stage;
mod uploads;
mod verdict;
mod wire;

pub use log::{Head, Log, Received};
pub use misbehave::{At, Behaviour, Censor, Fault, Gate, Item, Judge, Verdict, Wait};
pub use play::{DemoError, run};
pub use server::Server;
pub use uploads::{Upload, UploadState};
