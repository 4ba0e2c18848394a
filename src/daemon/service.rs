//! What the service manager is told (`sd_notify(3)`): that the daemon is ready, what it does and what it waits for, and
//! that its loop is alive. Without a manager nobody is told anything, and nothing wakes the loop for it. What the daemon
//! does it knows by its [`Status`] alone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

use super::summary::summary;
use crate::model::{Moment, Status};

/// The shortest time between two status lines: like an object's properties on D-Bus, two a second.
const SHARE: Duration = Duration::from_millis(500);

/// Sends a message to the manager.
type Send = fn(&[NotifyState<'_>]) -> io::Result<()>;

/// The manager's ear.
pub(super) struct Service {
    /// `None`: there is no manager.
    send: Option<Send>,
    /// Whether a message failed before: that is logged once.
    deaf: bool,
    /// How often the loop shows that it is alive, if the manager watches it.
    beat: Option<Duration>,
    next_beat: Option<Moment>,
    line: Line,
}

/// The status line.
#[derive(Debug, Default)]
struct Line {
    /// The manager has it.
    told: String,
    /// Made from this; compared by address.
    seen: Option<Arc<Status>>,
    /// Something newer may be told from this moment on.
    next: Moment,
    /// Something newer waits for that.
    late: bool,
}

impl Line {
    /// The line to tell now, if there is news and its time has come.
    fn update(&mut self, status: &Arc<Status>, now: Moment) -> Option<String> {
        let same = self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, status));
        if same && !self.late {
            return None;
        }
        self.seen = Some(Arc::clone(status));
        self.late = now < self.next;
        if self.late {
            return None;
        }
        let line = summary(status);
        if line == self.told {
            return None;
        }
        self.told.clone_from(&line);
        self.next = now + SHARE;
        Some(line)
    }
}

impl Service {
    /// The manager that started this process, by its environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.
    pub(super) fn from_environment() -> Self {
        let send = std::env::var_os("NOTIFY_SOCKET").map(|_| sd_notify::notify as Send);
        let beat = sd_notify::watchdog_enabled().map(|limit| limit / 2).filter(|beat| !beat.is_zero());
        Self { send, deaf: false, beat: beat.filter(|_| send.is_some()), next_beat: None, line: Line::default() }
    }

    /// The queue is being opened, which takes long where much must be carried over from a damaged one.
    pub(super) fn starting(&mut self) {
        self.tell(&[NotifyState::Status("starting: opening the queue")]);
    }

    /// The daemon cannot start, or ends by a failure.
    pub(super) fn failed(&mut self, why: &str) {
        // A line is a message's border: the rest would be read as something else.
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        self.tell(&[NotifyState::Status(&format!("failed: {why}"))]);
    }

    /// Ready. From now on the manager watches the loop.
    pub(super) fn ready(&mut self, status: &Arc<Status>, now: Moment) {
        self.next_beat = self.beat.map(|beat| now + beat);
        self.line.late = true;
        self.line.next = now;
        let line = self.line.update(status, now).unwrap_or_default();
        self.tell(&[NotifyState::Ready, NotifyState::Status(&line)]);
    }

    /// The configuration is being read anew, until [`reloaded`](Self::reloaded).
    pub(super) fn reloading(&mut self) {
        // Without the time (systemd 253 and later) the manager would take the reload as failed.
        if let Ok(since) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, since]);
        }
    }

    /// The new configuration holds, or the old one goes on holding.
    pub(super) fn reloaded(&mut self) {
        self.tell(&[NotifyState::Ready]);
    }

    /// On the way out, for less than the manager's patience with a loop that it watches.
    pub(super) fn stopping(&mut self) {
        self.next_beat = None;
        self.tell(&[NotifyState::Stopping, NotifyState::Watchdog, NotifyState::Status("stopping")]);
    }

    /// Tells what changed. To be called whenever the loop has nothing else left to do.
    pub(super) fn show(&mut self, status: &Arc<Status>, now: Moment) {
        if self.send.is_none() {
            return;
        }
        if let Some(line) = self.line.update(status, now) {
            self.tell(&[NotifyState::Status(&line)]);
        }
    }

    /// Shows that the loop is alive, if it is time.
    pub(super) fn beat(&mut self, now: Moment) {
        let due = self.next_beat.is_some_and(|next| next <= now);
        if let Some(beat) = self.beat.filter(|_| due) {
            self.next_beat = Some(now + beat);
            self.tell(&[NotifyState::Watchdog]);
        }
    }

    /// When the loop must wake for the manager, and the name of that wake.
    pub(super) fn deadline(&self) -> Option<(Moment, &'static str)> {
        let line = self.line.late.then_some((self.line.next, "status-line"));
        let beat = self.next_beat.map(|next| (next, "watchdog"));
        line.into_iter().chain(beat).min()
    }

    fn tell(&mut self, message: &[NotifyState<'_>]) {
        let Some(send) = self.send else { return };
        if let Err(error) = send(message)
            && !std::mem::replace(&mut self.deaf, true)
        {
            warn!("the service manager cannot be told what the daemon does: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ManagerState;

    fn at(millis: u64) -> Moment {
        Moment::since_boot(Duration::from_millis(millis))
    }

    fn status(state: ManagerState) -> Arc<Status> {
        Arc::new(Status { state, ..super::super::summary::tests::nothing() })
    }

    fn service(beat: Option<Duration>) -> Service {
        Service { send: Some(|_| Ok(())), deaf: false, beat, next_beat: None, line: Line::default() }
    }

    #[test]
    fn a_line_is_told_when_it_differs_and_at_most_twice_a_second() {
        let mut line = Line::default();
        let (idle, paused) = (status(ManagerState::Idle), status(ManagerState::Paused));
        assert_eq!(line.update(&idle, at(1_000)).as_deref(), Some("idle"));
        assert_eq!(line.update(&idle, at(1_001)), None);
        assert_eq!((line.update(&paused, at(1_100)), line.late, line.next), (None, true, at(1_500)));
        assert_eq!(line.update(&paused, at(1_500)).as_deref(), Some("paused"));
        assert_eq!((line.update(&idle, at(1_600)), line.late), (None, true));
        assert_eq!((line.update(&paused, at(2_000)), line.late), (None, false), "what changed back is no news");
        assert_eq!(line.update(&idle, at(2_001)).as_deref(), Some("idle"), "nor does it use up the share");
    }

    #[test]
    fn the_loop_wakes_for_the_watchdog_and_for_a_late_line_and_for_nothing_else() {
        let beat = Duration::from_secs(30);
        let (idle, paused) = (status(ManagerState::Idle), status(ManagerState::Paused));
        let mut watched = service(Some(beat));
        assert_eq!(watched.deadline(), None, "nobody watches a daemon that starts");
        watched.ready(&idle, at(0));
        assert_eq!(watched.deadline(), Some((at(30_000), "watchdog")));
        watched.show(&paused, at(100));
        assert_eq!(watched.deadline(), Some((at(500), "status-line")));
        watched.show(&paused, at(500));
        watched.beat(at(29_999));
        assert_eq!(watched.deadline(), Some((at(30_000), "watchdog")));
        watched.beat(at(31_000));
        assert_eq!(watched.deadline(), Some((at(61_000), "watchdog")));
        watched.stopping();
        assert_eq!(watched.deadline(), None);

        let mut unwatched = service(None);
        unwatched.ready(&idle, at(0));
        unwatched.beat(at(90_000));
        assert_eq!(unwatched.deadline(), None);

        let mut alone = Service { send: None, ..service(None) };
        alone.ready(&idle, at(0));
        alone.show(&paused, at(100));
        assert_eq!(alone.deadline(), None);
    }
}
