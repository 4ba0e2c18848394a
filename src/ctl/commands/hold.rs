//! `hold`: this process takes a hold and becomes the command, which inherits it: nothing has to live beside the command to
//! let go at its end, however it ends.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::ctl::arguments::Hold;
use crate::ctl::client::Client;
use crate::ctl::exit::{Exit, Failure};

/// The longest reason that the contract takes, in bytes.
const REASON_MAX: usize = 255;

/// Returns only if the command does not run.
pub(super) async fn hold(client: &mut Client, asked: &Hold) -> Failure {
    let reason = asked.reason.clone().unwrap_or_else(|| reason(&asked.command));
    let descriptor = match client.hold(&reason).await {
        Ok(descriptor) => descriptor,
        Err(failure) => return failure,
    };
    if let Err(error) = fcntl_setfd(&descriptor, FdFlags::empty()) {
        return Failure::said(Exit::Failed, format!("handing the hold on: {error}"));
    }
    run(&asked.command)
}

fn run(command: &[OsString]) -> Failure {
    let (program, arguments) = command.split_first().expect("the command line asks for a command");
    let error = Command::new(program).args(arguments).exec();
    let exit = if error.kind() == ErrorKind::NotFound { Exit::NoCommand } else { Exit::NotRunnable };
    Failure::said(exit, format!("{}: {error}", program.display()))
}

/// The command line as far as the contract takes it.
fn reason(command: &[OsString]) -> String {
    let line = command.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let mut reason = String::new();
    for character in line.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if reason.len() + character.len_utf8() > REASON_MAX {
            break;
        }
        reason.push(character);
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_a_reason_that_the_contract_takes() {
        let reason = |parts: &[&str]| super::reason(&parts.iter().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(reason(&["sh", "-c", "a\nb"]), "sh -c a b");
        assert_eq!(reason(&["x", &"ä".repeat(200)]).len(), 254, "cut between characters");
        assert_eq!(reason(&["x".repeat(300).as_str()]).len(), 255);
    }
}
