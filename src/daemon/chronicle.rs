//! What an admin reads in the log without asking for more: backends that fail and come back, strategies that wait for
//! something and go on, links, and tasks that failed for good; each once when it changes, and none in a flood. It compares
//! what it is shown with what it told last.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{info, warn};

use crate::model::{BackendName, LinkType, Moment, Network, Reason, Status, StrategyName, TaskChange};
use crate::sense::services::ServiceError;

/// The time within which so many lines are told and no more.
const WINDOW: Duration = Duration::from_secs(60);

/// About one backend or one strategy. What changes and changes back beyond them is no news.
const CHANGES: u32 = 6;

/// About failed tasks; more are counted.
const FAILURES: u32 = 60;

/// A line to be logged.
#[derive(Debug, PartialEq)]
enum Entry {
    BackendFails(BackendName, Reason, String),
    BackendWorks(BackendName),
    StrategyWaits(StrategyName, Vec<Reason>),
    StrategyGoes(StrategyName),
}

/// What was told last.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    backends: BTreeMap<BackendName, Told<Option<Reason>>>,
    strategies: BTreeMap<StrategyName, Told<Vec<Reason>>>,
    links: BTreeMap<BackendName, Option<(String, LinkType)>>,
    services: BTreeMap<&'static str, Told<bool>>,
    failures: Failures,
}

/// Lines told within the present [`WINDOW`].
#[derive(Debug, Default)]
struct Share {
    until: Moment,
    told: u32,
}

impl Share {
    /// Whether one more may be told, of at most `limit`.
    fn take(&mut self, limit: u32, now: Moment) -> bool {
        if self.until <= now {
            *self = Self { until: now + WINDOW, told: 0 };
        }
        let more = self.told < limit;
        self.told += u32::from(more);
        more
    }
}

#[derive(Debug, Default)]
struct Told<T> {
    value: T,
    share: Share,
}

impl<T: PartialEq> Told<T> {
    /// Whether `value` is to be told now.
    fn changes(&mut self, value: T, now: Moment) -> bool {
        let tell = self.value != value && self.share.take(CHANGES, now);
        if tell {
            self.value = value;
        }
        tell
    }
}

/// Failed tasks that were only counted.
#[derive(Debug, Default)]
struct Failures {
    share: Share,
    untold: u64,
}

impl Failures {
    /// Whether one more is told singly, and how many untold ones to mention first.
    fn one_more(&mut self, now: Moment) -> Option<u64> {
        if self.share.take(FAILURES, now) {
            return Some(std::mem::take(&mut self.untold));
        }
        self.untold += 1;
        None
    }
}

impl Chronicle {
    /// Looks at the whole; `ill` are the backends that do not work, why, and what the last failure said.
    pub(super) fn look<'a>(
        &mut self,
        status: &Status,
        ill: impl Iterator<Item = (&'a BackendName, Reason, &'a str)>,
        now: Moment,
    ) {
        let mut entries = self.backends(ill, now);
        entries.extend(self.strategies(status, now));
        entries.iter().for_each(Entry::log);
    }

    fn backends<'a>(
        &mut self,
        ill: impl Iterator<Item = (&'a BackendName, Reason, &'a str)>,
        now: Moment,
    ) -> Vec<Entry> {
        let ill: BTreeMap<_, _> = ill.map(|(name, reason, words)| (name, (reason, words))).collect();
        let mut entries = Vec::new();
        for (name, told) in &mut self.backends {
            if !ill.contains_key(name) && told.changes(None, now) {
                entries.push(Entry::BackendWorks(name.clone()));
            }
        }
        for (name, (reason, words)) in ill {
            if self.backends.entry(name.clone()).or_default().changes(Some(reason), now) {
                entries.push(Entry::BackendFails(name.clone(), reason, words.to_owned()));
            }
        }
        entries
    }

    fn strategies(&mut self, status: &Status, now: Moment) -> Vec<Entry> {
        self.strategies.retain(|name, _| status.strategies.contains_key(name));
        let mut entries = Vec::new();
        for (name, strategy) in &status.strategies {
            let told = self.strategies.entry(name.clone()).or_default();
            if strategy.counts.pending == 0 {
                // It waits for nothing, which is no news: nobody was kept waiting.
                told.value.clear();
                continue;
            }
            let reasons: Vec<_> = strategy.blocked.iter().copied().filter(|reason| is_news(*reason)).collect();
            if told.changes(reasons.clone(), now) {
                let name = name.clone();
                entries.push(match reasons.is_empty() {
                    true => Entry::StrategyGoes(name),
                    false => Entry::StrategyWaits(name, reasons),
                });
            }
        }
        entries
    }

    /// The ways to the backends are now these.
    pub(super) fn networks(&mut self, networks: &BTreeMap<BackendName, Network>) {
        self.links.retain(|backend, _| networks.contains_key(backend));
        for (backend, network) in networks {
            let link = network.connected.then(|| (network.interface.clone(), network.link));
            if self.links.insert(backend.clone(), link.clone()) == Some(link.clone()) {
                continue;
            }
            match link {
                Some((interface, link)) => info!(%backend, "the way to backend {backend} is {interface} ({link})"),
                None => info!(%backend, reason = Reason::Offline.as_str(), "there is no way to backend {backend}"),
            }
        }
    }

    /// A service of the machine has spoken: what is wrong with it, if anything is.
    pub(super) fn service(&mut self, name: &'static str, error: Option<&ServiceError>, now: Moment) {
        if !self.services.entry(name).or_default().changes(error.is_some(), now) {
            return;
        }
        match error {
            Some(error) => warn!("{name} is there and not understood, and what it said well no longer counts: {error}"),
            None => info!("{name} is understood again"),
        }
    }

    /// A task failed for good.
    pub(super) fn failed(&mut self, change: &TaskChange, now: Moment) {
        let Some(untold) = self.failures.one_more(now) else { return };
        if untold > 0 {
            warn!("{untold} more tasks failed for good");
        }
        let TaskChange { id, strategy, attempts, error, .. } = change;
        warn!(task = %id, %strategy, attempt = attempts, reason = error, "task {id} of {strategy} failed for good: {error}");
    }
}

impl Entry {
    fn log(&self) {
        match self {
            Self::BackendFails(backend, reason, words) => {
                warn!(%backend, %reason, "backend {backend} fails ({reason}): {words}");
            }
            Self::BackendWorks(backend) => info!(%backend, "backend {backend} works again"),
            Self::StrategyWaits(strategy, reasons) => {
                let reason = reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(" ");
                info!(%strategy, reason, "{strategy} waits: {reason}");
            }
            Self::StrategyGoes(strategy) => info!(%strategy, "{strategy} no longer waits"),
        }
    }
}

/// Whether it is worth a line that tasks wait for this: not for what passes by itself, nor for what links and backends
/// have lines of their own about.
fn is_news(reason: Reason) -> bool {
    match reason {
        Reason::NoInternet
        | Reason::CaptivePortal
        | Reason::Metered
        | Reason::Roaming
        | Reason::NotWifi
        | Reason::NotCharging
        | Reason::LowBattery
        | Reason::PowerSave
        | Reason::SlowLink
        | Reason::Budget
        | Reason::Window
        | Reason::Clock
        | Reason::Paused
        | Reason::Held
        | Reason::Suspending
        | Reason::NoBackend => true,
        Reason::Offline
        | Reason::Backoff
        | Reason::Order
        | Reason::Concurrency
        | Reason::BackendAuth
        | Reason::BackendTls
        | Reason::BackendDown
        | Reason::BackendConfig => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::summary::tests::{nothing, strategy};

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    fn waiting(pending: u64, blocked: &[Reason]) -> Status {
        Status { strategies: [strategy("photo", pending, 0, blocked)].into(), ..nothing() }
    }

    #[test]
    fn a_backend_is_told_of_when_it_fails_and_when_it_works_and_not_each_time_it_does() {
        let mut chronicle = Chronicle::default();
        let main = BackendName::new("main").expect("a name");
        let fails = |reason| std::iter::once((&main, reason, "refused")).collect::<Vec<_>>().into_iter();
        let told = |reason| vec![Entry::BackendFails(main.clone(), reason, "refused".to_owned())];
        assert_eq!(chronicle.backends([].into_iter(), at(0)), []);
        assert_eq!(chronicle.backends(fails(Reason::BackendDown), at(1)), told(Reason::BackendDown));
        assert_eq!(chronicle.backends(fails(Reason::BackendDown), at(100)), []);
        assert_eq!(chronicle.backends([].into_iter(), at(101)), [Entry::BackendWorks(main.clone())]);
        let mut lines = 0;
        for _ in 0..100 {
            lines += chronicle.backends(fails(Reason::BackendDown), at(150)).len();
            lines += chronicle.backends([].into_iter(), at(150)).len();
        }
        assert_eq!(lines, 5, "of a hundred times; one line was told a moment ago");
        assert_eq!(chronicle.backends(fails(Reason::BackendAuth), at(159)), []);
        assert_eq!(chronicle.backends(fails(Reason::BackendAuth), at(161)), told(Reason::BackendAuth));
    }

    #[test]
    fn a_strategy_is_told_of_while_tasks_wait_for_what_does_not_pass_by_itself() {
        let mut chronicle = Chronicle::default();
        let photo = || StrategyName::new("photo").expect("a name");
        let metered = [Reason::Metered];
        assert_eq!(chronicle.strategies(&waiting(0, &metered), at(0)), []);
        assert_eq!(chronicle.strategies(&waiting(1, &[Reason::Offline, Reason::Backoff]), at(1)), []);
        let told = [Entry::StrategyWaits(photo(), metered.to_vec())];
        assert_eq!(chronicle.strategies(&waiting(1, &metered), at(2)), told);
        assert_eq!(chronicle.strategies(&waiting(9, &metered), at(3)), []);
        assert_eq!(chronicle.strategies(&waiting(9, &[]), at(12)), [Entry::StrategyGoes(photo())]);
        assert_eq!(chronicle.strategies(&waiting(9, &metered), at(30)), told);
        assert_eq!(chronicle.strategies(&waiting(0, &metered), at(60)), []);
        assert_eq!(chronicle.strategies(&waiting(1, &[]), at(90)), [], "nothing waited when it was cleared");
    }

    #[test]
    fn of_a_flood_of_failures_some_are_told_and_the_rest_counted() {
        let mut failures = Failures::default();
        let told = (0..500).filter(|_| failures.one_more(at(0)).is_some()).count();
        assert_eq!(told, 60);
        assert_eq!(failures.one_more(at(60)), Some(440));
        assert_eq!(failures.one_more(at(60)), Some(0));
    }
}
