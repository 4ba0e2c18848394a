//! What is known of one network.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::quality;
use crate::model::{Estimate, Flow, Measurement, Moment, Now, Passage, Sample, UploadStrategy, WallTime};

/// Measurements kept of a network.
const KEPT: usize = 10;

/// Bytes of the first flight of a new connection (RFC 6928).
const FIRST_FLIGHT: u64 = 14_600;

/// What is smaller says nothing of speed, unless it took long: a burst may go through at once that a shaped link allows.
const TELLING: u64 = 64 * 1024;
const LONG: Duration = Duration::from_secs(1);

/// The least share of a sample's time in which the link itself was at work, for the sample to tell its speed.
const TELLING_SHARE: f64 = 0.25;

/// A sample that took so long has its full weight.
const FULL: Duration = Duration::from_millis(500);

/// How much a measurement weighs against the one after it.
const FADE: f64 = 0.5;

/// How much the last request weighs in the share of those that came through.
const LAST: f64 = 0.1;

/// The share of segments that were lost is that of about so many; so many are taken to have arrived before the first, since
/// a connection that begins loses some to a short queue before it knows the link (slow start).
const SEGMENTS: f64 = 2_000.0;
const PRIOR: f64 = 400.0;

/// Losses take no more than that of reliability: as much as makes photos small, and no more. A queue of the device's own may
/// drop the same segment ten times within a moment, on a link that is as fast as ever.
const LEAST_ARRIVED: f64 = 0.7;

/// What was measured longer ago keeps nothing from going: it may be better by now.
pub(in crate::schedule) const DOUBTED_AFTER: Duration = Duration::from_secs(10 * 60);

/// What differs from what is on disk by less is not written.
const WORTH_KEEPING: f64 = 0.25;

/// What is known of one network.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) speeds: VecDeque<Speed>,
    /// Mbit/s.
    download: Option<f64>,
    /// Milliseconds.
    latency: Option<f64>,
    /// The share of requests that came through; `None` before the first.
    through: Option<f64>,
    segments: f64,
    lost: f64,
    pub(super) measured_at: WallTime,
    /// When it will be too old to keep anything from going.
    pub(super) doubted_from: Moment,
    pub(super) strategy: UploadStrategy,
    /// What is on disk of it.
    pub(super) kept: Option<Estimate>,
}

/// A measurement of the speed up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed {
    pub(super) shown: Measurement,
    /// 0 to 1.
    weight: f64,
}

/// What a sample says of the speed up, in Mbit/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Told {
    Nothing,
    AtLeast(f64),
    Exactly(f64),
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            speeds: VecDeque::new(),
            download: None,
            latency: None,
            through: None,
            segments: 0.0,
            lost: 0.0,
            measured_at: WallTime::default(),
            doubted_from: Moment::default(),
            strategy: UploadStrategy::Conservative,
            kept: None,
        }
    }

    pub(super) fn restored(estimate: Estimate, now: Now) -> Self {
        let Estimate { upload, download, latency, reliability, certainty, measured_at } = estimate;
        let number = |value: Option<f64>| value.unwrap_or_default();
        let shown = Measurement {
            at: measured_at,
            upload: number(upload),
            download: number(download),
            latency: number(latency),
            reliability: number(reliability),
        };
        // A time to come is of a clock that was wrong: nobody knows how old it is.
        let age = if measured_at > now.wall { DOUBTED_AFTER } else { now.wall.saturating_since(measured_at) };
        let mut link = Self {
            speeds: upload.map(|_| Speed { shown, weight: FADE }).into_iter().collect(),
            download,
            latency,
            through: reliability,
            measured_at,
            doubted_from: now.moment + DOUBTED_AFTER.saturating_sub(age),
            kept: Some(Estimate { certainty, ..estimate }),
            ..Self::new()
        };
        link.strategy = quality::choose(&link.estimate(), None);
        link
    }

    /// Takes a sample in.
    pub(super) fn learn(&mut self, sample: &Sample, now: Now) {
        self.learn_reliability(sample);
        if let Some(round_trip) = sample.round_trip {
            self.latency = Some(mean(self.latency, millis(round_trip)));
        }
        if sample.received >= TELLING && !sample.receiving.is_zero() {
            self.download = Some(mean(self.download, megabits(sample.received, sample.receiving.as_secs_f64())));
        }
        self.measured_at = now.wall;
        let before = self.upload();
        let told = match told(sample) {
            Told::Exactly(rate) => Some(rate),
            Told::AtLeast(rate) => Some(rate).filter(|rate| before.is_none_or(|before| *rate > before)),
            Told::Nothing => None,
        };
        let weight = (sample.sending.as_secs_f64() / FULL.as_secs_f64()).clamp(0.01, 1.0);
        self.speeds.extend(told.map(|upload| Speed { shown: self.shown(upload, now), weight }));
        if self.speeds.len() > KEPT {
            self.speeds.pop_front();
        }
        if told.is_some() || sample.passage != Passage::Open && self.reliability().is_some_and(quality::is_unreliable) {
            self.doubted_from = now.moment + DOUBTED_AFTER;
        }
        self.strategy = quality::choose(&self.estimate(), Some(self.strategy).filter(|_| before.is_some()));
    }

    fn learn_reliability(&mut self, sample: &Sample) {
        let came = match sample.passage {
            Passage::Through => Some(1.0),
            Passage::Broke => Some(0.0),
            Passage::Open => None,
        };
        let through = self.through.unwrap_or(1.0);
        self.through = came.map(|came| through + LAST * (came - through)).or(self.through);
        self.segments += sample.segments as f64;
        self.lost += sample.lost as f64;
        let fade = (SEGMENTS / self.segments.max(SEGMENTS)).min(1.0);
        (self.segments, self.lost) = (self.segments * fade, self.lost * fade);
    }

    fn shown(&self, upload: f64, now: Now) -> Measurement {
        Measurement {
            at: now.wall,
            upload,
            download: self.download.unwrap_or_default(),
            latency: self.latency.unwrap_or_default(),
            reliability: self.reliability().unwrap_or_default(),
        }
    }

    fn upload(&self) -> Option<f64> {
        let mut fade = 1.0;
        let (mut sum, mut weights) = (0.0, 0.0);
        for speed in self.speeds.iter().rev() {
            let weight = speed.weight * fade;
            sum += speed.shown.upload.ln() * weight;
            weights += weight;
            fade *= FADE;
        }
        (weights > 0.0).then(|| (sum / weights).exp())
    }

    fn reliability(&self) -> Option<f64> {
        let arrived = (1.0 - self.lost / (self.segments + PRIOR)).max(LEAST_ARRIVED);
        self.through.map(|through| (through * arrived).clamp(0.0, 1.0))
    }

    pub(super) fn estimate(&self) -> Estimate {
        Estimate {
            upload: self.upload(),
            download: self.download,
            latency: self.latency,
            reliability: self.reliability(),
            certainty: self.speeds.iter().map(|speed| speed.weight).sum::<f64>() / KEPT as f64,
            measured_at: self.measured_at,
        }
    }

    /// How files go over it now; what is doubted keeps nothing from going.
    pub(super) fn strategy(&self, now: Moment) -> UploadStrategy {
        let doubted = self.strategy == UploadStrategy::BackgroundOnly && now >= self.doubted_from;
        if doubted { UploadStrategy::Conservative } else { self.strategy }
    }

    /// Whether it differs from what is on disk by so much that it is to be written.
    pub(super) fn is_news(&self) -> bool {
        let now = self.estimate();
        let Some(kept) = self.kept else { return true };
        let differs = |old: Option<f64>, new: Option<f64>| match (old, new) {
            (Some(old), Some(new)) => (old - new).abs() > WORTH_KEEPING * old.max(new),
            (old, new) => old.is_some() != new.is_some(),
        };
        differs(kept.upload, now.upload)
            || differs(kept.download, now.download)
            || differs(kept.reliability, now.reliability)
            || now.measured_at.saturating_since(kept.measured_at) > DOUBTED_AFTER
    }
}

/// What a sample says of the speed up.
pub(super) fn told(sample: &Sample) -> Told {
    let (sent, time) = (sample.sent, sample.sending.as_secs_f64());
    let telling = sent >= TELLING || sent > FIRST_FLIGHT && sample.sending >= LONG;
    if !telling || time <= 0.0 {
        return Told::Nothing;
    }
    let flights = match sample.flow {
        Flow::Going => 0.0,
        Flow::Warm => 1.0,
        Flow::Cold => (sent as f64 / FIRST_FLIGHT as f64 + 1.0).log2().ceil(),
    };
    let at_work = time - flights * sample.round_trip.unwrap_or_default().as_secs_f64();
    if sample.limited || at_work < TELLING_SHARE * time {
        return Told::AtLeast(megabits(sent, time).max(sample.delivery as f64 * 8e-6));
    }
    Told::Exactly(megabits(sent, at_work))
}

pub(super) fn megabits(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 * 8e-6 / seconds
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The mean of what was and what came last; rates and times are compared by their ratios.
fn mean(before: Option<f64>, last: f64) -> f64 {
    before.map_or(last, |before| (before * last).sqrt())
}
