//! What the daemon shows, as the commands show it: the JSON shapes of `docs/ferryctl.md`. Times are microseconds since the
//! epoch, as on D-Bus, with null for never.

#[cfg(feature = "tools")]
use std::collections::BTreeMap;

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
    pub(super) started: Option<u64>,
    pub(super) finished: Option<u64>,
    pub(super) expires: Option<u64>,
    pub(super) attempts: u64,
    pub(super) reasons: Vec<String>,
    pub(super) error: Option<String>,
    pub(super) size: u64,
    pub(super) done: u64,
    pub(super) rate: Option<u64>,
    pub(super) chunk_size: Option<u64>,
    pub(super) key: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) after: Vec<String>,
    pub(super) network: Option<String>,
    pub(super) charging: Option<bool>,
    pub(super) min_battery: Option<u64>,
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
            started: task.some_number("started"),
            finished: task.some_number("finished"),
            expires: task.some_number("expires"),
            attempts: task.number("attempts"),
            reasons: task.texts("reasons"),
            error: task.some_text("error"),
            size: task.number("size"),
            done: task.number("done"),
            rate: task.has("rate").then(|| task.number("rate")),
            chunk_size: task.has("chunk_size").then(|| task.number("chunk_size")),
            key: task.some_text("key"),
            tags: task.texts("tags"),
            after: task.texts("after"),
            network: task.some_text("network"),
            charging: task.has("charging").then(|| task.flag("charging")),
            min_battery: task.has("min_battery").then(|| task.number("min_battery")),
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

/// A reason to wait.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ReasonView {
    pub(super) reason: String,
    pub(super) since: Option<u64>,
    pub(super) clears: String,
    pub(super) detail: Map<String, Value>,
}

/// A line of a task's history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct EventView {
    pub(super) at: Option<u64>,
    pub(super) event: String,
    pub(super) detail: String,
}

/// An Explain.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ExplainView {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) reasons: Vec<ReasonView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) history: Option<Vec<EventView>>,
}

/// What Explain calls a row that tells of the past.
const HISTORY: &str = "history";

impl ExplainView {
    /// From the rows `(stsa{sv})` of an Explain.
    pub(super) fn of(task: &TaskView, rows: &Value, with_history: bool) -> Self {
        let (mut reasons, mut history) = (Vec::new(), Vec::new());
        for row in rows.as_array().into_iter().flatten() {
            let text = |index: usize| row.get(index).and_then(Value::as_str).unwrap_or_default().to_owned();
            let at = row.get(1).and_then(Value::as_u64).filter(|at| *at > 0);
            let detail = Dictionary::of(row.get(3).cloned().unwrap_or_default());
            if text(0) == HISTORY {
                history.push(EventView { at, event: detail.text("event"), detail: detail.text("detail") });
            } else {
                reasons.push(ReasonView { reason: text(0), since: at, clears: text(2), detail: detail.into_inner() });
            }
        }
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

/// The device's power.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct PowerView {
    pub(super) external: bool,
    pub(super) charging: bool,
    /// `None` without a battery.
    pub(super) battery_percent: Option<f64>,
    pub(super) power_save: bool,
}

impl PowerView {
    pub(super) fn of(properties: &Dictionary) -> Self {
        Self {
            external: properties.flag("ExternalPower"),
            charging: properties.flag("Charging"),
            battery_percent: properties.flag("BatteryPresent").then(|| properties.real("BatteryPercent")),
            power_save: properties.flag("PowerSave"),
        }
    }
}

/// What the network bears; `None` for what is not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct BandwidthView {
    /// Mbit/s, both.
    pub(super) upload_speed: Option<f64>,
    pub(super) download_speed: Option<f64>,
    /// Milliseconds.
    pub(super) latency: Option<f64>,
    /// 0 to 1; `None` if nothing was measured.
    pub(super) reliability: Option<f64>,
    pub(super) upload_strategy: String,
    pub(super) measured: Option<u64>,
}

impl BandwidthView {
    pub(super) fn of(properties: &Dictionary) -> Self {
        let known = |name: &str| Some(properties.real(name)).filter(|value| *value > 0.0);
        let measured = properties.some_number("MeasuredAt");
        Self {
            upload_speed: known("UploadSpeed"),
            download_speed: known("DownloadSpeed"),
            latency: known("Latency"),
            reliability: measured.map(|_| properties.real("Reliability")),
            upload_strategy: properties.text("UploadStrategy"),
            measured,
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
    pub(super) budget_used: u64,
    pub(super) budget_limit: Option<u64>,
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
            budget_used: properties.number("BudgetUsed"),
            budget_limit: properties.some_number("BudgetLimit"),
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
    pub(super) power: PowerView,
    pub(super) bandwidth: BandwidthView,
    pub(super) strategies: Vec<StrategyView>,
}

impl StatusView {
    /// From the properties of the root's interfaces, and the objects of its ObjectManager.
    pub(super) fn of(
        manager: &Dictionary,
        network: &Dictionary,
        power: &Dictionary,
        bandwidth: &Dictionary,
        objects: &Dictionary,
    ) -> Self {
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
            power: PowerView::of(power),
            bandwidth: BandwidthView::of(bandwidth),
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

/// A line of `put`: what became of one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum PutView {
    /// Safe in the spool.
    Acknowledged { file: String, id: String },
    /// Not to be read, or refused.
    Refused { file: String, error: String },
    /// Nobody knows: the daemon went away.
    Unacknowledged { file: String, unacknowledged: bool },
}

/// A line of `enqueue --wait` and `put --wait`: how a task ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct EndView {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) error: Option<String>,
    /// With `put`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
}

/// How many tasks a command changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct CountView {
    pub(super) count: u64,
}

/// How a check of `doctor` went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, or will by itself; not all of it.
    Warning,
    /// It does not work.
    Problem,
    /// Not to be seen, most often by this user.
    Unknown,
}

/// A line of `doctor`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct CheckView {
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    pub(super) words: String,
    pub(super) mend: Option<String>,
}

/// A line of `watch`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum WatchView {
    /// A task moved.
    Task { at: u64, id: String, strategy: String, state: String, detail: Map<String, Value> },
    /// More of a task's file has arrived: bytes, and bytes a second.
    Progress { at: u64, id: String, done: u64, total: u64, rate: u64, chunk_size: u64 },
    /// What the network bears was measured: Mbit/s up of late, oldest first, and as in `status`.
    Bandwidth { at: u64, speeds: Vec<f64>, bandwidth: BandwidthView },
    /// Properties changed: the object's last path element and the interface's.
    Changed { at: u64, object: String, interface: String, properties: Map<String, Value> },
    /// Signals were dropped: what is shown has a gap.
    Lagged { at: u64, count: u64 },
    /// The daemon came or went.
    Daemon { at: u64, present: bool },
}

/// A line of `bend`.
#[cfg(feature = "tools")]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(super) enum BendView {
    /// It listens there, and passes on to there.
    Listening { address: String, to: String, seed: u64, now: BentView },
    /// The scenario has changed the link.
    Changed { now: BentView },
    /// An order was followed.
    Followed { order: String, connections: usize, now: BentView },
    /// A line was no order.
    Refused { order: String, error: String },
}

/// What a bent network is like.
#[cfg(feature = "tools")]
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct BentView {
    pub(super) scenario: &'static str,
    pub(super) up: bool,
    pub(super) cut: bool,
    pub(super) portal: bool,
    #[serde(rename = "type")]
    pub(super) link: &'static str,
    pub(super) metered: &'static str,
    /// Milliseconds, all three.
    pub(super) round_trip: u64,
    pub(super) jitter: u64,
    pub(super) next: u64,
    /// Bytes a second, both.
    pub(super) up_rate: u64,
    pub(super) down_rate: u64,
    pub(super) reliability: f64,
}

/// What `simulate` counted.
#[cfg(feature = "tools")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct SimulationView {
    pub(super) scenario: &'static str,
    pub(super) days: u32,
    pub(super) devices: u64,
    pub(super) tasks_per_day: u32,
    pub(super) seed: u64,
    pub(super) queues: Vec<QueueView>,
}

/// What `simulate --compare` counted: each scenario with all queues.
#[cfg(feature = "tools")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ComparisonView {
    pub(super) simulations: Vec<SimulationView>,
}

/// What the devices did with one kind of queue.
#[cfg(feature = "tools")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct QueueView {
    /// `ferry`, `fifo` or `patient`.
    pub(super) queue: &'static str,
    pub(super) strategies: Vec<FateView>,
    /// Bytes that went up, by type of network.
    pub(super) bytes: BTreeMap<&'static str, u64>,
    /// Seconds.
    pub(super) radio_on: u64,
    /// Deadlines that came, by name.
    pub(super) wakes: BTreeMap<&'static str, u64>,
    pub(super) requests: u64,
    /// Requests in the busiest second.
    pub(super) peak: u32,
}

/// What became of a strategy's tasks.
#[cfg(feature = "tools")]
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct FateView {
    pub(super) name: String,
    pub(super) tasks: u64,
    pub(super) done: u64,
    pub(super) lost: u64,
    /// Milliseconds until they were at the server, both; null without tasks.
    pub(super) median: Option<u64>,
    pub(super) p99: Option<u64>,
}
