//! The sections: which keys each has, their ranges and their defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use super::names::{self, Admin};
use super::section::{Complaints, Section};
use super::tree::Table;
use super::{Host, objects, strategies};
use crate::model::{
    Access, AnswerMode, BackendConfig, BackendKind, BackendName, Config, Credential, Device, HeaderToken,
    InterfaceRule, Limits, LinkType, Metered, NetworkConfig, ProbeConfig, Quotas, StoreConfig,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const DAY: Duration = Duration::from_secs(86_400);
pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;
pub(super) const GIB: u64 = 1 << 30;
pub(super) const TIB: u64 = 1 << 40;

/// The whole of it; `None` if a value that has no default is missing (and was complained of). What was complained of
/// stands here with its default.
pub(super) fn config(root: &Table, host: &Host, complaints: &Complaints) -> Option<Config> {
    let root = Section::root(root, complaints);
    let device = device(root.section("device"), host);
    let backends = backends(&root.section("backend"));
    let kind = |(name, backend): (&BackendName, &Option<BackendConfig>)| {
        (name.clone(), backend.as_ref().map_or(BackendKind::Http, |backend| backend.kind))
    };
    let kinds: Vec<_> = backends.iter().map(kind).collect();
    let strategies = strategies::all(&root.section("strategy"), &kinds);
    let network = network(root.section("network"));
    let store = store(root.section("store"));
    let limits = limits(root.section("limits"));
    let access = access(root.section("access"), host);
    root.finish();
    let backends = backends.into_iter().map(|(name, backend)| Some((name, backend?))).collect::<Option<_>>()?;
    Some(Config { device, backends, strategies, network, store, limits, access })
}

fn device(section: Section<'_>, host: &Host) -> Device {
    let name = section.text("name", names::device).flatten().unwrap_or_else(|| host.name.clone());
    section.finish();
    Device { name }
}

/// The backends by name; `None` for one without a URL.
fn backends(section: &Section<'_>) -> BTreeMap<BackendName, Option<BackendConfig>> {
    let mut backends = BTreeMap::new();
    for (name, section) in section.subsections() {
        match BackendName::new(name) {
            Ok(name) => {
                backends.insert(name, backend(section));
            }
            Err(error) => section.refuse_all(error.to_string()),
        }
    }
    backends
}

fn backend(section: Section<'_>) -> Option<BackendConfig> {
    let kind = section.word("kind", &words(BackendKind::ALL, BackendKind::as_str));
    let url = section.text("url", names::backend_url);
    let store = objects::store(&section, kind == Some(BackendKind::S3));
    let keys = kind == Some(BackendKind::S3) && store.sign_url.is_none();
    let credential = credential(&section, if keys { "ferryd.s3" } else { "ferryd.token" });
    let token = section.text("token_header", names::header).flatten();
    let usual = BackendConfig::new(kind.unwrap_or(BackendKind::Http), String::new());
    let answer = section.word("answer", &words(AnswerMode::ALL, AnswerMode::as_str)).unwrap_or(usual.answer);
    let ca_file = section.text("ca_file", names::file).flatten();
    let proxy = section.text("proxy", names::proxy_url).flatten();
    let gzip = section.boolean("gzip");
    let moments = Duration::from_millis(100)..=HOUR;
    let connect_timeout = section.duration("connect_timeout", moments.clone());
    let read_timeout = section.duration("read_timeout", moments.clone());
    let request_timeout = section.duration("request_timeout", moments);
    let chunk = section.size("chunk", 64 * KIB..=8 * MIB);
    let measure_url = section.text("measure_url", |text| names::measure_url(text, url.as_deref())).flatten();
    if !section.has("url") {
        section.refuse("url", "a backend needs one, such as \"https://sync.example.org/items\"".to_owned());
    }
    section.finish();
    Some(BackendConfig {
        kind: usual.kind,
        url: url?,
        credential,
        token: token.map_or(usual.token, HeaderToken::Header),
        ca_file,
        proxy,
        answer,
        // An endpoint that knows nothing of Ferry need not know gzipped requests either.
        gzip: gzip.unwrap_or(answer == AnswerMode::Items),
        connect_timeout: connect_timeout.unwrap_or(usual.connect_timeout),
        read_timeout: read_timeout.unwrap_or(usual.read_timeout),
        request_timeout: request_timeout.unwrap_or(usual.request_timeout),
        chunk: chunk.unwrap_or(usual.chunk),
        measure_url,
        store,
    })
}

fn credential(section: &Section<'_>, usual: &str) -> Option<Credential> {
    let named = section.text("credential", names::credential);
    let file = section.text("token_file", names::file).flatten();
    if file.is_some() && matches!(named, Some(Some(_))) {
        section.refuse("token_file", "credential is given too; set one of the two to \"\"".to_owned());
    }
    let systemd = || named.unwrap_or_else(|| Some(usual.to_owned())).map(Credential::Systemd);
    file.map(Credential::File).or_else(systemd)
}

fn network(section: Section<'_>) -> NetworkConfig {
    let rules = section.list("interface");
    let interfaces = rules.into_iter().filter_map(interface).collect();
    let link_grace = section.duration("link_grace", Duration::ZERO..=MINUTE);
    let probe = probe(&section);
    section.finish();
    NetworkConfig { interfaces, link_grace: link_grace.unwrap_or(3 * SECOND), probe }
}

fn probe(section: &Section<'_>) -> Option<ProbeConfig> {
    let url = section.text("probe_url", names::probe_url).flatten();
    let status = section.integer("probe_status", 200..=599);
    let body = section.text("probe_body", names::probe_body);
    let status = status.and_then(|status| u16::try_from(status).ok()).unwrap_or(204);
    Some(ProbeConfig { url: url?, status, body: body.unwrap_or_default() })
}

fn interface(section: Section<'_>) -> Option<InterfaceRule> {
    let links = [LinkType::Wifi, LinkType::Ethernet, LinkType::Cellular, LinkType::Other];
    let pattern = section.text("match", names::pattern);
    let ssid = section.text("ssid", names::ssid);
    let link = section.word("type", &words(&links, LinkType::as_str));
    let metered = section.word("metered", &words(Metered::ALL, Metered::as_str));
    let max_rate = section.rate_or("max_rate", "unlimited", 8 * KIB..=GIB).flatten();
    let anything = section.has("ssid").then(|| "*".to_owned());
    if !section.has("match") && anything.is_none() {
        section.refuse("match", "a rule needs one, such as \"wwan*\", or ssid".to_owned());
    }
    section.finish();
    Some(InterfaceRule { pattern: pattern.or(anything)?, ssid, link, metered, max_rate })
}

fn store(section: Section<'_>) -> StoreConfig {
    let keep_done = section.duration("keep_done", Duration::ZERO..=3_650 * DAY);
    let reserve = section.size("reserve", 256 * KIB..=1024 * MIB);
    section.finish();
    StoreConfig { keep_done: keep_done.unwrap_or(7 * DAY), reserve: reserve.unwrap_or(4 * MIB) }
}

fn limits(section: Section<'_>) -> Limits {
    let max_concurrent = section.integer("max_concurrent", 2..=16);
    let backoff_cap = section.duration("backoff_cap", SECOND..=DAY);
    let payload = section.size("payload", KIB..=MIB).unwrap_or(64 * KIB);
    let payload_depth = section.integer("payload_depth", 2..=100);
    let batch_items = section.integer("batch_items", 1..=10_000);
    let batch_bytes = section.size("batch_bytes", KIB..=64 * MIB).unwrap_or(8 * MIB);
    let hold_time = section.duration("hold_time", SECOND..=DAY);
    let quotas = quotas(section.section("quota"));
    if batch_bytes < payload {
        section.refuse("batch_bytes", "less than limits.payload: no batch could hold the largest task".to_owned());
    }
    section.finish();
    Limits {
        max_concurrent: small(max_concurrent, 3),
        backoff_cap: backoff_cap.unwrap_or(15 * MINUTE),
        payload: small(Some(payload), 0),
        payload_depth: small(payload_depth, 64),
        batch_items: small(batch_items, 500),
        batch_bytes: small(Some(batch_bytes), 0),
        hold_time: hold_time.unwrap_or(15 * MINUTE),
        quotas,
    }
}

fn quotas(section: Section<'_>) -> Quotas {
    let tasks = section.integer("tasks", 1..=100_000_000);
    let bytes = section.size("bytes", 64 * KIB..=1024 * 1024 * MIB);
    let subscribers = section.integer("subscribers", 1..=1_000);
    let holds = section.integer("holds", 1..=100);
    section.finish();
    Quotas {
        tasks: tasks.unwrap_or(100_000),
        bytes: bytes.unwrap_or(1024 * MIB),
        subscribers: small(subscribers, 16),
        holds: small(holds, 4),
    }
}

fn access(section: Section<'_>, host: &Host) -> Access {
    let mut access = Access::default();
    for admin in section.items("admins", |text| names::admin(text, host)) {
        match admin {
            Admin::User(uid) => access.admin_uids.insert(uid),
            Admin::Group(gid) => access.admin_gids.insert(gid),
        };
    }
    section.finish();
    access
}

/// The words of an enumeration with their values.
pub(super) fn words<T: Copy>(all: &[T], word: impl Fn(T) -> &'static str) -> Vec<(&'static str, T)> {
    all.iter().map(|value| (word(*value), *value)).collect()
}

/// A number that its range keeps small.
pub(super) fn small(value: Option<u64>, default: usize) -> usize {
    value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX))
}
