//! Tasks to measure with.

use std::time::{SystemTime, UNIX_EPOCH};

use ferryd::model::{NewTask, OnExisting, Overrides, Owner, StrategyName, TaskId, WallTime};

/// The size of every payload, in bytes.
pub(crate) const PAYLOAD: usize = 300;

/// A JSON object of [`PAYLOAD`] bytes that names `number`.
pub(crate) fn payload(number: usize) -> String {
    let mut text = format!(r#"{{"number":{number},"text":""#);
    let left = PAYLOAD - text.len() - 2;
    text.extend("the quick brown fox jumps over the lazy dog ".chars().cycle().take(left));
    text.push_str(r#""}"#);
    text
}

/// A task of the strategy, number `number`, of our own user.
pub(crate) fn new_task(strategy: &StrategyName, number: usize) -> NewTask {
    NewTask {
        id: TaskId::mint(),
        owner: Owner(rustix::process::getuid().as_raw()),
        app: "budgets".to_owned(),
        strategy: strategy.clone(),
        overrides: Overrides::default(),
        payload: payload(number).into(),
        key: None,
        on_existing: OnExisting::Append,
        after: Vec::new(),
        tags: Vec::new(),
        expires: None,
        request_id: None,
        created: wall_now(),
    }
}

/// The wall clock.
pub(crate) fn wall_now() -> WallTime {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    WallTime::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}
