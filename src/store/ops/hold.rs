//! Holding a share of the quota for a file before its bytes are copied.

use super::super::error::EnqueueError;
use super::super::operation::{Fault, Operation};
use super::super::row::Row;
use super::super::spool::{Incoming, Portion};
use super::super::sql::column;
use super::super::work::Work;
use super::quota::{self, Asked};
use super::request;

/// Holds it until the task is there, or will not be. Nothing of it is on disk.
pub(in crate::store) struct Hold {
    pub(in crate::store) task: Incoming,
    pub(in crate::store) size: u64,
}

impl Operation for Hold {
    type Answer = ();
    type Refusal = EnqueueError;

    const DOING: &'static str = "taking a file";
    const ADDS: bool = true;
    const DURABLE: bool = false;

    fn run(&self, work: &mut Work<'_>) -> Result<(), Fault<EnqueueError>> {
        let Incoming { id, owner, app, request_id, replaces } = &self.task;
        if let Some(name) = request_id
            && let Some(earlier) = request::earlier(work, *owner, name)?
        {
            // The same call again adds nothing, so it needs no share; one of another size need not even be read.
            return match Row::find(work.conn, earlier.id)? {
                Some(row) if row.size != column(self.size) => {
                    Err(Fault::Refused(EnqueueError::RequestConflict { id: earlier.id }))
                }
                Some(_) | None => Ok(()),
            };
        }
        quota::check(work, &Asked { id: *id, owner: *owner, app, size: self.size, replaces: replaces.as_deref() })?;
        let portion = Portion { owner: *owner, app: app.clone(), bytes: self.size, replaces: replaces.clone() };
        work.held.hold(*id, portion);
        Ok(())
    }
}
