//! The spool: files that tasks carry, copied from the descriptors of their apps, each named by its task's id.
//!
//! A file is in the spool, whole and synced, before its task is in the database, and leaves it after its task has no more
//! use for it. What a crash leaves between the two is an orphan, removed at the next start.

mod broom;
mod copy;
mod held;
mod lines;
#[cfg(test)]
mod tests;

use std::fs::DirBuilder;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use rusqlite::Connection;
use tokio::sync::oneshot;

pub(super) use held::Held;

use super::error::{EnqueueError, SpoolError, StoreError};
use super::operation::{Operation as _, job};
use super::ops::hold::Hold;
use super::threads::Threads;
use crate::model::{Owner, TaskId};
use broom::Broom;
use lines::{Lines, NotTaken, WAITING};

/// The spool of an open store.
pub(super) struct Spool {
    folder: PathBuf,
    broom: Arc<Broom>,
    lines: Arc<Lines>,
    held: Arc<Held>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// The task whose file is to be taken.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) id: TaskId,
    pub(super) owner: Owner,
    pub(super) app: String,
    pub(super) request_id: Option<String>,
}

/// A file that lies in the spool and holds its share of the quota. Dropped before it is somebody's, it is removed.
#[derive(Debug)]
pub(super) struct Spooled {
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
    share: Share,
}

impl Spooled {
    /// From now on the database says whether it is needed: its task is on the way there. What is given back holds the
    /// quota until the task is there.
    pub(super) fn hand_over(self) -> Share {
        let mut share = self.share;
        share.has_file = false;
        share
    }
}

/// A share of the quota, and of the disk unless that is somebody else's now.
pub(super) struct Share {
    id: TaskId,
    has_file: bool,
    broom: Arc<Broom>,
    held: Arc<Held>,
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Share").field("id", &self.id).field("has_file", &self.has_file).finish_non_exhaustive()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.has_file {
            self.broom.sweep([self.id]);
        }
        self.held.release(self.id);
    }
}

impl Spool {
    /// The spool in `folder`, which is made if it is not there. New copies do not begin before this returns: what lies
    /// there now is old.
    pub(super) fn open(folder: &Path, held: Arc<Held>) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let broom = Arc::new(Broom::new(folder)?);
        Ok(Self { folder: folder.to_owned(), broom, lines: Arc::default(), held })
    }

    /// Where the files lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes what no task needs.
    pub(super) fn sweep_orphans(&self, conn: &Connection) -> rusqlite::Result<()> {
        let orphans = self.broom.orphans(conn)?;
        if !orphans.is_empty() {
            tracing::info!("{} files in the spool belong to no task that needs them: they go", orphans.len());
            self.broom.sweep(orphans);
        }
        Ok(())
    }

    /// Removes the files of these tasks, those that have one, on a thread.
    pub(super) fn free(&self, ids: impl IntoIterator<Item = TaskId>) {
        self.broom.sweep(ids);
    }

    /// Copies a file here when its owner's turn has come. Nothing is asked of the file on the caller's thread, since its
    /// file system may hang.
    pub(super) fn take(
        &self,
        task: Incoming,
        file: OwnedFd,
        threads: &Arc<Threads>,
    ) -> impl Future<Output = Result<Spooled, SpoolError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let (threads, owner) = (Arc::downgrade(threads), task.owner);
        let (folder, broom, held) = (self.folder.clone(), self.broom.clone(), self.held.clone());
        let copy = move || {
            // Nobody may listen any more: then what is sent is dropped, and with it the copy.
            let _ = reply.send(take(&task, file, &folder, broom, held, &threads));
        };
        let entered = self.lines.enter(owner, Box::new(copy)).map_err(|error| match error {
            NotTaken::Full => SpoolError::Busy { owner, limit: WAITING },
            NotTaken::NoThread(error) => SpoolError::Spool { words: error.to_string() },
        });
        async move {
            entered?;
            answer.await.unwrap_or_else(|_| Err(stopped()))
        }
    }
}

fn take(
    task: &Incoming,
    file: OwnedFd,
    folder: &Path,
    broom: Arc<Broom>,
    held: Arc<Held>,
    threads: &Weak<Threads>,
) -> Result<Spooled, SpoolError> {
    let before = copy::check(file.as_fd())?;
    let size = copy::size(&before);
    let mut share = Share { id: task.id, has_file: false, broom, held };
    hold(Hold { task: task.clone(), size }, threads)?;
    share.broom.expect(task.id);
    share.has_file = true;
    let sha256 = copy::copy(file.as_fd(), &before, &folder.join(task.id.to_string()), || ())?;
    Ok(Spooled { size, sha256, share })
}

/// Asks the writer, without keeping the store open meanwhile.
fn hold(hold: Hold, threads: &Weak<Threads>) -> Result<(), SpoolError> {
    let (job, answer) = job(hold);
    threads.upgrade().ok_or_else(stopped)?.write(job);
    answer.blocking_recv().unwrap_or_else(|_| Err(EnqueueError::Store(StoreError::Stopped { doing: Hold::DOING })))?;
    Ok(())
}

fn stopped() -> SpoolError {
    SpoolError::Refused(EnqueueError::Store(StoreError::Stopped { doing: Hold::DOING }))
}
