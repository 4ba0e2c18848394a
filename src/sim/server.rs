//! The servers that devices send to: what they have taken, and how they are at a time. One mood holds for all devices of a
//! fleet; what a server has of one device concerns no other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::clock::at;
use crate::model::{Answer, Claimed, ItemOutcome, ItemResult, Moment, Payload, TaskId, TaskResult, Uploaded};

/// How a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    /// It takes what comes.
    Well,
    /// It does not answer.
    Down,
    /// It turns requests away with this status, and may say for how many seconds.
    Busy(u16, Option<u32>),
    /// It answers so many seconds late.
    Late(u32),
    /// It refuses every credential.
    Locked,
    /// It stumbles over every request.
    Broken,
    /// Somebody else answers in its place.
    Foreign,
    /// It has lost what it had of uploads that are under way.
    Forgetful,
}

impl Mood {
    const BAD: [Self; 9] = [
        Self::Down,
        Self::Busy(503, None),
        Self::Busy(503, Some(30)),
        Self::Busy(429, Some(120)),
        Self::Late(20),
        Self::Locked,
        Self::Broken,
        Self::Foreign,
        Self::Forgetful,
    ];
}

/// How a server is from each of some moments on.
pub(super) type Moods = Arc<[(Moment, Mood)]>;

/// A server that is well but for about one spell in `spell` seconds, each of up to a third of that.
pub(super) fn moody(random: &mut Rng, length: f64, spell: f64) -> Moods {
    let mut moods = vec![(Moment::default(), Mood::Well)];
    let mut time = random.f64() * spell;
    while time < length {
        let mood = Mood::BAD[random.usize(0..Mood::BAD.len())];
        moods.push((at(time), mood));
        time += 1.0 + random.f64() * spell / 3.0;
        moods.push((at(time), Mood::Well));
        time += 1.0 + random.f64() * spell;
    }
    moods.into()
}

/// A server that is always so.
pub(super) fn always(mood: Mood) -> Moods {
    Arc::new([(Moment::default(), mood)])
}

/// What one device's server has.
#[derive(Debug)]
pub(super) struct Server {
    moods: Moods,
    /// Whether it refuses single items, or wants them again.
    picky: bool,
    taken: BTreeSet<TaskId>,
    /// What it has of uploads.
    offsets: BTreeMap<TaskId, u64>,
}

impl Server {
    /// A server of these moods.
    pub(super) fn new(moods: Moods, picky: bool) -> Self {
        Self { moods, picky, taken: BTreeSet::new(), offsets: BTreeMap::new() }
    }

    /// From now on it takes what comes.
    pub(super) fn recover(&mut self) {
        self.moods = always(Mood::Well);
        self.picky = false;
    }

    /// From now on it stays as it is.
    pub(super) fn stay(&mut self, now: Moment) {
        self.moods = always(self.mood(now));
    }

    fn mood(&self, now: Moment) -> Mood {
        let later = self.moods.partition_point(|(from, _)| *from <= now);
        later.checked_sub(1).map_or(Mood::Well, |last| self.moods[last].1)
    }

    /// How long it thinks.
    pub(super) fn latency(&self, now: Moment) -> Duration {
        match self.mood(now) {
            Mood::Late(seconds) => Duration::from_secs(seconds.into()),
            Mood::Well
            | Mood::Down
            | Mood::Busy(..)
            | Mood::Locked
            | Mood::Broken
            | Mood::Foreign
            | Mood::Forgetful => Duration::from_millis(20),
        }
    }

    /// How much it has of an upload.
    pub(super) fn offset(&self, task: TaskId) -> u64 {
        self.offsets.get(&task).copied().unwrap_or(0)
    }

    /// An upload is begun anew.
    pub(super) fn restart(&mut self, task: TaskId) {
        self.offsets.remove(&task);
    }

    /// A chunk of a file broke off after so many bytes.
    pub(super) fn take_part(&mut self, task: &Claimed, bytes: u64, now: Moment) {
        if self.turned_away(now).is_none() {
            *self.offsets.entry(task.id).or_default() += bytes;
        }
    }

    /// A chunk of a file has arrived; `Err` is the answer that ends the attempt.
    pub(super) fn take_chunk(&mut self, task: &Claimed, bytes: u64, now: Moment) -> Result<(), Answer> {
        if self.mood(now) == Mood::Forgetful && self.offsets.remove(&task.id).is_some() {
            return Err(Answer::Unreachable { words: "the upload is unknown".to_owned() });
        }
        self.turned_away(now).map_or(Ok(()), Err)?;
        let offset = self.offset(task.id) + bytes;
        self.offsets.insert(task.id, offset);
        let size = task.payload.size();
        if offset < size {
            return Ok(());
        }
        Err(Answer::Results(vec![self.judge(task, Some(size))]))
    }

    /// A request with JSON tasks has arrived.
    pub(super) fn take(&mut self, tasks: &[Claimed], now: Moment) -> Answer {
        if let Some(answer) = self.turned_away(now) {
            return answer;
        }
        if self.picky && tasks.iter().any(|task| digest(task.id) % 97 == 13) {
            return Answer::Status { code: 422, words: "unprocessable".to_owned(), retry_after: None };
        }
        Answer::Results(tasks.iter().map(|task| self.judge(task, None)).collect())
    }

    /// Whether it has a task.
    pub(super) fn has(&self, task: TaskId) -> bool {
        self.taken.contains(&task)
    }

    /// Whether it accepts no connection.
    pub(super) fn is_deaf(&self, now: Moment) -> bool {
        self.mood(now) == Mood::Down
    }

    /// What it says to everybody, if it takes nothing.
    pub(super) fn turned_away(&self, now: Moment) -> Option<Answer> {
        let status = |code, seconds: Option<u32>| {
            let retry_after = seconds.map(|seconds| Duration::from_secs(seconds.into()));
            Some(Answer::Status { code, words: String::new(), retry_after })
        };
        match self.mood(now) {
            Mood::Well | Mood::Late(_) | Mood::Forgetful => None,
            Mood::Down => Some(Answer::Unreachable { words: "connection refused".to_owned() }),
            Mood::Busy(code, seconds) => status(code, seconds),
            Mood::Locked => status(401, None),
            Mood::Broken => status(500, None),
            Mood::Foreign => Some(Answer::Foreign { words: "HTML".to_owned() }),
        }
    }

    fn judge(&mut self, task: &Claimed, file: Option<u64>) -> ItemResult {
        let (id, reason) = (task.id, String::new());
        let outcome = match digest(id) % 97 {
            _ if self.has(id) => ItemOutcome::Duplicate,
            1 | 2 if self.picky => ItemOutcome::Rejected { reason },
            3 if self.picky => ItemOutcome::Conflict { reason },
            4..9 if self.picky && task.attempts == 0 => ItemOutcome::Retry { after: None, reason },
            9 if self.picky => ItemOutcome::Retry { after: Some(Duration::from_secs(40)), reason },
            _ => {
                self.taken.insert(id);
                let upload = file.map(|size| Uploaded { sent: size, original: size, ..Uploaded::default() });
                ItemOutcome::Ok(TaskResult { status: 200, duplicate: false, body: String::new(), upload })
            }
        };
        ItemResult { id, outcome }
    }
}

/// A number that only the task decides: a server judges it the same whenever it comes.
fn digest(task: TaskId) -> u64 {
    let (high, low) = task.as_bytes().split_at(8);
    let word = |bytes: &[u8]| bytes.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    // Fibonacci hashing: Knuth, The Art of Computer Programming, volume 3, section 6.4.
    (word(high) ^ word(low)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32
}

/// Whether it carries a file.
pub(super) fn is_file(task: &Claimed) -> bool {
    match task.payload {
        Payload::File(_) => true,
        Payload::Json(_) => false,
    }
}
