//! Where things lie in the state directory.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// Where things lie in the state directory.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) dir: PathBuf,
}

impl Places {
    /// The queue.
    pub(super) fn database(&self) -> PathBuf {
        self.dir.join("ferry.db")
    }

    /// What was committed and is not yet in the queue's own file.
    pub(super) fn wal(&self) -> PathBuf {
        with_suffix(&self.database(), "-wal")
    }

    /// Held while a daemon has the directory.
    pub(super) fn lock(&self) -> PathBuf {
        self.dir.join("lock")
    }

    pub(super) fn reserve(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    /// Where files lie that tasks carry.
    pub(super) fn spool(&self) -> PathBuf {
        self.dir.join("spool")
    }

    /// Where what was made of some of them lies.
    pub(super) fn copies(&self) -> PathBuf {
        self.dir.join("copies")
    }

    /// There while the database is thought to be damaged.
    pub(super) fn suspicion(&self) -> Suspicion {
        Suspicion(self.dir.join("ferry.db.suspect"))
    }
}

/// Remembers across a restart that SQLite found damage, so that the next open checks the whole database. It is not synced:
/// damage that outlives a power cut is met again.
#[derive(Debug, Clone)]
pub(super) struct Suspicion(PathBuf);

impl Suspicion {
    /// From now on.
    pub(super) fn raise(&self) {
        if let Err(error) = File::create(&self.0) {
            tracing::error!("noting that the queue database is to be checked: {error}");
        }
    }

    pub(super) fn is_raised(&self) -> bool {
        self.0.exists()
    }

    pub(super) fn lower(&self) -> io::Result<()> {
        if self.is_raised() { std::fs::remove_file(&self.0) } else { Ok(()) }
    }
}

/// The file beside `file` whose name ends so.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
