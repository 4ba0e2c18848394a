//! What other services of the machine know: NetworkManager, ModemManager, power-profiles-daemon, UPower and logind. Each
//! may come, go, hang and lie. Their signals are hints on which all is read anew; none is started for our sake, and one
//! that is not there says nothing.

mod follow;
mod line;
mod modemmanager;
mod networkmanager;
mod questions;
mod saver;
mod sleep;

use tokio::sync::watch;

use follow::follow;
use line::{Ear, Line};
pub use line::{ServiceError, ServicesAt};
pub use modemmanager::Roaming;
pub use networkmanager::NetworkManager;
pub use saver::Saver;
pub use sleep::Sleep;

/// What a service says now; an error: nothing is known of what it would say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// NetworkManager's.
    NetworkManager(Result<NetworkManager, ServiceError>),
    /// ModemManager's.
    Roaming(Result<Roaming, ServiceError>),
    /// power-profiles-daemon's, as in [`Saver::profile`].
    Profile(Result<Option<bool>, ServiceError>),
    /// UPower's, as in [`Saver::warning`].
    Warning(Result<Option<bool>, ServiceError>),
    /// logind's.
    Sleep(Result<Sleep, ServiceError>),
}

impl Word {
    /// The service, as an admin knows it.
    pub fn service(&self) -> &'static str {
        match self {
            Self::NetworkManager(_) => "networkmanager",
            Self::Roaming(_) => "modemmanager",
            Self::Profile(_) => "power-profiles-daemon",
            Self::Warning(_) => "upower",
            Self::Sleep(_) => "logind",
        }
    }
}

/// What the services' listener is told.
#[derive(Debug)]
pub struct Orders {
    /// Whether UPower is worth listening to.
    pub upower: watch::Receiver<bool>,
    /// The number of the sleep for which all is ready.
    pub ready: watch::Receiver<u64>,
}

/// Calls `news` with the first word of each service, and whenever one says something else. Asleep while nothing happens.
/// Ends when the bus is gone; the error: there is none, and why.
pub async fn listen(at: ServicesAt, orders: Orders, news: impl Fn(Word)) -> Result<(), String> {
    let (line, incoming) = Line::open(&at).await?;
    let (network, modem) = (Ear::of(&networkmanager::SERVICE), Ear::of(&modemmanager::SERVICE));
    let (profiles, upower) = (Ear::of(&saver::PROFILES), Ear::of(&saver::UPOWER));
    let logind = Ear::of(&sleep::SERVICE);
    let ears = [&network, &modem, &profiles, &upower, &logind];
    let speak = async {
        // Listening comes first: what changes while the truth is read sends another hint.
        for ear in ears {
            line.watch(ear).await;
        }
        tokio::join!(
            follow(networkmanager::Reading, &line, &network, |word| news(Word::NetworkManager(word))),
            follow(modemmanager::Reading, &line, &modem, |word| news(Word::Roaming(word))),
            follow(saver::Profile, &line, &profiles, |word| news(Word::Profile(word))),
            saver::follow_warning(&line, &upower, orders.upower, |word| news(Word::Warning(word))),
            sleep::follow(&line, &logind, orders.ready, |word| news(Word::Sleep(word))),
        );
    };
    tokio::select! {
        _ = speak => {}
        () = line.hear(incoming, &ears) => {}
    }
    Ok(())
}
