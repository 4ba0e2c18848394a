//! What admins have paused: everything, or single strategies.

use std::collections::BTreeMap;

use crate::model::{Pause, StrategyName, WallTime};

/// A pause and when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Paused {
    pub(super) pause: Pause,
    pub(super) since: WallTime,
}

/// All pauses that hold.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    everything: Option<Paused>,
    strategies: BTreeMap<StrategyName, Paused>,
}

impl Pauses {
    /// Begins a pause, or gives one that holds another end.
    pub(super) fn begin(&mut self, strategy: Option<StrategyName>, pause: Pause, now: WallTime) {
        let since = self.of(strategy.as_ref()).map_or(now, |before| before.since);
        let paused = Paused { pause, since };
        match strategy {
            Some(name) => drop(self.strategies.insert(name, paused)),
            None => self.everything = Some(paused),
        }
    }

    pub(super) fn end(&mut self, strategy: Option<&StrategyName>) {
        match strategy {
            Some(name) => drop(self.strategies.remove(name)),
            None => self.everything = None,
        }
    }

    /// Ends those whose time has come.
    pub(super) fn expire(&mut self, now: WallTime) {
        let holds = |paused: &Paused| match paused.pause {
            Pause::Indefinite => true,
            Pause::Until(end) => end > now,
        };
        self.everything = self.everything.filter(holds);
        self.strategies.retain(|_, paused| holds(paused));
    }

    /// The pause of one strategy alone, or of everything (`None`).
    pub(super) fn of(&self, strategy: Option<&StrategyName>) -> Option<Paused> {
        match strategy {
            Some(name) => self.strategies.get(name).copied(),
            None => self.everything,
        }
    }

    /// Whether tasks of this strategy may not start.
    pub(super) fn hold(&self, strategy: &StrategyName) -> bool {
        self.everything.is_some() || self.strategies.contains_key(strategy)
    }

    /// When the first of them ends by itself.
    pub(super) fn next_end(&self) -> Option<WallTime> {
        self.everything
            .iter()
            .chain(self.strategies.values())
            .filter_map(|paused| match paused.pause {
                Pause::Indefinite => None,
                Pause::Until(end) => Some(end),
            })
            .min()
    }
}
