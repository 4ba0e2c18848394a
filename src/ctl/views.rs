//! What the daemon shows, as the commands show it: the JSON shapes of `docs/ferryctl.md`. Times are microseconds since the
//! epoch, as on D-Bus, with null for never.

use serde::Serialize;
use serde_json::{Map, Value};

use super::wire::Dictionary;

/// A task.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct TaskView {
    pub(super) id: String,
    pub(super) strategy: String,
    pub(super) state: String,
    pub(super) owner: u64,
    pub(super) app: Option<String>,
    pub(super) created: Option<u64>,
    pub(super) due: Option<u64>,
    pub(super) next: Option<u64>,
    pub(super) finished: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) attempts: u64,
    pub(super) reasons: Vec<String>,
    pub(super) error: Option<String>,
    pub(super) size: u64,
    pub(super) done: u64,
    pub(super) key: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) after: Vec<String>,
    pub(super) result: Option<Map<String, Value>>,
}

impl TaskView {
    pub(super) fn of(task: Value) -> Self {
        let task = Dictionary::of(task);
        let result = task.dictionary("result").into_inner();
        Self {
            id: task.text("id"),
            strategy: task.text("strategy"),
            state: task.text("state"),
            owner: task.number("owner"),
            app: task.some_text("app"),
            created: task.some_number("created"),
            due: task.some_number("due"),
            next: task.some_number("next"),
            finished: task.some_number("finished"),
            expires: task.some_number("expires"),
            attempts: task.number("attempts"),
            reasons: task.texts("reasons"),
            error: task.some_text("error"),
            size: task.number("size"),
            done: task.number("done"),
            key: task.some_text("key"),
            tags: task.texts("tags"),
            after: task.texts("after"),
            result: Some(result).filter(|result| !result.is_empty()),
        }
    }

    /// Whether nothing more will happen to it by itself.
    pub(super) fn has_ended(&self) -> bool {
        has_ended(&self.state)
    }
}

/// Whether a task in this state has come to an end.
pub(super) fn has_ended(state: &str) -> bool {
    matches!(state, "done" | "failed" | "cancelled")
}

/// A List.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ListView {
    pub(super) tasks: Vec<TaskView>,
    /// Whether there are more than asked for.
    pub(super) more: bool,
}

/// A row of an explanation, or of a history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct RowView {
    pub(super) reason: String,
    pub(super) since: Option<u64>,
    pub(super) clears: String,
    pub(super) detail: Map<String, Value>,
}

impl RowView {
    fn of(row: &Value) -> Self {
        let text = |index: usize| row.get(index).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            reason: text(0),
            since: row.get(1).and_then(Value::as_u64).filter(|since| *since > 0),
            clears: text(2),
            detail: Dictionary::of(row.get(3).cloned().unwrap_or_default()).into_inner(),
        }
    }

    /// Whether it tells of the past: such rows are marked in their detail.
    fn is_history(&self) -> bool {
        self.detail.get("history").and_then(Value::as_bool).unwrap_or_default()
    }
}

/// An Explain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ExplainView {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) reasons: Vec<RowView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) history: Option<Vec<RowView>>,
}

impl ExplainView {
    pub(super) fn of(task: &TaskView, rows: &Value, with_history: bool) -> Self {
        let rows = rows.as_array().into_iter().flatten().map(RowView::of);
        let (history, reasons): (Vec<_>, Vec<_>) = rows.partition(RowView::is_history);
        Self { id: task.id.clone(), state: task.state.clone(), reasons, history: with_history.then_some(history) }
    }
}

/// The name and time of the daemon's next wake.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct WakeView {
    pub(super) name: String,
    pub(super) at: u64,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct NetworkView {
    pub(super) connected: bool,
    pub(super) r#type: String,
    pub(super) interface: Option<String>,
    pub(super) connectivity: String,
    pub(super) metered: String,
    pub(super) ssid: Option<String>,
    pub(super) strength: Option<u64>,
    pub(super) frequency: Option<u64>,
    pub(super) subnet: Option<String>,
}

impl NetworkView {
    pub(super) fn of(properties: &Dictionary) -> Self {
        Self {
            connected: properties.flag("Connected"),
            r#type: properties.text("Type"),
            interface: properties.some_text("Interface"),
            connectivity: properties.text("Connectivity"),
            metered: properties.text("Metered"),
            ssid: properties.some_text("Ssid"),
            strength: properties.some_number("Strength"),
            frequency: properties.some_number("Frequency"),
            subnet: properties.some_text("Subnet"),
        }
    }
}

/// A strategy.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct StrategyView {
    pub(super) name: String,
    pub(super) priority: u64,
    pub(super) pending: u64,
    pub(super) running: u64,
    pub(super) failed: u64,
    pub(super) blocked: Vec<String>,
    pub(super) next_attempt: Option<u64>,
    pub(super) paused: bool,
}

impl StrategyView {
    fn of(properties: &Dictionary) -> Self {
        Self {
            name: properties.text("Name"),
            priority: properties.number("Priority"),
            pending: properties.number("Pending"),
            running: properties.number("Running"),
            failed: properties.number("Failed"),
            blocked: properties.texts("Blocked"),
            next_attempt: properties.some_number("NextAttempt"),
            paused: properties.flag("Paused"),
        }
    }
}

/// The whole daemon.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct StatusView {
    pub(super) version: String,
    pub(super) state: String,
    pub(super) paused: bool,
    pub(super) blocked: Vec<String>,
    pub(super) next_wake: Option<WakeView>,
    pub(super) transfers: u64,
    pub(super) network: NetworkView,
    pub(super) strategies: Vec<StrategyView>,
}

impl StatusView {
    /// From the properties of `Manager` and `Network`, and the objects of the root's ObjectManager.
    pub(super) fn of(manager: &Dictionary, network: &Dictionary, objects: &Dictionary) -> Self {
        let wake = manager.array("NextWake");
        let name = wake.first().and_then(Value::as_str).unwrap_or_default().to_owned();
        let at = wake.get(1).and_then(Value::as_u64).filter(|at| *at > 0);
        let interfaces = objects.keys().map(|path| objects.dictionary(path));
        let strategies = interfaces.filter(|interfaces| interfaces.has("org.ferryd.Ferry1.Strategy"));
        let strategies = strategies.map(|interfaces| interfaces.dictionary("org.ferryd.Ferry1.Strategy"));
        let mut strategies: Vec<_> = strategies.map(|properties| StrategyView::of(&properties)).collect();
        strategies.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        Self {
            version: manager.text("Version"),
            state: manager.text("State"),
            paused: manager.flag("Paused"),
            blocked: manager.texts("Blocked"),
            next_wake: at.map(|at| WakeView { name, at }),
            transfers: manager.number("Transfers"),
            network: NetworkView::of(network),
            strategies,
        }
    }
}

/// A line of `enqueue`: what became of one line of input, counted from 1.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum EnqueueView {
    /// On disk.
    Acknowledged { line: usize, id: String },
    /// Refused.
    Refused { line: usize, error: String },
    /// Nobody knows: the daemon went away.
    Unacknowledged { line: usize, unacknowledged: bool },
}

/// A line of `enqueue --wait`: how a task ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct EndView {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) error: Option<String>,
}

/// How many tasks a command changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct CountView {
    pub(super) count: u64,
}

/// A line of `watch`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum WatchView {
    /// A task moved.
    Task { at: u64, id: String, strategy: String, state: String, detail: Map<String, Value> },
    /// Properties changed: the object's last path element and the interface's.
    Changed { at: u64, object: String, interface: String, properties: Map<String, Value> },
    /// Signals were dropped: what is shown has a gap.
    Lagged { at: u64, count: u64 },
    /// The daemon came or went.
    Daemon { at: u64, present: bool },
}
