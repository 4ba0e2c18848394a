//! Whose first word counts before anything is sent: those that know what a link costs, whether it roams, and whether the
//! device is about to sleep. What the kernel shows of a link is there sooner, and would be acted upon.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::oneshot;

const WHOSE: [&str; 5] = ["wifi", "networkmanager", "modemmanager", "power-profiles-daemon", "logind"];

/// How long a start waits for them.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who has not spoken.
#[derive(Debug)]
pub(super) struct Awaited {
    silent: BTreeSet<&'static str>,
    /// Dropped when nobody is awaited any more.
    over: Option<oneshot::Sender<()>>,
}

/// Comes when all have spoken, or have had their time.
pub(super) struct FirstWords(oneshot::Receiver<()>);

impl Awaited {
    pub(super) fn new() -> (Self, FirstWords) {
        let (over, come) = oneshot::channel();
        (Self { silent: WHOSE.into(), over: Some(over) }, FirstWords(come))
    }

    /// This sense has spoken.
    pub(super) fn heard(&mut self, sense: &'static str) {
        self.silent.remove(sense);
        if self.silent.is_empty() {
            self.over = None;
        }
    }
}

impl FirstWords {
    pub(super) async fn come(self) {
        // An error is what says so.
        tokio::time::timeout(PATIENCE, self.0).await.ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_have_come_when_the_last_has_spoken() {
        let (mut awaited, FirstWords(mut come)) = Awaited::new();
        let is_over = |come: &mut oneshot::Receiver<()>| come.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        for sense in WHOSE {
            assert!(!is_over(&mut come), "{sense} is awaited");
            awaited.heard(sense);
            awaited.heard(sense);
        }
        assert!(is_over(&mut come));
    }
}
