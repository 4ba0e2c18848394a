//! The `tus` backend through the library's public face: against the tus project's own server, and against one by hand
//! that lies, breaks off and hangs.

#![expect(clippy::unwrap_used, reason = "outside of test functions clippy does not see a test")]
#![expect(clippy::wildcard_enum_match_arm, reason = "whatever else an answer is, the test fails")]

mod breaks;
mod cues;
mod liar;
mod lies;
mod node;
mod real;
mod setup;
