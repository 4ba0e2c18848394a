//! Watches the daemon as an admin would, by properties on the bus. Waits are for signals, never for time.

use std::future::Future;
use std::time::Duration;

use super::play::DemoError;
use crate::ctl::client::{Client, News, Options};
use crate::ctl::exit::Failure;
use crate::daemon::BusChoice;

const STRATEGY: &str = "org.ferryd.Ferry1.Strategy";
/// The strategies that the demo uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Metadata,
    Photo,
}

impl Of {
    fn path(self) -> &'static str {
        match self {
            Self::Metadata => "/org/ferryd/Ferry1/strategies/metadata",
            Self::Photo => "/org/ferryd/Ferry1/strategies/photo",
        }
    }
}

/// A wait longer than this means that the demo hangs.
const HANG: Duration = Duration::from_secs(60);

/// What a strategy shows.
struct Shown {
    pending: u64,
    running: u64,
    blocked: Vec<String>,
}

/// A connection that watches.
pub(super) struct Observer {
    client: Client,
}

impl Observer {
    /// Connects to the demo's bus.
    pub(super) async fn connect(address: &str) -> Result<Self, DemoError> {
        let choice = BusChoice { address: Some(address.to_owned()), ..BusChoice::default() };
        let connect = async {
            let mut client = Client::connect(&choice).await?;
            client.hear_properties().await?;
            client.follow().await?;
            Ok(Self { client })
        };
        in_time("watching the bus", connect).await
    }

    /// Waits until the daemon owns its name.
    pub(super) async fn until_ready(&mut self) -> Result<(), DemoError> {
        let wait = async {
            let mut owner = self.client.follow().await?;
            while owner.is_none() {
                if let News::Owner(now) = self.client.next().await? {
                    owner = now;
                }
            }
            Ok(())
        };
        in_time("waiting for ferryd to be ready", wait).await
    }

    /// Waits until this many tasks wait for this reason; gives all reasons as shown.
    pub(super) async fn until_blocked(&mut self, of: Of, waiting: usize, reason: &str) -> Result<String, DemoError> {
        let wait = self.until(of, |shown| {
            let found = shown.pending == waiting as u64 && shown.blocked.iter().any(|blocked| blocked == reason);
            found.then(|| shown.blocked.join(", "))
        });
        in_time("waiting for the queue to fill", wait).await
    }

    /// Waits until nothing is pending or running.
    pub(super) async fn until_empty(&mut self, of: Of) -> Result<(), DemoError> {
        let wait = self.until(of, |shown| (shown.pending == 0 && shown.running == 0).then_some(()));
        in_time("waiting for the queue to drain", wait).await
    }

    /// Has a strategy start nothing more.
    pub(super) async fn pause(&mut self, of: Of) -> Result<(), DemoError> {
        in_time("pausing a strategy", self.tell(of, "Pause")).await
    }

    /// Has a strategy go on.
    pub(super) async fn resume(&mut self, of: Of) -> Result<(), DemoError> {
        in_time("resuming a strategy", self.tell(of, "Resume")).await
    }

    async fn tell(&mut self, of: Of, member: &str) -> Result<(), Failure> {
        self.client.call_at(of.path(), STRATEGY, member, &Options::new()).await.map(drop)
    }

    /// Looks at once and after each change, until `find` finds something.
    async fn until<T>(&mut self, of: Of, find: impl Fn(&Shown) -> Option<T>) -> Result<T, Failure> {
        loop {
            let properties = self.client.properties(of.path(), STRATEGY).await?;
            let shown = Shown {
                pending: properties.number("Pending"),
                running: properties.number("Running"),
                blocked: properties.texts("Blocked"),
            };
            if let Some(found) = find(&shown) {
                return Ok(found);
            }
            while !matches!(self.client.next().await?, News::Properties { path, .. } if path == of.path()) {}
        }
    }
}

async fn in_time<T>(doing: &'static str, wait: impl Future<Output = Result<T, Failure>>) -> Result<T, DemoError> {
    match tokio::time::timeout(HANG, wait).await {
        Ok(outcome) => outcome.map_err(|failure| DemoError::of(doing, failure.words())),
        Err(_) => Err(DemoError::of(doing, "nothing happened for a minute")),
    }
}
