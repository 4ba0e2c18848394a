//! What cancelled tasks had begun at backends: each server is told once it can be reached.

use std::collections::BTreeMap;

use tracing::{debug, warn};

use super::event::Event;
use super::photos::Kept;
use super::run::Daemon;
use crate::model::{Abandoned, Answer};

/// What is still to be ended, by the store's number; `true` while its server is being told.
pub(super) type AbandonedUploads = BTreeMap<i64, (Abandoned, bool)>;

impl Daemon {
    /// Something was abandoned.
    pub(super) fn abandon(&mut self, what: Vec<Abandoned>) {
        self.abandoned.extend(what.into_iter().map(|abandoned| (abandoned.id, (abandoned, false))));
        self.tell_abandoned();
    }

    /// Tells the servers that can be reached now. To be called when that may have changed: nothing is tried by the clock.
    pub(super) fn tell_abandoned(&mut self) {
        if self.world.suspending {
            return;
        }
        for (id, (abandoned, telling)) in self.abandoned.iter_mut().filter(|(_, (_, telling))| !*telling) {
            let reached = self.core.reaches(&abandoned.backend);
            let Some(backend) = self.wiring.backend(&abandoned.backend).filter(|_| reached) else { continue };
            *telling = true;
            let (id, note, inbox) = (*id, abandoned.note.clone(), self.inbox.clone());
            tokio::spawn(async move {
                let answer = backend.abandon(Kept::read(&note).note).await;
                inbox.send(Event::Abandoned { id, answer }).ok();
            });
        }
    }

    /// A server has been told, or could not be.
    pub(super) fn told_abandoned(&mut self, id: i64, answer: &Answer) {
        if !settles(answer) {
            debug!("cancelled upload {id} cannot be ended now: {answer:?}");
            if let Some((_, telling)) = self.abandoned.get_mut(&id) {
                *telling = false;
            }
            return;
        }
        debug!("cancelled upload {id} is ended");
        self.abandoned.remove(&id);
        let forgotten = self.store.forget_abandoned(id);
        tokio::spawn(async move {
            if let Err(error) = forgotten.await {
                warn!("forgetting a cancelled upload: {error}");
            }
        });
    }
}

/// Whether nothing more is to be said to the server: it has ended the upload, or says that it never will.
fn settles(answer: &Answer) -> bool {
    match answer {
        Answer::Results(_) => true,
        Answer::Status { code, .. } => matches!(code, 400 | 404 | 405 | 410 | 501),
        Answer::Foreign { .. }
        | Answer::Unreachable { .. }
        | Answer::Untrusted { .. }
        | Answer::NoCredential { .. }
        | Answer::Unauthorized { .. }
        | Answer::Misplaced { .. }
        | Answer::Unready { .. }
        | Answer::Withheld { .. }
        | Answer::Advanced(_)
        | Answer::Cut(_) => false,
    }
}
