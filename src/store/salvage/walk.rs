//! Reads a damaged database through SQLite, around what it cannot read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, Result, Statement, params_from_iter};

use super::super::error::is_damaged;
use super::super::schema::PAGE_SIZE;

/// Reads that may fail in one table before the rest of it is left to the pages.
const FAILURES: usize = 20_000;

/// Row numbers that could not be read, by table.
pub(super) type Gaps = Vec<Gap>;

/// A range of a table's row numbers, its ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) table: Table,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// A table that is walked by row number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) name: &'static str,
    key: &'static str,
    pub(super) columns: usize,
    /// Where else its greatest row number, or a greater one, can be read.
    last: &'static str,
}

/// The tables with row numbers.
pub(super) const TABLES: [Table; 5] = [
    Table { name: "lane_spare", key: "id", columns: 5, last: "SELECT max(lane) FROM account" },
    Table { name: "lane", key: "id", columns: 5, last: "SELECT max(lane) FROM account" },
    Table { name: "account", key: "id", columns: 9, last: "SELECT max(account) FROM task NOT INDEXED" },
    Table { name: "payload", key: "task", columns: 2, last: "SELECT max(seq) FROM task NOT INDEXED" },
    Table {
        name: "task",
        key: "seq",
        columns: 24,
        last: "SELECT max(seq) FROM task INDEXED BY task_id WHERE id > x''",
    },
];

/// Tables without row numbers, each with its key: read from both ends.
const KEYED: [(&str, &str, usize); 4] =
    [("meta", "name", 2), ("setting", "name", 2), ("request", "owner, name", 4), ("history", "task, line", 5)];

/// Copies every row that SQLite reads into `new`. `new_pages` is the file of that new database, whose first page is
/// the same as that of the damaged one was.
pub(super) fn carry_over(copy: &Path, new_pages: &mut File, new: &Connection) -> Result<Gaps> {
    let Some(old) = open_copy(copy, new_pages) else {
        return Ok(TABLES.map(|table| Gap { table, first: i64::MIN, last: i64::MAX }).into());
    };
    let mut gaps = Vec::new();
    new.execute_batch("BEGIN")?;
    for table in TABLES {
        gaps.extend(carry_table(&old, new, table)?);
    }
    for (table, key, columns) in KEYED {
        carry_from_both_ends(&old, new, table, key, columns)?;
    }
    new.execute_batch("COMMIT")?;
    Ok(gaps)
}

/// Opens the copy, with its WAL written into it as far as that goes. The first page, with the schema, is the same in
/// all databases of one schema but for numbers that reading does not need: a damaged one is replaced.
fn open_copy(copy: &Path, new_pages: &mut File) -> Option<Connection> {
    open(copy)
        .or_else(|error| {
            tracing::warn!("the first page is damaged too: {error}");
            replace_first_page(copy, new_pages).ok();
            open(copy)
        })
        .ok()
}

fn open(copy: &Path) -> Result<Connection> {
    let old = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    old.execute_batch("PRAGMA temp_store = MEMORY; PRAGMA cell_size_check = ON;")?;
    let checkpoint: Result<i64> = old.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    if let Err(error) = checkpoint {
        tracing::warn!("the WAL could not be written back: {error}");
    }
    for table in TABLES {
        select(&old, table, "")?;
    }
    Ok(old)
}

fn replace_first_page(copy: &Path, new_pages: &mut File) -> io::Result<()> {
    let mut page = [0; PAGE_SIZE];
    new_pages.rewind()?;
    new_pages.read_exact(&mut page)?;
    let mut old = OpenOptions::new().write(true).open(copy)?;
    let pages = u32::try_from(old.metadata()?.len() / PAGE_SIZE as u64).unwrap_or(u32::MAX);
    // The file format, section 1.3: the size in pages at 28; no free pages at 32 and 36.
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    page[32..40].fill(0);
    old.write_all(&page)
}

fn select<'a>(old: &'a Connection, table: Table, rest: &str) -> Result<Statement<'a>> {
    let statement = old.prepare(&format!("SELECT * FROM {} NOT INDEXED {rest}", table.name))?;
    // A schema that is read wrong must not give other columns.
    if statement.column_count() == table.columns { Ok(statement) } else { Err(rusqlite::Error::InvalidQuery) }
}

/// One table by ranges: from its start to the first row that cannot be read, then from its end, then each half of
/// what is between.
fn carry_table(old: &Connection, new: &Connection, table: Table) -> Result<Gaps> {
    let key = table.key;
    let range = format!("WHERE {key} BETWEEN ? AND ? ORDER BY {key}");
    let statements = [select(old, table, &range), select(old, table, &format!("{range} DESC"))];
    let [Ok(mut up), Ok(mut down)] = statements else {
        return Ok(vec![Gap { table, first: i64::MIN, last: i64::MAX }]);
    };
    let mut insert = inserter(new, table.name, table.columns)?;
    let (mut gaps, mut failures) = (Vec::new(), 0);
    let mut ranges = vec![(1, last_row(old, table))];
    while let Some((first, last)) = ranges.pop() {
        if failures > FAILURES {
            gaps.push(Gap { table, first, last });
            continue;
        }
        let Err(read_to) = carry_range(&mut up, &mut insert, first, last)? else { continue };
        failures += 1;
        let first = read_to.map_or(first, |seq| seq.saturating_add(1));
        let read_from = carry_range(&mut down, &mut insert, first, last)?.err().flatten();
        let last = read_from.map_or(last, |seq| seq - 1);
        if first >= last {
            gaps.push(Gap { table, first, last });
        } else {
            let middle = first + (last - first) / 2;
            // The lower half is taken first.
            ranges.extend([(middle + 1, last), (first, middle)]);
        }
    }
    Ok(gaps)
}

/// The greatest row number, or one beyond it if the table's end cannot be read.
fn last_row(old: &Connection, table: Table) -> i64 {
    let own = format!("SELECT max({}) FROM {} NOT INDEXED", table.key, table.name);
    let read = |sql: &str| old.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    read(&own).or_else(|_| read(table.last)).map_or(i64::from(u32::MAX), |last| last.unwrap_or(0))
}

/// Copies the rows of a range; `Err` with the last one that could be read if it ended early.
fn carry_range(
    select: &mut Statement<'_>,
    insert: &mut Statement<'_>,
    first: i64,
    last: i64,
) -> Result<std::result::Result<(), Option<i64>>> {
    let mut read_to = None;
    let columns = select.column_count();
    let mut rows = select.query([first, last])?;
    loop {
        match rows.next() {
            Ok(None) => return Ok(Ok(())),
            Ok(Some(row)) => {
                read_to = row.get(0).ok().or(read_to);
                let values: Result<Vec<Value>> = (0..columns).map(|index| row.get(index)).collect();
                // A row that makes no sense is left behind; the others are not concerned.
                if let Ok(values) = values {
                    put(insert, &values)?;
                }
            }
            Err(error) if is_damaged(&error) => return Ok(Err(read_to)),
            Err(error) => return Err(error),
        }
    }
}

/// A statement that adds a row to the new database.
pub(super) fn inserter<'a>(new: &'a Connection, table: &str, columns: usize) -> Result<Statement<'a>> {
    let marks = vec!["?"; columns].join(", ");
    new.prepare(&format!("INSERT OR IGNORE INTO {table} VALUES ({marks})"))
}

/// Adds a row; one that breaks a rule of the schema is left behind.
pub(super) fn put(insert: &mut Statement<'_>, values: &[Value]) -> Result<()> {
    match insert.execute(params_from_iter(values)) {
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => Ok(()),
        other => other.map(drop),
    }
}

fn carry_from_both_ends(old: &Connection, new: &Connection, table: &str, key: &str, columns: usize) -> Result<()> {
    let backwards = format!("{} DESC", key.replace(", ", " DESC, "));
    let mut insert = inserter(new, table, columns)?;
    for order in [key, &backwards] {
        let Ok(mut select) = old.prepare(&format!("SELECT * FROM {table} ORDER BY {order}")) else { return Ok(()) };
        let mut rows = select.query([])?;
        while let Ok(Some(row)) = rows.next() {
            let values: Result<Vec<Value>> = (0..columns).map(|index| row.get(index)).collect();
            if let Ok(values) = values {
                put(&mut insert, &values)?;
            }
        }
    }
    Ok(())
}
