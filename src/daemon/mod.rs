//! Floor 3: the daemon itself. One loop owns the core and all that it decides; everything else sends it events.

mod abandoned;
mod arguments;
mod attempts;
mod chronicle;
mod event;
mod first_words;
mod holds;
mod log;
mod networks;
mod pauses;
mod perform;
mod radios;
mod run;
mod service;
mod services;
mod signals;
mod sleep;
mod spending;
mod startup;
mod summary;
mod surroundings;

use std::process::ExitCode;

use tracing::{error, info};

pub use arguments::{BusChoice, DaemonArguments};
use run::Ended;
use service::Service;

/// Runs the daemon to its end. Exit status: 0 after a signal, 1 when it could not start, lost the bus, or found
/// its queue damaged.
pub fn main(arguments: DaemonArguments) -> ExitCode {
    log::start();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            error!("starting the runtime: {error}");
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
    info!("ready: ferryd {}", env!("CARGO_PKG_VERSION"));
    match run::run(daemon, sources).await {
        Ended::Asked => ExitCode::SUCCESS,
        Ended::BusLost | Ended::QueueBroken => ExitCode::FAILURE,
    }
}
