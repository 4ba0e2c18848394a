//! The one thread that writes: takes all that waits, runs it in one transaction, commits, then answers each caller.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::agenda::Agenda;
use super::books::Books;
use super::error::{StoreError, is_full, is_unsynced, unsynced};
use super::operation::{Job, Operation, Went, job};
use super::pace::NewsPace;
use super::places::Suspicion;
use super::reserve::Reserve;
use super::schema::{Sync, set_sync};
use super::spool::Held;
use super::work::Work;
use super::{Answers, Listener, Options};
use crate::model::StoreNews;

/// The most operations in one transaction: bounds how long the first of them waits for the last.
const GROUP: usize = 512;
/// The bytes after which a transaction takes no more operations: bounds how far the WAL grows.
const GROUP_BYTES: usize = 4 << 20;

/// What the writer owns.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) books: Books,
    pub(super) agenda: Agenda,
    pub(super) options: Options,
    pub(super) random: fastrand::Rng,
    pub(super) next_seq: i64,
    pub(super) held: Arc<Held>,
    pub(super) reserve: Reserve,
    /// How the last transaction was committed.
    pub(super) sync: Sync,
    /// Raised when the next open is to look for damage.
    pub(super) suspicion: Suspicion,
    pub(super) health: Health,
}

/// Whether the database is still to be worked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It is.
    Sound,
    /// It is damaged: what can still be written is, and the next open mends it.
    Damaged,
    /// A sync failed. The kernel tells that once and then takes what it could not write for written, so that a later sync
    /// would succeed without it, and what is written after it would be lost with it in a power cut. Nothing more is
    /// written; the next open writes the WAL anew.
    Unsynced,
}

impl Writer {
    /// Serves until every handle is gone.
    pub(super) fn serve(mut self, inbox: &Receiver<Box<dyn Job>>, mut listener: impl Listener) {
        let mut pace = NewsPace::new(Instant::now());
        let mut is_told = false;
        loop {
            let tell = match next(inbox, pace.deadline()) {
                Ok(first) => {
                    let mut group = gather(first, inbox);
                    self.commit_group(&mut group);
                    if self.health == Health::Unsynced {
                        break;
                    }
                    let adds_only = group.iter().all(|job| job.adds());
                    listener.answered(Answers(group));
                    pace.committed(adds_only, Instant::now())
                }
                Err(RecvTimeoutError::Disconnected) if pace.deadline().is_none() => break,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => true,
            };
            if tell {
                if let Some(news) = self.news() {
                    listener.news(news);
                }
                pace.told(Instant::now());
            }
            if self.health == Health::Damaged && !std::mem::replace(&mut is_told, true) {
                listener.broken();
            }
        }
        if self.health == Health::Unsynced {
            listener.broken();
            // Whether what was asked took effect only the next open can tell: nobody is answered.
            inbox.iter().for_each(drop);
            // Nor is what may not be in the WAL brought into the database.
            if let Err(error) = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
                tracing::error!("leaving the WAL as it is: {error}");
            }
        }
        if let Err((_, error)) = self.conn.close() {
            tracing::error!("closing the queue database: {error}");
        }
    }

    /// Does one operation now, before the thread starts.
    pub(super) fn perform<O: Operation>(&mut self, operation: O) -> Result<O::Answer, O::Refusal> {
        let (job, mut answer) = job(operation);
        let mut group = [job];
        self.commit_group(&mut group);
        group.into_iter().for_each(Job::answer);
        answer.try_recv().unwrap_or_else(|_| Err(StoreError::Stopped { doing: O::DOING }.into()))
    }

    /// Runs the jobs and makes them durable, or leaves in each why not.
    fn commit_group(&mut self, group: &mut [Box<dyn Job>]) {
        let closed = self.reserve.is_spent() && !self.reserve.refill();
        if let Err(error) = self.attempt(group, closed) {
            if is_full(&error) { self.commit_on_full_disk(group, error) } else { self.one_by_one(group, closed, error) }
        }
        if self.health == Health::Unsynced {
            return;
        }
        self.reserve.resize(self.options.reserve);
        if self.reserve.is_spent() && self.reserve.refill() {
            tracing::info!("the disk has space again: the reserve is back");
        }
    }

    /// First what adds work goes; only if the rest does not fit either, the reserve.
    fn commit_on_full_disk(&mut self, group: &mut [Box<dyn Job>], error: rusqlite::Error) {
        if group.iter().any(|job| job.adds()) && self.attempt(group, true).is_ok() {
            return;
        }
        if self.reserve.release() {
            tracing::warn!("the disk is full: the reserve is released, and new tasks are refused");
            if self.attempt(group, true).is_ok() {
                return;
            }
        }
        self.one_by_one(group, true, error);
    }

    /// A group failed as a whole: each on its own, so that one that cannot be done harms no other.
    fn one_by_one(&mut self, group: &mut [Box<dyn Job>], closed: bool, error: rusqlite::Error) {
        if let [job] = group {
            return self.give_up(job.as_mut(), error);
        }
        for job in group {
            if self.health == Health::Unsynced {
                return;
            }
            if let Err(error) = self.attempt(std::slice::from_mut(job), closed) {
                self.give_up(job.as_mut(), error);
            }
        }
    }

    fn give_up(&mut self, job: &mut dyn Job, error: rusqlite::Error) {
        let error = StoreError::new(job.doing(), error);
        tracing::error!("the store refuses an operation: {error}");
        if let StoreError::Damaged { .. } = error {
            self.suspicion.raise();
            self.health = Health::Damaged;
        }
        job.refuse(error);
    }

    /// One transaction. `closed`: what adds work is refused.
    fn attempt(&mut self, group: &mut [Box<dyn Job>], closed: bool) -> rusqlite::Result<()> {
        if self.health == Health::Unsynced {
            return Err(unsynced());
        }
        self.transaction(group, closed).inspect_err(|error| {
            if is_unsynced(error) {
                tracing::error!("what was written may not be on the disk, nothing more is: {error}");
                self.health = Health::Unsynced;
            }
            if !self.conn.is_autocommit()
                && let Err(error) = self.conn.execute_batch("ROLLBACK")
            {
                tracing::error!("undoing a transaction: {error}");
            }
            self.books.rolled_back();
            self.agenda.rolled_back();
        })
    }

    fn transaction(&mut self, group: &mut [Box<dyn Job>], closed: bool) -> rusqlite::Result<()> {
        let sync = if group.iter().any(|job| job.durable()) { Sync::Full } else { Sync::Lazy };
        if self.sync != sync {
            set_sync(&self.conn, sync)?;
            self.sync = sync;
        }
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for job in group {
            if closed && job.adds() {
                job.refuse(StoreError::NoSpace { doing: job.doing() });
            } else {
                self.run(job.as_mut())?;
            }
        }
        self.books.write(&self.conn)?;
        self.conn.prepare_cached("COMMIT")?.execute([])?;
        self.books.committed();
        Ok(())
    }

    fn run(&mut self, job: &mut dyn Job) -> rusqlite::Result<()> {
        let Self { conn, books, agenda, options, random, next_seq, held, .. } = self;
        let mark = if job.needs_savepoint() {
            conn.prepare_cached("SAVEPOINT operation")?.execute([])?;
            Some(books.mark())
        } else {
            None
        };
        let went = job.run(&mut Work { conn, books, agenda, options, random, next_seq, held })?;
        if let Some(mark) = mark {
            if went == Went::Refused {
                conn.prepare_cached("ROLLBACK TO operation")?.execute([])?;
                books.back_to(mark);
                agenda.rolled_back();
            }
            conn.prepare_cached("RELEASE operation")?.execute([])?;
        }
        Ok(())
    }

    /// What commits changed since the last call; `None` if nothing did.
    pub(super) fn news(&mut self) -> Option<StoreNews> {
        let gathered = self.books.news(&self.conn).and_then(|mut news| {
            news.tidy_at = self.agenda.news(&self.conn, self.options.keep_done)?;
            Ok(news)
        });
        match gathered {
            Ok(news) => (news != StoreNews::default()).then_some(news),
            Err(error) => {
                tracing::error!("reading what a commit changed: {error}");
                None
            }
        }
    }
}

/// The next job, waited for until `deadline` if there is one.
fn next(inbox: &Receiver<Box<dyn Job>>, deadline: Option<Instant>) -> Result<Box<dyn Job>, RecvTimeoutError> {
    match deadline {
        Some(deadline) => inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        None => inbox.recv().map_err(RecvTimeoutError::from),
    }
}

/// The first job and those that wait behind it.
fn gather(first: Box<dyn Job>, inbox: &Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    let mut bytes = first.weight();
    let mut group = vec![first];
    while group.len() < GROUP && bytes < GROUP_BYTES {
        let Ok(next) = inbox.try_recv() else { break };
        bytes += next.weight();
        group.push(next);
    }
    group
}
