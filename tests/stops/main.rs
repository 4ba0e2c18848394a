//! A device and a server in one process and in virtual time: the real core over the real store on disk, driven one effect
//! at a time, so that a test can stop between any two. The judge is the server's log.

#![expect(clippy::print_stdout, reason = "the tests tell how many stops and probes they made")]

mod cargo;
mod driver;
mod every_effect;
mod judge;
mod outage;
mod server;

use std::path::PathBuf;

use ferryd::config::{self, Host};
use ferryd::model::Config;

/// The configuration of this text.
fn config(text: &str) -> Config {
    config::parse(&[(PathBuf::from("test.toml"), text.to_owned())], &Host::local()).expect("a good configuration")
}
