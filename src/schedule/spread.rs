//! What a whole fleet waits for is over for all of it at once: the power and the network are back, hours begin. So that a
//! server does not meet all devices in the same second, each then waits for a time of its own, if its strategies say so.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Scheduler, hours};
use crate::model::{Config, Moment, Now, Overrides, Reason, Strategy, StrategyName, WallTime};

/// When one strategy begins again.
#[derive(Debug)]
pub(super) struct Spread {
    waits: Waits,
    drawn: Option<Drawn>,
}

/// Whether it waits for what others wait for too.
#[derive(Debug, Clone, Copy)]
enum Waits {
    No,
    /// Other devices may have started with this one.
    SinceStart,
    Since(Moment),
}

/// A time of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Drawn {
    pub(super) since: WallTime,
    pub(super) until: Moment,
}

impl Spread {
    /// That of a device which has just started.
    fn at_start() -> Self {
        Self { waits: Waits::SinceStart, drawn: None }
    }

    /// That of a strategy which was not there before.
    fn new() -> Self {
        Self { waits: Waits::No, drawn: None }
    }

    /// Takes whether it waits, and says whether that is over which took `longest` at least.
    fn see(&mut self, waits: bool, longest: Duration, now: Moment) -> bool {
        let before = self.waits;
        self.waits = match before {
            _ if !waits => Waits::No,
            Waits::No => Waits::Since(now),
            Waits::SinceStart | Waits::Since(_) => before,
        };
        match before {
            Waits::No => false,
            Waits::SinceStart => !waits,
            Waits::Since(since) => !waits && now.saturating_since(since) >= longest,
        }
    }
}

/// Those of a device which has just started.
pub(super) fn at_start(config: &Config) -> BTreeMap<StrategyName, Spread> {
    let delayed = config.strategies.values().filter(|strategy| is_delayed(strategy));
    delayed.map(|strategy| (strategy.name.clone(), Spread::at_start())).collect()
}

impl Scheduler {
    /// Follows what strategies say of it now.
    pub(super) fn configure_spreads(&mut self, now: Moment) {
        let delayed = |name: &StrategyName| self.config.strategies.get(name).is_some_and(is_delayed);
        self.spreads.retain(|name, _| delayed(name));
        for strategy in self.config.strategies.values().filter(|strategy| is_delayed(strategy)) {
            let spread = self.spreads.entry(strategy.name.clone()).or_insert_with(Spread::new);
            let latest = now + strategy.randomized_delay;
            spread.drawn = spread.drawn.map(|drawn| Drawn { until: drawn.until.min(latest), ..drawn });
        }
    }

    /// Draws a time for each strategy that has waited for what the rest of a fleet may have waited for too.
    pub(super) fn look_at_spreads(&mut self, now: Now) {
        let mut spreads = std::mem::take(&mut self.spreads);
        for (name, spread) in &mut spreads {
            let Some(strategy) = self.config.strategies.get(name) else { continue };
            let waits = self.hindrances(name, &Overrides::default(), now).into_iter().any(is_common);
            if spread.see(waits, strategy.randomized_delay, now.moment) {
                let longest = self.longest_of(strategy, now);
                let until = now.moment + longest.mul_f64(self.rng.f64());
                spread.drawn = Some(Drawn { since: now.wall, until });
            }
        }
        self.spreads = spreads;
    }

    /// The longest that a strategy may wait for its own time: who begins late in short hours must still have some of them.
    fn longest_of(&self, strategy: &Strategy, now: Now) -> Duration {
        let zone = self.world.as_ref().map(|world| &world.zone);
        let end = zone.and_then(|zone| hours::next_change(&strategy.conditions.window, now.wall, zone));
        let room = end.map_or(Duration::MAX, |end| end.saturating_since(now.wall) / 2);
        strategy.randomized_delay.min(room)
    }

    /// Its own time of a strategy, while it waits for that.
    pub(super) fn spread(&self, strategy: &StrategyName, now: Moment) -> Option<Drawn> {
        self.spreads.get(strategy)?.drawn.filter(|drawn| drawn.until > now)
    }

    /// Somebody wants it now.
    pub(super) fn end_spreads(&mut self, strategy: Option<&StrategyName>) {
        let meant = self.spreads.iter_mut().filter(|(name, _)| strategy.is_none_or(|meant| meant == *name));
        meant.for_each(|(_, spread)| spread.drawn = None);
    }
}

fn is_delayed(strategy: &Strategy) -> bool {
    !strategy.randomized_delay.is_zero()
}

/// Whether others may wait for the same.
fn is_common(reason: Reason) -> bool {
    match reason {
        Reason::Offline | Reason::NoInternet | Reason::Window | Reason::Budget | Reason::Clock => true,
        Reason::CaptivePortal
        | Reason::Metered
        | Reason::Roaming
        | Reason::NotWifi
        | Reason::SlowLink
        | Reason::NotCharging
        | Reason::LowBattery
        | Reason::PowerSave
        | Reason::Backoff
        | Reason::Order
        | Reason::Concurrency
        | Reason::Paused
        | Reason::Held
        | Reason::Suspending
        | Reason::BackendAuth
        | Reason::BackendTls
        | Reason::BackendDown
        | Reason::BackendConfig
        | Reason::NoBackend => false,
    }
}
