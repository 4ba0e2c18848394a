//! Floor 3: the D-Bus faces, `docs/dbus.md`. Checks who calls and whether what they say is well-formed, hands it to the
//! store or the daemon's loop, and shows what those say. It decides nothing about tasks.
//!
//! The faces are served from one loop over the connection's messages and not by zbus' object server, because the
//! contract asks for what that cannot give: calls of one connection begin in the order sent, no connection has more than
//! its share in flight, and nobody waits for a client that does not read.

mod access;
mod app;
mod call;
mod clients;
mod desk;
mod error;
mod files;
mod flow;
mod hold;
mod manager;
mod network;
mod options;
mod outbox;
mod payload;
mod polkit;
mod power;
mod publish;
mod route;
mod serve;
mod signals;
mod standard;
mod strategy;
mod subscribers;
mod sync_now;
mod task_options;
mod tasks;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wild;
mod wire;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use zbus::{Connection, MessageStream, connection};

use crate::model::{Assume, Block, Config, Now, Owner, Pause, Status, StrategyName, Task, TaskNews};
use crate::store::Store;
use desk::Desk;

/// The name by which clients find the daemon.
pub const NAME: &str = "org.ferryd.Ferry1";

/// How long the bus may take to answer us; it is a process beside us.
const BUS_TIMEOUT: Duration = Duration::from_secs(25);

/// Which bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusAddress {
    /// The system's.
    System,
    /// The session's.
    Session,
    /// One at this D-Bus address.
    At(String),
}

/// What a call asks of the daemon's loop. A dropped `reply` is answered as `Unavailable`.
#[derive(Debug)]
pub enum Command {
    /// Start nothing more, of one strategy or of all.
    Pause {
        /// Of which; `None` = of all.
        strategy: Option<StrategyName>,
        /// Until when.
        pause: Pause,
        /// Answered when it holds, or with why it cannot.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Go on.
    Resume {
        /// With which; `None` = with all.
        strategy: Option<StrategyName>,
        /// Answered when it holds, or with why it cannot.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Read the configuration anew.
    Reload {
        /// Answered when it holds, or with what is wrong with it.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Ask ailing backends again now: what waits was brought forward.
    SyncNow {
        /// Those of which strategy; `None` = all.
        strategy: Option<StrategyName>,
        /// Answered when they may go.
        reply: oneshot::Sender<()>,
    },
    /// Start nothing more until the descriptor is closed.
    Hold {
        /// Who wants it.
        wanted: HoldWanted,
        /// The descriptor that the app is to keep, or why there is none.
        reply: oneshot::Sender<Result<OwnedFd, HoldRefused>>,
    },
    /// Read how strong the signals of Wi-Fi networks are.
    ReadRadios {
        /// Answered when the status shows it.
        reply: oneshot::Sender<()>,
    },
    /// Say why a task does not go.
    Explain {
        /// The task.
        task: Box<Task>,
        /// What to assume instead of what is true.
        assume: Box<Assume>,
        /// Every reason.
        reply: oneshot::Sender<Vec<Block>>,
    },
}

/// An app that wants everything held back.
#[derive(Debug)]
pub struct HoldWanted {
    /// Its user.
    pub owner: Owner,
    /// Its label.
    pub app: String,
    /// Its words, at most 255 bytes; shown to whoever asks why nothing goes.
    pub reason: String,
}

/// Why nothing is held back.
#[derive(Debug, thiserror::Error)]
pub enum HoldRefused {
    /// The owner has as many holds as one may have.
    #[error("user {} holds {limit} times already; let go of one first", owner.0)]
    TooMany {
        /// Whose.
        owner: Owner,
        /// How many that is.
        limit: usize,
    },
    /// The system gave none.
    #[error("making the pipe that stands for the hold: {0}")]
    NoPipe(std::io::Error),
}

/// What the faces are connected to.
#[derive(Debug)]
pub struct Ports {
    /// The queue.
    pub store: Store,
    /// The daemon's loop.
    pub commands: mpsc::Sender<Command>,
    /// What the daemon shows.
    pub status: watch::Receiver<Arc<Status>>,
    /// The configuration.
    pub config: watch::Receiver<Arc<Config>>,
    /// Changes of state and progress, for subscribers.
    pub changes: mpsc::UnboundedReceiver<TaskNews>,
    /// Reads both clocks.
    pub now: fn() -> Now,
}

/// Why the bus cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No connection.
    #[error("connecting to {bus}: {source}")]
    Connect {
        /// Which bus.
        bus: String,
        /// Why.
        source: zbus::Error,
    },
    /// Another process has the name, most likely another daemon.
    #[error("the name {NAME} is taken by {owner}: is another ferryd running on this bus?")]
    NameTaken {
        /// The unique name of who has it.
        owner: String,
    },
    /// The bus does not let us have the name.
    #[error("asking the bus for the name {NAME}: {0}")]
    Name(zbus::Error),
}

/// The faces, served until closed or the bus is gone.
#[derive(Debug)]
pub struct Bus {
    connection: Connection,
    close: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Bus {
    /// Serves the faces at `address`: first the objects, then the name.
    pub async fn serve(address: BusAddress, ports: Ports) -> Result<Self, BusError> {
        let bus = match &address {
            BusAddress::System => "the system bus".to_owned(),
            BusAddress::Session => "the session bus".to_owned(),
            BusAddress::At(address) => format!("the bus at {address}"),
        };
        let builder = match &address {
            BusAddress::System => connection::Builder::system(),
            BusAddress::Session => connection::Builder::session(),
            BusAddress::At(address) => connection::Builder::address(address.as_str()),
        };
        let connection = builder.method_timeout(BUS_TIMEOUT).build().await;
        let connection = connection.map_err(|source| BusError::Connect { bus, source })?;
        let messages = MessageStream::from(&connection);
        let desk = Desk {
            store: ports.store,
            commands: ports.commands,
            status: ports.status,
            config: ports.config,
            now: ports.now,
            own_uid: rustix::process::geteuid().as_raw(),
            asks_polkit: address != BusAddress::Session,
        };
        let (close, closing) = oneshot::channel();
        let serving = tokio::spawn(serve::serve(connection.clone(), messages, desk, ports.changes, closing));
        let bus = Self { connection, close: Some(close), serving };
        bus.take_name().await?;
        Ok(bus)
    }

    /// Resolves when the connection to the bus is gone.
    pub async fn lost(&self) {
        self.connection.closed().await;
    }

    /// Gives the name back, answers what was begun (for two seconds at most) and leaves the bus.
    pub async fn close(mut self) {
        let _ = self.driver("ReleaseName", &(NAME,)).await;
        if let Some(close) = self.close.take() {
            let _ = close.send(());
        }
        let _ = (&mut self.serving).await;
        let _ = self.connection.clone().close().await;
    }

    async fn take_name(&self) -> Result<(), BusError> {
        /// `DBUS_NAME_FLAG_DO_NOT_QUEUE` (D-Bus specification, `RequestName`).
        const DO_NOT_QUEUE: u32 = 4;
        /// `DBUS_REQUEST_NAME_REPLY_PRIMARY_OWNER`.
        const PRIMARY_OWNER: u32 = 1;
        let reply = self.driver("RequestName", &(NAME, DO_NOT_QUEUE)).await.map_err(BusError::Name)?;
        let reply: u32 = reply.body().deserialize().map_err(BusError::Name)?;
        if reply == PRIMARY_OWNER {
            return Ok(());
        }
        let owner = match self.driver("GetNameOwner", &(NAME,)).await {
            Ok(reply) => reply.body().deserialize().unwrap_or_default(),
            Err(_) => String::new(),
        };
        Err(BusError::NameTaken { owner: if owner.is_empty() { "another connection".into() } else { owner } })
    }

    async fn driver<B>(&self, method: &str, body: &B) -> zbus::Result<zbus::Message>
    where
        B: serde::Serialize + zbus::DynamicType,
    {
        let driver = Some("org.freedesktop.DBus");
        self.connection.call_method(driver, "/org/freedesktop/DBus", driver, method, body).await
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
