//! What strategies have sent over metered links today. Pure: the daemon keeps it on disk.

use std::collections::BTreeMap;

use super::blocked::is_unmetered;
use super::{Effect, Scheduler};
use crate::model::{BackendName, Day, Now, StrategyName, WallTime, World, Zone};

/// So many bytes may leave before what was spent is kept on disk again.
const KEEP_EACH: u64 = 256 * 1024;

/// Metered bytes of one strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    /// The local date they count for.
    pub day: Day,
    /// How many left.
    pub bytes: u64,
}

impl Spending {
    /// What counts of it on `today`: a later day starts with nothing. An earlier one does not, since a clock that is set
    /// back, or a journey west, brings no new budget.
    fn on(self, today: Day) -> Spending {
        if today > self.day { Spending { day: today, bytes: 0 } } else { self }
    }

    /// The same, for good. A day that was far ahead was a wrong one: it must not hold the budget up until it comes.
    fn settled(self, today: Day) -> Spending {
        let counts = self.on(today);
        if today.plus(1) < counts.day { Spending { day: today, ..counts } } else { counts }
    }
}

/// What all strategies with a budget have spent.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    spent: BTreeMap<StrategyName, Spending>,
    /// Bytes that left since it was last kept.
    unkept: u64,
}

impl Budgets {
    /// Takes what was kept.
    pub(super) fn restore(&mut self, spent: BTreeMap<StrategyName, Spending>) {
        self.spent = spent;
    }

    /// The clock shows this date.
    fn look(&mut self, today: Day) {
        self.change(|spending| spending.on(today));
    }

    /// The clock shows this date, and is set.
    fn settle(&mut self, today: Day) {
        self.change(|spending| spending.settled(today));
    }

    fn change(&mut self, to: impl Fn(Spending) -> Spending) {
        self.spent.values_mut().for_each(|spending| *spending = to(*spending));
        self.spent.retain(|_, spending| spending.bytes > 0);
    }

    fn add(&mut self, strategy: StrategyName, bytes: u64, today: Day) {
        let spending = self.spent.entry(strategy).or_insert(Spending { day: today, bytes: 0 });
        spending.bytes = spending.bytes.saturating_add(bytes);
        self.unkept = self.unkept.saturating_add(bytes);
    }

    /// What is to be kept now, if anything was spent since that was last asked.
    pub(super) fn unkept(&mut self) -> Option<BTreeMap<StrategyName, Spending>> {
        (std::mem::take(&mut self.unkept) > 0).then(|| self.spent.clone())
    }

    /// How many bytes a strategy has spent today.
    pub(super) fn spent(&self, strategy: &StrategyName) -> u64 {
        self.spent.get(strategy).map_or(0, |spending| spending.bytes)
    }

    /// How many it will have spent at another time, if it sends no more until then.
    pub(super) fn spent_at(&self, strategy: &StrategyName, at: WallTime, world: &World) -> u64 {
        let spending = self.spent.get(strategy);
        spending.map_or(0, |spending| spending.on(world.zone.local(at).day).bytes)
    }

    /// When what it has spent counts no more.
    pub(super) fn renewed(&self, strategy: &StrategyName, now: WallTime, zone: &Zone) -> Option<WallTime> {
        super::hours::end_of(self.spent.get(strategy)?.day, now, zone)
    }
}

impl Scheduler {
    /// A new day may have begun. What an unset clock shows is no date.
    pub(super) fn look_at_the_date(&mut self, now: Now) {
        if let Some(today) = self.date(now) {
            self.budgets.look(today);
        }
    }

    /// The world has come, and says whether the clock is set: an earlier date is believed only then, and not of a clock that
    /// has just lost the time.
    pub(super) fn settle_the_date(&mut self, now: Now) {
        if let Some(today) = self.date(now) {
            self.budgets.settle(today);
        }
    }

    fn date(&self, now: Now) -> Option<Day> {
        let set = |world: &&World| !world.clock_unset && !self.budgets.spent.is_empty();
        self.world.as_ref().filter(set).map(|world| world.zone.local(now.wall).day)
    }

    /// Counts what left for a strategy with a budget, if the backend's network is metered.
    pub(super) fn sent(&mut self, strategy: StrategyName, backend: &BackendName, bytes: u64, now: Now) {
        let limited = self.config.strategies.get(&strategy).is_some_and(|own| own.conditions.metered_budget.is_some());
        let costs = self.network_of(backend).is_some_and(|network| !is_unmetered(network));
        let Some(world) = self.world.as_ref().filter(|_| limited && costs) else { return };
        self.budgets.add(strategy, bytes, world.zone.local(now.wall).day);
        if self.budgets.unkept >= KEEP_EACH {
            self.effects.extend(self.budgets.unkept().map(Effect::KeepSpent));
        }
    }
}
