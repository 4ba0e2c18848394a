//! Metered bytes that left for strategies with a budget, by the local date. A later date begins anew. An earlier one does
//! not, since neither a clock that is set back nor a journey west brings a new budget; but when the date turns out to have
//! been wrong by days, what was spent counts for today. A clock that has lost the time shows no date.

use std::collections::BTreeMap;

use super::Ledger;
use super::scene::costs;
use crate::model::{Day, Now, StrategyName};
use crate::schedule::Spending;

#[derive(Debug, Default)]
pub(in crate::sim::laws) struct Spent(BTreeMap<StrategyName, (Day, u64)>);

impl Spent {
    /// As much as was kept on disk.
    pub(super) fn kept(kept: &BTreeMap<StrategyName, Spending>) -> Self {
        Self(kept.iter().map(|(strategy, spending)| (strategy.clone(), (spending.day, spending.bytes))).collect())
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.0.is_empty()
    }

    /// Clocks show this date.
    pub(super) fn turn_to(&mut self, today: Day) {
        self.0.retain(|_, (day, _)| *day >= today);
    }

    /// It is this date.
    pub(super) fn is_today(&mut self, today: Day) {
        self.turn_to(today);
        for (day, _) in self.0.values_mut() {
            *day = if *day > today.plus(1) { today } else { *day };
        }
    }

    pub(super) fn add(&mut self, strategy: &StrategyName, bytes: u64, today: Day) {
        let (_, spent) = self.0.entry(strategy.clone()).or_insert((today, 0));
        *spent += bytes;
    }

    /// How much of it counts on a date.
    pub(super) fn on(&self, strategy: &StrategyName, today: Day) -> u64 {
        self.0.get(strategy).filter(|(day, _)| *day >= today).map_or(0, |(_, bytes)| *bytes)
    }

    /// Each strategy's bytes, and the date that they count for.
    pub(in crate::sim::laws) fn each(&self) -> impl Iterator<Item = (&StrategyName, Day, u64)> {
        self.0.iter().map(|(strategy, (day, bytes))| (strategy, *day, *bytes))
    }
}

impl Ledger {
    pub(super) fn sent(&mut self, strategy: &StrategyName, bytes: u64, now: Now) {
        let backend = self.config.strategies.get(strategy).and_then(|strategy| strategy.backend.as_ref());
        let network = backend.and_then(|name| self.world.networks.get(name));
        if network.is_some_and(costs) {
            self.spent.add(strategy, bytes, self.world.zone.local(now.wall).day);
        }
    }
}
