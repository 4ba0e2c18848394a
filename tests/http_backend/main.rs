//! The `http` backend through the library's public face, against the embedded server: every way in which an answer can
//! come or fail to come, and what it is told as.

#![cfg(feature = "tools")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "outside of test functions clippy does not see a test")]

mod answers;
mod compression;
mod faults;
mod idle;
mod protocol;
mod proxy;
mod redirects;
mod secrets;
mod setup;
mod trust;
