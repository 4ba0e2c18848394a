//! The database's shape: how a connection is set up, and how an older schema becomes this one.

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, OpenFlags, Result, TransactionBehavior, ffi};
use std::path::Path;

/// `Ferr`, in the file's header, so that `file` and we know whose it is.
pub(super) const APPLICATION_ID: i64 = 0x4665_7272;

/// Each brings the schema from its index to the next number.
const MIGRATIONS: &[&str] =
    &[include_str!("sql/0001-queue.sql"), include_str!("sql/0002-uploads.sql"), include_str!("sql/0003-waivers.sql")];

/// The schema that this program knows.
pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Bytes a page: SQLite's default, set so that a salvage knows it.
pub(super) const PAGE_SIZE: usize = 4096;

/// Page cache of the writer in KiB: memory does not grow with the queue. With a million tasks a claim is no faster with
/// four times as much.
const WRITER_CACHE: i64 = 512;
/// Page cache of each reader in KiB.
const READER_CACHE: i64 = 128;
/// Statements kept prepared on one connection: all that the store has.
const STATEMENTS: usize = 128;

/// Makes a connection the writer's. WAL with `synchronous = FULL` syncs once a commit. The WAL is never truncated, so
/// that a commit after a checkpoint writes into space the file already has.
pub(super) fn prepare_writer(conn: &Connection) -> Result<()> {
    keep_statements(conn)?;
    conn.execute_batch(&format!(
        "PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA mmap_size = 0;
         PRAGMA page_size = {PAGE_SIZE};
         PRAGMA cache_size = -{WRITER_CACHE};
         PRAGMA journal_size_limit = -1;"
    ))?;
    switch_to_wal(conn)?;
    set_sync(conn, Sync::Full)
}

/// Without a WAL all seems to go well, and a power cut takes the last commits.
fn switch_to_wal(conn: &Connection) -> Result<()> {
    // It writes when it ends, after the row that says what is meant.
    let mut switch = conn.prepare("PRAGMA journal_mode = WAL")?;
    let mut rows = switch.query([])?;
    while rows.next()?.is_some() {}
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    // A database in memory has none.
    if mode == "wal" || mode == "memory" {
        return Ok(());
    }
    let words = format!("it cannot have a write-ahead log: its journal mode is {mode}");
    Err(Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), Some(words)))
}

/// A connection that only reads.
pub(super) fn open_reader(file: &Path) -> Result<Connection> {
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    keep_statements(&conn)?;
    conn.execute_batch(&format!(
        "PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA temp_store = MEMORY;
         PRAGMA mmap_size = 0;
         PRAGMA cache_size = -{READER_CACHE};"
    ))?;
    Ok(conn)
}

/// Keeps statements as they were prepared first. Without the planner's stability guarantee SQLite looks at the values
/// bound (of `LIMIT ?`, and where a partial index might do) and prepares the statement anew each time they change.
fn keep_statements(conn: &Connection) -> Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// How much of a commit the disk must have before it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// All of it: it outlives a power cut.
    Full,
    /// None of it: it outlives the death of this process, and a power cut undoes it whole.
    Lazy,
}

/// Sets how the next transactions are committed. A checkpoint, which syncs the WAL first and whose failure SQLite keeps to
/// itself, follows only those that have synced it themselves: nobody would hear that lazy ones before it are lost.
pub(super) fn set_sync(conn: &Connection, sync: Sync) -> Result<()> {
    conn.execute_batch(match sync {
        Sync::Full => "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000",
        Sync::Lazy => "PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0",
    })
}

/// The schema that the database has; 0 for an empty file.
pub(super) fn version(conn: &Connection) -> Result<i64> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Whose the database says it is; 0 for an empty file.
pub(super) fn application_id(conn: &Connection) -> Result<i64> {
    conn.query_row("PRAGMA application_id", [], |row| row.get(0))
}

/// Brings the schema to [`VERSION`]; each step is a transaction of its own.
pub(super) fn migrate(conn: &mut Connection) -> Result<()> {
    migrate_by(conn, MIGRATIONS)
}

fn migrate_by(conn: &mut Connection, migrations: &[&str]) -> Result<()> {
    let from = version(conn)?;
    for (index, sql) in migrations.iter().enumerate().skip(usize::try_from(from).unwrap_or(0)) {
        let step = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        step.execute_batch(sql)?;
        step.execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};", index + 1))?;
        step.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_statement_is_prepared_once_whatever_is_bound() {
        let mut conn = Connection::open_in_memory().unwrap();
        prepare_writer(&conn).unwrap();
        migrate_by(&mut conn, MIGRATIONS).unwrap();
        let mut claim = conn
            .prepare(
                "SELECT seq FROM task INDEXED BY ready WHERE lane = ? AND state = 0 AND behind = 0 AND deps = 0
                 AND due <= ? ORDER BY due, seq LIMIT ?",
            )
            .unwrap();
        for bound in [[1, 10, 50], [2, 20, 100], [3, 30, 1]] {
            assert!(claim.query(bound).unwrap().next().unwrap().is_none());
        }
        assert_eq!(claim.get_status(StatementStatus::RePrepare), 0);
    }

    #[test]
    fn only_what_is_synced_is_followed_by_a_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.db");
        let conn = Connection::open(&file).unwrap();
        prepare_writer(&conn).unwrap();
        conn.execute_batch("CREATE TABLE one (a)").unwrap();
        let size = || std::fs::metadata(&file).unwrap().len();
        let add = || conn.execute("INSERT INTO one VALUES (zeroblob(3000000))", []).unwrap();
        set_sync(&conn, Sync::Lazy).unwrap();
        let before = size();
        for _ in 0..3 {
            add();
        }
        assert_eq!(size(), before);
        set_sync(&conn, Sync::Full).unwrap();
        add();
        assert!(size() > before + 12_000_000, "{}", size());
    }

    #[test]
    fn a_migration_that_fails_leaves_no_trace() {
        let mut conn = Connection::open_in_memory().unwrap();
        let steps = ["CREATE TABLE one (a);", "CREATE TABLE two (a); INSERT INTO nowhere VALUES (1);"];
        assert!(migrate_by(&mut conn, &steps).is_err());
        assert_eq!(version(&conn).unwrap(), 1);
        let tables: Vec<String> = conn
            .prepare("SELECT name FROM sqlite_schema")
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_>>()
            .unwrap();
        assert_eq!(tables, ["one"]);

        migrate_by(&mut conn, &[steps[0], "CREATE TABLE two (a);"]).unwrap();
        assert_eq!(version(&conn).unwrap(), 2);
        assert_eq!(application_id(&conn).unwrap(), APPLICATION_ID);
    }
}
