//! A damaged database: moved aside, and replaced by a new one with every row that can still be read.
//!
//! The damaged file is never written to and never deleted. Work is done on a copy; the new database takes its place by
//! renames, in an order in which a crash at any point is made good by the next open.

mod pages;
mod walk;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::OpenError;
use super::open::make;
use super::places::with_suffix;
use super::{Salvage, schema};
use crate::model::WallTime;

const REBUILD: &str = include_str!("../sql/rebuild.sql");

/// What belongs to a database beside its file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Replaces the database by what is readable of it. `reason` is what was found wrong with it.
pub(super) fn salvage(database: &Path, reason: &str, now: WallTime) -> Result<Salvage, OpenError> {
    tracing::error!(reason, "the queue database is damaged ({reason}): what can be read is carried over");
    let copy = with_suffix(database, ".copy");
    let rebuilt = with_suffix(database, ".rebuilt");
    remove_own(&copy)?;
    remove_own(&rebuilt)?;
    let io_error = |source| OpenError::Io { doing: "copying", path: database.to_owned(), source };
    copy_with_companions(database, &copy).map_err(io_error)?;
    let tasks = rebuild(&copy, &rebuilt)?;
    let moved_to = free_name(database, now);
    put_in_place(database, &rebuilt, &moved_to)?;
    remove_own(&copy)?;
    tracing::warn!(
        "the queue database is replaced: {tasks} tasks carried over, the damaged one is {}",
        moved_to.display()
    );
    Ok(Salvage { moved_to, tasks, lost_reason: reason.to_owned() })
}

/// Ends a salvage that was interrupted: before its renames it starts anew, after the first of them it goes on.
pub(super) fn finish(database: &Path, now: WallTime) -> Result<(), OpenError> {
    let rebuilt = with_suffix(database, ".rebuilt");
    if !database.exists() && rebuilt.exists() {
        let moved_to = free_name(database, now);
        put_in_place(database, &rebuilt, &moved_to)?;
    }
    remove_own(&rebuilt)?;
    remove_own(&with_suffix(database, ".copy"))
}

/// Copies what is readable, and gives the number of tasks in the new database.
fn rebuild(copy: &Path, rebuilt: &Path) -> Result<u64, OpenError> {
    let sqlite = |source| OpenError::Sqlite { doing: "carrying over into", path: rebuilt.to_owned(), source };
    let mut new = create(rebuilt)?;
    let mut new_pages = File::open(rebuilt).map_err(io_error("reading", rebuilt))?;
    let gaps = walk::carry_over(copy, &mut new_pages, &new).map_err(sqlite)?;
    if !gaps.is_empty() {
        pages::carry_over(copy, &gaps, &new).map_err(io_error("reading the pages of", copy))?;
    }
    let step = new.transaction().map_err(sqlite)?;
    step.execute_batch(REBUILD).map_err(sqlite)?;
    step.commit().map_err(sqlite)?;
    let tasks: i64 = new.query_row("SELECT count(*) FROM task", [], |row| row.get(0)).map_err(sqlite)?;
    new.close().map_err(|(_, source)| sqlite(source))?;
    let sync = |path: &Path| File::open(path).and_then(|file| file.sync_all());
    sync(rebuilt).map_err(io_error("syncing", rebuilt))?;
    Ok(super::sql::count(tasks))
}

/// A new database, without a WAL so that it is one file when it is done.
fn create(rebuilt: &Path) -> Result<Connection, OpenError> {
    make(rebuilt)?;
    let sqlite = |source| OpenError::Sqlite { doing: "making", path: rebuilt.to_owned(), source };
    let mut new = Connection::open(rebuilt).map_err(sqlite)?;
    new.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = OFF;").map_err(sqlite)?;
    schema::migrate(&mut new).map_err(sqlite)?;
    Ok(new)
}

/// The damaged file goes first: once it is away and the new one is whole, an open knows what is left to do.
fn put_in_place(database: &Path, rebuilt: &Path, moved_to: &Path) -> Result<(), OpenError> {
    let rename = |from: &Path, to: &Path| match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(io_error("moving aside", from)),
    };
    rename(database, moved_to)?;
    for suffix in COMPANIONS {
        rename(&with_suffix(database, suffix), &with_suffix(moved_to, suffix))?;
    }
    rename(rebuilt, database)?;
    let dir = database.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("syncing", dir))
}

/// A name for the damaged file that is not taken.
fn free_name(database: &Path, now: WallTime) -> PathBuf {
    (now.as_micros()..)
        .map(|micros| with_suffix(database, &format!(".damaged-{micros}")))
        .find(|name| !name.exists() && !COMPANIONS.iter().any(|suffix| with_suffix(name, suffix).exists()))
        .unwrap_or_else(|| with_suffix(database, ".damaged"))
}

fn copy_with_companions(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let wal = with_suffix(from, "-wal");
    if wal.exists() {
        fs::copy(wal, with_suffix(to, "-wal"))?;
    }
    Ok(())
}

/// Removes a file that a salvage made for itself.
fn remove_own(file: &Path) -> Result<(), OpenError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let path = with_suffix(file, suffix);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error("removing", &path)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn io_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { doing, path: path.clone(), source }
}
