//! A task's row, as the writer sees it.

use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow};

use super::books::AccountId;
use super::sql::{id_from, ids_from};
use crate::model::{BatteryFloor, Failure, LaneId, NetworkNeed, Overrides, Owner, State, TaskId, Waivers};

/// Where a task stands, as the `state` column says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits.
    Pending = 0,
    /// An attempt has it.
    Running = 1,
    /// The server has it.
    Done = 2,
    /// A dead letter.
    Failed = 3,
    /// Taken back.
    Cancelled = 4,
    /// Taken back while an attempt has it: shown as cancelled, but its key waits until the attempt is settled.
    Withdrawn = 5,
}

impl Phase {
    const ALL: [Self; 6] = [Self::Pending, Self::Running, Self::Done, Self::Failed, Self::Cancelled, Self::Withdrawn];

    /// The phase with this number.
    pub(super) fn of(number: i64) -> Result<Self> {
        let known = Self::ALL.into_iter().find(|phase| phase.number() == number);
        known.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number))
    }

    /// The number in the `state` column.
    pub(super) const fn number(self) -> i64 {
        self as i64
    }

    /// What people see.
    pub(super) const fn state(self) -> State {
        match self {
            Self::Pending => State::Pending,
            Self::Running => State::Running,
            Self::Done => State::Done,
            Self::Failed => State::Failed,
            Self::Cancelled | Self::Withdrawn => State::Cancelled,
        }
    }
}

/// What deciding needs of a task.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) id: TaskId,
    pub(super) owner: Owner,
    pub(super) account: AccountId,
    pub(super) lane: LaneId,
    pub(super) phase: Phase,
    pub(super) behind: bool,
    pub(super) deps: i64,
    pub(super) attempts: u32,
    pub(super) crashes: u32,
    pub(super) due: i64,
    pub(super) expires: Option<i64>,
    pub(super) size: i64,
    pub(super) key: Option<String>,
    pub(super) after: Vec<TaskId>,
}

impl Row {
    /// The columns that [`read`](Self::read) expects, and how many there are.
    pub(super) const COLUMNS: &str = "seq, id, owner, account, lane, state, behind, deps, attempts, crashes, due, \
                                      expires, size, key, after";
    pub(super) const WIDTH: usize = 15;

    /// Whether it waits for no other task.
    pub(super) fn is_ready(&self) -> bool {
        self.phase == Phase::Pending && !self.behind && self.deps == 0
    }

    /// The task of this id.
    pub(super) fn find(conn: &Connection, id: TaskId) -> Result<Option<Self>> {
        conn.prepare_cached(&format!("SELECT {} FROM task WHERE id = ?", Self::COLUMNS))?
            .query_row([id.as_bytes()], Self::read)
            .optional()
    }

    /// The task of this number.
    pub(super) fn get(conn: &Connection, seq: i64) -> Result<Self> {
        conn.prepare_cached(&format!("SELECT {} FROM task WHERE seq = ?", Self::COLUMNS))?.query_row([seq], Self::read)
    }

    /// Reads a row that begins with [`COLUMNS`](Self::COLUMNS).
    pub(super) fn read(row: &SqlRow<'_>) -> Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: id_from(row, 1)?,
            owner: Owner(row.get(2)?),
            account: AccountId(row.get(3)?),
            lane: LaneId(row.get(4)?),
            phase: Phase::of(row.get(5)?)?,
            behind: row.get(6)?,
            deps: row.get(7)?,
            attempts: row.get(8)?,
            crashes: row.get(9)?,
            due: row.get(10)?,
            expires: row.get(11)?,
            size: row.get(12)?,
            key: row.get(13)?,
            after: row.get_ref(14)?.as_blob_or_null()?.map(ids_from).unwrap_or_default(),
        })
    }
}

/// A failure's number in the `failure` column.
pub(super) const fn failure_number(failure: Failure) -> i64 {
    match failure {
        Failure::Rejected => 1,
        Failure::Conflict => 2,
        Failure::Exhausted => 3,
        Failure::Expired => 4,
        Failure::Dependency => 5,
        Failure::Crashed => 6,
    }
}

/// The failure with this number.
pub(super) fn failure_from(number: i64) -> Result<Failure> {
    let known = Failure::ALL.iter().copied().find(|failure| failure_number(*failure) == number);
    known.ok_or(rusqlite::Error::IntegralValueOutOfRange(0, number))
}

/// The columns of a lane that [`overrides_from_row`] reads.
macro_rules! overrides_columns {
    () => {
        "lane.network, lane.charging, lane.min_battery, (SELECT waived FROM waiver WHERE waiver.lane = lane.id)"
    };
}
pub(super) use overrides_columns;

/// The overrides in the four columns of [`overrides_columns`], from `index` on.
pub(super) fn overrides_from_row(row: &SqlRow<'_>, index: usize) -> Result<Overrides> {
    let network = row.get_ref(index)?.as_str_or_null()?.and_then(NetworkNeed::parse);
    let min_battery = row.get::<_, Option<u8>>(index + 2)?.and_then(BatteryFloor::new);
    let waived = row.get_ref(index + 3)?.as_str_or_null()?.map(Waivers::parse).unwrap_or_default();
    Ok(Overrides { network, charging: row.get(index + 1)?, min_battery, waived })
}
