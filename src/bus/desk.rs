//! What the faces stand on: the store, the daemon's ear, its status and its configuration.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::Command;
use super::access::{Action, Caller, Gate};
use super::call::{Call, Outcome};
use super::error::Refusal;
use crate::model::{Config, Now, Pause, Status, StrategyName, WallTime};
use crate::store::Store;

use super::options::Options;

/// Everything a handler needs, read when it is called.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) store: Store,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) status: watch::Receiver<Arc<Status>>,
    pub(super) config: watch::Receiver<Arc<Config>>,
    pub(super) now: fn() -> Now,
    pub(super) own_uid: u32,
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
        Gate::new(self.own_uid, self.config.borrow().access.clone())
    }

    /// Refuses who may not.
    pub(super) fn check(&self, action: Action, caller: &Caller) -> Result<(), Refusal> {
        self.gate().check(action, caller)
    }

    /// `Pause(a{sv})` of everything or of one strategy.
    pub(super) fn pause(
        &self,
        call: &Call,
        strategy: Option<StrategyName>,
        mut options: Options<'_>,
    ) -> Result<Outcome, Refusal> {
        self.check(Action::Control, &call.caller)?;
        let until = options.number("until", u64::MAX)?.map_or(WallTime::default(), WallTime::from_micros);
        if until != WallTime::default() && until <= self.wall() {
            return Err(options.refuse("until", "lies in the past"));
        }
        options.end()?;
        let pause = if until == WallTime::default() { Pause::Indefinite } else { Pause::Until(until) };
        Ok(self.order(call, |reply| Command::Pause { strategy, pause, reply }))
    }

    /// `Resume(a{sv})` of everything or of one strategy.
    pub(super) fn resume(
        &self,
        call: &Call,
        strategy: Option<StrategyName>,
        options: Options<'_>,
    ) -> Result<Outcome, Refusal> {
        self.check(Action::Control, &call.caller)?;
        options.end()?;
        Ok(self.order(call, |reply| Command::Resume { strategy, reply }))
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
