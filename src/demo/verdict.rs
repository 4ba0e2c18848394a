//! Compares what was handed over with what the server holds.

use std::collections::BTreeMap;
use std::fmt;

use super::log::Received;

/// What was handed over: by client, the acknowledged ids and payloads in order.
pub(super) type HandedOver = BTreeMap<String, Vec<(String, String)>>;

/// The comparison's outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    tasks: usize,
    /// Requests' items beyond the first of each task: sent again, applied once.
    repeats: usize,
    differences: Vec<String>,
}

impl Verdict {
    /// Whether the server holds exactly what was handed over, each once and in order.
    pub(super) fn is_whole(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_whole() {
            return write!(
                f,
                "the server holds all {} tasks, each applied once and in order ({} sent again after a kill)",
                self.tasks, self.repeats
            );
        }
        write!(f, "the server does not hold what was handed over:")?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

/// Judges by the server's log alone.
pub(super) fn compare(handed_over: &HandedOver, received: &[Received]) -> Verdict {
    let mut differences = Vec::new();
    let mut expected = BTreeMap::new();
    for (client, tasks) in handed_over {
        let item = |id: &str| received.iter().find(|item| item.id == id);
        let order = tasks.iter().filter_map(|(id, _)| item(id)?.applied);
        if !order.is_sorted() {
            differences.push(format!("{client}: tasks of one key were applied out of order"));
        }
        expected.extend(tasks.iter().map(|(id, payload)| (id.as_str(), payload.as_str())));
    }
    for (id, payload) in &expected {
        match received.iter().find(|item| item.id == *id) {
            None => differences.push(format!("lost: {id} {payload}")),
            Some(item) if item.payload != *payload || item.changed => {
                differences.push(format!("changed: {id} was {payload}, arrived as {}", item.payload));
            }
            Some(item) if item.applied.is_none() => differences.push(format!("arrived, but was not applied: {id}")),
            Some(_) => {}
        }
    }
    let strangers = received.iter().filter(|item| !expected.contains_key(item.id.as_str()));
    differences.extend(strangers.map(|item| format!("never handed over: {} {}", item.id, item.payload)));
    let repeats = received.iter().map(|item| item.seen.saturating_sub(1) as usize).sum();
    Verdict { tasks: expected.len(), repeats, differences }
}
