//! `ferryd`: the entries only, of the daemon and of the processes that it starts to read files.

use std::process::ExitCode;

use clap::Parser;
use ferryd::daemon::{self, DaemonArguments};
use ferryd::store;

fn main() -> ExitCode {
    store::read_for_another().unwrap_or_else(|| daemon::main(DaemonArguments::parse()))
}
