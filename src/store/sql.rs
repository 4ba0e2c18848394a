//! Between SQLite's numbers and ours.

use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};

use crate::model::{StrategyName, TaskId, WallTime};

/// A wall time as a column; one beyond SQLite's range is the greatest there is.
pub(super) fn micros(time: WallTime) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// A column as a wall time.
pub(super) fn wall(micros: i64) -> WallTime {
    WallTime::from_micros(count(micros))
}

/// A duration as a difference of columns.
pub(super) fn span(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// A counter as a number; counters are never negative.
pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A number as a column or a limit; one beyond SQLite's range is the greatest there is.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Makes sure that an UPDATE or DELETE of one row changed one row.
pub(super) fn one_row(changed: usize) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(Error::StatementChangedRows(changed)) }
}

/// A task's id from a column.
pub(super) fn id_from(row: &Row<'_>, index: usize) -> Result<TaskId> {
    Ok(TaskId::from_bytes(row.get(index)?))
}

/// A strategy's name from a column.
pub(super) fn strategy_from(row: &Row<'_>, index: usize) -> Result<StrategyName> {
    let name = row.get_ref(index)?.as_str()?;
    StrategyName::new(name).map_err(|error| Error::FromSqlConversionFailure(index, Type::Text, Box::new(error)))
}

/// The ids in an `after` column.
pub(super) fn ids_from(bytes: &[u8]) -> Vec<TaskId> {
    bytes.as_chunks().0.iter().map(|id| TaskId::from_bytes(*id)).collect()
}

/// An `after` column of these ids; `None` for none.
pub(super) fn ids_column(ids: &[TaskId]) -> Option<Vec<u8>> {
    if ids.is_empty() { None } else { Some(ids.iter().flat_map(|id| *id.as_bytes()).collect()) }
}

/// The text, cut to at most `limit` bytes at a character's edge.
pub(super) fn clip(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_characters_edge() {
        for (limit, cut) in [(0, ""), (1, "a"), (2, "a"), (3, "aä"), (4, "aä"), (5, "aä"), (6, "aä€"), (99, "aä€")]
        {
            assert_eq!(clip("aä€", limit), cut, "{limit}");
        }
    }
}
