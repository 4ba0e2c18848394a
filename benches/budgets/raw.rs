//! The limit of a store: SQLite with one table and one partial index, and no more than a queue cannot do without.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, Transaction, params};

use crate::Failed;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    CREATE TABLE task (
        seq      INTEGER PRIMARY KEY,
        id       BLOB NOT NULL,
        owner    INTEGER NOT NULL,
        lane     INTEGER NOT NULL,
        state    INTEGER NOT NULL,
        due      INTEGER NOT NULL,
        created  INTEGER NOT NULL,
        finished INTEGER,
        attempts INTEGER NOT NULL DEFAULT 0,
        payload  TEXT NOT NULL
    );
    CREATE INDEX ready ON task (lane, due, seq) WHERE state = 0;
";

/// A bare queue.
pub(crate) struct Raw {
    db: Connection,
}

/// A transaction on it.
pub(crate) struct Write<'raw> {
    transaction: Transaction<'raw>,
}

impl Raw {
    /// A new one in `dir`.
    pub(crate) fn create(dir: &Path) -> Result<Self, Failed> {
        let db = Connection::open(dir.join("raw.db"))?;
        db.execute_batch(SCHEMA)?;
        // Without it, SQLite prepares a statement anew for each value of `LIMIT ?`.
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        Ok(Self { db })
    }

    /// Begins a transaction.
    pub(crate) fn begin(&mut self) -> rusqlite::Result<Write<'_>> {
        Ok(Write { transaction: self.db.transaction()? })
    }
}

impl Write<'_> {
    /// Adds a task; its sequence number.
    pub(crate) fn enqueue(&self, id: &[u8; 16], payload: &str, now: i64) -> rusqlite::Result<i64> {
        let sql = "INSERT INTO task (id, owner, lane, state, due, created, payload) VALUES (?1, 0, 1, 0, ?2, ?2, ?3)";
        self.prepare(sql)?.insert(params![id, now, payload])
    }

    /// Takes the next `limit` tasks that are due; their sequence numbers and payloads.
    pub(crate) fn claim(&self, limit: i64, now: i64) -> rusqlite::Result<Vec<(i64, String)>> {
        let sql = "UPDATE task SET state = 1 WHERE seq IN
            (SELECT seq FROM task WHERE state = 0 AND lane = 1 AND due <= ?1 ORDER BY due, seq LIMIT ?2)
            RETURNING seq, payload";
        self.prepare(sql)?.query_map((now, limit), |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// The task is done.
    pub(crate) fn settle(&self, seq: i64, now: i64) -> rusqlite::Result<()> {
        self.prepare("UPDATE task SET state = 2, finished = ?2 WHERE seq = ?1")?.execute((seq, now)).map(drop)
    }

    /// The task waits again.
    pub(crate) fn release(&self, seq: i64) -> rusqlite::Result<()> {
        self.prepare("UPDATE task SET state = 0 WHERE seq = ?1")?.execute([seq]).map(drop)
    }

    /// Makes it all durable.
    pub(crate) fn commit(self) -> rusqlite::Result<()> {
        self.transaction.commit()
    }

    fn prepare(&self, sql: &str) -> rusqlite::Result<CachedStatement<'_>> {
        self.transaction.prepare_cached(sql)
    }
}
