//! The holds of apps. Each is a pipe of which the app has the writing end: when the last copy of that is closed, by the
//! app or by its death, the hold is over; when its time is over, the app sees the pipe broken.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::{debug, info};

use super::event::Event;
use super::run::Daemon;
use crate::bus::{HoldRefused, HoldWanted};
use crate::model::{Hold, HoldId, Now};
use crate::schedule::{Control, Input};

/// The reading ends, each watched by a task of the runtime.
#[derive(Default)]
pub(super) struct Holders {
    last: u64,
    watched: BTreeMap<HoldId, AbortHandle>,
}

impl Daemon {
    /// An app wants to hold; gives the end of the pipe that it is to keep open.
    pub(super) fn hold(&mut self, wanted: HoldWanted, now: Now) -> Result<OwnedFd, HoldRefused> {
        let HoldWanted { owner, app, reason } = wanted;
        let limit = self.config.limits.quotas.holds;
        if self.core.holds_of(owner) >= limit {
            return Err(HoldRefused::TooMany { owner, limit });
        }
        let (read, write) = io::pipe().map_err(HoldRefused::NoPipe)?;
        let reader = pipe::Receiver::from_owned_fd(read.into()).map_err(HoldRefused::NoPipe)?;
        self.holders.last += 1;
        let id = HoldId(self.holders.last);
        let watching = tokio::spawn(watch(id, reader, self.inbox.clone()));
        self.holders.watched.insert(id, watching.abort_handle());
        debug!("{app:?} of user {} holds everything back: {reason:?}", owner.0);
        let until = now.moment + self.config.limits.hold_time;
        self.core.handle(Input::Control(Control::Hold(id, Hold { owner, app, reason, until })), now);
        Ok(write.into())
    }

    /// An app let go.
    pub(super) fn let_go(&mut self, id: HoldId, now: Now) {
        self.holders.watched.remove(&id);
        self.core.handle(Input::Control(Control::LetGo(id)), now);
    }

    /// The time of a hold is over: its pipe is closed.
    pub(super) fn end_hold(&mut self, id: HoldId) {
        info!("the time of hold {} is over", id.0);
        if let Some(watching) = self.holders.watched.remove(&id) {
            watching.abort();
        }
    }
}

/// Waits until the last writing end is closed. What an app writes means nothing.
async fn watch(id: HoldId, reader: pipe::Receiver, inbox: mpsc::UnboundedSender<Event>) {
    let mut bytes = [0; 64];
    loop {
        if reader.readable().await.is_err() {
            break;
        }
        match reader.try_read(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    inbox.send(Event::LetGo(id)).ok();
}
