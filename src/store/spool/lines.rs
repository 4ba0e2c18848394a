//! Copies in lines, one an owner: few of them run at once, each on a thread of its own, and some wait. A file system that
//! hangs holds up its owner's line and no other. No thread lives on when its line is empty.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::model::Owner;

/// Copies of one owner that run at once.
pub(super) const AT_ONCE: usize = 2;
/// Copies of one owner that may wait behind them.
pub(super) const WAITING: usize = 64;

/// Something that may take long, or for ever.
pub(super) type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Line {
    running: usize,
    waiting: VecDeque<Job>,
}

/// Why a job does not run.
#[derive(Debug)]
pub(super) enum NotTaken {
    /// Too many of this owner wait.
    Full,
    /// There is no thread for it.
    NoThread(io::Error),
}

/// The lines of all owners who have one.
#[derive(Default)]
pub(super) struct Lines(Mutex<BTreeMap<Owner, Line>>);

impl Lines {
    /// Runs a job when its turn has come.
    pub(super) fn enter(self: &Arc<Self>, owner: Owner, job: Job) -> Result<(), NotTaken> {
        let mut lines = self.lock();
        let line = lines.entry(owner).or_default();
        if line.running >= AT_ONCE {
            if line.waiting.len() >= WAITING {
                // Even closing its file may take for ever.
                let _closing = thread::Builder::new().spawn(move || drop(job));
                return Err(NotTaken::Full);
            }
            line.waiting.push_back(job);
            return Ok(());
        }
        line.running += 1;
        let those = self.clone();
        let started = thread::Builder::new().name("spool-copy".to_owned()).spawn(move || those.serve(owner, job));
        started.map(drop).map_err(|error| {
            leave(&mut lines, owner);
            NotTaken::NoThread(error)
        })
    }

    fn serve(&self, owner: Owner, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            job();
            next = self.next(owner);
        }
    }

    /// The next of the line; if there is none, the thread is to end.
    fn next(&self, owner: Owner) -> Option<Job> {
        let mut lines = self.lock();
        let job = lines.get_mut(&owner).and_then(|line| line.waiting.pop_front());
        if job.is_none() {
            leave(&mut lines, owner);
        }
        job
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Owner, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leave(lines: &mut BTreeMap<Owner, Line>, owner: Owner) {
    if let Some(line) = lines.get_mut(&owner) {
        line.running -= 1;
        if line.running == 0 && line.waiting.is_empty() {
            lines.remove(&owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A copy that hangs until the sender is dropped, and says when it begins and ends.
    fn hanging(told: &Sender<&'static str>) -> (Job, Sender<()>) {
        let (release, held) = channel::<()>();
        let told = told.clone();
        let job = Box::new(move || {
            told.send("begun").unwrap();
            let _ = held.recv();
            told.send("ended").unwrap();
        });
        (job, release)
    }

    fn heard(news: &Receiver<&'static str>, count: usize) -> Vec<&'static str> {
        (0..count).map(|_| news.recv_timeout(LONG).unwrap()).collect()
    }

    #[test]
    fn a_copy_that_hangs_holds_up_its_owner_alone() {
        let lines = Arc::new(Lines::default());
        let (told, news) = channel();
        let mut releases = Vec::new();
        for _ in 0..AT_ONCE + WAITING {
            let (job, release) = hanging(&told);
            lines.enter(Owner(1), job).unwrap();
            releases.push(release);
        }
        assert_eq!(heard(&news, AT_ONCE), ["begun"; AT_ONCE]);
        let (job, _release) = hanging(&told);
        assert!(matches!(lines.enter(Owner(1), job), Err(NotTaken::Full)));

        let (job, release) = hanging(&told);
        lines.enter(Owner(2), job).unwrap();
        assert_eq!(heard(&news, 1), ["begun"]);
        drop(release);
        assert_eq!(heard(&news, 1), ["ended"]);
        assert!(news.try_recv().is_err(), "nobody else went on");

        drop(releases.remove(0));
        assert_eq!(heard(&news, 2), ["ended", "begun"], "the next of the line");
        drop(releases);
        heard(&news, 2 * (AT_ONCE + WAITING) - AT_ONCE - 2);
        while !lines.is_empty() {
            thread::yield_now();
        }
    }
}
