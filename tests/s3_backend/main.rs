//! The `s3` backend through the library's public face: against real stores, with a relay in between that cuts, loses and
//! lies.

#![expect(clippy::unwrap_used, reason = "outside of test functions clippy does not see a test")]
#![expect(clippy::wildcard_enum_match_arm, reason = "whatever else an answer is, the test fails")]

mod faults;
mod real;
#[path = "../common/s3_relay.rs"]
mod relay;
mod setup;
mod signed;
#[path = "../common/s3.rs"]
mod stand;
