//! The admin's pauses, kept in the store so that they survive a restart.

use std::collections::BTreeMap;

use crate::model::{Pause, StrategyName, WallTime};

/// The name of the setting that keeps them.
pub(super) const SETTING: &str = "pauses";

/// The pauses in force: of everything (`None`) and of single strategies.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pauses(BTreeMap<Option<StrategyName>, Pause>);

impl Pauses {
    pub(super) fn set(&mut self, strategy: Option<StrategyName>, pause: Pause) {
        self.0.insert(strategy, pause);
    }

    pub(super) fn clear(&mut self, strategy: Option<&StrategyName>) {
        self.0.remove(&strategy.cloned());
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Option<StrategyName>, &Pause)> {
        self.0.iter()
    }

    /// A line a pause: `STRATEGY UNTIL`, `*` for everything, 0 for no end.
    pub(super) fn to_setting(&self) -> Option<String> {
        let line = |(strategy, pause): (&Option<StrategyName>, &Pause)| {
            let until = match pause {
                Pause::Indefinite => 0,
                Pause::Until(until) => until.as_micros(),
            };
            format!("{} {until}", strategy.as_ref().map_or("*", StrategyName::as_str))
        };
        (!self.0.is_empty()).then(|| self.0.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    /// Reads [`to_setting`](Self::to_setting), without pauses that are over; a line it cannot read is skipped.
    pub(super) fn from_setting(text: &str, now: WallTime) -> Self {
        let read = |line: &str| {
            let (strategy, until) = line.split_once(' ')?;
            let strategy = if strategy == "*" { None } else { Some(StrategyName::new(strategy).ok()?) };
            let pause = match until.parse().ok()? {
                0 => Pause::Indefinite,
                until if until > now.as_micros() => Pause::Until(WallTime::from_micros(until)),
                _ => return None,
            };
            Some((strategy, pause))
        };
        Self(text.lines().filter_map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_survive_being_written_and_those_that_are_over_do_not() {
        let now = WallTime::from_micros(1_000);
        let photo = Some(StrategyName::new("photo").unwrap());
        let mut pauses = Pauses::default();
        assert_eq!(pauses.to_setting(), None);
        pauses.set(None, Pause::Until(WallTime::from_micros(1_000)));
        pauses.set(photo.clone(), Pause::Indefinite);
        let text = pauses.to_setting().unwrap();
        let mut left = Pauses::default();
        left.set(photo, Pause::Indefinite);
        assert_eq!(Pauses::from_setting(&text, now), left);
        assert_eq!(Pauses::from_setting(&text, WallTime::from_micros(999)), pauses);
    }
}
