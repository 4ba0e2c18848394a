//! Settings, and the options after a reload.

use rusqlite::params;

use super::super::Options;
use super::super::error::StoreError;
use super::super::operation::{Fault, Operation};
use super::super::work::Work;

/// Keeps or removes a setting.
pub(in crate::store) struct PutSetting {
    pub(in crate::store) name: &'static str,
    pub(in crate::store) value: Option<String>,
}

impl Operation for PutSetting {
    type Answer = ();
    type Refusal = StoreError;

    const DOING: &'static str = "keeping a setting";

    fn run(&self, work: &mut Work<'_>) -> Result<(), Fault<StoreError>> {
        match &self.value {
            Some(value) => work
                .conn
                .prepare_cached("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)")?
                .execute(params![self.name, value])?,
            None => work.conn.prepare_cached("DELETE FROM setting WHERE name = ?")?.execute([self.name])?,
        };
        Ok(())
    }
}

/// Takes other options.
pub(in crate::store) struct Configure(pub(in crate::store) Options);

impl Operation for Configure {
    type Answer = ();
    type Refusal = StoreError;

    const DOING: &'static str = "taking other options";

    fn run(&self, work: &mut Work<'_>) -> Result<(), Fault<StoreError>> {
        work.options.clone_from(&self.0);
        Ok(())
    }
}
