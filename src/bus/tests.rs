//! A configuration and a status for the tests of this room, and what holds for all its interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::error::Refusal;
use super::route::Interface;
use super::{manager, network, standard, strategy, tasks, wire};
use crate::model::{
    Access, Bandwidth, BatteryFloor, Conditions, Config, Connectivity, Device, HistoryEntry, Kind, Limits, LinkType,
    ManagerState, Metered, Network, NetworkConfig, NetworkNeed, Original, Owner, Power, Quality, Quotas, State, Status,
    StoreConfig, Strategy, StrategyName, TaskChange, TaskId, Transfer, Waiver, WallTime, Window,
};

/// Two strategies and no backend.
pub(super) fn config() -> Config {
    Config {
        device: Device { name: "test".into() },
        backends: BTreeMap::new(),
        strategies: [("metadata", Kind::Json), ("photo", Kind::File)].into_iter().map(a_strategy).collect(),
        network: NetworkConfig::default(),
        store: StoreConfig { keep_done: Duration::from_secs(3600), reserve: 1 << 20 },
        limits: Limits {
            max_concurrent: 3,
            backoff_cap: Duration::from_secs(900),
            payload: 64 << 10,
            payload_depth: 64,
            batch_items: 500,
            batch_bytes: 8 << 20,
            hold_time: Duration::from_secs(900),
            quotas: Quotas { tasks: 1000, bytes: 1 << 20, subscribers: 16, holds: 4 },
        },
        access: Access { admin_uids: BTreeSet::new(), admin_gids: BTreeSet::new() },
    }
}

/// Nothing to do and no network.
pub(super) fn status(_config: &Config) -> Status {
    Status {
        state: ManagerState::Idle,
        pause: None,
        blocked: Vec::new(),
        next_wake: None,
        holds: 0,
        transfers: 0,
        running: BTreeMap::new(),
        network: Network::none(),
        bandwidth: Bandwidth::unknown(),
        power: Power::mains(),
        strategies: BTreeMap::new(),
    }
}

fn a_strategy((name, kind): (&str, Kind)) -> (StrategyName, Strategy) {
    let name = StrategyName::new(name).expect("a name");
    let conditions = Conditions {
        network: NetworkNeed::Any,
        roaming: true,
        charging: false,
        min_battery: BatteryFloor::default(),
        heed_power_save: false,
        heed_slow_link: false,
        window: Window::default(),
        metered_budget: None,
    };
    let strategy = Strategy {
        name: name.clone(),
        backend: None,
        kind,
        priority: 1,
        batch: 50,
        max_attempts: 5,
        multiplier: 2.0,
        conditions,
        max_wait: None,
        randomized_delay: Duration::ZERO,
        max_rate: None,
        strip_gps: false,
    };
    (name, strategy)
}

/// The attributes of a tag.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

/// `Name(in)out` of every method and `Name:type` of every property that a document declares, with ` quiet` where no
/// signal tells of it.
fn declared(xml: &str) -> BTreeSet<String> {
    let (mut facts, mut member): (BTreeSet<String>, Option<(String, String, String)>) = (BTreeSet::new(), None);
    let mut property: Option<String> = None;
    for tag in xml.split('<').filter(|tag| !tag.starts_with('!')) {
        let name = || attribute(tag, "name").unwrap_or_default().to_owned();
        let kind = tag.split([' ', '/', '>']).find(|part| !part.is_empty()).unwrap_or_default();
        let closes = tag.starts_with('/') || tag.contains("/>");
        match kind {
            "method" if !tag.starts_with('/') => member = Some((name(), String::new(), String::new())),
            "arg" => {
                if let Some((_, takes, gives)) = &mut member {
                    let to = if attribute(tag, "direction") == Some("out") { gives } else { takes };
                    to.push_str(attribute(tag, "type").unwrap_or_default());
                }
            }
            "property" if !tag.starts_with('/') => {
                property = Some(format!("{}:{}", name(), attribute(tag, "type").unwrap_or_default()));
            }
            "annotation" if name().ends_with("EmitsChangedSignal") => {
                property = property.map(|property| property + " quiet");
            }
            _ => {}
        }
        if kind == "method" && closes {
            facts.extend(member.take().map(|(name, takes, gives)| format!("{name}({takes}){gives}")));
        }
        if kind == "property" && closes {
            facts.extend(property.take());
        }
    }
    facts
}

#[test]
fn the_documents_in_dbus_declare_what_the_faces_serve() {
    let faces: [&Interface; 4] = [&manager::INTERFACE, &tasks::INTERFACE, &strategy::INTERFACE, &network::INTERFACE];
    for face in faces {
        let methods = face.methods.iter().map(|method| format!("{}({}){}", method.name, method.takes, method.gives));
        let properties = face.properties.iter().map(|property| {
            format!("{}:{}{}", property.name, property.signature, if property.emits { "" } else { " quiet" })
        });
        assert!(face.xml.contains(&format!("<interface name=\"{}\">", face.name)));
        assert_eq!(declared(face.xml), methods.chain(properties).collect(), "{}", face.name);
    }
}

#[test]
fn properties_have_the_types_that_are_declared() {
    let (config, status) = (config(), status(&config()));
    let name = StrategyName::new("photo").expect("a name");
    let faces = [
        (&manager::INTERFACE, manager::properties(&status)),
        (&network::INTERFACE, network::properties(&status.network)),
        (&strategy::INTERFACE, strategy::properties(&name, &config, &status)),
    ];
    for (face, values) in faces {
        let declared: BTreeMap<_, _> =
            face.properties.iter().map(|property| (property.name, property.signature.to_owned())).collect();
        let served: BTreeMap<_, _> =
            values.iter().map(|(name, value)| (*name, value.value_signature().to_string())).collect();
        assert_eq!(served, declared, "{}", face.name);
    }
}

#[test]
fn a_call_without_an_interface_means_ours() {
    assert!(standard::method(None, "Get").is_none());
    assert!(standard::method(Some(standard::PROPERTIES), "Get").is_some());
    assert!(standard::method(Some(standard::PROPERTIES), "Ping").is_none());
}

const PAGE: &str = include_str!("../../docs/dbus.md");

/// The part of the page under the heading that begins so.
fn part(heading: &str) -> &'static str {
    let start = PAGE.find(heading).unwrap_or_else(|| panic!("no {heading}"));
    let part = &PAGE[start..];
    part.find("\n#").map_or(part, |end| &part[..end])
}

/// Whether a word stands there as code, alone or with its type.
fn stands(text: &str, word: &str) -> bool {
    text.contains(&format!("`{word}`")) || text.contains(&format!("`{word} "))
}

/// The fields of a struct of `wire.rs`, which are the keys of its dictionary.
fn fields(name: &str) -> Vec<&'static str> {
    let source = include_str!("wire.rs");
    let start = source.find(&format!("struct {name} {{")).unwrap_or_else(|| panic!("no {name}"));
    let lines = source[start..].lines().skip(1).take_while(|line| *line != "}");
    lines.filter_map(|line| line.trim().split_once(':')).map(|(field, _)| field).collect()
}

#[test]
fn every_error_stands_in_the_page() {
    let ours = part("## Errors");
    for name in Refusal::NAMES {
        let word = name.rsplit('.').next().unwrap_or_default();
        let (text, shown) = match name.starts_with("org.ferryd.") {
            true => (ours, format!("| `{word}` |")),
            false => (PAGE, format!("{word}`")),
        };
        assert!(text.contains(&shown), "{name}");
    }
}

#[test]
fn every_key_of_a_dictionary_stands_in_the_page() {
    let change = TaskChange {
        id: TaskId::mint(),
        owner: Owner(0),
        strategy: StrategyName::new("photo").expect("a name"),
        state: State::Done,
        from: None,
        at: WallTime::default(),
        attempts: 0,
        error: String::new(),
    };
    let transfer = Transfer {
        done: 0,
        total: 0,
        chunk: 0,
        quality: Quality::Original,
        sent: 0,
        took: Duration::ZERO,
        upload: None,
    };
    let entry = HistoryEntry { at: WallTime::default(), event: String::new(), detail: String::new() };
    let (get, explain) = (part("### `Get("), part("### `Explain("));
    let dictionaries = [
        (get, fields("TaskDict")),
        (get, fields("ResultDict")),
        (part("### Signal `StateChanged("), wire::change(&change).into_keys().collect()),
        (part("### Signal `Progress("), wire::transfer(&transfer).into_keys().collect()),
        (explain, wire::history(&entry).3.into_keys().collect()),
    ];
    for (text, keys) in dictionaries {
        assert!(keys.len() >= 2, "{keys:?}");
        for key in keys {
            assert!(stands(text, key), "{key} is not in: {text}");
        }
    }
}

#[test]
fn every_word_that_is_told_or_taken_stands_in_the_page() {
    fn words<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) -> Vec<&'static str> {
        all.iter().map(|value| word(*value)).collect()
    }
    let network = part("## Network");
    let told = [
        (part("### `Get("), words(State::ALL, State::as_str)),
        (part("### `EnqueueFile("), words(Quality::ALL, Quality::as_str)),
        (part("### `EnqueueFile("), words(Original::ALL, Original::as_str)),
        (part("### `SyncNow("), words(Waiver::ALL, Waiver::as_str)),
        (PAGE, words(ManagerState::ALL, ManagerState::as_str)),
        (network, words(LinkType::ALL, LinkType::as_str)),
        (network, words(Connectivity::ALL, Connectivity::as_str)),
        (network, words(Metered::ALL, Metered::as_str)),
    ];
    for (text, words) in told {
        for word in words {
            assert!(stands(text, word), "{word} is not in: {text}");
        }
    }
}
