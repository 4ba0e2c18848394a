//! Cursors: where a List goes on. Opaque to callers, good after a restart, and told from what somebody made up.

use rusqlite::{Connection, OptionalExtension, Result};

/// What makes cursors of one database recognisable: drawn when it is made, kept in `meta`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CursorKey(i64);

impl CursorKey {
    /// Reads the key.
    pub(super) fn read(conn: &Connection) -> Result<Self> {
        conn.query_row("SELECT value FROM meta WHERE name = 'cursor_key'", [], |row| row.get(0)).map(Self)
    }

    /// Makes sure that there is a key.
    pub(super) fn make(conn: &Connection, random: &mut fastrand::Rng) -> Result<()> {
        let known: Option<i64> =
            conn.query_row("SELECT value FROM meta WHERE name = 'cursor_key'", [], |row| row.get(0)).optional()?;
        if known.is_none() {
            conn.execute("INSERT INTO meta (name, value) VALUES ('cursor_key', ?)", [random.i64(..)])?;
        }
        Ok(())
    }

    /// The cursor of the page that starts after this number.
    pub(super) fn cursor(self, seq: i64) -> String {
        format!("{seq:x}-{:08x}", self.check(seq))
    }

    /// The number in a cursor that [`cursor`](Self::cursor) gave.
    pub(super) fn seq(self, cursor: &str) -> Option<i64> {
        let seq = i64::from_str_radix(cursor.split_once('-')?.0, 16).ok()?;
        (self.cursor(seq) == cursor).then_some(seq)
    }

    /// 32 bits that go with the number: the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
    /// Number Generators, 2014). It keeps out mistakes; a forged cursor shows its maker nothing that is not his.
    fn check(self, seq: i64) -> u32 {
        let mut mixed = (seq ^ self.0).cast_unsigned();
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    #[test]
    fn a_cursor_reads_back_and_made_up_ones_do_not() {
        let key = CursorKey(0x1234_5678_9abc_def0);
        for seq in [0, 1, 77, i64::MAX] {
            assert_eq!(key.seq(&key.cursor(seq)), Some(seq));
        }
        let good = key.cursor(77);
        for bad in ["", "-", "1", "4d", "4d-", "4d-00000000", "zz-00000000", &good.to_uppercase(), &format!("0{good}")]
        {
            assert!(bad == good || key.seq(bad).is_none(), "{bad}");
        }
        assert_eq!(CursorKey(1).seq(&good), None);
    }

    #[test]
    fn any_cursor_that_is_taken_is_one_that_was_given() {
        fuzz!("cursor", |input: &[u8]| {
            let (key, text) = (CursorKey(77), String::from_utf8_lossy(input));
            if let Some(seq) = key.seq(&text) {
                assert_eq!(key.cursor(seq), text);
            }
        });
    }
}
