//! Reads rows from a database's leaf pages, where no way leads to them any more: the pages above them are damaged.
//! The format is SQLite's, <https://www.sqlite.org/fileformat2.html>, sections 1.5, 1.6 and 2.1.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value;

use super::super::schema::PAGE_SIZE;
use super::walk::{Gap, TABLES, Table, inserter, put};

/// The type of a table's leaf page.
const TABLE_LEAF: u8 = 0x0d;
/// The most bytes of a row that its leaf page holds, and the least if it does not hold all.
const MAX_LOCAL: usize = PAGE_SIZE - 35;
const MIN_LOCAL: usize = (PAGE_SIZE - 12) * 32 / 255 - 23;
/// The longest row that is believed.
const MAX_ROW: usize = 16 << 20;

/// Copies the rows in the gaps that stand on readable leaf pages. A page that is free may still hold rows that were
/// removed long ago: only what is missing is taken, and never a row whose number or id is there already.
pub(super) fn carry_over(copy: &Path, gaps: &[Gap], new: &Connection) -> io::Result<()> {
    let file = File::open(copy)?;
    let pages = file.metadata()?.len() / PAGE_SIZE as u64;
    let free = free_pages(&file, pages)?;
    new.execute_batch("BEGIN").map_err(io::Error::other)?;
    for number in (2..=pages).filter(|number| free.binary_search(number).is_err()) {
        for (rowid, mut values) in leaf_rows(&file, number)? {
            if let Some(table) = table_of(&values)
                && gaps.iter().any(|gap| gap.table == table && (gap.first..=gap.last).contains(&rowid))
            {
                values[0] = Value::Integer(rowid);
                let mut insert = inserter(new, table.name, table.columns).map_err(io::Error::other)?;
                put(&mut insert, &values).map_err(io::Error::other)?;
            }
        }
    }
    new.execute_batch("COMMIT").map_err(io::Error::other)
}

/// The table of a row, known by its number of columns and the kinds of some of them. The first column is the row
/// number, which a row does not repeat.
fn table_of(values: &[Value]) -> Option<Table> {
    let table = TABLES.into_iter().find(|table| table.columns == values.len())?;
    let fits = match (table.name, values) {
        ("lane_spare", [Value::Null, Value::Text(_), ..]) | ("payload", [Value::Null, Value::Text(_)]) => true,
        ("account", [Value::Null, Value::Integer(_), Value::Text(_), Value::Integer(_), ..]) => true,
        ("task", [Value::Null, Value::Blob(id), Value::Integer(_), ..]) => id.len() == 16,
        _ => false,
    };
    fits.then_some(table)
}

/// The pages on the free list, ascending; as many of them as can be found.
fn free_pages(file: &File, pages: u64) -> io::Result<Vec<u64>> {
    let mut free = Vec::new();
    let mut trunk = u64::from(big_endian(&read_page(file, 1)?, 32));
    while (2..=pages).contains(&trunk) && !free.contains(&trunk) {
        let page = read_page(file, trunk)?;
        free.push(trunk);
        let leaves = (big_endian(&page, 4) as usize).min(PAGE_SIZE / 4 - 2);
        free.extend((0..leaves).map(|index| u64::from(big_endian(&page, 8 + 4 * index))));
        trunk = u64::from(big_endian(&page, 0));
    }
    free.sort_unstable();
    Ok(free)
}

type Page = [u8; PAGE_SIZE];

fn read_page(file: &File, number: u64) -> io::Result<Page> {
    let mut page = [0; PAGE_SIZE];
    file.read_exact_at(&mut page, (number - 1) * PAGE_SIZE as u64)?;
    Ok(page)
}

fn big_endian(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The rows of a page, with their numbers; none if it is no leaf of a table. A row that makes no sense is left out.
fn leaf_rows(file: &File, number: u64) -> io::Result<Vec<(i64, Vec<Value>)>> {
    let page = read_page(file, number)?;
    if page[0] != TABLE_LEAF {
        return Ok(Vec::new());
    }
    let cells = usize::from(u16::from_be_bytes([page[3], page[4]])).min((PAGE_SIZE - 8) / 2);
    let mut rows = Vec::new();
    for cell in 0..cells {
        let at = 8 + 2 * cell;
        let start = usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
        let row = cell_content(file, &page, start)?.and_then(|(rowid, bytes)| Some((rowid, decode(&bytes)?)));
        rows.extend(row);
    }
    Ok(rows)
}

/// A cell's row number and the whole of its row, its overflow pages included.
fn cell_content(file: &File, page: &Page, start: usize) -> io::Result<Option<(i64, Vec<u8>)>> {
    let header = page.get(start..).and_then(|cell| {
        let (length, used) = varint(cell)?;
        let (rowid, more) = varint(cell.get(used..)?)?;
        Some((usize::try_from(length).ok().filter(|length| *length <= MAX_ROW)?, rowid, start + used + more))
    });
    let Some((length, rowid, body)) = header else { return Ok(None) };
    let local = local_bytes(length);
    let Some(bytes) = page.get(body..body + local) else { return Ok(None) };
    let mut bytes = bytes.to_vec();
    let mut next = if local < length { big_endian(page, body + local) } else { 0 };
    let pages = file.metadata()?.len() / PAGE_SIZE as u64;
    while bytes.len() < length {
        if !(2..=pages).contains(&u64::from(next)) {
            return Ok(None);
        }
        let overflow = read_page(file, u64::from(next))?;
        let piece = (length - bytes.len()).min(PAGE_SIZE - 4);
        bytes.extend_from_slice(&overflow[4..4 + piece]);
        next = big_endian(&overflow, 0);
    }
    Ok(Some((rowid, bytes)))
}

/// How many bytes of a row of this length its leaf page holds.
fn local_bytes(length: usize) -> usize {
    if length <= MAX_LOCAL {
        return length;
    }
    let surplus = MIN_LOCAL + (length - MIN_LOCAL) % (PAGE_SIZE - 4);
    if surplus <= MAX_LOCAL { surplus } else { MIN_LOCAL }
}

/// A record's columns; `None` if it is none.
fn decode(record: &[u8]) -> Option<Vec<Value>> {
    let (header, mut at) = varint(record)?;
    let header = usize::try_from(header).ok().filter(|header| *header <= record.len())?;
    let mut body = header;
    let mut values = Vec::new();
    while at < header {
        let (kind, used) = varint(record.get(at..header)?)?;
        at += used;
        let (value, length) = column(kind, record.get(body..)?)?;
        body += length;
        values.push(value);
    }
    (body == record.len()).then_some(values)
}

/// One column of this serial type (section 2.1), and how many bytes it takes.
fn column(kind: i64, bytes: &[u8]) -> Option<(Value, usize)> {
    let integer = |length: usize| {
        let bytes = bytes.get(..length)?;
        let start = if bytes[0] & 0x80 == 0 { 0 } else { -1 };
        let value = bytes.iter().fold(start, |value, byte| (value << 8) | i64::from(*byte));
        Some((Value::Integer(value), length))
    };
    match kind {
        0 => Some((Value::Null, 0)),
        1..=4 => integer(usize::try_from(kind).ok()?),
        5 => integer(6),
        6 => integer(8),
        8 | 9 => Some((Value::Integer(kind - 8), 0)),
        12.. => {
            let length = usize::try_from((kind - 12) / 2).ok()?;
            let bytes = bytes.get(..length)?.to_vec();
            let value = if kind % 2 == 0 { Value::Blob(bytes) } else { Value::Text(String::from_utf8(bytes).ok()?) };
            Some((value, length))
        }
        // Floating point, which no column of ours has, and reserved types.
        _ => None,
    }
}

/// A big-endian variable-length number (section 1.6), and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut value: u64 = 0;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((((value << 8) | u64::from(*byte)).cast_signed(), 9));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value.cast_signed(), index + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustix::fs::{MemfdFlags, memfd_create};

    use super::*;
    use crate::fuzz::fuzz;

    /// The bytes are a file of a few pages, the last one filled up.
    #[test]
    fn any_pages_give_rows_or_none_and_no_more_than_are_in_them() {
        fuzz!("pages", |input: &[u8]| {
            let mut bytes = input.to_vec();
            bytes.resize(input.len().next_multiple_of(PAGE_SIZE).clamp(PAGE_SIZE, 4 * PAGE_SIZE), 0);
            let mut file = File::from(memfd_create("pages", MemfdFlags::CLOEXEC).expect("memory"));
            file.write_all(&bytes).expect("written");
            let pages = (bytes.len() / PAGE_SIZE) as u64;
            let free = free_pages(&file, pages).expect("read");
            assert!(free.len() <= (pages as usize) * PAGE_SIZE / 4);
            for number in 1..=pages {
                for (_, values) in leaf_rows(&file, number).expect("read") {
                    assert!(values.len() <= PAGE_SIZE * 4);
                    assert!(table_of(&values).is_none_or(|table| table.columns == values.len()));
                }
            }
        });
    }
}
