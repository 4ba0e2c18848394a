//! Our words as D-Bus values: a task, a block reason, a change of state. The derives live here so that the model's types
//! are free to change.

use std::collections::BTreeMap;

use zbus::{SerializeDict, Type, Variant};

use crate::model::{
    Block, HistoryEntry, Reason, Standing, State, Status, Task, TaskChange, Transfer, UploadStrategy, WallTime,
};

/// An `a{sv}` made by hand.
pub(super) type Dictionary<'v> = BTreeMap<&'v str, Variant<'v>>;

/// A task as `Get` and `List` show it. Times are microseconds since the epoch, 0 = never.
#[derive(Debug, SerializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(super) struct TaskDict {
    id: String,
    strategy: String,
    state: &'static str,
    owner: u32,
    app: String,
    created: u64,
    due: u64,
    next: u64,
    finished: u64,
    attempts: u32,
    reasons: Vec<&'static str>,
    error: String,
    size: u64,
    done: u64,
    key: String,
    tags: Vec<String>,
    after: Vec<String>,
    expires: u64,
    result: ResultDict,
    started: Option<u64>,
    network: Option<&'static str>,
    charging: Option<bool>,
    min_battery: Option<u32>,
    rate: Option<u64>,
    chunk_size: Option<u32>,
    quality: Option<&'static str>,
    upload_strategy: Option<&'static str>,
}

/// What the server gave back; empty unless the task is done.
#[derive(Debug, Default, SerializeDict, Type)]
#[zbus(signature = "a{sv}")]
pub(super) struct ResultDict {
    url: Option<String>,
    status: Option<u32>,
    sent: Option<u64>,
    original: Option<u64>,
    quality: Option<&'static str>,
    original_task: Option<String>,
    duplicate: Option<bool>,
    body: Option<String>,
}

/// A task and why it does not go now.
pub(super) fn task(task: Task, reasons: &[Reason], status: &Status, now: WallTime) -> TaskDict {
    let next = next(&task, reasons, status, now);
    let error = match &task.standing {
        Standing::Failed { error, .. } => error.to_string(),
        Standing::Done { .. } | Standing::Cancelled { .. } | Standing::Pending { .. } | Standing::Running { .. } => {
            task.last_error
        }
    };
    let (due, started, finished) = match &task.standing {
        Standing::Pending { due, .. } => (due.as_micros(), None, 0),
        Standing::Running { started } => (0, Some(started.as_micros()), 0),
        Standing::Done { finished, .. } | Standing::Failed { finished, .. } | Standing::Cancelled { finished } => {
            (0, None, finished.as_micros())
        }
    };
    let state = task.standing.state();
    let transfer = status.running.get(&task.id).filter(|_| state == State::Running);
    let (done, result) = match task.standing {
        Standing::Done { result, .. } => {
            let file = result.upload;
            let result = ResultDict {
                status: Some(result.status.into()),
                sent: Some(file.as_ref().map_or(task.size, |file| file.sent)),
                original: Some(file.as_ref().map_or(task.size, |file| file.original)),
                quality: file.as_ref().map(|file| file.quality.as_str()),
                original_task: file.as_ref().and_then(|file| file.original_task).map(|id| id.to_string()),
                url: file.map(|file| file.url),
                duplicate: Some(result.duplicate),
                body: Some(result.body),
            };
            (task.size, result)
        }
        Standing::Pending { .. } | Standing::Running { .. } | Standing::Failed { .. } | Standing::Cancelled { .. } => {
            (transfer.map_or(0, |transfer| transfer.done), ResultDict::default())
        }
    };
    TaskDict {
        id: task.id.to_string(),
        strategy: task.strategy.to_string(),
        state: state.as_str(),
        owner: task.owner.0,
        app: task.app,
        created: task.created.as_micros(),
        due,
        next,
        finished,
        attempts: task.attempts,
        reasons: reasons.iter().map(|reason| reason.as_str()).collect(),
        error,
        size: task.size,
        done,
        key: task.key.unwrap_or_default(),
        tags: task.tags,
        after: task.after.iter().map(ToString::to_string).collect(),
        expires: micros(task.expires),
        result,
        started,
        network: task.overrides.network.map(|need| need.as_str()),
        charging: task.overrides.charging,
        min_battery: task.overrides.min_battery.map(|floor| floor.percent().into()),
        rate: transfer.map(Transfer::rate),
        chunk_size: transfer.map(|transfer| count(transfer.chunk)),
        quality: transfer.map(|transfer| transfer.quality.as_str()),
        upload_strategy: transfer.and_then(|transfer| transfer.upload).map(UploadStrategy::as_str),
    }
}

/// What can be said of a waiting task without asking the scheduler: what it waits for itself, and what holds its
/// strategy. Exact for a task that overrides no condition.
pub(super) fn reasons(task: &Task, status: &Status, now: WallTime) -> Vec<Reason> {
    let Standing::Pending { due, waits_for } = &task.standing else { return Vec::new() };
    let mut reasons = Vec::new();
    if !waits_for.is_empty() {
        reasons.push(Reason::Order);
    }
    if *due > now {
        reasons.push(Reason::Backoff);
    }
    if let Some(strategy) = status.strategies.get(&task.strategy) {
        let of_tasks = [Reason::Order, Reason::Backoff];
        reasons.extend(strategy.blocked.iter().filter(|reason| !of_tasks.contains(reason)));
    }
    reasons
}

/// When a waiting task is tried next, as far as a clock decides it; 0 if something else does.
fn next(task: &Task, reasons: &[Reason], status: &Status, now: WallTime) -> u64 {
    let Standing::Pending { due, .. } = &task.standing else { return 0 };
    let of_strategy = status.strategies.get(&task.strategy).and_then(|strategy| strategy.next_attempt);
    let next = if reasons.is_empty() { *due } else { of_strategy.unwrap_or_default().max(*due) };
    if next > now { next.as_micros() } else { 0 }
}

/// A row of `Explain`: `(stsa{sv})`.
pub(super) fn block(block: &Block) -> (&str, u64, &str, Dictionary<'_>) {
    let detail = block.detail.iter().map(|(name, text)| (name.as_str(), Variant::from(text.as_str()))).collect();
    (block.reason.as_str(), block.since.as_micros(), &block.clears, detail)
}

/// A line of a task's history as a row of `Explain`: its first word is `history`.
pub(super) fn history(entry: &HistoryEntry) -> (&str, u64, &str, Dictionary<'_>) {
    let detail = Dictionary::from([("event", entry.event.as_str().into()), ("detail", entry.detail.as_str().into())]);
    ("history", entry.at.as_micros(), "", detail)
}

/// The last argument of `StateChanged`.
pub(super) fn change(change: &TaskChange) -> Dictionary<'_> {
    Dictionary::from([
        ("from", change.from.map_or("", |state| state.as_str()).into()),
        ("owner", change.owner.0.into()),
        ("at", change.at.as_micros().into()),
        ("attempts", change.attempts.into()),
        ("error", change.error.as_str().into()),
    ])
}

/// The last argument of `Progress`.
pub(super) fn transfer(transfer: &Transfer) -> Dictionary<'_> {
    Dictionary::from([("rate", transfer.rate().into()), ("chunk_size", count(transfer.chunk).into())])
}

/// A time on the wire.
pub(super) fn micros(time: Option<WallTime>) -> u64 {
    time.map_or(0, WallTime::as_micros)
}

/// A count on the wire.
pub(super) fn count(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Reasons on the wire.
pub(super) fn words(reasons: &[Reason]) -> Vec<&'static str> {
    reasons.iter().map(|reason| reason.as_str()).collect()
}
