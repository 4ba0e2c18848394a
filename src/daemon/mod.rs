//! Floor 3: the daemon itself. One loop owns the core and all that it decides; everything else sends it events.

mod abandoned;
mod arguments;
mod attempts;
mod event;
mod pauses;
mod perform;
mod run;
mod service;
mod signals;
mod startup;
mod summary;

use std::io::stderr;
use std::process::ExitCode;

use tracing::{error, info};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use arguments::{BusChoice, DaemonArguments};
use run::Ended;
use service::Service;

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
            Service::from_environment().failed(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    info!(version = env!("CARGO_PKG_VERSION"), "ready");
    match run::run(daemon, sources).await {
        Ended::Asked => ExitCode::SUCCESS,
        Ended::BusLost | Ended::QueueDamaged => ExitCode::FAILURE,
    }
}

/// Logs to standard error, where the journal reads; `FERRYD_LOG` filters (`info` by default): a level, or levels by
/// module as in `info,ferryd::store=debug`. The journal stamps lines itself, so the time is left out there.
fn start_logging() {
    let asked = std::env::var("FERRYD_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(stderr).with_ansi(false).with_target(false);
    let log = tracing_subscriber::registry().with(filter);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.with(lines.without_time()).init()
    } else {
        log.with(lines).init()
    }
}
