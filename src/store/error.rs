//! What can go wrong, in words that end a sentence.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;

use crate::model::{Owner, TaskId};

/// The database could not do what was asked; nothing of it took effect.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store was closed, or its thread is gone.
    #[error("{doing}: the store has stopped")]
    Stopped {
        /// What was asked.
        doing: &'static str,
    },
    /// The disk is full, the reserve included.
    #[error("{doing}: no space left on the disk")]
    NoSpace {
        /// What was asked.
        doing: &'static str,
    },
    /// The file is damaged; the next open carries over what is readable.
    #[error("{doing}: the queue database is damaged: {source}")]
    Damaged {
        /// What was asked.
        doing: &'static str,
        /// SQLite's words.
        source: Arc<rusqlite::Error>,
    },
    /// Anything else.
    #[error("{doing}: {source}")]
    Sqlite {
        /// What was asked.
        doing: &'static str,
        /// SQLite's words.
        source: Arc<rusqlite::Error>,
    },
}

impl StoreError {
    /// Whether only opening the store anew, which carries over what is readable, can mend it.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    pub(super) fn new(doing: &'static str, source: rusqlite::Error) -> Self {
        if is_full(&source) {
            return Self::NoSpace { doing };
        }
        let damaged = is_damaged(&source);
        let source = Arc::new(source);
        if damaged { Self::Damaged { doing, source } } else { Self::Sqlite { doing, source } }
    }
}

/// Why an Enqueue added nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EnqueueError {
    /// A quota is used up.
    #[error("{holder} may hold at most {limit} {what} that are not done or cancelled")]
    QueueFull {
        /// Whose quota.
        holder: Holder,
        /// Of what.
        what: Quota,
        /// How much.
        limit: u64,
    },
    /// The disk is full; what is left of it records how tasks end.
    #[error("no space left on the disk")]
    NoSpace,
    /// The `request_id` was used before with other content.
    #[error("the request_id was used for task {id} with other content")]
    RequestConflict {
        /// The first task.
        id: TaskId,
    },
    /// `after` names no task of this owner.
    #[error("after names {id}, which is no task")]
    UnknownAfter {
        /// The id.
        id: TaskId,
    },
    /// The database failed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for EnqueueError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NoSpace { .. } => Self::NoSpace,
            StoreError::Stopped { .. } | StoreError::Damaged { .. } | StoreError::Sqlite { .. } => Self::Store(error),
        }
    }
}

/// Why a file was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpoolError {
    /// It is not a regular file.
    #[error("the descriptor is of {what}; only regular files are taken")]
    NotRegular {
        /// What it is.
        what: &'static str,
    },
    /// It cannot be read through this descriptor.
    #[error("the file was opened {how}; it must be opened for reading")]
    NotReadable {
        /// How it was opened.
        how: &'static str,
    },
    /// It changed while it was copied, so that the copy may be of neither state.
    #[error("the file changed while it was copied: {how}")]
    Changed {
        /// What was seen.
        how: &'static str,
    },
    /// Reading it failed.
    #[error("reading the file: {words}")]
    Unreadable {
        /// The system's words.
        words: String,
    },
    /// Too many files of this owner wait to be copied.
    #[error("{limit} files of user {} wait to be copied; await some answers first", owner.0)]
    Busy {
        /// Whose.
        owner: Owner,
        /// How many may wait.
        limit: usize,
    },
    /// The spool failed.
    #[error("copying the file into the spool: {words}")]
    Spool {
        /// The system's words.
        words: String,
    },
    /// Its task was refused, for a quota or for lack of space also before the file was read.
    #[error(transparent)]
    Refused(#[from] EnqueueError),
}

/// Who used up a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// All apps of one owner together.
    Owner(Owner),
    /// One app of an owner, which may use half of the owner's quota.
    App(Owner, String),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Owner(owner) => write!(f, "user {}", owner.0),
            Self::App(owner, app) => write!(f, "app {app:?} of user {}", owner.0),
        }
    }
}

/// What a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Tasks.
    Tasks,
    /// Payload bytes.
    Bytes,
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tasks => "tasks",
            Self::Bytes => "payload bytes",
        })
    }
}

/// Why a list of ids changed nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IdsError {
    /// No task in the caller's scope has this id.
    #[error("no task {0}")]
    NotFound(TaskId),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why waiting tasks were not brought forward. Those of an earlier piece may have been.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BringForwardError {
    /// Each combination of conditions is a lane.
    #[error("the tasks of this daemon have too many different sets of conditions already")]
    TooManyLanes,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a read gave nothing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// No task in the caller's scope has this id.
    #[error("no task {0}")]
    NotFound(TaskId),
    /// The cursor did not come from a List of this database.
    #[error("not a cursor that a List gave")]
    BadCursor,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the store could not be opened. In none of these cases was a database changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state directory or a file in it.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// Another daemon has this directory.
    #[error("{}: another ferryd is using this state directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// A later version of Ferry wrote it.
    #[error("{}: written by a later version (schema {found}; this one knows up to {known})", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// The schema it has.
        found: i64,
        /// The latest that we know.
        known: i64,
    },
    /// A database of some other program.
    #[error("{}: not a Ferry database (application_id {found:#x})", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
        /// Whose it says it is.
        found: i64,
    },
    /// What was running could not be put back.
    #[error("{}: {source}", path.display())]
    Recover {
        /// The database.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// SQLite failed.
    #[error("{doing} {}: {source}", path.display())]
    Sqlite {
        /// What was tried.
        doing: &'static str,
        /// On which database.
        path: PathBuf,
        /// SQLite's words.
        source: rusqlite::Error,
    },
}

/// Whether the disk is full: writes say FULL, growing the shared-memory file says IOERR.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::DiskFull || error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHMSIZE
    })
}

/// Whether the file is not, or no longer, a sound database: SQLite says so, or there is a value that is never written.
pub(super) fn is_damaged(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    let is_senseless = matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
    );
    let code = error.sqlite_error_code();
    is_senseless || matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}
