//! The law that every waiting task can be explained, and that the explanation is true: no reason too few, none too many.

use std::collections::BTreeSet;

use super::ledger::{Known, Stands};
use super::{Breach, Judge};
use crate::model::{Assume, Block, Now, Reason, TaskId};
use crate::schedule::memory::Memory;
use crate::sim::core::Core;

const LAW: &str = "every waiting task is explained, and truly";

/// The reasons that follow from the world, people, order and time; what is said of servers and slots is shown to be true by
/// granting it.
const KNOWN: &[Reason] = &[
    Reason::Offline,
    Reason::NoInternet,
    Reason::CaptivePortal,
    Reason::Metered,
    Reason::Roaming,
    Reason::NotWifi,
    Reason::NotCharging,
    Reason::LowBattery,
    Reason::PowerSave,
    Reason::Budget,
    Reason::Window,
    Reason::Clock,
    Reason::Suspending,
    Reason::Paused,
    Reason::Held,
    Reason::Order,
    Reason::Backoff,
];

/// Holds what the core says of one waiting task, when something is assumed, against what the ledger knows.
pub(in crate::sim) fn all_explained(
    judge: &Judge,
    core: &impl Core,
    (store, id): (&Memory, TaskId),
    assume: &Assume,
    now: Now,
) -> Result<Vec<Block>, Breach> {
    let broken = |words: String| Breach { law: LAW, words };
    let (Some(task), Some(known)) = (store.shown(id), judge.ledger.tasks.get(&id)) else {
        return Err(broken(format!("{id} is not there")));
    };
    let rows = core.explain(&task, assume, now);
    let supposed = *assume != Assume::default();
    if rows.is_empty() && !supposed {
        return Err(broken(format!("nothing is said of why {id} waits")));
    }
    let said: BTreeSet<Reason> = rows.iter().map(|row| row.reason).filter(|reason| KNOWN.contains(reason)).collect();
    let true_ones = truly(judge, known, store, assume, &said, now);
    // A battery that is being read is told of as low.
    let being_read = !rows.is_empty() && rows.iter().all(|row| row.reason == Reason::LowBattery);
    if said == true_ones || (being_read && true_ones.is_empty()) {
        return Ok(rows);
    }
    let what_if = if supposed { format!(", if {assume:?}") } else { String::new() };
    Err(broken(format!("{id} is said to wait for {said:?}, not {true_ones:?}{what_if}")))
}

fn truly(
    judge: &Judge,
    known: &Known,
    store: &Memory,
    assume: &Assume,
    said: &BTreeSet<Reason>,
    now: Now,
) -> BTreeSet<Reason> {
    let (ledger, group) = (&judge.ledger, known.group());
    let scene = match ledger.backend(&group) {
        Some(backend) => ledger.scene(now).supposing(assume, backend),
        None => ledger.scene(now),
    };
    let mut reasons = ledger.reasons(&group, &scene);
    if !ledger.waits_for(known).is_empty() {
        reasons.insert(Reason::Order);
    }
    if store.row(known.task.id).is_some_and(|row| row.due > now.wall) {
        reasons.insert(Reason::Backoff);
    }
    // A disk that could not be written, or had nothing yet, is asked again after a while. Its own time within a delay only
    // the core knows.
    let has_own_time = ledger.strategy(&group).is_some_and(|policy| !policy.randomized_delay.is_zero());
    if reasons.is_empty() && (has_own_time || ledger.resting.contains(&group)) {
        reasons.extend(said.get(&Reason::Backoff));
    }
    reasons
}

/// What is still owed to this device's apps: tasks that neither ended nor wait for one that failed.
pub(in crate::sim) fn are_owed(judge: &Judge) -> Vec<TaskId> {
    let ledger = &judge.ledger;
    let mut stuck: BTreeSet<TaskId> = BTreeSet::new();
    let mut owed = Vec::new();
    for known in ledger.alive.values().filter_map(|id| ledger.tasks.get(id)) {
        let waits_for = ledger.waits_for(known);
        let waits_for_failed = waits_for
            .iter()
            .any(|id| stuck.contains(id) || ledger.tasks.get(id).is_some_and(|other| other.stands == Stands::Failed));
        if waits_for_failed {
            stuck.insert(known.task.id);
        } else {
            owed.push(known.task.id);
        }
    }
    owed
}
