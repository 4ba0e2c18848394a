//! `[strategy.NAME]`: the shipped ones, and what an admin changes or adds.

use std::collections::BTreeMap;
use std::time::Duration;

use super::names;
use super::section::Section;
use super::sections::{DAY, GIB, HOUR, KIB, SECOND, TIB, small};
use crate::model::{
    BackendKind, BackendName, BatteryFloor, Conditions, Kind, NetworkNeed, Strategy, StrategyName, Window,
};

/// A strategy's values before an admin's.
struct Shipped {
    kind: Kind,
    priority: u32,
    batch: usize,
    max_attempts: u32,
    multiplier: f64,
    network: NetworkNeed,
    heed_power_save: bool,
    max_wait: Option<Duration>,
}

const SHIPPED: &[(&str, Shipped)] = &[
    (
        "metadata",
        Shipped {
            kind: Kind::Json,
            priority: 1,
            batch: 50,
            max_attempts: 5,
            multiplier: 2.0,
            network: NetworkNeed::Any,
            heed_power_save: false,
            max_wait: None,
        },
    ),
    (
        "photo",
        Shipped {
            kind: Kind::File,
            priority: 2,
            batch: 3,
            max_attempts: 3,
            multiplier: 2.0,
            network: NetworkNeed::Unmetered,
            heed_power_save: true,
            max_wait: Some(Duration::from_secs(1_800)),
        },
    ),
    (
        "analytics",
        Shipped {
            kind: Kind::Json,
            priority: 3,
            batch: 100,
            max_attempts: 2,
            multiplier: 1.5,
            network: NetworkNeed::Any,
            heed_power_save: true,
            max_wait: Some(Duration::from_secs(7_200)),
        },
    ),
];

/// What a strategy that an admin adds starts from.
const ADDED: Shipped = Shipped {
    kind: Kind::Json,
    priority: 10,
    batch: 50,
    max_attempts: 5,
    multiplier: 2.0,
    network: NetworkNeed::Any,
    heed_power_save: false,
    max_wait: None,
};

/// All strategies. Without a `backend` of its own a strategy goes to the one named `main` if that is of the right kind,
/// else to the only one of its kind.
pub(super) fn all(section: &Section<'_>, backends: &[(BackendName, BackendKind)]) -> BTreeMap<StrategyName, Strategy> {
    let mut strategies = BTreeMap::new();
    for (name, section) in section.subsections() {
        match name_of(name) {
            Ok(name) => {
                strategies.insert(name.clone(), strategy(&name, section, backends));
            }
            Err(words) => section.refuse_all(words),
        }
    }
    for (name, _) in SHIPPED {
        let name = StrategyName::new(name).expect("the shipped names are names");
        let shipped = || strategy(&name, section.absent(), backends);
        strategies.entry(name.clone()).or_insert_with(shipped);
    }
    strategies
}

fn name_of(name: &str) -> Result<StrategyName, String> {
    match name {
        "metadata_update" => Err("another name of strategy.metadata, which takes the keys".to_owned()),
        "photo_upload" => Err("another name of strategy.photo, which takes the keys".to_owned()),
        _ => StrategyName::new(name).map_err(|error| error.to_string()),
    }
}

fn strategy(name: &StrategyName, section: Section<'_>, backends: &[(BackendName, BackendKind)]) -> Strategy {
    let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name.as_str()).map_or(&ADDED, |(_, values)| values);
    let kind = section.word("kind", &[("json", Kind::Json), ("file", Kind::File)]).unwrap_or(shipped.kind);
    let default = default_backend(backends, kind);
    let backend = section.text("backend", |text| backend(text, kind, backends)).flatten().or(default);
    let priority = section.integer("priority", 0..=1_000);
    let batch = section.integer("batch", 1..=1_000);
    let max_attempts = section.integer("max_attempts", 1..=1_000);
    let multiplier = section.number("multiplier", 1.0..=10.0);
    let conditions = conditions(&section, shipped, kind);
    let max_wait = section.duration_or_never("max_wait", SECOND..=30 * DAY);
    let randomized_delay = section.duration("randomized_delay", Duration::ZERO..=HOUR);
    let max_rate = section.rate_or("max_rate", "unlimited", 8 * KIB..=GIB);
    let strip_gps = section.boolean("strip_gps");
    section.finish();
    Strategy {
        name: name.clone(),
        backend,
        kind,
        priority: priority.and_then(|value| u32::try_from(value).ok()).unwrap_or(shipped.priority),
        batch: small(batch, shipped.batch),
        max_attempts: max_attempts.and_then(|value| u32::try_from(value).ok()).unwrap_or(shipped.max_attempts),
        multiplier: multiplier.unwrap_or(shipped.multiplier),
        conditions,
        max_wait: max_wait.unwrap_or(shipped.max_wait),
        randomized_delay: randomized_delay.unwrap_or_default(),
        max_rate: max_rate.flatten(),
        strip_gps: strip_gps.unwrap_or(false),
    }
}

fn conditions(section: &Section<'_>, shipped: &Shipped, kind: Kind) -> Conditions {
    let needs = [NetworkNeed::Any, NetworkNeed::Unmetered, NetworkNeed::Wifi].map(|need| (need.as_str(), need));
    let network = section.word("network", &needs);
    let roaming = section.boolean("roaming");
    let charging = section.boolean("charging");
    let min_battery = section.one_of("min_battery", &BatteryFloor::ALL).and_then(BatteryFloor::new);
    let heed_power_save = section.boolean("heed_power_save");
    let heed_slow_link = section.boolean("heed_slow_link");
    let window = section.texts("window", names::span);
    let metered_budget = section.size_or("metered_bytes_per_day", "unlimited", 1..=TIB);
    Conditions {
        network: network.unwrap_or(shipped.network),
        roaming: roaming.unwrap_or(kind == Kind::Json),
        charging: charging.unwrap_or(false),
        min_battery: min_battery.unwrap_or_default(),
        heed_power_save: heed_power_save.unwrap_or(shipped.heed_power_save),
        heed_slow_link: heed_slow_link.unwrap_or(kind == Kind::File),
        window: Window::new(window),
        metered_budget: metered_budget.flatten(),
    }
}

/// A backend by its name; `None` for the default.
fn backend(text: &str, kind: Kind, backends: &[(BackendName, BackendKind)]) -> Result<Option<BackendName>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match backends.iter().find(|(name, _)| name.as_str() == text) {
        Some((name, backend)) if carries(*backend, kind) => Ok(Some(name.clone())),
        Some((_, backend)) => {
            Err(format!("[backend.{text}] is of kind \"{backend}\", which does not carry this strategy's"))
        }
        None if backends.is_empty() => Err(format!("there is no [backend.{text}], nor any other")),
        None => {
            let names = backends.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(format!("there is no [backend.{text}]; there are {names}"))
        }
    }
}

fn default_backend(backends: &[(BackendName, BackendKind)], kind: Kind) -> Option<BackendName> {
    let mut able = backends.iter().filter(|(_, backend)| carries(*backend, kind)).map(|(name, _)| name).peekable();
    let first = able.peek().copied();
    let count = able.clone().count();
    able.find(|name| name.as_str() == "main").or(first.filter(|_| count == 1)).cloned()
}

const fn carries(backend: BackendKind, kind: Kind) -> bool {
    match (backend, kind) {
        (BackendKind::Http, Kind::Json) | (BackendKind::Tus | BackendKind::S3, Kind::File) => true,
        (BackendKind::Http, Kind::File) | (BackendKind::Tus | BackendKind::S3, Kind::Json) => false,
    }
}
