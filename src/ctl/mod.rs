//! Floor 4: `ferryctl`. It knows the D-Bus contract and nothing of the daemon's inside.

mod arguments;
pub(crate) mod client;
mod commands;
mod doctor;
pub(crate) mod exit;
mod render;
mod status;
mod time;
mod views;
pub(crate) mod wire;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

pub use exit::Exit;

use arguments::{Arguments, Command};
use client::Client;
use exit::Failure;
use render::{Form, Printer};

/// The definition of the command line: what help, man pages and completions are made from.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs one command line, the program's name first, and gives the documented exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    ExitCode::from(exit_of(arguments).code())
}

fn exit_of(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        // Help and version come this way too; a reader that has gone ends them quietly.
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    let form = if arguments.json { Form::Json } else { Form::Text };
    let mut printer = Printer::standard(form, time::now);
    match perform(arguments, &mut printer) {
        Ok(()) => Exit::Ok,
        Err(failure) => printer.fail(failure),
    }
}

fn perform(arguments: Arguments, printer: &mut Printer<'_>) -> Result<(), Failure> {
    if let Command::Completions { shell } = arguments.command {
        return commands::completions(shell, printer);
    }
    #[cfg(feature = "tools")]
    if let Command::Simulate(asked) = &arguments.command {
        return commands::simulate(asked, printer);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::said(Exit::Failed, format!("starting: {error}")))?;
    let result = runtime.block_on(async {
        #[cfg(feature = "tools")]
        if let Command::Demo { photos } = &arguments.command {
            return commands::demo(photos.as_deref(), printer).await;
        }
        #[cfg(feature = "tools")]
        if let Command::Bend(asked) = &arguments.command {
            return commands::bend(asked, printer).await;
        }
        if let Command::Doctor(asked) = &arguments.command {
            return doctor::doctor(&arguments.bus, asked, printer).await;
        }
        let mut client = Client::connect(&arguments.bus).await?;
        commands::perform(arguments.command, &mut client, printer).await
    });
    // A name that is being resolved, or a file system that does not answer, must not hold up the end.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests;
