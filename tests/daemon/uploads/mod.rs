//! Files from end to end: real links that go away, kill -9, and the embedded server as the judge. What counts is what the
//! server holds, and that no byte was sent to it that it had.

mod cuts;
pub(crate) mod files;
mod kills;
mod real_server;
mod relay;
mod s3;
mod turns;
