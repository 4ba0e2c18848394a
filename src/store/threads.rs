//! The threads of an open store, and the ways to them.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::error::OpenError;
use super::operation::Job;
use super::read::{Pace, Query, ReadJob};

/// A thread and the way to it.
pub(super) type Thread<T> = (Sender<T>, JoinHandle<()>);

/// The threads of an open store. Dropped, it waits until what was asked is done.
#[derive(Debug)]
pub(super) struct Threads {
    pub(super) writer: Option<Thread<Box<dyn Job>>>,
    pub(super) points: Option<Thread<ReadJob>>,
    pub(super) scans: Option<Thread<ReadJob>>,
}

impl Threads {
    /// Hands a job to the writer. If its thread is gone, the job's future says so.
    pub(super) fn write(&self, job: Box<dyn Job>) {
        if let Some((sender, _)) = &self.writer {
            let _ = sender.send(job);
        }
    }

    /// Hands a query to its reader. If its thread is gone, the query's future says so.
    pub(super) fn read<Q: Query>(&self, job: ReadJob) {
        let reader = match Q::PACE {
            Pace::Point => &self.points,
            Pace::Scan => &self.scans,
        };
        if let Some((sender, _)) = reader {
            let _ = sender.send(job);
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // The writer last: the last connection to close is the one that may write the WAL back.
        for (sender, thread) in [self.points.take(), self.scans.take()].into_iter().flatten() {
            drop(sender);
            join(thread);
        }
        if let Some((sender, thread)) = self.writer.take() {
            drop(sender);
            join(thread);
        }
    }
}

fn join(thread: JoinHandle<()>) {
    // The last handle may be dropped by the news, which run on the writer's own thread.
    if thread.thread().id() != thread::current().id() && thread.join().is_err() {
        tracing::error!("a thread of the store panicked");
    }
}

/// Starts a thread that serves what comes to it.
pub(super) fn spawn<T: Send + 'static>(
    dir: &Path,
    name: &str,
    body: impl FnOnce(Receiver<T>) + Send + 'static,
) -> Result<Thread<T>, OpenError> {
    let (sender, inbox) = channel();
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || body(inbox))
        .map_err(|source| OpenError::Io { doing: "starting a thread for", path: dir.to_owned(), source })?;
    Ok((sender, thread))
}
