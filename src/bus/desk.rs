//! What the faces stand on: the store, the daemon's ear, its status and its configuration.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::Command;
use super::access::{Action, Gate};
use super::call::{Call, Outcome};
use super::error::Refusal;
use crate::model::{Config, Now, Pause, Status, StrategyName, WallTime};
use crate::store::Store;

use super::options::Options;

/// How long a radio may take to tell of its signal; a driver asks its firmware. Then what is known is shown.
const RADIO_PATIENCE: Duration = Duration::from_millis(500);

/// Everything a handler needs, read when it is called.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) status: watch::Receiver<Arc<Status>>,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) now: fn() -> Now,
    pub(super) own_uid: u32,
    /// Whether polkit is asked who may.
    pub(super) asks_polkit: bool,
}

impl Desk {
    /// What the daemon shows now.
    pub(super) fn status(&self) -> Arc<Status> {
        self.status.borrow().clone()
    }

    /// The configuration now.
    pub(super) fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// The wall clock.
    pub(super) fn wall(&self) -> WallTime {
        (self.now)().wall
    }

    /// Who may what, now.
    pub(super) fn gate(&self) -> Gate {
        let admins = self.config.borrow().access.clone();
        Gate { own_uid: self.own_uid, asks_polkit: self.asks_polkit, admins }
    }

    /// `Pause(a{sv})` of everything or of one strategy.
    pub(super) fn pause(
        &self,
        call: &Call,
        strategy: Option<StrategyName>,
        mut options: Options<'_>,
    ) -> Result<Outcome, Refusal> {
        let until = options.number("until", u64::MAX)?.map_or(WallTime::default(), WallTime::from_micros);
        if until != WallTime::default() && until <= self.wall() {
            return Err(options.refuse("until", "lies in the past"));
        }
        options.end()?;
        let pause = if until == WallTime::default() { Pause::Indefinite } else { Pause::Until(until) };
        Ok(Self::control(call, move |reply| Command::Pause { strategy, pause, reply }))
    }

    /// `Resume(a{sv})` of everything or of one strategy.
    pub(super) fn resume(
        call: &Call,
        strategy: Option<StrategyName>,
        options: Options<'_>,
    ) -> Result<Outcome, Refusal> {
        options.end()?;
        Ok(Self::control(call, move |reply| Command::Resume { strategy, reply }))
    }

    /// Has the daemon do something if the caller may control it.
    pub(super) fn control(
        call: &Call,
        command: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Command + Send + 'static,
    ) -> Outcome {
        Outcome::if_allowed(Action::Control, call, |desk, _, call| Ok(desk.order(call, command)))
    }

    /// Tells the daemon to do something and answers when it has, or says why not.
    pub(super) fn order(
        &self,
        call: &Call,
        command: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Command,
    ) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let sent = self.tell(command(reply));
        let call = call.clone();
        Outcome::later(async move {
            sent.await?;
            match answer.await {
                Ok(Ok(())) => call.reply(&()),
                Ok(Err(problem)) => Err(Refusal::invalid(problem)),
                Err(_) => Err(stopping()),
            }
        })
    }

    /// Has the radios read and resolves when the status shows them, or that takes long.
    pub(super) fn read_radios(&self) -> impl Future<Output = ()> + Send + 'static {
        let (reply, answer) = oneshot::channel();
        let told = self.tell(Command::ReadRadios { reply });
        async move {
            let read = async {
                if told.await.is_ok() {
                    // A loop that ends drops the reply.
                    answer.await.ok();
                }
            };
            let _late = timeout(RADIO_PATIENCE, read).await;
        }
    }

    /// Hands a command to the daemon's loop: at once if there is room, so that commands keep their order.
    pub(super) fn tell(&self, command: Command) -> impl Future<Output = Result<(), Refusal>> + Send + 'static {
        let tried = self.commands.try_send(command);
        let commands = self.commands.clone();
        async move {
            match tried {
                Ok(()) => Ok(()),
                Err(mpsc::error::TrySendError::Full(command)) => commands.send(command).await.map_err(|_| stopping()),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(stopping()),
            }
        }
    }
}

/// The daemon's loop answers no more.
pub(super) fn stopping() -> Refusal {
    Refusal::unavailable("the daemon is stopping")
}
