//! The `tus` backend through the library's public face: against the tus project's own server, and against one by hand
//! that lies, breaks off and hangs.

#![expect(clippy::unwrap_used, reason = "outside of test functions clippy does not see a test")]

mod breaks;
mod cues;
mod liar;
mod lies;
mod node;
mod real;
mod setup;
