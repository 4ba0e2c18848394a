//! What strategies have spent of their budgets, kept in the store so that it outlasts the daemon.

use std::collections::BTreeMap;

use tracing::error;

use super::run::Daemon;
use crate::model::{Day, Now, StrategyName};
use crate::schedule::{Input, Spending};

/// The name of the setting that keeps it.
pub(super) const SETTING: &str = "spending";

impl Daemon {
    /// Tells the core what has left since it was last told.
    pub(super) fn count_sent(&mut self, now: Now) {
        for (strategy, backend, bytes) in self.attempts.sent() {
            self.core.handle(Input::Sent { strategy, backend, bytes }, now);
        }
    }

    /// Writes it; what comes next may go on meanwhile.
    pub(super) fn keep_spent(&self, spent: &BTreeMap<StrategyName, Spending>) {
        let kept = self.store.put_setting(SETTING, Some(to_setting(spent)));
        tokio::spawn(async move {
            if let Err(error) = kept.await {
                error!("keeping what was spent of budgets: {error}");
            }
        });
    }
}

/// A line a strategy: `STRATEGY DAY BYTES`.
fn to_setting(spent: &BTreeMap<StrategyName, Spending>) -> String {
    let line =
        |(strategy, spending): (&StrategyName, &Spending)| format!("{strategy} {} {}", spending.day, spending.bytes);
    spent.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads what was written; a line it cannot read is skipped.
pub(super) fn from_setting(text: &str) -> BTreeMap<StrategyName, Spending> {
    let read = |line: &str| {
        let mut words = line.split(' ');
        let strategy = StrategyName::new(words.next()?).ok()?;
        let spending = Spending { day: Day::parse(words.next()?)?, bytes: words.next()?.parse().ok()? };
        Some((strategy, spending))
    };
    text.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spent_survives_being_written() {
        let spending = |day, bytes| Spending { day: Day::parse(day).expect("a day"), bytes };
        let name = |name| StrategyName::new(name).expect("a name");
        let spent = BTreeMap::from([
            (name("photo"), spending("2026-11-28", 12_345)),
            (name("metadata"), spending("2026-01-01", 0)),
        ]);
        assert_eq!(from_setting(&to_setting(&spent)), spent);
        assert_eq!(from_setting(&format!("{}\nphoto yesterday 1\nmetadata", to_setting(&spent))), spent);
    }
}
