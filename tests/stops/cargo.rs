//! What an app hands over, and how each task must end.

use ferryd::model::{Failure, NewTask, Now, OnExisting, Overrides, Owner, StrategyName, TaskId};

use super::server::Manner;

/// How a task must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Done, and applied on the server once.
    Carried,
    /// A dead letter, and never applied.
    Dead(Failure),
    /// Pending for good, behind a dead letter.
    Waits,
}

/// A task, what the server does with it, and how it must end.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    /// As handed over.
    pub(crate) task: NewTask,
    /// What the server does with it.
    pub(crate) manner: Manner,
    /// How it must end.
    pub(crate) end: End,
}

impl Piece {
    /// The `number`th task of a run: taken by the server, with no conditions of its own.
    pub(crate) fn new(number: u16, strategy: &str, now: Now) -> Self {
        let task = NewTask {
            id: id(number),
            owner: Owner(1000),
            app: "test".to_owned(),
            strategy: StrategyName::new(strategy).expect("a name"),
            overrides: Overrides::default(),
            payload: format!(r#"{{"n":{number}}}"#).into(),
            key: None,
            on_existing: OnExisting::Append,
            after: Vec::new(),
            tags: Vec::new(),
            expires: None,
            request_id: None,
            created: now.wall,
        };
        Self { task, manner: Manner::Takes, end: End::Carried }
    }
}

/// The id of the `number`th task: version 7 in its form, the same in every run.
pub(crate) fn id(number: u16) -> TaskId {
    let [high, low] = number.to_be_bytes();
    TaskId::from_bytes([1, 0x93, 0, 0, high, low, 0x70, 0, 0x80, 0, 0, 0, 0, 0, high, low])
}
