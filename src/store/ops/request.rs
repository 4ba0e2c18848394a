//! `request_id`: a repeated call finds what the first one did.

use rusqlite::{OptionalExtension, Result, params};

use super::super::payload;
use super::super::sql::{id_from, micros};
use super::super::work::Work;
use crate::model::{NewTask, Owner, TaskId};

/// What an earlier call with the same `request_id` asked for.
pub(super) struct Earlier {
    /// The task that answered it.
    pub(super) id: TaskId,
    /// See [`content`].
    pub(super) content: [u8; 16],
}

/// The earlier call of this owner with this `request_id`, as long as its task is kept.
pub(super) fn earlier(work: &Work<'_>, owner: Owner, name: &str) -> Result<Option<Earlier>> {
    work.conn
        .prepare_cached(
            "SELECT task.id, content FROM request JOIN task ON task.seq = request.task
             WHERE request.owner = ? AND name = ?",
        )?
        .query_row(params![owner.0, name], |row| Ok(Earlier { id: id_from(row, 0)?, content: row.get(1)? }))
        .optional()
}

/// Remembers which task answered this call.
pub(super) fn remember(work: &Work<'_>, new: &NewTask, task: i64) -> Result<()> {
    if let Some(name) = &new.request_id {
        work.conn
            .prepare_cached("INSERT INTO request (owner, name, task, content) VALUES (?, ?, ?, ?)")?
            .execute(params![new.owner.0, name, task, content(new)])?;
    }
    Ok(())
}

/// A hash of what a call asks for: two calls with one `request_id` and other contents are a conflict. It is 128-bit
/// FNV-1a, <http://www.isthe.com/chongo/tech/comp/fnv/>, and lies on disk: it must never change. Nobody gains by a
/// collision, since the ids are the caller's own.
pub(super) fn content(new: &NewTask) -> [u8; 16] {
    let mut hash = Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
    hash.text(new.strategy.as_str());
    hash.text(&payload::to_text(&new.payload));
    hash.option(new.key.as_deref());
    hash.option(new.overrides.network.map(|need| need.as_str()));
    hash.option(new.overrides.charging.map(|charging| if charging { "yes" } else { "no" }));
    hash.number(new.overrides.min_battery.map_or(u64::MAX, |floor| u64::from(floor.percent())));
    hash.number(new.after.len() as u64);
    new.after.iter().for_each(|id| hash.bytes(id.as_bytes()));
    hash.number(new.tags.len() as u64);
    new.tags.iter().for_each(|tag| hash.text(tag));
    hash.text(&new.app);
    hash.number(new.expires.map_or(u64::MAX, |expires| micros(expires).cast_unsigned()));
    hash.text(new.on_existing.as_str());
    hash.0.to_be_bytes()
}

struct Fnv(u128);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn option(&mut self, text: Option<&str>) {
        self.bytes(&[u8::from(text.is_some())]);
        self.text(text.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut hash = Fnv(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        hash.bytes(b"foobar");
        // From the reference's test vectors.
        assert_eq!(hash.0, 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }
}
