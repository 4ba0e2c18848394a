//! `ferryd`: the entry only.

use std::process::ExitCode;

use clap::Parser;
use ferryd::daemon::{self, DaemonArguments};

fn main() -> ExitCode {
    daemon::main(DaemonArguments::parse())
}
