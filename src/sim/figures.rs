//! What is counted of simulated devices, and how many of them become one report. The order in which devices are added
//! makes no difference.

use std::collections::BTreeMap;
use std::time::Duration;

use super::seen::{Seen, Witness};
use crate::model::{LinkType, Moment, NewTask, Now, Settlement, StrategyName, TaskId};
use crate::schedule::Wake;

/// A cellular radio stays up so long after the last byte: the tail of LTE's connected state, about 10 s in the field (Huang
/// and others, "A Close Examination of Performance and Power Characteristics of 4G LTE Networks", MobiSys 2012).
const TAIL: Duration = Duration::from_secs(10);

/// Lengths of time, counted in buckets that are 1/64 wide of where they begin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    counts: Vec<u64>,
}

impl Spread {
    const STEPS: u64 = 64;

    fn add(&mut self, length: Duration) {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let octave = (millis / Self::STEPS).checked_ilog2().map_or(0, |octave| octave + 1);
        let within = if octave == 0 { millis } else { (millis >> (octave - 1)) - Self::STEPS };
        let bucket = (u64::from(octave) * Self::STEPS + within) as usize;
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
    }

    fn and(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// The length that this share of all does not exceed, to about 1 %; `None` of nothing.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.counts.iter().sum();
        let wanted = ((all as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Self::length(bucket))
    }

    /// Each length that occurred, ascending, and the share of all that does not exceed it.
    pub fn shares(&self) -> impl Iterator<Item = (Duration, f64)> {
        let all: u64 = self.counts.iter().sum();
        let mut seen = 0;
        let occurred = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        occurred.map(move |(bucket, count)| {
            seen += count;
            (Self::length(bucket), seen as f64 / all as f64)
        })
    }

    /// Where a bucket begins.
    fn length(bucket: usize) -> Duration {
        let (octave, within) = (bucket as u64 / Self::STEPS, bucket as u64 % Self::STEPS);
        Duration::from_millis(if octave == 0 { within } else { (within + Self::STEPS) << (octave - 1) })
    }
}

/// What became of a strategy's tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fate {
    /// Handed over.
    pub tasks: u64,
    /// The server has them, and the device knows.
    pub done: u64,
    /// Given up although nobody refused them.
    pub lost: u64,
    /// From the handing over until the device knew that the server has it; of a task that never came so far, until the end.
    pub staleness: Spread,
}

/// What one device or many did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// By strategy.
    pub strategies: BTreeMap<StrategyName, Fate>,
    /// Bytes that went up, by kind of link.
    pub bytes: BTreeMap<LinkType, u64>,
    /// How long cellular radios were up, their tails included.
    pub radio_on: Duration,
    /// Deadlines that came, by name.
    pub wakes: BTreeMap<Wake, u64>,
    /// Requests that went out.
    pub requests: u64,
    /// Of them, in each second since the beginning in which there was one.
    per_second: BTreeMap<u64, u32>,
}

impl Figures {
    /// These and those.
    pub fn and(mut self, other: &Self) -> Self {
        for (name, theirs) in &other.strategies {
            let mine = self.strategies.entry(name.clone()).or_default();
            (mine.tasks, mine.done, mine.lost) =
                (mine.tasks + theirs.tasks, mine.done + theirs.done, mine.lost + theirs.lost);
            mine.staleness.and(&theirs.staleness);
        }
        for (link, bytes) in &other.bytes {
            *self.bytes.entry(*link).or_default() += bytes;
        }
        self.radio_on += other.radio_on;
        for (wake, times) in &other.wakes {
            *self.wakes.entry(*wake).or_default() += times;
        }
        self.requests += other.requests;
        for (second, requests) in &other.per_second {
            *self.per_second.entry(*second).or_default() += requests;
        }
        self
    }

    /// Requests from one second since the beginning to another.
    #[cfg(test)]
    pub(super) fn requests_in(&self, seconds: std::ops::Range<u64>) -> u32 {
        self.per_second.range(seconds).map(|(_, requests)| requests).sum()
    }

    /// All deadlines that came.
    pub fn all_wakes(&self) -> u64 {
        self.wakes.values().sum()
    }

    /// The most requests in one second.
    pub fn peak(&self) -> u32 {
        self.per_second.values().copied().max().unwrap_or(0)
    }
}

/// Counts what one device does.
#[derive(Debug, Default)]
pub(super) struct Counter {
    figures: Figures,
    /// Tasks that are not done.
    open: BTreeMap<TaskId, (StrategyName, Moment)>,
    radio_until: Moment,
}

impl Counter {
    /// All that was counted, when the device ends at `end`.
    pub(super) fn close(mut self, end: Moment) -> Figures {
        for (name, since) in std::mem::take(&mut self.open).into_values() {
            self.fate(name).staleness.add(end.saturating_since(since));
        }
        self.figures
    }

    fn fate(&mut self, name: StrategyName) -> &mut Fate {
        self.figures.strategies.entry(name).or_default()
    }

    fn enqueued(&mut self, task: &NewTask, now: Now) {
        self.fate(task.strategy.clone()).tasks += 1;
        self.open.insert(task.id, (task.strategy.clone(), now.moment));
    }

    fn settled(&mut self, id: TaskId, settlement: &Settlement, now: Now) {
        match settlement {
            Settlement::Done(_) => {
                let Some((name, since)) = self.open.remove(&id) else { return };
                let fate = self.fate(name);
                fate.done += 1;
                fate.staleness.add(now.moment.saturating_since(since));
            }
            Settlement::Failed(_) => {
                let Some((name, _)) = self.open.get(&id).cloned() else { return };
                self.fate(name).lost += 1;
            }
            Settlement::Retry { .. }
            | Settlement::Advanced { .. }
            | Settlement::Postponed { .. }
            | Settlement::Release { .. } => {}
        }
    }

    fn on_air(&mut self, link: LinkType, took: Duration, bytes: u64, now: Now) {
        *self.figures.bytes.entry(link).or_default() += bytes;
        if link == LinkType::Cellular {
            let began = Moment::since_boot(now.moment.elapsed_since_boot().saturating_sub(took));
            let until = now.moment + TAIL;
            self.figures.radio_on += until.saturating_since(began.max(self.radio_until));
            self.radio_until = until;
        }
    }

    fn requested(&mut self, now: Now) {
        self.figures.requests += 1;
        *self.figures.per_second.entry(now.moment.elapsed_since_boot().as_secs()).or_default() += 1;
    }
}

impl Witness for Counter {
    fn see(&mut self, seen: &Seen<'_>, now: Now) {
        match seen {
            Seen::Enqueued(task) => self.enqueued(task, now),
            Seen::Settled(settlements) => {
                settlements.iter().for_each(|(id, settlement)| self.settled(*id, settlement, now));
            }
            Seen::Request { .. } => self.requested(now),
            Seen::OnAir { link, took, bytes } => self.on_air(*link, *took, *bytes, now),
            Seen::Woke { wake, .. } => *self.figures.wakes.entry(*wake).or_default() += 1,
            Seen::Cancelled(_)
            | Seen::Retried(_)
            | Seen::Ended { .. }
            | Seen::World(_)
            | Seen::Control(_)
            | Seen::BroughtForward
            | Seen::ClockSet
            | Seen::Slewed
            | Seen::Claims(_)
            | Seen::HandedOver { .. }
            | Seen::CameFurther(_)
            | Seen::Sent { .. }
            | Seen::Undone(_)
            | Seen::Restarted { .. }
            | Seen::Started { .. }
            | Seen::Taken(_)
            | Seen::Answered { .. }
            | Seen::NothingClaimed { .. }
            | Seen::AtRest { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_true_to_about_a_percent() {
        let mut spread = Spread::default();
        assert_eq!(spread.quantile(0.5), None);
        (0..100_000).for_each(|millis| spread.add(Duration::from_millis(millis * 7)));
        for share in [0.0001, 0.01, 0.5, 0.99, 1.0] {
            let found = spread.quantile(share).expect("not empty").as_secs_f64();
            let exact = share * 700.0;
            assert!((found - exact).abs() <= exact / 64.0 + 0.008, "{share}: {found} s, not {exact}");
        }
    }

    #[test]
    fn shares_rise_to_all() {
        let mut spread = Spread::default();
        [3, 3, 5_000, 10].into_iter().for_each(|millis| spread.add(Duration::from_millis(millis)));
        let shares: Vec<_> = spread.shares().map(|(length, share)| (length.as_millis(), share)).collect();
        assert_eq!(shares, [(3, 0.5), (10, 0.75), (4_992, 1.0)]);
    }

    #[test]
    fn a_radio_stays_up_for_its_tail_and_is_counted_once() {
        let mut counter = Counter::default();
        let at = |seconds| Now { moment: Moment::since_boot(Duration::from_secs(seconds)), ..Now::default() };
        let second = Duration::from_secs(1);
        for (link, end) in [(LinkType::Cellular, 100), (LinkType::Cellular, 105), (LinkType::Wifi, 500)] {
            counter.on_air(link, second, 10, at(end));
        }
        counter.on_air(LinkType::Cellular, second, 10, at(200));
        assert_eq!(counter.figures.radio_on, (16 + 11) * second);
        assert_eq!(counter.figures.bytes, BTreeMap::from([(LinkType::Wifi, 10), (LinkType::Cellular, 30)]));
    }
}
