//! What the network bears, learnt from what our own transfers show of it. Pure: samples come in, estimates come out.
//!
//! - **Speed.** A sample of `n` bytes says `n / (t - k × RTT)`, where `k` round trips passed before the first byte was
//!   acknowledged or while TCP felt its way: a new connection sends 10 segments (RFC 6928) and at most twice as many each
//!   round trip (RFC 5681, slow start). Where most of the time went to that, or we were the ones who held back, the link bears
//!   at least `n / t`: such a sample raises the estimate and never lowers it. What is small measures round trips, not speed.
//! - **The estimate** is the geometric mean of the measurements kept, each weighing half as much as the one after it: a rate
//!   that changes tenfold is followed in three measurements, up as fast as down.
//! - **Reliability** is the share of requests that came through (the last ten count most), times the share of segments
//!   that were not lost. Losses alone keep nothing waiting: what gets through in spite of them is the speed.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::blocked::is_unmetered;
use super::lane::Lane;
use super::{Effect, Scheduler, Wake, quality};
use crate::model::{
    BackendConfig, BackendName, Bandwidth, Estimate, Flow, Kept, Measurement, Moment, Network, NetworkId, Now, Passage,
    Reason, Sample, Strategy, Upload, UploadStrategy, WallTime, World,
};

/// Measurements kept of a network.
const KEPT: usize = 10;

/// Networks remembered; the one that was measured least recently is forgotten.
const NETWORKS: usize = 32;

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
pub(super) const DOUBTED_AFTER: Duration = Duration::from_secs(10 * 60);

/// What differs from what is on disk by less is not written.
const WORTH_KEEPING: f64 = 0.25;

/// What is known of one network.
#[derive(Debug, Clone)]
pub(super) struct Link {
    speeds: VecDeque<Speed>,
    /// Mbit/s.
    download: Option<f64>,
    /// Milliseconds.
    latency: Option<f64>,
    /// The share of requests that came through; `None` before the first.
    through: Option<f64>,
    segments: f64,
    lost: f64,
    measured_at: WallTime,
    /// When it will be too old to keep anything from going.
    doubted_from: Moment,
    strategy: UploadStrategy,
    /// What is on disk of it.
    kept: Option<Estimate>,
}

/// A measurement of the speed up.
#[derive(Debug, Clone, Copy)]
struct Speed {
    shown: Measurement,
    /// 0 to 1.
    weight: f64,
}

/// What a sample says of the speed up, in Mbit/s.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Told {
    Nothing,
    AtLeast(f64),
    Exactly(f64),
}

impl Link {
    fn new() -> Self {
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

    fn restored(estimate: Estimate, now: Now) -> Self {
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
    fn learn(&mut self, sample: &Sample, now: Now) {
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

    fn estimate(&self) -> Estimate {
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
    fn strategy(&self, now: Moment) -> UploadStrategy {
        let doubted = self.strategy == UploadStrategy::BackgroundOnly && now >= self.doubted_from;
        if doubted { UploadStrategy::Conservative } else { self.strategy }
    }

    /// Whether it differs from what is on disk by so much that it is to be written.
    fn is_news(&self) -> bool {
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
fn told(sample: &Sample) -> Told {
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

fn megabits(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 * 8e-6 / seconds
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The mean of what was and what came last; rates and times are compared by their ratios.
fn mean(before: Option<f64>, last: f64) -> f64 {
    before.map_or(last, |before| (before * last).sqrt())
}

/// What is known of all networks.
#[derive(Debug, Default)]
pub(super) struct Bandwidths {
    links: BTreeMap<NetworkId, Link>,
}

impl Bandwidths {
    /// Takes what was kept.
    pub(super) fn restore(&mut self, kept: Vec<Kept>, now: Now) {
        let restored = kept.into_iter().map(|Kept { network, estimate }| (network, Link::restored(estimate, now)));
        self.links = restored.collect();
        self.forget_old();
    }

    /// Takes in what was seen of a network.
    pub(super) fn learn(&mut self, network: &NetworkId, sample: &Sample, now: Now) {
        self.links.entry(network.clone()).or_insert_with(Link::new).learn(sample, now);
        self.forget_old();
    }

    /// Somebody wants it now, however slow it was: it may be better by now.
    pub(super) fn doubt(&mut self, now: Moment) {
        self.links.values_mut().for_each(|link| link.doubted_from = link.doubted_from.min(now));
    }

    /// How files go over this network now.
    pub(super) fn strategy(&self, network: Option<&NetworkId>, now: Moment) -> UploadStrategy {
        let link = network.and_then(|network| self.links.get(network));
        link.map_or(UploadStrategy::Conservative, |link| link.strategy(now))
    }

    /// When what keeps files from going over this network will be doubted; `None`: nothing does.
    pub(super) fn doubted_from(&self, network: &NetworkId) -> Option<Moment> {
        let slow = |link: &&Link| link.strategy == UploadStrategy::BackgroundOnly;
        self.links.get(network).filter(slow).map(|link| link.doubted_from)
    }

    /// What this network is thought to bear.
    pub(super) fn estimate(&self, network: Option<&NetworkId>) -> Estimate {
        network.and_then(|network| self.links.get(network)).map(Link::estimate).unwrap_or_default()
    }

    /// What is shown of it.
    pub(super) fn shown(&self, network: Option<&NetworkId>) -> Bandwidth {
        let Some(link) = network.and_then(|network| self.links.get(network)) else { return Bandwidth::unknown() };
        let history = link.speeds.iter().map(|speed| speed.shown).collect();
        Bandwidth { estimate: link.estimate(), strategy: link.strategy, history }
    }

    /// What is to be kept now, all of it; `None` if what is on disk will do.
    pub(super) fn unkept(&mut self) -> Option<Vec<Kept>> {
        if !self.links.values().any(Link::is_news) {
            return None;
        }
        self.links.values_mut().for_each(|link| link.kept = Some(link.estimate()));
        let kept = |(network, link): (&NetworkId, &Link)| Kept { network: network.clone(), estimate: link.estimate() };
        Some(self.links.iter().map(kept).collect())
    }

    fn forget_old(&mut self) {
        while self.links.len() > NETWORKS
            && let Some(oldest) =
                self.links.iter().min_by_key(|(_, link)| link.measured_at).map(|(name, _)| name.clone())
        {
            self.links.remove(&oldest);
        }
    }
}

/// Why nothing is sent only to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unmeasurable {
    /// No backend can be sent to.
    Nowhere,
    /// There is no way to this one.
    NoRoute(BackendName),
    /// Bytes cost money on this interface, or may.
    Metered(String),
}

impl Scheduler {
    /// Takes in what was seen of the link to a backend.
    pub(super) fn sampled(&mut self, backend: &BackendName, sample: &Sample, now: Now) {
        if let Some(network) = self.met.get(backend) {
            self.bandwidths.learn(network, sample, now);
        }
    }

    /// Notes by which networks backends are reached. What broke because a network went away is told when it has gone.
    pub(super) fn meet(&mut self, world: &World) {
        for (backend, network) in &world.networks {
            if let Some(network) = network.identity() {
                self.met.insert(backend.clone(), network);
            }
        }
    }

    /// How a file goes to this backend, of which an attempt starts.
    pub(super) fn upload_to(&self, backend: &BackendName, policy: &Strategy, now: Now) -> Upload {
        let network = self.network_of(backend);
        let identity = network.and_then(Network::identity);
        let most = [policy.max_rate, network.and_then(|network| network.max_rate)].into_iter().flatten().min();
        let found = self.bandwidths.estimate(identity.as_ref());
        let held = quality::held_back(&found, most.map(|rate| megabits(rate, 1.0)));
        let found_strategy = self.bandwidths.strategy(identity.as_ref(), now.moment);
        let strategy = quality::of_held_back(found_strategy, &held, most.is_some());
        Upload { strategy, chunk: quality::first_chunk(&held, strategy, self.slots().file) }
    }

    /// Whether a link is too slow for photos, or is being tried again by one.
    pub(super) fn is_slow(&self, network: &Network, now: Moment) -> bool {
        let Some(doubted) = network.identity().and_then(|network| self.bandwidths.doubted_from(&network)) else {
            return false;
        };
        now < doubted || self.slots().file > 0
    }

    /// When a lane that waits for nothing else may try a slow link again.
    pub(super) fn slow_wake(&self, now: Moment) -> Option<(Moment, Wake)> {
        let alone = |lane: &&Lane| lane.waiting > 0 && lane.hindrances.keys().eq([&Reason::SlowLink]);
        let doubted = |lane: &Lane| {
            let (backend, _) = self.backend_of(&lane.strategy)?;
            self.bandwidths.doubted_from(&self.network_of(backend)?.identity()?)
        };
        // While a file tries one, what comes of that decides.
        let first = self.lanes.values().filter(alone).filter_map(doubted).filter(|from| *from > now).min()?;
        Some((first, Wake::SlowLink))
    }

    /// Where something may be sent only to measure; the first backend of those that it `can` be sent to.
    pub fn to_measure(&self, can: impl Fn(&BackendConfig) -> bool) -> Result<&BackendName, Unmeasurable> {
        let mut able = self.config.backends.iter().filter(|(_, section)| can(section)).map(|(name, _)| name);
        let name = able.next().ok_or(Unmeasurable::Nowhere)?;
        match self.network_of(name).filter(|network| network.connected) {
            None => Err(Unmeasurable::NoRoute(name.clone())),
            Some(network) if !is_unmetered(network) => Err(Unmeasurable::Metered(network.interface.clone())),
            Some(_) => Ok(name),
        }
    }

    /// Has what networks bear written, if it is another than what is on disk.
    pub(super) fn keep_estimates(&mut self) {
        self.effects.extend(self.bandwidths.unkept().map(Effect::KeepEstimates));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(seconds: u64) -> Now {
        Now {
            moment: Moment::since_boot(Duration::from_secs(seconds)),
            wall: WallTime::from_micros((1_000_000 + seconds) * 1_000_000),
        }
    }

    /// So much of a steady transfer, in bytes and seconds.
    fn going(sent: u64, seconds: f64) -> Sample {
        Sample { sent, sending: Duration::from_secs_f64(seconds), ..Sample::default() }
    }

    /// A second at this rate, in Mbit/s.
    fn second(rate: f64) -> Sample {
        going((rate * 125_000.0) as u64, 1.0)
    }

    fn speed(samples: impl IntoIterator<Item = Sample>) -> Option<f64> {
        let mut link = Link::new();
        samples.into_iter().zip(0..).for_each(|(sample, seconds)| link.learn(&sample, now(seconds)));
        link.estimate().upload
    }

    fn assert_near(value: Option<f64>, expected: f64) {
        assert!(value.is_some_and(|value| (value / expected - 1.0).abs() < 0.1), "{value:?}, not {expected}");
    }

    #[test]
    fn what_is_small_tells_round_trips_and_no_speed() {
        let mut link = Link::new();
        let tiny = Sample {
            round_trip: Some(Duration::from_millis(80)),
            passage: Passage::Through,
            segments: 6,
            ..going(2_000, 0.08)
        };
        link.learn(&tiny, now(1));
        let estimate = link.estimate();
        assert_eq!((estimate.upload, estimate.latency, estimate.certainty), (None, Some(80.0), 0.0));
        assert_eq!((estimate.reliability, estimate.measured_at), (Some(1.0), now(1).wall));
        assert_eq!(speed([going(60_000, 0.001)]), None, "a burst that a shaped link lets through");
        assert_near(speed([going(30_000, 2.0)]), 0.12);
    }

    #[test]
    fn the_time_in_which_tcp_feels_its_way_is_not_the_links() {
        // 200 KB over 5 Mbit/s take 0.32 s, and on a new connection four round trips before.
        let cold = |round_trip: f64| Sample {
            flow: Flow::Cold,
            round_trip: Some(Duration::from_secs_f64(round_trip)),
            ..going(200_000, 0.32 + 4.0 * round_trip)
        };
        assert_near(speed([cold(0.02)]), 5.0);
        assert_near(speed([cold(0.1)]), 5.0);
        // Most of the time went to round trips: it says only that the link bears at least that.
        let slow_start = cold(0.5);
        assert_eq!(told(&slow_start), Told::AtLeast(megabits(200_000, 2.32)));
        assert_near(speed([second(5.0), slow_start]), 5.0);
        assert_near(speed([slow_start]), megabits(200_000, 2.32));
        assert_near(speed([Sample { delivery: 500_000, ..slow_start }]), 4.0);
    }

    #[test]
    fn what_we_held_back_raises_and_never_lowers() {
        let held = |rate| Sample { limited: true, ..second(rate) };
        assert_near(speed([second(8.0), held(0.6), held(0.6), held(0.6)]), 8.0);
        assert_near(speed([second(2.0), held(8.0), held(8.0), held(8.0), held(8.0)]), 8.0);
        assert_near(speed([held(0.6)]), 0.6);
    }

    #[test]
    fn a_tenfold_change_is_followed_in_three_measurements_up_and_down() {
        for (before, after) in [(20.0, 2.0), (2.0, 20.0)] {
            let steady = std::iter::repeat_n(second(before), 10);
            let found = speed(steady.chain(std::iter::repeat_n(second(after), 3))).expect("an estimate");
            assert!((0.7..1.4).contains(&(found / after)), "{found} for {after}");
        }
        assert_near(speed([4.0, 6.0, 4.0, 6.0, 5.0, 4.5, 5.5].map(second)), 5.0);
    }

    #[test]
    fn ten_measurements_are_kept_and_the_last_ones_make_it_sure() {
        let mut networks = Bandwidths::default();
        let home = NetworkId("wifi home".to_owned());
        for number in 0..15 {
            networks.learn(&home, &second(1.0 + number as f64), now(number));
        }
        let shown = networks.shown(Some(&home));
        let rates: Vec<f64> = shown.history.iter().map(|measurement| measurement.upload.round()).collect();
        assert_eq!(rates, [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
        assert!((shown.estimate.certainty - 1.0).abs() < 1e-9);
        assert_eq!(networks.shown(None), Bandwidth::unknown());
    }

    #[test]
    fn reliability_is_the_share_that_came_through_weighed_down_by_what_was_sent_again() {
        let ends = |passage| Sample { passage, ..Sample::default() };
        let mut link = Link::new();
        assert_eq!(link.estimate().reliability, None);
        (0..5).for_each(|_| link.learn(&ends(Passage::Through), now(1)));
        link.learn(&ends(Passage::Open), now(1));
        assert_eq!(link.estimate().reliability, Some(1.0));
        (0..7).for_each(|_| link.learn(&ends(Passage::Broke), now(1)));
        assert!(link.estimate().reliability.is_some_and(quality::is_unreliable));
        (0..30).for_each(|_| link.learn(&ends(Passage::Through), now(1)));
        assert!(link.estimate().reliability.is_some_and(|share| share > 0.95));
        link.learn(&Sample { segments: 2_000, lost: 500, ..Sample::default() }, now(1));
        assert!(link.estimate().reliability.is_some_and(|share| (0.7..0.8).contains(&share)), "{link:?}");
        link.learn(&Sample { segments: 100_000, lost: 0, ..Sample::default() }, now(1));
        assert!(link.estimate().reliability.is_some_and(|share| share > 0.95));

        let mut fresh = Link::new();
        fresh.learn(&Sample { segments: 3, lost: 1, ..ends(Passage::Through) }, now(1));
        assert!(fresh.estimate().reliability.is_some_and(|share| share > 0.9), "one lost segment is no share");
    }

    #[test]
    fn what_loses_much_and_is_fast_takes_small_photos_also_after_a_cut() {
        let mut link = Link::new();
        link.learn(&Sample { segments: 315, lost: 42, passage: Passage::Through, ..going(262_437, 0.42) }, now(0));
        link.learn(&Sample { passage: Passage::Broke, ..Sample::default() }, now(1));
        // Seen on a link of 5 Mbit/s whose queue the device itself overran.
        link.learn(&Sample { segments: 5_344, lost: 4_649, passage: Passage::Through, ..going(524_586, 0.87) }, now(2));
        assert_eq!(link.strategy(now(2).moment), UploadStrategy::Conservative, "{link:?}");
    }

    #[test]
    fn a_slow_link_is_doubted_when_nothing_was_measured_for_a_while() {
        let mut networks = Bandwidths::default();
        let home = NetworkId("wifi home".to_owned());
        let strategy = |networks: &Bandwidths, seconds| networks.strategy(Some(&home), now(seconds).moment);
        networks.learn(&home, &second(0.2), now(0));
        assert_eq!(strategy(&networks, 0), UploadStrategy::BackgroundOnly);
        assert_eq!(networks.doubted_from(&home), Some(now(0).moment + DOUBTED_AFTER));
        // Small requests say nothing of its speed, so they do not keep files waiting.
        networks.learn(&home, &Sample { passage: Passage::Through, ..going(2_000, 0.1) }, now(590));
        assert_eq!(strategy(&networks, 599), UploadStrategy::BackgroundOnly);
        assert_eq!(strategy(&networks, 600), UploadStrategy::Conservative);
        networks.learn(&home, &second(0.2), now(610));
        assert_eq!(strategy(&networks, 611), UploadStrategy::BackgroundOnly);
        networks.doubt(now(620).moment);
        assert_eq!(strategy(&networks, 620), UploadStrategy::Conservative);
        assert_eq!(networks.doubted_from(&NetworkId("other".to_owned())), None);
    }

    #[test]
    fn what_was_kept_is_back_but_an_old_verdict_keeps_nothing_from_going() {
        let kept = |name: &str, upload: f64, seconds| Kept {
            network: NetworkId(name.to_owned()),
            estimate: Estimate {
                upload: Some(upload),
                reliability: Some(1.0),
                measured_at: now(seconds).wall,
                ..Estimate::default()
            },
        };
        let mut networks = Bandwidths::default();
        let all = vec![kept("fast", 30.0, 0), kept("slow", 0.3, 950), kept("once", 0.3, 0), kept("ahead", 0.3, 5_000)];
        networks.restore(all, now(1_000));
        let strategy = |name: &str| networks.strategy(Some(&NetworkId(name.to_owned())), now(1_000).moment);
        assert_eq!(strategy("fast"), UploadStrategy::HighQuality);
        assert_eq!(strategy("slow"), UploadStrategy::BackgroundOnly);
        assert_eq!((strategy("once"), strategy("ahead")), (UploadStrategy::Conservative, UploadStrategy::Conservative));
        assert_eq!(networks.unkept(), None, "it is on disk");
    }

    #[test]
    fn what_differs_is_kept_and_the_number_of_networks_is_bounded() {
        let mut networks = Bandwidths::default();
        let name = |number: u64| NetworkId(format!("wifi {number}"));
        networks.learn(&name(0), &second(4.0), now(0));
        assert_eq!(networks.unkept().map(|kept| kept.len()), Some(1));
        networks.learn(&name(0), &second(4.1), now(1));
        assert_eq!(networks.unkept(), None, "almost the same");
        networks.learn(&name(0), &second(40.0), now(2));
        assert!(networks.unkept().is_some());
        networks.learn(&name(0), &second(12.0), now(700));
        assert!(networks.unkept().is_some(), "its age counts");
        (1..100).for_each(|number| networks.learn(&name(number), &second(4.0), now(1_000 + number)));
        let kept = networks.unkept().expect("news");
        assert_eq!(kept.len(), NETWORKS);
        assert!(kept.iter().all(|kept| kept.estimate.measured_at >= now(1_068).wall));
    }
}
