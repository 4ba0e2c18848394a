//! What is removed from the spool: files whose tasks have no more use for them. Removing a large file takes a while, so a
//! thread does it, which ends when all is removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rusqlite::{Connection, OptionalExtension as _};

use crate::model::TaskId;

#[derive(Debug, Default)]
struct Files {
    /// Those that lie in the spool, so that nobody looks for the others.
    there: BTreeSet<TaskId>,
    useless: Vec<TaskId>,
    is_sweeping: bool,
}

/// Knows which files lie in the spool, and removes some.
#[derive(Debug)]
pub(super) struct Broom {
    folder: PathBuf,
    files: Mutex<Files>,
}

impl Broom {
    /// For the files that lie in `folder` now.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(folder)? {
            match entry?.file_name().to_str().map(TaskId::parse) {
                Some(Ok(id)) => drop(there.insert(id)),
                Some(Err(_)) | None => tracing::warn!("something else lies in the spool: {}", folder.display()),
            }
        }
        Ok(Self { folder: folder.to_owned(), files: Mutex::new(Files { there, ..Files::default() }) })
    }

    /// The files whose tasks are not there, or have ended so that nobody will ask for them.
    pub(super) fn orphans(&self, conn: &Connection) -> rusqlite::Result<Vec<TaskId>> {
        let mut find = conn.prepare("SELECT state IN (0, 1, 3) FROM task WHERE id = ?")?;
        let mut orphans = Vec::new();
        for id in &self.files().there {
            let needed: Option<bool> = find.query_row([id.as_bytes()], |row| row.get(0)).optional()?;
            if needed != Some(true) {
                orphans.push(*id);
            }
        }
        Ok(orphans)
    }

    /// A file of this task is about to be made.
    pub(super) fn expect(&self, id: TaskId) {
        self.files().there.insert(id);
    }

    /// Removes the files of these tasks, those that have one.
    pub(super) fn sweep(self: &Arc<Self>, ids: impl IntoIterator<Item = TaskId>) {
        let mut files = self.files();
        let useless: Vec<_> = ids.into_iter().filter(|id| files.there.remove(id)).collect();
        files.useless.extend(useless);
        if files.useless.is_empty() || files.is_sweeping {
            return;
        }
        let broom = self.clone();
        match thread::Builder::new().name("spool-sweep".to_owned()).spawn(move || broom.serve()) {
            Ok(_) => files.is_sweeping = true,
            // The next sweep takes them along, or the next start.
            Err(error) => tracing::error!("starting a thread that frees the spool: {error}"),
        }
    }

    fn serve(&self) {
        while let Some(ids) = self.next() {
            for id in ids {
                match fs::remove_file(self.folder.join(id.to_string())) {
                    Ok(()) => tracing::debug!(task = %id, "the file of task {id} is gone from the spool"),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => tracing::error!(task = %id, "removing the file of task {id} from the spool: {error}"),
                }
            }
        }
    }

    fn next(&self) -> Option<Vec<TaskId>> {
        let mut files = self.files();
        let ids = std::mem::take(&mut files.useless);
        files.is_sweeping = !ids.is_empty();
        files.is_sweeping.then_some(ids)
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
