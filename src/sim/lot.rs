//! What a seed makes of a short life: its configuration, its device, where and when it is, and what people and the power do
//! to it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use jiff::tz::TimeZone;

use super::Scenario;
use super::acts::Act;
use super::apps::{App, Apps, Habits, Pattern};
use super::clock::{Clocks, at};
use super::device::Setup;
use super::power::Cell;
use super::restart::Death;
use super::server::{Mood, Server, always, moody};
use crate::model::{
    Assume, Conditions, Config, Connectivity, Kind, LinkType, Metered, Moment, NetworkNeed, Span, StrategyName,
    WallTime, Window, Zone,
};

/// How long apps hand work over, in seconds.
pub(super) const LENGTH: f64 = 1_800.0;
/// How much longer a life may be bad.
pub(super) const MORE: f64 = 600.0;

/// Where devices are, in POSIX's words (IEEE Std 1003.1, section 8.3): UTC, central Europe, Nepal, Hawaii, Lord Howe Island.
const PLACES: [&str; 5] =
    ["UTC0", "CET-1CEST,M3.5.0,M10.5.0/3", "<+0545>-5:45", "HST10", "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"];

/// Days from the start of the year to the hours at which clocks are set there: on 29 March and on 25 October 2026 at one in
/// the morning in Europe, on 5 April at two on Lord Howe Island; all UTC.
const CHANGES: [f64; 3] = [87.0 + 1.0 / 24.0, 297.0 + 1.0 / 24.0, 93.0 + 15.0 / 24.0];

/// What a life is made of.
pub(super) struct Lot {
    pub(super) config: Arc<Config>,
    pub(super) setup: Setup,
    /// The longest that the disk takes to write, and to answer.
    pub(super) slowness: Duration,
}

impl Lot {
    /// Draws it.
    pub(super) fn draw(seed: u64, config: &Config, random: &mut Rng) -> Self {
        let clocks = some_clocks(random);
        let config = some_config(config, &clocks, random);
        let crowded = random.u32(0..8) == 0;
        let setup = some_setup(seed, &config, clocks, random);
        let setup = if crowded { crowd(setup, seed, &config, random) } else { setup };
        let slowness = Duration::from_millis([0, 0, 50, 2_000][random.usize(0..4)]);
        Self { config, setup, slowness }
    }
}

/// Some time of the year, often about an hour at which clocks are set, somewhere.
fn some_clocks(random: &mut Rng) -> Clocks {
    let change = random.choice(CHANGES).filter(|_| random.u32(0..3) == 0);
    let days = match change {
        Some(change) => change - random.f64() * LENGTH / 86_400.0,
        None => 2.0 + random.f64() * 360.0,
    };
    let micros = Duration::from_micros((days * 86_400.0 * 1e6) as u64);
    Clocks::from(micros, some_zone(random))
}

fn some_zone(random: &mut Rng) -> Zone {
    let place = PLACES[random.usize(0..PLACES.len())];
    TimeZone::posix(place).map_or(Zone::UTC, Zone::of)
}

/// A configuration a little different from the one given.
fn some_config(config: &Config, clocks: &Clocks, random: &mut Rng) -> Arc<Config> {
    let mut config = config.clone();
    config.limits.max_concurrent = random.usize(2..5);
    config.network.link_grace = Duration::from_secs([0, 3][random.usize(0..2)]);
    let certified = random.bool();
    for backend in config.backends.values_mut() {
        backend.chunk = 1 << random.u32(16..22);
        if !certified {
            backend.url = backend.url.replace("https:", "http:");
        }
    }
    for strategy in config.strategies.values_mut() {
        strategy.batch = random.usize(1..8);
        strategy.max_wait = strategy.max_wait.map(|_| Duration::from_secs(random.u64(60..600)));
        some_conditions(&mut strategy.conditions, clocks, random);
        let delayed = random.u32(0..5) == 0;
        strategy.randomized_delay = if delayed { Duration::from_secs(random.u64(1..120)) } else { Duration::ZERO };
    }
    config.into()
}

fn some_conditions(conditions: &mut Conditions, clocks: &Clocks, random: &mut Rng) {
    conditions.charging = random.u32(0..8) == 0;
    if random.u32(0..3) == 0 {
        conditions.network = NetworkNeed::Any;
    }
    if random.u32(0..5) == 0 {
        let least = u64::from(random.u32(0..8) > 0);
        conditions.metered_budget = Some(least * random.u64(500..4_000) * [1, 30, 1_000][random.usize(0..3)]);
    }
    if random.u32(0..6) == 0 {
        let minute = clocks.zone.local(clocks.read(Moment::default()).wall).second / 60;
        let spans = (0..random.usize(1..4)).filter_map(|_| some_span(minute, random));
        conditions.window = Window::new(spans.collect());
    }
}

/// Hours, most of them about the time of day at which the life begins.
fn some_span(minute: u32, random: &mut Rng) -> Option<Span> {
    let from = if random.u32(0..4) == 0 { random.u32(0..1_440) } else { minute + 1_440 + random.u32(0..50) - 20 };
    let to = from + random.u32(1..40);
    let of_day = |minute: u32| u16::try_from(minute % 1_440).ok();
    Span::new(of_day(from)?, of_day(to)?)
}

fn some_setup(seed: u64, config: &Arc<Config>, clocks: Clocks, random: &mut Rng) -> Setup {
    let scenario = Scenario::ALL[random.usize(0..Scenario::ALL.len())];
    let battery = random.bool();
    Setup {
        config: Arc::clone(config),
        scenario,
        seed,
        apps: some_apps(config, seed, random),
        server: Server::new(moody(random, LENGTH + MORE, MORE), random.bool()),
        cell: if battery { Cell::battery(random.f64() * 100.0) } else { Cell::mains() },
        clocks,
        acts: some_acts(config, random),
        lazy: false,
        told_of_reach: true,
    }
}

/// More work than a slow server can take.
fn crowd(setup: Setup, seed: u64, config: &Arc<Config>, random: &mut Rng) -> Setup {
    let mut apps = Vec::new();
    for strategy in config.strategies.values().filter(|strategy| strategy.backend.is_some()) {
        let per_hour = if strategy.max_wait.is_none() { 240.0 } else { 12.0 };
        apps.push(App::new(strategy, Pattern::Steady, per_hour * 24.0, random));
    }
    Setup {
        scenario: Scenario::Wifi,
        apps: Apps::new(apps, Habits::Elaborate, seed, at(LENGTH), random.fork()),
        server: Server::new(always(Mood::Late(60)), false),
        cell: Cell::mains(),
        acts: VecDeque::new(),
        ..setup
    }
}

fn some_apps(config: &Config, seed: u64, random: &mut Rng) -> Apps {
    let apps = config.strategies.values().filter(|strategy| strategy.backend.is_some()).map(|strategy| {
        let pattern = if random.bool() { Pattern::Steady } else { Pattern::Bursts };
        let per_hour = random.u64(2..30) as f64 / if strategy.kind == Kind::File { 4.0 } else { 1.0 };
        (strategy.clone(), pattern, per_hour * 24.0)
    });
    let apps: Vec<_> = apps.collect();
    let apps = apps.iter().map(|(strategy, pattern, per_day)| App::new(strategy, *pattern, *per_day, random)).collect();
    Apps::new(apps, Habits::Elaborate, seed, at(LENGTH), random.fork())
}

fn some_acts(config: &Config, random: &mut Rng) -> VecDeque<(Moment, Act)> {
    let strategies: Vec<StrategyName> = config.strategies.keys().cloned().collect();
    let mut acts = Vec::new();
    let mut time = 0.0;
    let calm = [20.0, 60.0, 400.0][random.usize(0..3)];
    while time < LENGTH {
        time += random.f64() * calm;
        acts.push((at(time), some_act(&strategies, random)));
    }
    if random.u32(0..3) == 0 {
        acts.extend(some_deaths(random));
    }
    acts.sort_by_key(|(at, _)| *at);
    acts.into()
}

/// The daemon dies again and again.
fn some_deaths(random: &mut Rng) -> Vec<(Moment, Act)> {
    let mut time = random.f64() * LENGTH;
    let each = [5.0, 30.0, 300.0][random.usize(0..3)];
    let mut deaths = Vec::new();
    for _ in 0..random.usize(1..12) {
        time += 1.0 + random.f64() * each;
        deaths.push((at(time), Act::Die(some_death(random), Duration::from_millis(random.u64(1..5_000)))));
    }
    deaths
}

fn some_death(random: &mut Rng) -> Death {
    [Death::Stopped, Death::Killed, Death::PowerCut][random.usize(0..3)]
}

fn some_act(strategies: &[StrategyName], random: &mut Rng) -> Act {
    let seconds = |random: &mut Rng, most| Duration::from_secs(random.u64(1..most));
    match random.u32(0..28) {
        0 | 1 => Act::Plug(random.bool()),
        2 => Act::Save(random.bool()),
        3 => Act::Roam(random.bool()),
        4 | 5 => Act::Tether(random.bool()),
        6 => Act::Sleep(seconds(random, 300)),
        7 => {
            let most = [900, 60_000, 4_000_000, 200_000_000][random.usize(0..4)];
            Act::SetClock(random.i64(-most..most))
        }
        8 | 9 => {
            let whose = random.bool().then(|| random.choice(strategies).cloned()).flatten();
            Act::Pause(whose, random.bool().then(|| seconds(random, 600)))
        }
        10..=12 => Act::Resume,
        13 | 14 => Act::Hold(seconds(random, 600)),
        15 => Act::LetGo,
        16 => Act::SyncNow,
        17 | 18 => Act::Cancel(random.usize(0..1_000)),
        19 => Act::Retry(random.usize(0..1_000)),
        20 => Act::FillDisk(true),
        21 => Act::LoseTime,
        22 => Act::FindTime,
        23 => Act::Slew(random.i64(-900..900)),
        24 => Act::Travel(some_zone(random)),
        25 => Act::Die(some_death(random), seconds(random, 60)),
        _ => Act::FillDisk(false),
    }
}

/// Something that could be so.
pub(super) fn some_assumption(now: WallTime, random: &mut Rng) -> Assume {
    fn of<T: Copy>(values: &[T], random: &mut Rng) -> Option<T> {
        random.choice(values).copied().filter(|_| random.u32(0..5) == 0)
    }
    let time = now + Duration::from_secs(86_400).mul_f64(random.f64());
    let either = [false, true];
    Assume {
        connected: of(&either, random),
        link: of(LinkType::ALL, random),
        metered: of(Metered::ALL, random),
        roaming: of(&either, random),
        connectivity: of(Connectivity::ALL, random),
        external_power: of(&either, random),
        battery_percent: of(&[3.0, 20.0, 50.0, 99.0], random),
        power_save: of(&either, random),
        time: of(&[time], random),
    }
}
