//! What each command asks of the daemon.

#[cfg(feature = "tools")]
mod bend;
mod control;
mod enqueue;
mod hold;
mod lines;
mod put;
#[cfg(feature = "tools")]
mod simulate;
mod tasks;
mod wait;
mod watch;

#[cfg(feature = "tools")]
pub(super) use bend::bend;
#[cfg(feature = "tools")]
pub(super) use simulate::simulate;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::arguments::{Arguments, Command};
use super::client::{Client, NAME};
#[cfg(feature = "tools")]
use super::exit::Exit;
use super::exit::Failure;
use super::render::Printer;
use super::status::status;

/// Performs a command that talks to the daemon.
pub(super) async fn perform(command: Command, client: &mut Client, printer: &mut Printer<'_>) -> Result<(), Failure> {
    match command {
        Command::Status => printer.status(&status(client, NAME).await?),
        Command::List(list) => tasks::list(client, printer, &list).await,
        Command::Show { id } => tasks::show(client, printer, &id).await,
        Command::Explain(explain) => tasks::explain(client, printer, &explain).await,
        Command::Enqueue(enqueue) => enqueue::enqueue(client, printer, enqueue).await,
        Command::Put(put) => put::put(client, printer, put).await,
        Command::Cancel { ids } => tasks::change(client, printer, tasks::Change::Cancel, ids).await,
        Command::Retry(ids) => tasks::change_failed(client, printer, tasks::Change::Retry, ids).await,
        Command::Discard(ids) => tasks::change_failed(client, printer, tasks::Change::Discard, ids).await,
        Command::Pause { strategy, until } => control::pause(client, printer, strategy, until).await,
        Command::Resume { strategy } => control::resume(client, strategy).await,
        Command::Sync(sync) => control::sync(client, &sync).await,
        Command::Hold(hold) => Err(hold::hold(client, &hold).await),
        Command::Watch { all } => watch::watch(client, printer, all).await,
        Command::Reload => control::reload(client).await,
        Command::Measure => control::measure(client, printer).await,
        // It looks for the daemon itself.
        Command::Doctor(_) => Ok(()),
        #[cfg(feature = "tools")]
        Command::Demo { photos } => demo(photos.as_deref(), printer).await,
        #[cfg(feature = "tools")]
        Command::Bend(asked) => bend(&asked, printer).await,
        #[cfg(feature = "tools")]
        Command::Simulate(asked) => simulate(&asked, printer),
        Command::Completions { shell } => completions(shell, printer),
    }
}

/// A completion script.
pub(super) fn completions(shell: Shell, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "ferryctl", &mut script);
    printer.raw(&script)
}

/// Plays the demo; it tells a line a step.
#[cfg(feature = "tools")]
pub(super) async fn demo(photos: Option<&std::path::Path>, printer: &mut Printer<'_>) -> Result<(), Failure> {
    // Nobody listening is no reason to stop: the exit code tells too.
    let whole = crate::demo::run(photos, &mut |line| drop(printer.raw(format!("{line}\n").as_bytes()))).await;
    if whole { Ok(()) } else { Err(Failure::Exit(Exit::Failed)) }
}
