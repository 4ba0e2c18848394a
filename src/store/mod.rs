//! Floor 2: the queue on disk. One thread owns the write connection and commits in groups; readers have their own.

use std::future::Future;
use std::path::Path;

use crate::model::{
    Claimed, CountsByStrategy, Enqueued, Filter, HistoryEntry, LaneId, LaneSummary, NewTask, Owner, Page, Quotas,
    Settlement, State, StoreNews, Task, TaskId, WallTime,
};
