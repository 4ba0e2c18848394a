//! What must hold of every device at every step, whatever its world does: one function a law. A law looks at what has just
//! happened and at the [`Ledger`], and never at the core.

mod answers;
mod explained;
mod ledger;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(super) use explained::{all_explained, are_owed};

use super::seen::{Seen, Witness};
use crate::model::{Claimed, Config, Failure, ItemOutcome, Kind, Now, Reason, Settlement, State, StrategyName, TaskId};
use crate::schedule::memory::Memory;
use crate::schedule::{Spending, Wake};
use ledger::{Decided, Known, Ledger, Stands};

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
    if let Seen::Ended { id, failure: Some(Failure::Crashed), .. } = seen {
        let found = ledger.tasks.get(id).map_or(0, |known| known.found);
        if found < GIVEN_UP_AT {
            return Err(format!("{id} is given up, and was found running {found} times"));
        }
    }
    let Seen::AtRest { store, between } = seen else { return Ok(()) };
    is_kept(ledger, store, between)
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
        Settlement::Done(_)
        | Settlement::Retry { .. }
        | Settlement::Advanced { .. }
        | Settlement::Postponed { .. }
        | Settlement::Release { .. } => Ok(()),
    }
}

fn is_kept(ledger: &Ledger, store: &Memory, between: &BTreeSet<TaskId>) -> Result<(), String> {
    for known in ledger.alive.values().filter_map(|id| ledger.tasks.get(id)) {
        let id = known.task.id;
        let state = store.state(id).ok_or_else(|| format!("{id} is gone"))?;
        let expected = match known.stands {
            Stands::Runs(attempt) if !ledger.is_under_way(attempt) && !between.contains(&id) => {
                return Err(format!("{id} runs, and no attempt has it"));
            }
            Stands::HandedTo(attempt) if !between.contains(&id) => {
                return Err(format!("{id} was handed over, and attempt {} never began", attempt.0));
            }
            Stands::Runs(_) | Stands::HandedTo(_) => State::Running,
            Stands::Waits if known.found >= GIVEN_UP_AT => {
                return Err(format!("{id} was found running {} times, and is not given up", known.found));
            }
            Stands::Waits => State::Pending,
            Stands::Withdrawn(_) | Stands::Done | Stands::Failed | Stands::Cancelled => continue,
        };
        if state != expected {
            return Err(format!("{id} is {state}, not {expected}"));
        }
    }
    Ok(())
}

/// A task that as many starts have found running, without another end in between, is a dead letter.
const GIVEN_UP_AT: u32 = 3;

/// No task is in two attempts, and none goes again of which the server has told us that it has it.
fn nothing_is_done_twice(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    let Seen::Started { attempt, .. } = seen else { return Ok(()) };
    each_started(ledger, seen, |known, _| {
        let id = known.task.id;
        let told = matches!(known.word, Some(ItemOutcome::Ok(_) | ItemOutcome::Duplicate));
        match known.stands {
            Stands::Waits | Stands::HandedTo(_) if told => {
                Err(format!("{id} goes again, and the server has told that it has it"))
            }
            Stands::Waits | Stands::HandedTo(_) => Ok(()),
            // It was taken back while the core had not heard that it was handed over.
            Stands::Withdrawn(own) if own == *attempt => Ok(()),
            Stands::Runs(other) | Stands::Withdrawn(other) => {
                Err(format!("{id} goes while attempt {} has it", other.0))
            }
            Stands::Done | Stands::Failed | Stands::Cancelled => Err(format!("{id} goes, and has ended")),
        }
    })
}

/// A task's turn comes only when all that were enqueued before it under its key have ended.
fn keys_go_in_order(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    each_handed_over(ledger, seen, |known| match ledger.ahead_of(known).next() {
        Some(before) => Err(format!("{} goes before {}", known.task.id, before.task.id)),
        None => Ok(()),
    })
}

/// A task's turn comes only when all that it comes after are done; of one retried by hand also when they were taken back.
fn after_is_respected(ledger: &Ledger, seen: &Seen<'_>, _: Now) -> Result<(), String> {
    each_handed_over(ledger, seen, |known| {
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
            Settlement::Done(_)
            | Settlement::Release { .. }
            | Settlement::Advanced { .. }
            | Settlement::Postponed { .. } => false,
        };
        if counts && !asked { Err(format!("an attempt of {id} is counted without the server's word")) } else { Ok(()) }
    })
}

/// Nothing starts, and no request goes on the wire, while a condition of its tasks is missing: not one metered byte that was
/// not allowed. Nothing starts while it is paused or held. What was spent of a budget outlasts the daemon, but for the last.
fn conditions_hold(ledger: &Ledger, seen: &Seen<'_>, now: Now) -> Result<(), String> {
    let scene = ledger.scene(now);
    each_started(ledger, seen, |known, _| {
        let reasons = ledger.reasons(&known.group(), &scene);
        if reasons.is_empty() { Ok(()) } else { Err(format!("{} goes in spite of {reasons:?}", known.task.id)) }
    })?;
    if let Seen::Restarted { spent } = seen {
        return is_remembered(ledger, spent);
    }
    let Seen::Request { attempt } = seen else { return Ok(()) };
    let Some(trip) = ledger.trips.get(attempt) else { return Ok(()) };
    let mut missing = ledger.missing(&trip.group, &scene);
    if missing.contains(&Reason::Window) && !ledger.has_long_been_closed(&trip.group, now) {
        missing.remove(&Reason::Window);
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("attempt {} sends in spite of {missing:?}", attempt.0)) }
}

/// So many bytes may leave before it is written how many.
const UNWRITTEN: u64 = 256 * 1024;

fn is_remembered(ledger: &Ledger, kept: &BTreeMap<StrategyName, Spending>) -> Result<(), String> {
    ledger.spent.each().try_for_each(|(strategy, day, bytes)| {
        let known = kept.get(strategy).filter(|kept| kept.day >= day).map_or(0, |kept| kept.bytes);
        if known + UNWRITTEN >= bytes {
            return Ok(());
        }
        Err(format!("of {bytes} metered bytes that {strategy} has spent, {known} are known after a start"))
    })
}

/// For so long a core may not have heard from the slowest disk that a task is there, and that one was handed over.
const UNHEARD: Duration = Duration::from_secs(9);

/// A lane that has lacked nothing but a slot for longer than its `max_wait` gets the next one.
fn nobody_starves(ledger: &Ledger, seen: &Seen<'_>, now: Now) -> Result<(), String> {
    let Seen::Started { attempt, strategy, tasks } = seen else { return Ok(()) };
    if waited_long(ledger, strategy, tasks, now) {
        return Ok(());
    }
    let Some(Decided { running, files, waits }) = ledger.decided.get(attempt) else { return Ok(()) };
    let most = ledger.config.limits.max_concurrent;
    for (group, since) in &ledger.crowded_since {
        let Some(waited) = waits.get(group) else { continue };
        let Some(policy) = ledger.strategy(group) else { continue };
        let fits = *running < most && (policy.kind == Kind::Json || files + 1 < most);
        let asks_for_charge = policy.conditions.with(&group.1).min_battery.percent() > 0;
        let waited = ledger.waits_for_a_slot(group, *since, now).min(*waited);
        // Its own time within a delay only the core knows.
        let unknown = UNHEARD + policy.randomized_delay;
        let starves = policy.max_wait.is_some_and(|most| waited > most + unknown);
        let own = tasks.iter().filter_map(|task| ledger.tasks.get(&task.id)).any(|known| known.group() == *group);
        let sought = ledger.hunted.contains(group) || ledger.resting.contains(group);
        if starves && fits && !own && !asks_for_charge && !sought && ledger.is_free(group, now) {
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
        | Wake::RandomizedDelay
        | Wake::HoldEnds
        | Wake::LinkGrace
        | Wake::SleepLimit
        | Wake::ReachProbe
        | Wake::Tidy
        | Wake::SettleAgain => {
            // By a clock that was slewed it may have come a little early.
            if *moved || ledger.slewed { Ok(()) } else { Err(format!("{} woke the device for nothing", wake.as_str())) }
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

fn each_handed_over(
    ledger: &Ledger,
    seen: &Seen<'_>,
    judge: impl Fn(&Known) -> Result<(), String>,
) -> Result<(), String> {
    let Seen::HandedOver { tasks, .. } = seen else { return Ok(()) };
    tasks.iter().filter_map(|claimed| ledger.tasks.get(&claimed.id)).try_for_each(judge)
}
