//! What must hold of every device at every step, whatever its world does: one function a law. A law looks at what has just
//! happened and at the [`Ledger`], and never at the core.

mod answers;
mod explained;
mod ledger;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) use explained::{all_explained, are_owed};

use super::seen::{Seen, Witness};
use crate::model::{Claimed, Config, Failure, ItemOutcome, Kind, Now, Settlement, StrategyName, TaskId};
use crate::schedule::Wake;
use crate::schedule::memory::Memory;
use ledger::{Known, Ledger, Stands};

/// A law and how it is judged.
struct Law {
    name: &'static str,
    judge: fn(&Ledger, &Seen<'_>, Now) -> Result<(), String>,
}

/// Every law that is judged at each step. Two more are judged by [`life`](super::life): everything drains, and what is said
/// of a waiting task is true.
const LAWS: &[Law] = &[
    Law { name: "nothing acknowledged is lost", judge: nothing_is_lost },
    Law { name: "nothing is done twice", judge: nothing_is_done_twice },
    Law { name: "tasks of one key go in order", judge: keys_go_in_order },
    Law { name: "after is respected", judge: after_is_respected },
    Law { name: "only the server's word about a task counts", judge: only_the_server_counts },
    Law { name: "conditions are never broken", judge: conditions_hold },
    Law { name: "nobody starves", judge: nobody_starves },
    Law { name: "every wake has a reason", judge: wakes_have_a_reason },
];

/// A law that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breach {
    /// Which.
    pub law: &'static str,
    /// How.
    pub words: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.words)
    }
}

/// Judges all that happens, and keeps the first breach.
#[derive(Debug)]
pub(in crate::sim) struct Judge {
    ledger: Ledger,
    breach: Option<Breach>,
    tell: Option<Tell>,
}

/// Takes note of what a judge sees, for people.
pub type Tell = fn(&Seen<'_>, Now);

impl Judge {
    /// A judge of a device with this configuration, who may tell what he sees.
    pub(in crate::sim) fn new(config: Arc<Config>, tell: Option<Tell>) -> Self {
        Self { ledger: Ledger::new(config), breach: None, tell }
    }

    /// The first breach.
    pub(in crate::sim) fn breach(&self) -> Option<&Breach> {
        self.breach.as_ref()
    }
}

impl Witness for Judge {
    fn see(&mut self, seen: &Seen<'_>, now: Now) {
        if let Some(tell) = self.tell {
            tell(seen, now);
        }
        self.ledger.pass(now);
        let broken = LAWS.iter().find_map(|law| {
            let words = (law.judge)(&self.ledger, seen, now).err()?;
            Some(Breach { law: law.name, words })
        });
        self.breach = self.breach.take().or(broken);
        self.ledger.note(seen, now);
    }
}

/// A task is in the queue until it has ended, it runs only while an attempt has it, and it is done only when the server has
/// it, failed only when the server, or its own end, said so.
fn nothing_is_lost(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    if let Seen::Settled(settlements) = seen {
        settlements.iter().try_for_each(|(id, settlement)| {
            let known = ledger.tasks.get(id).ok_or_else(|| format!("{id} is settled and was never handed over"))?;
            ends_rightly(ledger, known, settlement)
        })?;
    }
    let Seen::AtRest { store, unwritten } = seen else { return Ok(()) };
    is_kept(ledger, store, unwritten)
}

fn ends_rightly(ledger: &Ledger, known: &Known, settlement: &Settlement) -> Result<(), String> {
    let id = known.task.id;
    let most = ledger.config.strategies.get(&known.task.strategy).map_or(1, |strategy| strategy.max_attempts);
    let refused = matches!(known.word, Some(ItemOutcome::Rejected { .. } | ItemOutcome::Conflict { .. }));
    match settlement {
        Settlement::Done(_) if !known.taken => Err(format!("{id} is done, and the server does not have it")),
        Settlement::Failed(error) => match error.failure {
            Failure::Exhausted if known.counted + 1 < most => {
                Err(format!("{id} failed after {} of {most} attempts", known.counted + 1))
            }
            Failure::Rejected | Failure::Conflict if !refused => Err(format!("{id} failed, and nobody refused it")),
            Failure::Rejected
            | Failure::Conflict
            | Failure::Exhausted
            | Failure::Expired
            | Failure::Dependency
            | Failure::Crashed => Ok(()),
        },
        Settlement::Done(_) | Settlement::Retry { .. } | Settlement::Advanced { .. } | Settlement::Release { .. } => {
            Ok(())
        }
    }
}

fn is_kept(ledger: &Ledger, store: &Memory, unwritten: &BTreeSet<TaskId>) -> Result<(), String> {
    for known in ledger.alive.values().filter_map(|id| ledger.tasks.get(id)) {
        let id = known.task.id;
        let state = store.state(id).ok_or_else(|| format!("{id} is gone"))?;
        let expected = match known.stands {
            Stands::Runs(attempt) if !ledger.is_under_way(attempt) && !unwritten.contains(&id) => {
                return Err(format!("{id} runs, and no attempt has it"));
            }
            Stands::Runs(_) => crate::model::State::Running,
            Stands::Waits => crate::model::State::Pending,
            Stands::Withdrawn(_) | Stands::Done | Stands::Failed | Stands::Cancelled => continue,
        };
        if state != expected {
            return Err(format!("{id} is {state}, not {expected}"));
        }
    }
    Ok(())
}

/// No task is in two attempts, and none goes again of which the server has told us that it has it.
fn nothing_is_done_twice(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    each_started(ledger, seen, |known, _| {
        let id = known.task.id;
        let told = matches!(known.word, Some(ItemOutcome::Ok(_) | ItemOutcome::Duplicate));
        match known.stands {
            Stands::Waits if told => Err(format!("{id} goes again, and the server has told that it has it")),
            Stands::Waits => Ok(()),
            Stands::Runs(other) | Stands::Withdrawn(other) => {
                Err(format!("{id} goes while attempt {} has it", other.0))
            }
            Stands::Done | Stands::Failed | Stands::Cancelled => Err(format!("{id} goes, and has ended")),
        }
    })
}

/// A task goes only when all that were handed over before it under its key have ended.
fn keys_go_in_order(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    each_started(ledger, seen, |known, _| {
        let before = known.task.key.iter().flat_map(|_| ledger.ahead_of(known)).next();
        match before {
            Some(before) => Err(format!("{} goes before {}", known.task.id, before.task.id)),
            None => Ok(()),
        }
    })
}

/// A task goes only when all that it comes after are done; one retried by hand goes also when they were taken back.
fn after_is_respected(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    each_started(ledger, seen, |known, _| {
        let mut after = known.task.after.iter().filter_map(|id| ledger.tasks.get(id));
        let gone = |other: &Known| matches!(other.stands, Stands::Cancelled | Stands::Withdrawn(_));
        let waived = |other: &Known| known.by_hand && gone(other);
        match after.find(|other| other.stands != Stands::Done && !waived(other)) {
            Some(other) => {
                Err(format!("{} goes before {} is done, which is {:?}", known.task.id, other.task.id, other.stands))
            }
            None => Ok(()),
        }
    })
}

/// An attempt is counted when the server asked for another for this very task; nothing else is.
fn only_the_server_counts(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    each_started(ledger, seen, |known, claimed| match known.counted == claimed.attempts {
        true => Ok(()),
        false => Err(format!("{} has {} attempts, not {}", known.task.id, claimed.attempts, known.counted)),
    })?;
    let Seen::Settled(settlements) = seen else { return Ok(()) };
    settlements.iter().try_for_each(|(id, settlement)| {
        let asked = ledger.tasks.get(id).is_some_and(|known| matches!(known.word, Some(ItemOutcome::Retry { .. })));
        let counts = match settlement {
            Settlement::Retry { .. } => true,
            Settlement::Failed(error) => error.failure == Failure::Exhausted,
            Settlement::Done(_) | Settlement::Release { .. } | Settlement::Advanced { .. } => false,
        };
        if counts && !asked { Err(format!("an attempt of {id} is counted without the server's word")) } else { Ok(()) }
    })
}

/// Nothing starts, and no request goes on the wire, while a condition of its tasks is missing: not one metered byte that was
/// not allowed. Nothing starts while it is paused or held.
fn conditions_hold(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    each_started(ledger, seen, |known, _| {
        let reasons = ledger.reasons(&known.group());
        if reasons.is_empty() { Ok(()) } else { Err(format!("{} goes in spite of {reasons:?}", known.task.id)) }
    })?;
    let Seen::Request { attempt } = seen else { return Ok(()) };
    let Some(trip) = ledger.trips.get(attempt) else { return Ok(()) };
    let Some(strategy) = ledger.strategy(&trip.group) else { return Ok(()) };
    let missing = ledger.missing(&strategy.conditions.with(&trip.group.1), ledger.network(&trip.group));
    if missing.is_empty() { Ok(()) } else { Err(format!("attempt {} sends in spite of {missing:?}", attempt.0)) }
}

/// A lane that has lacked nothing but a slot for longer than its `max_wait` gets the next one.
fn nobody_starves(ledger: &Ledger, seen: &Seen<'_>, now: Now) -> Result<(), String> {
    let Seen::Started { strategy, tasks, .. } = seen else { return Ok(()) };
    if waited_long(ledger, strategy, tasks, now) {
        return Ok(());
    }
    let (running, files) = ledger.running();
    let most = ledger.config.limits.max_concurrent;
    for (group, since) in &ledger.crowded_since {
        let Some(policy) = ledger.strategy(group) else { continue };
        let fits = running < most && (policy.kind == Kind::Json || files + 1 < most);
        let asks_for_charge = policy.conditions.with(&group.1).min_battery.percent() > 0;
        let waited = ledger.waits_for_a_slot(group, *since, now);
        let starves = policy.max_wait.is_some_and(|most| waited > most + Duration::from_secs(1));
        let own = tasks.iter().filter_map(|task| ledger.tasks.get(&task.id)).any(|known| known.group() == *group);
        let sought = ledger.hunted.contains(group) || ledger.resting.contains(group);
        if starves && fits && !own && !asks_for_charge && !sought && ledger.is_free(group) {
            return Err(format!("{strategy} goes, and {} has waited {} s for a slot", group.0, waited.as_secs()));
        }
    }
    Ok(())
}

/// Whether these tasks may themselves go before others, for having waited.
fn waited_long(ledger: &Ledger, strategy: &StrategyName, tasks: &[Claimed], now: Now) -> bool {
    let most = ledger.config.strategies.get(strategy).and_then(|strategy| strategy.max_wait);
    let due = tasks.iter().filter_map(|task| ledger.tasks.get(&task.id)).map(|known| known.due).min();
    most.zip(due).is_some_and(|(most, due)| now.wall.saturating_since(due) * 2 > most)
}

/// Something comes of every wake, and an hour has few more than what happened in it explains.
fn wakes_have_a_reason(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    let Seen::Woke { wake, moved } = seen else { return Ok(()) };
    let allowed = 100 + 5 * ledger.hour.events;
    if ledger.hour.wakes > allowed {
        return Err(format!("{} wakes in an hour with {} other events", ledger.hour.wakes, ledger.hour.events));
    }
    match wake {
        Wake::TaskDue
        | Wake::BackendProbe
        | Wake::HoldEnds
        | Wake::LinkGrace
        | Wake::SleepLimit
        | Wake::ReachProbe
        | Wake::Tidy
        | Wake::SettleAgain => {
            if *moved {
                Ok(())
            } else {
                Err(format!("{} woke the device for nothing", wake.as_str()))
            }
        }
        // What ends may have been all that hindered, or not; a battery may take its time, and a link need not matter.
        Wake::PauseEnds | Wake::LinkSettles | Wake::ReadPower | Wake::Window | Wake::BudgetDay | Wake::SlowLink => {
            Ok(())
        }
    }
}

fn each_started(
    ledger: &Ledger,
    seen: &Seen<'_>,
    judge: impl Fn(&Known, &Claimed) -> Result<(), String>,
) -> Result<(), String> {
    let Seen::Started { tasks, .. } = seen else { return Ok(()) };
    tasks.iter().try_for_each(|claimed| match ledger.tasks.get(&claimed.id) {
        Some(known) => judge(known, claimed),
        None => Err(format!("{} goes, and was never handed over", claimed.id)),
    })
}
