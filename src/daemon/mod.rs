//! Floor 3: the daemon itself. One loop owns the core and all that it decides; everything else sends it events.

mod arguments;
mod attempts;
mod event;
mod pauses;
mod perform;
mod run;
mod signals;
mod startup;

use std::io::stderr;
use std::process::ExitCode;

use tracing::{error, info};
use tracing_subscriber::EnvFilter;

pub use arguments::{BusChoice, DaemonArguments};
use run::Ended;

/// Runs the daemon to its end. Exit status: 0 after a signal, 1 when it could not start, lost the bus, or found
/// its queue damaged.
pub fn main(arguments: DaemonArguments) -> ExitCode {
    start_logging();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!(%error, "starting the runtime");
            return ExitCode::FAILURE;
        }
    };
    let exit = runtime.block_on(serve(arguments));
    // A name that is being resolved cannot be called back: it must not hold up the end.
    runtime.shutdown_background();
    exit
}

async fn serve(arguments: DaemonArguments) -> ExitCode {
    let (daemon, sources) = match startup::start(arguments).await {
        Ok(parts) => parts,
        Err(error) => {
            error!("{error}");
            return ExitCode::FAILURE;
        }
    };
    info!(version = env!("CARGO_PKG_VERSION"), "ready");
    match run::run(daemon, sources).await {
        Ended::Asked => ExitCode::SUCCESS,
        Ended::BusLost | Ended::QueueDamaged => ExitCode::FAILURE,
    }
}

/// Logs to standard error, where the journal reads; `FERRYD_LOG` filters (`info` by default), in the syntax of
/// tracing's `EnvFilter`. The journal stamps lines itself, so the time is left out there.
fn start_logging() {
    let filter = EnvFilter::try_from_env("FERRYD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(false);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.without_time().with_target(false).init();
    } else {
        lines.with_target(false).init();
    }
}
