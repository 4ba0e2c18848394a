//! `ferryd`: the entries only, of the daemon and of the processes that it starts to read files and to work on pictures.

use std::process::ExitCode;

use clap::Parser;
use ferryd::daemon::{self, DaemonArguments};
use ferryd::{photo, store};

fn main() -> ExitCode {
    let for_another = store::read_for_another().or_else(photo::make_for_another);
    for_another.unwrap_or_else(|| daemon::main(DaemonArguments::parse()))
}
