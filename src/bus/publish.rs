//! `PropertiesChanged`, gathered: at most two a second for an object, and none when nothing that is told of changed.
//!
//! Pure: time comes in, changes come out. What was last told is kept and compared, so that a value that changed and
//! changed back is no news.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::route::{Interface, Object, interfaces, path_of, properties};
use super::wire::Dictionary;
use crate::model::{Config, Status, StrategyName};

/// The time that one signal takes of an object's share.
pub(super) const SHARE: Duration = Duration::from_millis(500);

/// A signal to be sent.
#[derive(Debug, PartialEq)]
pub(super) enum Announcement {
    /// `PropertiesChanged` of an object's interface.
    Changed { path: String, interface: &'static str, values: Dictionary<'static> },
    /// A strategy's object is there now.
    Added(StrategyName),
    /// A strategy's object is gone.
    Removed(StrategyName),
}

/// What was told last, and when more may be told.
#[derive(Debug)]
pub(super) struct Publisher {
    told: BTreeMap<String, Told>,
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
    pub(super) fn new(config: &Config, status: &Status, now: Instant) -> Self {
        let mut publisher = Self { told: BTreeMap::new() };
        publisher.follow(config, status, now);
        publisher
    }

    /// What to send now that configuration or status may have changed, or [`deadline`](Self::deadline) has come.
    pub(super) fn update(&mut self, config: &Config, status: &Status, now: Instant) -> Vec<Announcement> {
        let mut announcements = self.follow(config, status, now);
        for (path, told) in &mut self.told {
            announcements.extend(told.update(path, config, status, now));
        }
        announcements
    }

    /// When what was held back may be sent.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.told.values().filter(|told| told.late).map(|told| told.next).min()
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
            let path = path_of(name);
            if !self.told.contains_key(&path) {
                self.told.insert(path, Told::new(Object::Strategy(name.clone()), config, status, now));
                announcements.push(Announcement::Added(name.clone()));
            }
        }
        let root = || Told::new(Object::Root, config, status, now);
        self.told.entry(super::route::ROOT.to_owned()).or_insert_with(root);
        announcements
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
