//! The spool: files that tasks carry, copied from the descriptors of their apps, each named by its task's id.
//!
//! A file is in the spool, whole and synced, before its task is in the database, and leaves it after its task has no more
//! use for it. What a crash leaves between the two is an orphan, removed at the next start.

mod apart;
mod broom;
mod copy;
mod held;
mod lines;
mod source;
#[cfg(test)]
mod tests;

use std::fs::{DirBuilder, File};
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use rusqlite::Connection;
use tokio::sync::oneshot;

pub use apart::read_for_another;
pub(super) use held::{Held, Portion};

use super::error::{EnqueueError, SpoolError, StoreError};
use super::operation::{Operation as _, job};
use super::ops::hold::Hold;
use super::threads::Threads;
use crate::model::{Owner, TaskId};
use broom::Broom;
use lines::{Lines, NotTaken, WAITING};
use source::Source;

/// The spool of an open store.
pub(super) struct Spool {
    folder: PathBuf,
    /// Beside it, what was made of some of its files to be sent in their place, under the same names.
    copies: PathBuf,
    broom: Arc<Broom>,
    copies_broom: Arc<Broom>,
    lines: Arc<Lines>,
    held: Arc<Held>,
    /// Whether the space is there that is kept aside for the database.
    reserve: Arc<AtomicBool>,
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
    /// The key whose pending tasks go when it comes.
    pub(super) replaces: Option<String>,
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
    /// The spool in `folder`, and `copies` beside it, which are made if they are not there. Nothing new comes before this
    /// returns: what lies there now is old.
    pub(super) fn open(folder: &Path, copies: &Path, held: Arc<Held>, reserve: Arc<AtomicBool>) -> io::Result<Self> {
        for folder in [folder, copies] {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let (broom, copies_broom) = (Arc::new(Broom::new(folder)?), Arc::new(Broom::new(copies)?));
        let (folder, copies) = (folder.to_owned(), copies.to_owned());
        Ok(Self { folder, copies, broom, copies_broom, lines: Arc::default(), held, reserve })
    }

    /// Where the files lie.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where what is sent in their place lies.
    pub(super) fn copies(&self) -> &Path {
        &self.copies
    }

    /// Whether what space there is is for ends alone.
    pub(super) fn is_full(&self) -> bool {
        !self.reserve.load(Relaxed)
    }

    /// Something is about to be made of this task's file.
    pub(super) fn expect_copy(&self, id: TaskId) {
        self.copies_broom.expect(id);
    }

    /// Removes what was made of these tasks' files.
    pub(super) fn free_copies(&self, ids: impl IntoIterator<Item = TaskId>) {
        self.copies_broom.sweep(ids);
    }

    /// Gives the file of one task to another that is to come, too. It takes no space where the file system has links.
    pub(super) fn share(&self, from: TaskId, to: TaskId) -> io::Result<()> {
        let (old, new) = (self.folder.join(from.to_string()), self.folder.join(to.to_string()));
        self.broom.expect(to);
        let shared = std::fs::hard_link(&old, &new).or_else(|_| {
            std::fs::copy(&old, &new)?;
            File::open(&new)?.sync_all()
        });
        let kept = shared.and_then(|()| File::open(&self.folder)?.sync_all());
        // No task will need it: half a copy of it takes space that others wait for.
        kept.inspect_err(|_| self.broom.sweep([to]))
    }

    /// Removes what no task needs.
    pub(super) fn sweep_orphans(&self, conn: &Connection) -> rusqlite::Result<()> {
        let orphans = self.broom.orphans(conn)?;
        if !orphans.is_empty() {
            tracing::info!("{} files in the spool belong to no task that needs them: they go", orphans.len());
            self.broom.sweep(orphans);
        }
        self.copies_broom.sweep(self.copies_broom.orphans(conn)?);
        Ok(())
    }

    /// Removes the files of these tasks, those that have one, on a thread.
    pub(super) fn free(&self, ids: impl IntoIterator<Item = TaskId>) {
        let ids: Vec<_> = ids.into_iter().collect();
        self.copies_broom.sweep(ids.iter().copied());
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
    let mut source = Source::of(file)?;
    let before = source.looks()?;
    let size = before.size;
    let mut share = Share { id: task.id, has_file: false, broom, held };
    hold(Hold { task: task.clone(), size }, threads)?;
    share.broom.expect(task.id);
    share.has_file = true;
    let sha256 = copy::copy(&mut source, &before, &folder.join(task.id.to_string()), || ())?;
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
