//! `PropertiesChanged`, gathered: at most two a second for an object, and none when nothing that is told of changed.
//!
//! Pure: time comes in, changes come out. What was last told is kept and compared, so that a value that changed and
//! changed back is no news.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::route::{Interface, Object, interfaces, path_of, properties};
use super::wire::Dictionary;
use crate::model::{Config, Status, StrategyName, WallTime};

/// The time that one signal takes of an object's share.
pub(super) const SHARE: Duration = Duration::from_millis(500);

/// A signal to be sent.
#[derive(Debug, PartialEq)]
pub(super) enum Announcement {
    /// `PropertiesChanged` of an object's interface.
    Changed { path: String, interface: &'static str, values: Dictionary<'static> },
    /// What the network bears was measured.
    Measured(Arc<Status>),
    /// A strategy's object is there now.
    Added(StrategyName),
    /// A strategy's object is gone.
    Removed(StrategyName),
}

/// What was told last, and when more may be told.
#[derive(Debug)]
pub(super) struct Publisher {
    told: BTreeMap<String, Told>,
    measured: Measured,
    /// What was looked at last.
    seen: (Arc<Config>, Arc<Status>),
}

/// The measurement that was told of last, and when another may be.
#[derive(Debug)]
struct Measured {
    at: WallTime,
    next: Instant,
    late: bool,
}

#[derive(Debug)]
struct Told {
    object: Object,
    values: Vec<(&'static Interface, Dictionary<'static>)>,
    next: Instant,
    /// Something waits for `next`.
    late: bool,
}

impl Publisher {
    /// Starts from what anybody who asks is told at first.
    pub(super) fn new(config: &Arc<Config>, status: &Arc<Status>, now: Instant) -> Self {
        let seen = (Arc::clone(config), Arc::clone(status));
        let measured = Measured { at: status.bandwidth.estimate.measured_at, next: now, late: false };
        let mut publisher = Self { told: BTreeMap::new(), measured, seen };
        publisher.follow(config, status, now);
        publisher
    }

    /// What to send now that configuration or status may have changed, or [`deadline`](Self::deadline) has come.
    pub(super) fn update(&mut self, config: &Arc<Config>, status: &Arc<Status>, now: Instant) -> Vec<Announcement> {
        let (old_config, old_status) = std::mem::replace(&mut self.seen, (Arc::clone(config), Arc::clone(status)));
        let same_config = Arc::ptr_eq(&old_config, config);
        let mut announcements = if same_config { Vec::new() } else { self.follow(config, status, now) };
        for (path, told) in &mut self.told {
            if told.late || !same_config || concerns(&told.object, &old_status, status) {
                announcements.extend(told.update(path, config, status, now));
            }
        }
        announcements.extend(self.measured.update(status, now));
        announcements
    }

    /// When what was held back may be sent.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let told = self.told.values().filter(|told| told.late).map(|told| told.next);
        told.chain(self.measured.late.then_some(self.measured.next)).min()
    }

    /// Follows the configuration: objects of new strategies, and of those that are gone.
    fn follow(&mut self, config: &Config, status: &Status, now: Instant) -> Vec<Announcement> {
        let mut announcements = Vec::new();
        let gone = |object: &Object| match object {
            Object::Strategy(name) => !config.strategies.contains_key(name),
            Object::Root | Object::Branch => false,
        };
        self.told.retain(|_, told| {
            let gone = gone(&told.object);
            if let (true, Object::Strategy(name)) = (gone, &told.object) {
                announcements.push(Announcement::Removed(name.clone()));
            }
            !gone
        });
        for name in config.strategies.keys() {
            self.told.entry(path_of(name)).or_insert_with(|| {
                announcements.push(Announcement::Added(name.clone()));
                Told::new(Object::Strategy(name.clone()), config, status, now)
            });
        }
        let root = || Told::new(Object::Root, config, status, now);
        self.told.entry(super::route::ROOT.to_owned()).or_insert_with(root);
        announcements
    }
}

impl Measured {
    fn update(&mut self, status: &Arc<Status>, now: Instant) -> Option<Announcement> {
        let at = status.bandwidth.estimate.measured_at;
        // Of a network that nothing is known of there is nothing to tell.
        let news = at != self.at && at != WallTime::default();
        self.late = news && now < self.next;
        if !news || self.late {
            return None;
        }
        (self.at, self.next) = (at, now + SHARE);
        Some(Announcement::Measured(Arc::clone(status)))
    }
}

impl Told {
    fn new(object: Object, config: &Config, status: &Status, now: Instant) -> Self {
        let told = |interface: &&'static Interface| (*interface, telling(&object, interface, config, status));
        let values = interfaces(&object).iter().map(told).collect();
        Self { object, values, next: now, late: false }
    }

    fn update(&mut self, path: &str, config: &Config, status: &Status, now: Instant) -> Vec<Announcement> {
        let mut announcements = Vec::new();
        // What is held back is looked at once its time has come, however often it changes until then.
        if self.late && now < self.next {
            return announcements;
        }
        self.late = false;
        for (interface, old) in &mut self.values {
            let new = telling(&self.object, interface, config, status);
            if new == *old {
                continue;
            }
            if now < self.next {
                self.late = true;
                return announcements;
            }
            let values = changed(old, &new);
            *old = new;
            announcements.push(Announcement::Changed { path: path.to_owned(), interface: interface.name, values });
        }
        if let Ok(signals @ 1..) = u32::try_from(announcements.len()) {
            self.next = now + SHARE * signals;
        }
        announcements
    }
}

/// Whether an object's properties may differ between two statuses. Counters change with each commit, and building the
/// properties of all objects each time would cost more than the commit's news itself.
fn concerns(object: &Object, old: &Status, new: &Status) -> bool {
    match object {
        Object::Strategy(name) => old.strategies.get(name) != new.strategies.get(name),
        Object::Root | Object::Branch => {
            let Status {
                state,
                pause,
                blocked,
                next_wake: _,
                holds,
                transfers,
                running: _,
                network,
                bandwidth,
                power,
                strategies: _,
            } = old;
            (state, pause, blocked, holds, transfers, network, bandwidth, power)
                != (
                    &new.state,
                    &new.pause,
                    &new.blocked,
                    &new.holds,
                    &new.transfers,
                    &new.network,
                    &new.bandwidth,
                    &new.power,
                )
        }
    }
}

/// The properties of which changes are told.
fn telling(object: &Object, interface: &Interface, config: &Config, status: &Status) -> Dictionary<'static> {
    let mut values = properties(object, interface, config, status);
    values.retain(|name, _| interface.properties.iter().any(|property| property.name == *name && property.emits));
    values
}

fn changed(old: &Dictionary<'static>, new: &Dictionary<'static>) -> Dictionary<'static> {
    let differs = |name: &&str| old.get(name) != new.get(name);
    let copy = |name: &'static str| Some((name, new.get(name)?.try_clone().ok()?));
    new.keys().copied().filter(|name| differs(name)).filter_map(copy).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::tests::{config, status};
    use crate::model::ManagerState;

    fn interfaces_of(announcements: &[Announcement]) -> Vec<&'static str> {
        let interface = |announcement: &Announcement| match announcement {
            Announcement::Changed { interface, .. } => interface.rsplit('.').next().unwrap_or_default(),
            Announcement::Measured(_) => "measured",
            Announcement::Added(_) => "added",
            Announcement::Removed(_) => "removed",
        };
        announcements.iter().map(interface).collect()
    }

    #[test]
    fn at_most_two_signals_a_second_are_sent_for_an_object() {
        let (config, mut status, start) = (Arc::new(config()), Arc::new(status(&config())), Instant::now());
        let mut publisher = Publisher::new(&config, &status, start);
        let mut sent = Vec::new();
        for millis in 0..5000u32 {
            let now = start + Duration::from_millis(millis.into());
            Arc::make_mut(&mut status).transfers += 1;
            Arc::make_mut(&mut status).network.frequency += 1;
            sent.extend(publisher.update(&config, &status, now).into_iter().map(|_| now));
        }
        for (place, now) in sent.iter().enumerate() {
            let within = sent[place..].iter().take_while(|later| **later < *now + Duration::from_secs(1)).count();
            assert!(within <= 2, "{within} signals within a second");
        }
        assert!(sent.len() >= 9, "{} signals in five seconds", sent.len());
    }

    #[test]
    fn what_is_held_back_has_a_deadline_and_what_is_not_has_none() {
        let (config, mut status, start) = (Arc::new(config()), Arc::new(status(&config())), Instant::now());
        let mut publisher = Publisher::new(&config, &status, start);
        Arc::make_mut(&mut status).state = ManagerState::Paused;
        assert_eq!(interfaces_of(&publisher.update(&config, &status, start)), ["Manager"]);
        assert_eq!(publisher.deadline(), None);
        Arc::make_mut(&mut status).state = ManagerState::Idle;
        assert_eq!(interfaces_of(&publisher.update(&config, &status, start)), [""; 0]);
        assert_eq!(publisher.deadline(), Some(start + SHARE));
        Arc::make_mut(&mut status).state = ManagerState::Paused;
        assert_eq!(interfaces_of(&publisher.update(&config, &status, start + SHARE / 2)), [""; 0]);
        assert_eq!(interfaces_of(&publisher.update(&config, &status, start + SHARE)), [""; 0], "it changed back");
        assert_eq!(publisher.deadline(), None);
        Arc::make_mut(&mut status).next_wake = Some(("task-due", WallTime::from_micros(1)));
        assert_eq!(interfaces_of(&publisher.update(&config, &status, start + SHARE)), [""; 0], "nobody is told of it");
    }

    #[test]
    fn measurements_are_told_at_most_twice_a_second_and_the_last_of_them_too() {
        let (config, mut status, start) = (Arc::new(config()), Arc::new(status(&config())), Instant::now());
        let mut publisher = Publisher::new(&config, &status, start);
        let mut measure = |publisher: &mut Publisher, micros, now| {
            Arc::make_mut(&mut status).bandwidth.estimate.measured_at = WallTime::from_micros(micros);
            interfaces_of(&publisher.update(&config, &status, now))
        };
        assert_eq!(measure(&mut publisher, 1, start), ["measured"]);
        assert_eq!((measure(&mut publisher, 2, start), publisher.deadline()), (vec![], Some(start + SHARE)));
        assert_eq!(measure(&mut publisher, 2, start + SHARE), ["measured"]);
        assert_eq!((measure(&mut publisher, 2, start + SHARE), publisher.deadline()), (vec![], None));
        assert_eq!(measure(&mut publisher, 0, start + 2 * SHARE), [""; 0], "another network");
    }

    #[test]
    fn strategies_come_and_go_with_the_configuration() {
        let (mut config, status, start) = (Arc::new(config()), Arc::new(status(&config())), Instant::now());
        let mut publisher = Publisher::new(&config, &status, start);
        let (name, strategy) = Arc::make_mut(&mut config).strategies.pop_first().expect("a strategy");
        assert_eq!(publisher.update(&config, &status, start), [Announcement::Removed(name.clone())]);
        Arc::make_mut(&mut config).strategies.insert(name.clone(), strategy);
        assert_eq!(publisher.update(&config, &status, start), [Announcement::Added(name)]);
        assert_eq!(publisher.update(&config, &status, start), []);
    }
}
