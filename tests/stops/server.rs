//! A server in memory that honours task ids and keeps a log: the judge's only witness.

use std::collections::BTreeMap;
use std::time::Duration;

use ferryd::model::{Answer, AttemptId, Claimed, ItemOutcome, ItemResult, Now, TaskId, TaskResult};

/// What the server does with a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Takes it.
    Takes,
    /// Asks for it again this many times, then takes it.
    AsksAgain(u32),
    /// Never takes it, and says so.
    Rejects,
    /// Fails with status 500 on every request that carries it.
    Stumbles,
}

/// How a request fares on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It arrives, and so does its answer.
    Fair,
    /// It arrives, and its answer is lost.
    AnswerLost,
    /// A proxy answers 503 and asks for two seconds of silence.
    Unavailable,
    /// Nobody listens.
    Refused,
}

/// A request in the log.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// When it was made.
    pub(crate) at: Now,
    /// How it fared.
    pub(crate) weather: Weather,
    /// What it carried, if it arrived.
    pub(crate) arrived: Vec<Arrival>,
    /// The tasks of other requests that were open when it was made.
    pub(crate) beside: Vec<TaskId>,
}

/// A task in a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// Which.
    pub(crate) task: TaskId,
    /// Whether the server has it from now on.
    pub(crate) taken: bool,
}

/// What the server knows of one task.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// Its payload, as it first arrived.
    pub(crate) payload: String,
    /// How often it was applied.
    pub(crate) applied: u32,
    /// How often the server asked for it again, by name or because it came alone.
    asked_again: u32,
    /// How often the device got to know so.
    pub(crate) told: u32,
}

/// Whether the server recognises what it has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// A task that comes again is a duplicate.
    Honours,
    /// Every arrival is applied.
    Forgets,
}

/// The server.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// Requests in the order they were made.
    pub(crate) log: Vec<Request>,
    /// What it knows, by task.
    pub(crate) held: BTreeMap<TaskId, Held>,
    memory: Memory,
    manners: BTreeMap<TaskId, Manner>,
    weather: fn(usize, Now) -> Weather,
    open: BTreeMap<AttemptId, Vec<TaskId>>,
}

impl Server {
    /// A server in this weather, which is told the request's place in the log and the time.
    pub(crate) fn new(memory: Memory, weather: fn(usize, Now) -> Weather) -> Self {
        Self {
            log: Vec::new(),
            held: BTreeMap::new(),
            memory,
            manners: BTreeMap::new(),
            weather,
            open: BTreeMap::new(),
        }
    }

    /// What it will do with a task.
    pub(crate) fn treat(&mut self, task: TaskId, manner: Manner) {
        self.manners.insert(task, manner);
    }

    /// Takes a request and says what comes back. It is open until [`close`](Self::close).
    pub(crate) fn serve(&mut self, attempt: AttemptId, tasks: &[Claimed], now: Now) -> Answer {
        let weather = (self.weather)(self.log.len(), now);
        let beside = self.open.values().flatten().copied().collect();
        self.open.insert(attempt, tasks.iter().map(|task| task.id).collect());
        let answer = match weather {
            Weather::Fair => self.answer(tasks, 1),
            Weather::AnswerLost => {
                self.answer(tasks, 0);
                Answer::Unreachable { words: "connection reset".to_owned() }
            }
            Weather::Unavailable => {
                let retry_after = Some(Duration::from_secs(2));
                Answer::Status { code: 503, words: "maintenance".to_owned(), retry_after }
            }
            Weather::Refused => Answer::Unreachable { words: "connection refused".to_owned() },
        };
        let arrived = match weather {
            Weather::Fair | Weather::AnswerLost => tasks.iter().map(|task| self.arrival(task.id)).collect(),
            Weather::Unavailable | Weather::Refused => Vec::new(),
        };
        self.log.push(Request { at: now, weather, arrived, beside });
        answer
    }

    fn arrival(&self, task: TaskId) -> Arrival {
        Arrival { task, taken: self.held.get(&task).is_some_and(|held| held.applied > 0) }
    }

    /// The device has the answer, or hung up.
    pub(crate) fn close(&mut self, attempt: AttemptId) {
        self.open.remove(&attempt);
    }

    /// The device died: every request ends.
    pub(crate) fn close_all(&mut self) {
        self.open.clear();
    }

    /// Applies what it takes; `told` is 1 if the device will get the answer.
    fn answer(&mut self, tasks: &[Claimed], told: u32) -> Answer {
        for task in tasks {
            let held = self.held.entry(task.id).or_default();
            if held.payload.is_empty() {
                held.payload.replace_range(.., task.payload.json());
            }
        }
        if tasks.iter().any(|task| self.manner(task.id) == Manner::Stumbles) {
            if let [lone] = tasks {
                self.held.entry(lone.id).or_default().told += told;
            }
            return Answer::Status { code: 500, words: "stumbled".to_owned(), retry_after: None };
        }
        let results = tasks.iter().map(|task| ItemResult { id: task.id, outcome: self.take(task.id, told) });
        Answer::Results(results.collect())
    }

    fn manner(&self, task: TaskId) -> Manner {
        self.manners.get(&task).copied().unwrap_or(Manner::Takes)
    }

    fn take(&mut self, task: TaskId, told: u32) -> ItemOutcome {
        let manner = self.manner(task);
        let held = self.held.entry(task).or_default();
        if held.applied > 0 && self.memory == Memory::Honours {
            return ItemOutcome::Duplicate;
        }
        match manner {
            Manner::AsksAgain(times) if held.asked_again < times => {
                held.asked_again += 1;
                held.told += told;
                ItemOutcome::Retry { after: None, reason: "not yet".to_owned() }
            }
            Manner::Rejects => ItemOutcome::Rejected { reason: "never".to_owned() },
            Manner::Takes | Manner::AsksAgain(_) | Manner::Stumbles => {
                held.applied += 1;
                ItemOutcome::Ok(TaskResult { status: 200, duplicate: false, body: String::new(), upload: None })
            }
        }
    }
}
