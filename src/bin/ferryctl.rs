//! `ferryctl`: the entry only.

use std::process::ExitCode;

fn main() -> ExitCode {
    ferryd::ctl::run(std::env::args_os())
}
