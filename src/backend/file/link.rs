//! What an attempt heeds while it runs.

use tokio::sync::watch;

use super::super::Cue;
use crate::model::{AtChunk, Cut};

/// The loop's cues.
#[derive(Debug)]
pub(in crate::backend) struct Link {
    cue: watch::Receiver<Cue>,
    /// How often the link had come back when that was last heeded.
    heeded: u64,
}

impl Link {
    pub(in crate::backend) fn new(mut cue: watch::Receiver<Cue>) -> Self {
        let heeded = cue.borrow_and_update().link_ups;
        Self { cue, heeded }
    }

    /// Resolves as soon as something new may begin; the error: nothing may any more.
    pub(in crate::backend) async fn clear(&mut self) -> Result<(), Cut> {
        match self.cue.wait_for(|cue| cue.at_chunk != AtChunk::Wait).await.map(|cue| cue.at_chunk) {
            Ok(AtChunk::End(cut)) => Err(cut),
            Ok(AtChunk::GoOn | AtChunk::Wait) => Ok(()),
            // Nobody is left to say when: so it is when the daemon ends, and the attempt with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// Resolves when the link has come back since this was last heard: what is under way is likely lost.
    pub(in crate::backend) async fn returned(&mut self) {
        let heeded = self.heeded;
        let ups = self.cue.wait_for(|cue| cue.link_ups > heeded).await.map(|cue| cue.link_ups);
        match ups {
            Ok(ups) => self.heeded = ups,
            Err(_) => std::future::pending().await,
        }
    }
}
