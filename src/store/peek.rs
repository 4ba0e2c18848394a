//! Whose database it is, found out without changing it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::error::OpenError;
use super::places::with_suffix;
use super::schema;

/// Looks whose database it is and which schema it has, and changes nothing: neither the file nor its WAL.
pub(super) fn peek(file: &Path) -> Result<(), OpenError> {
    if !file.exists() {
        return Ok(());
    }
    look_at_header(file)?;
    let companions = ["-wal", "-shm"].map(|suffix| with_suffix(file, suffix));
    let made: Vec<&PathBuf> = companions.iter().filter(|path| !path.exists()).collect();
    look(file).inspect_err(|_| {
        for path in made {
            // What SQLite made to look inside; it may not be there.
            let _ = std::fs::remove_file(path);
        }
    })
}

/// What the file says without its WAL, read without SQLite. The file format, section 1.3.
fn look_at_header(file: &Path) -> Result<(), OpenError> {
    let mut header = [0; 100];
    let read = File::open(file).and_then(|mut file| io::Read::read_exact(&mut file, &mut header));
    if read.is_err() || !header.starts_with(b"SQLite format 3\0") {
        // Too short, or damaged: SQLite will say.
        return Ok(());
    }
    let number =
        |at: usize| i64::from(u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let (version, application_id) = (number(60), number(68));
    // Both are 0 in a database that has all it has in its WAL.
    if version == 0 && application_id == 0 { Ok(()) } else { is_ours(file, version, application_id) }
}

fn is_ours(file: &Path, version: i64, application_id: i64) -> Result<(), OpenError> {
    let path = file.to_owned();
    if application_id != schema::APPLICATION_ID {
        return Err(OpenError::Foreign { path, found: application_id });
    }
    if version > schema::VERSION {
        return Err(OpenError::Newer { path, found: version, known: schema::VERSION });
    }
    Ok(())
}

fn look(file: &Path) -> Result<(), OpenError> {
    let path = file.to_owned();
    let sqlite = |source| OpenError::Sqlite { doing: "opening the queue database", path: path.clone(), source };
    let conn = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(sqlite)?;
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sqlite)?;
    let application_id = schema::application_id(&conn).map_err(sqlite)?;
    let version = schema::version(&conn).map_err(sqlite)?;
    if tables == 0 { Ok(()) } else { is_ours(file, version, application_id) }
}
