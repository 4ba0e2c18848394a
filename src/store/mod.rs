//! Floor 2: the queue on disk. One thread owns the write connection and commits in groups; readers have their own.
//!
//! Which rows go is decided here, in SQL, within the transaction that writes them: the order within a key, `after`,
//! `on_existing`, cancel, quotas, expiry. Which lane goes, and when, is not known here. No thread wakes by itself: each
//! is blocked on its channel until somebody asks.

mod agenda;
mod books;
mod cursor;
mod error;
mod open;
mod operation;
mod ops;
mod order;
mod pace;
mod payload;
mod peek;
mod places;
mod read;
mod reserve;
mod row;
mod salvage;
mod schema;
mod spool;
mod sql;
mod tally;
mod threads;
mod work;
mod writer;

use std::future::Future;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use error::{
    BringForwardError, EnqueueError, Holder, IdsError, OpenError, Quota, ReadError, SpoolError, StoreError,
};
pub use spool::read_for_another;

use crate::model::{
    BackendName, Claimed, Enqueued, Filter, HistoryEntry, LaneId, NewTask, OnExisting, Owner, Page, Payload, Quotas,
    Settlement, StoreNews, StrategyName, Task, TaskId, Waivers, WallTime,
};
use operation::{Job, Operation, ask};
use ops::bring_forward::{BringForward, Place};
use ops::claim::Claim;
use ops::configure::{Configure, PutSetting};
use ops::enqueue::Enqueue;
use ops::ids::{Cancel, Discard, Retry, Selection};
use ops::notes::{ForgetAbandoned, Keep};
use ops::respread::Respread;
use ops::settle::Settle;
use ops::tidy::Tidy;
use read::{GetTask, ListTasks, Query, ReadHistory, ReadSetting};
use spool::{Incoming, Spool, Spooled};
use threads::Threads;

/// What an admin decides about the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What one owner may hold.
    pub quotas: Quotas,
    /// How long done and cancelled tasks are kept.
    pub keep_done: Duration,
    /// Bytes kept aside so that ends are recorded on a full disk; 0 = none.
    pub reserve: u64,
    /// The longest backoff: nothing is due later than this from now.
    pub backoff_cap: Duration,
}

/// What opening found.
#[derive(Debug)]
pub struct Opening {
    /// Tasks that an attempt had when the daemon last stopped, pending again.
    pub recovered: u64,
    /// Tasks of that kind that are dead letters now, since it was the third time in a row.
    pub crashed: u64,
    /// The database was damaged.
    pub salvage: Option<Salvage>,
    /// All lanes, all counts, the first tidy, and the changes that opening made.
    pub news: StoreNews,
}

/// A damaged database that was moved aside, and what was carried over into a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// Where the damaged file lies now; nothing of it was deleted.
    pub moved_to: PathBuf,
    /// Tasks carried over.
    pub tasks: u64,
    /// What SQLite said about the damage.
    pub lost_reason: String,
}

/// Hears on the writer's thread what became of commits. It must neither block nor hold a handle.
pub trait Listener: Send + 'static {
    /// The callers of a commit are to be answered. Whoever runs them all on one thread does well to deliver there: it is
    /// woken once, and not once for each of them.
    fn answered(&mut self, answers: Answers) {
        answers.deliver();
    }

    /// What commits changed; new tasks alone may be gathered for some milliseconds.
    fn news(&mut self, news: StoreNews);

    /// Only opening the store anew mends it: its file is damaged, or what was written may not be on the disk. Told once.
    fn broken(&mut self) {}
}

impl<F: FnMut(StoreNews) + Send + 'static> Listener for F {
    fn news(&mut self, news: StoreNews) {
        self(news);
    }
}

/// The answers to the callers of one commit. Dropped, they say that the store has stopped.
pub struct Answers(Vec<Box<dyn Job>>);

impl Answers {
    /// Resolves the callers' futures.
    pub fn deliver(self) {
        self.0.into_iter().for_each(Job::answer);
    }
}

/// Whose tasks a call may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One owner's; others' are as if they were not there.
    Owner(Owner),
    /// Everybody's.
    All,
}

impl Scope {
    pub(crate) fn covers(self, owner: Owner) -> bool {
        match self {
            Self::Owner(own) => own == owner,
            Self::All => true,
        }
    }
}

/// The queue. A handle, cheap to clone. When the last one is dropped, what was asked is done and committed, the
/// database is closed and the state directory's lock is given up; the drop waits for that.
#[derive(Clone, Debug)]
pub struct Store {
    threads: Arc<Threads>,
    spool: Arc<Spool>,
}

impl Store {
    /// Opens the queue in `dir`, which is made with mode 0700 if it is not there, and takes its lock. What was running
    /// is pending again, due times are put right for `now`, and a damaged database is replaced by what is readable of
    /// it. `seed` is for jitter.
    pub fn open(
        dir: &Path,
        options: Options,
        now: WallTime,
        seed: u64,
        listener: impl Listener,
    ) -> Result<(Store, Opening), OpenError> {
        let (threads, spool, opening) = open::open(dir, options, now, seed, listener)?;
        Ok((Store { threads: Arc::new(threads), spool: Arc::new(spool) }, opening))
    }

    // The writers below take effect in the order in which they are called, whether or not their future is ever polled.
    // The future resolves when the effect is durable.

    /// Adds tasks, all or none, in their order.
    pub fn enqueue(
        &self,
        tasks: Vec<NewTask>,
    ) -> impl Future<Output = Result<Vec<Enqueued>, EnqueueError>> + Send + 'static {
        self.write(Enqueue { tasks })
    }

    /// Marks the first tasks of a lane that are due at `now` as running and hands them over: at most `limit`, by due
    /// time, then by order of enqueue. None that is expired, none that waits for another.
    pub fn claim(
        &self,
        lane: LaneId,
        limit: usize,
        now: WallTime,
    ) -> impl Future<Output = Result<Vec<Claimed>, StoreError>> + Send + 'static {
        self.write(Claim { lane, limit, now })
    }

    /// Writes how attempts left their tasks. Each claimed task is settled once; one that is no longer running is left
    /// as it is.
    pub fn settle(
        &self,
        settlements: Vec<(TaskId, Settlement)>,
        now: WallTime,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.write(Settle { settlements, now })
    }

    /// Keeps a note of a running task for its next attempt, in place of an earlier one.
    pub fn keep(
        &self,
        task: TaskId,
        backend: BackendName,
        note: String,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.write(Keep { task, backend, note })
    }

    /// What was abandoned under this number has been ended, or never will be.
    pub fn forget_abandoned(&self, id: i64) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.write(ForgetAbandoned { id })
    }

    /// The folder of the files that tasks carry, each named by its task's id.
    pub fn spool(&self) -> &Path {
        self.spool.folder()
    }

    /// Copies `file` into the spool and adds the task that carries it; size and hash in the task's payload are set here.
    /// Few copies of one owner run at once. The task takes its place in the order of writes when its file is copied.
    pub fn enqueue_file(
        &self,
        mut task: NewTask,
        file: OwnedFd,
    ) -> impl Future<Output = Result<Enqueued, SpoolError>> + Send + 'static {
        let taken = self.take_file(&task, file);
        let store = self.clone();
        async move {
            let spooled = taken.await?;
            if let Payload::File(file) = &mut task.payload {
                (file.size, file.sha256) = (spooled.size, spooled.sha256);
            }
            let id = task.id;
            // Should this future be dropped now, the task may be stored nevertheless: the next start knows.
            let _share = spooled.hand_over();
            let stored = store.enqueue(vec![task]).await;
            let is_unknown = matches!(stored, Err(EnqueueError::Store(StoreError::Stopped { .. })));
            let stored = stored.map(|stored| stored.first().copied().unwrap_or(Enqueued::Added(id)));
            if !is_unknown && !matches!(stored, Ok(Enqueued::Added(added)) if added == id) {
                store.free_files([id]);
            }
            Ok(stored?)
        }
    }

    fn take_file(
        &self,
        task: &NewTask,
        file: OwnedFd,
    ) -> impl Future<Output = Result<Spooled, SpoolError>> + Send + use<> {
        let NewTask { id, owner, app, request_id, key, on_existing, .. } = task;
        let replaces = key.clone().filter(|_| *on_existing == OnExisting::Replace);
        let incoming = Incoming { id: *id, owner: *owner, app: app.clone(), request_id: request_id.clone(), replaces };
        self.spool.take(incoming, file, &self.threads)
    }

    /// Removes the files of tasks that have no more use for them, on a thread; ids of tasks without a file are passed
    /// over.
    pub fn free_files(&self, ids: impl IntoIterator<Item = TaskId>) {
        self.spool.free(ids);
    }

    /// The folder of what was made of tasks' files to be sent in their place, each named by its task's id.
    pub fn copies(&self) -> &Path {
        self.spool.copies()
    }

    /// Whether the disk is full: what was kept aside is in use, and what is free is needed to record ends.
    pub fn is_full(&self) -> bool {
        self.spool.is_full()
    }

    /// Something is about to be made of this task's file, in [`copies`](Self::copies): it goes with the file.
    pub fn expect_copy(&self, id: TaskId) {
        self.spool.expect_copy(id);
    }

    /// Removes what was made of the files of these tasks, on a thread.
    pub fn free_copies(&self, ids: impl IntoIterator<Item = TaskId>) {
        self.spool.free_copies(ids);
    }

    /// Gives the file of one task to another, which is about to come, too; resolves when that is on disk.
    pub fn share_file(&self, from: TaskId, to: TaskId) -> impl Future<Output = std::io::Result<()>> + Send + 'static {
        let spool = self.spool.clone();
        let shared = tokio::task::spawn_blocking(move || spool.share(from, to));
        async move { shared.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) }
    }

    /// Takes tasks back: those that are pending or running. How many there were.
    pub fn cancel(
        &self,
        scope: Scope,
        ids: Vec<TaskId>,
        now: WallTime,
    ) -> impl Future<Output = Result<u32, IdsError>> + Send + 'static {
        self.write(Cancel(Selection { scope, ids, now }))
    }

    /// Gives failed tasks another chance, at once. How many there were.
    pub fn retry(
        &self,
        scope: Scope,
        ids: Vec<TaskId>,
        now: WallTime,
    ) -> impl Future<Output = Result<u32, IdsError>> + Send + 'static {
        self.write(Retry(Selection { scope, ids, now }))
    }

    /// Removes tasks that have ended: failed, done or cancelled. How many there were. A cancelled one whose attempt
    /// still runs has not ended yet.
    pub fn discard(
        &self,
        scope: Scope,
        ids: Vec<TaskId>,
        now: WallTime,
    ) -> impl Future<Output = Result<u32, IdsError>> + Send + 'static {
        self.write(Discard(Selection { scope, ids, now }))
    }

    /// Makes what waits due, in the order of enqueue, of one strategy or of all, and waives these conditions of it until it ends. Many
    /// tasks take several transactions, with others between; those added after the call are not meant.
    pub fn bring_forward(
        &self,
        scope: Scope,
        strategy: Option<StrategyName>,
        waived: Waivers,
        now: WallTime,
    ) -> impl Future<Output = Result<(), BringForwardError>> + Send + 'static {
        let selection = ops::bring_forward::Selection { scope, strategy, waived, now };
        let first = self.write(BringForward { selection: selection.clone(), place: Place::Start });
        let store = self.clone();
        async move {
            let mut next = first.await?;
            while let Some(place) = next {
                next = store.write(BringForward { selection: selection.clone(), place }).await?;
            }
            Ok(())
        }
    }

    /// Fails what expired and prunes what was kept long enough: a bounded piece, and the news says when to call again.
    pub fn tidy(&self, now: WallTime) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.write(Tidy { now })
    }

    /// Puts due times right after the wall clock jumped.
    pub fn respread(&self, now: WallTime) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.write(Respread { now })
    }

    /// Keeps a setting, or removes it.
    pub fn put_setting(
        &self,
        name: &'static str,
        value: Option<String>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.write(PutSetting { name, value })
    }

    /// Takes other options.
    pub fn configure(&self, options: Options) -> impl Future<Output = Result<(), StoreError>> + Send + 'static {
        self.write(Configure(options))
    }

    // The readers below see every write whose future has resolved, and never wait for the writer.

    /// One task.
    pub fn get(&self, scope: Scope, id: TaskId) -> impl Future<Output = Result<Task, ReadError>> + Send + 'static {
        self.read(GetTask { scope, id })
    }

    /// A page of tasks in the order they were enqueued. `limit` 0 = 100, above 1000 = 1000. A page may be shorter than
    /// that, even empty, and still have a next one, if many tasks had to be looked at.
    pub fn list(
        &self,
        filter: Filter,
        cursor: Option<String>,
        limit: u32,
    ) -> impl Future<Output = Result<Page, ReadError>> + Send + 'static {
        self.read(ListTasks { filter, cursor, limit })
    }

    /// The last lines of a task's history, oldest first; empty for a task that went through at once, or is not there.
    pub fn history(&self, id: TaskId) -> impl Future<Output = Result<Vec<HistoryEntry>, ReadError>> + Send + 'static {
        self.read(ReadHistory { id })
    }

    /// A setting, if it was put.
    pub fn setting(
        &self,
        name: &'static str,
    ) -> impl Future<Output = Result<Option<String>, ReadError>> + Send + 'static {
        self.read(ReadSetting { name })
    }

    fn write<O: Operation>(
        &self,
        operation: O,
    ) -> impl Future<Output = Result<O::Answer, O::Refusal>> + Send + 'static {
        let (job, answer) = ask(operation);
        self.threads.write(job);
        answer
    }

    fn read<Q: Query>(&self, query: Q) -> impl Future<Output = Result<Q::Answer, ReadError>> + Send + 'static {
        let (job, answer) = read::ask(query);
        self.threads.read::<Q>(job);
        answer
    }
}

#[cfg(test)]
mod tests;
