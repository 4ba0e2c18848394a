//! The configuration, validated: every name resolved, every value in range.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::world::words;
use super::{BackendName, LinkType, Metered, ObjectStore, Strategy, StrategyName};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[device]`
    pub device: Device,
    /// `[backend.NAME]`, the first of which `Network` on D-Bus speaks for.
    pub backends: BTreeMap<BackendName, BackendConfig>,
    /// `[strategy.NAME]`, the shipped ones included.
    pub strategies: BTreeMap<StrategyName, Strategy>,
    /// `[network]`
    pub network: NetworkConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[limits]`
    pub limits: Limits,
    /// `[access]`
    pub access: Access,
}

impl Config {
    /// The strategy of this name, or of the other name under which apps know it.
    pub fn strategy(&self, name: &str) -> Option<&Strategy> {
        let name = match name {
            "metadata_update" => "metadata",
            "photo_upload" => "photo",
            own => own,
        };
        self.strategies.get(&StrategyName::new(name).ok()?)
    }
}

/// `[device]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// How servers know this device; the host name by default.
    pub name: String,
}

words!(
    /// What speaks to a backend.
    BackendKind {
        /// A JSON endpoint, `docs/http-backend.md`.
        Http = "http",
        /// A tus server for files, `docs/tus-backend.md`.
        Tus = "tus",
        /// An S3-compatible object store for files, `docs/s3-backend.md`.
        S3 = "s3",
    }
);

words!(
    /// How an `http` backend answers.
    AnswerMode {
        /// An outcome an item, `docs/http-backend.md`.
        Items = "items",
        /// One item a request; the status is the outcome.
        Status = "status",
    }
);

/// Where a secret is read from, anew for each attempt that finds it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// A systemd credential of this name, in `$CREDENTIALS_DIRECTORY`.
    Systemd(String),
    /// A file.
    File(PathBuf),
}

/// How the secret goes on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderToken {
    /// `Authorization: Bearer TOKEN` (RFC 6750).
    Bearer,
    /// A header of this name with the token as its value.
    Header(String),
}

/// `[backend.NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendConfig {
    /// What speaks to it.
    pub kind: BackendKind,
    /// Absolute `http` or `https` URL without user, password or fragment.
    pub url: String,
    /// The secret; a systemd credential that is absent sends none.
    pub credential: Option<Credential>,
    /// How the secret is sent.
    pub token: HeaderToken,
    /// A PEM file of roots that are trusted instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// An HTTP proxy's URL.
    pub proxy: Option<String>,
    /// How it answers.
    pub answer: AnswerMode,
    /// Whether bodies over 1 KiB are sent gzipped.
    pub gzip: bool,
    /// The most time for DNS, TCP and TLS.
    pub connect_timeout: Duration,
    /// The most time between two reads of the answer.
    pub read_timeout: Duration,
    /// The most time for a whole request.
    pub request_timeout: Duration,
    /// Bytes of a file in one request, at most.
    pub chunk: u64,
    /// Where something may be sent to see how fast it goes: a URL of its own origin, absolute or relative to `url`.
    pub measure_url: Option<String>,
    /// What `s3` asks for beside.
    pub store: ObjectStore,
}

impl BackendConfig {
    /// With all else as it is where config says nothing, and without a secret.
    pub fn new(kind: BackendKind, url: impl Into<String>) -> Self {
        Self {
            kind,
            url: url.into(),
            credential: None,
            token: HeaderToken::Bearer,
            ca_file: None,
            proxy: None,
            answer: AnswerMode::Items,
            gzip: true,
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(120),
            chunk: 8 << 20,
            measure_url: None,
            store: ObjectStore::default(),
        }
    }

    /// Whether the server shows a certificate.
    pub fn is_certified(&self) -> bool {
        self.url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }

    /// The URL that requests go to: the bucket's own where it stands before the host.
    pub fn target(&self) -> String {
        match (self.kind, self.url.split_once("://")) {
            (BackendKind::S3, Some((scheme, rest))) if !self.store.path_style && !self.store.bucket.is_empty() => {
                format!("{scheme}://{}.{rest}", self.store.bucket)
            }
            (BackendKind::Http | BackendKind::Tus | BackendKind::S3, _) => self.url.clone(),
        }
    }

    /// Whether connections go to an address that config names itself: no resolver can lead them elsewhere.
    pub fn is_by_address(&self) -> bool {
        let url = self.proxy.as_deref().unwrap_or(&self.url);
        let rest = url.split_once("://").map_or(url, |(_scheme, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => authority.split(':').next(),
        };
        host.is_some_and(|host| host.parse::<IpAddr>().is_ok())
    }
}

/// `[network]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkConfig {
    /// `[[network.interface]]`: the first that fits an interface decides.
    pub interfaces: Vec<InterfaceRule>,
    /// How long an attempt waits for a lost link to come back; 0 = not at all.
    pub link_grace: Duration,
    /// What tells how far the network reaches; `None`: nobody is asked.
    pub probe: Option<ProbeConfig>,
}

/// `[network]` `probe_*`: a URL, and what it answers where nobody stands in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeConfig {
    /// Absolute `http` or `https` URL without user, password or fragment.
    pub url: String,
    /// The status.
    pub status: u16,
    /// The body, without white space around it.
    pub body: String,
}

impl ProbeConfig {
    /// The URL as it may be shown: a query may hold a secret.
    pub fn shown(&self) -> &str {
        self.url.split_once('?').map_or(&self.url, |(url, _query)| url)
    }
}

/// `[[network.interface]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceRule {
    /// A pattern of the interface's name, `*` and `?` as in a shell.
    pub pattern: String,
    /// The name of the Wi-Fi network that it must be in, as `Ssid` on D-Bus shows it.
    pub ssid: Option<String>,
    /// What kind of link it is.
    pub link: Option<LinkType>,
    /// Whether its bytes cost money.
    pub metered: Option<Metered>,
    /// The most bytes a second that all that goes over it sends together.
    pub max_rate: Option<u64>,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// How long done and cancelled tasks are kept.
    pub keep_done: Duration,
    /// Bytes kept aside so that ends are recorded on a full disk.
    pub reserve: u64,
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The most attempts at once, at least 2: one slot is kept free of files.
    pub max_concurrent: usize,
    /// The longest backoff of a task or backend.
    pub backoff_cap: Duration,
    /// The largest payload of a task, in bytes.
    pub payload: usize,
    /// The deepest nesting of a payload.
    pub payload_depth: usize,
    /// The most items of a batch call.
    pub batch_items: usize,
    /// The largest batch call, in payload bytes.
    pub batch_bytes: usize,
    /// How long one hold lasts at most.
    pub hold_time: Duration,
    /// What one owner may have.
    pub quotas: Quotas,
}

/// What one owner may have; one `app` of it, half of the tasks and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Tasks that are not done or cancelled.
    pub tasks: u64,
    /// Payload bytes of those.
    pub bytes: u64,
    /// Connections that subscribe.
    pub subscribers: usize,
    /// Holds at once.
    pub holds: usize,
}

/// `[access]`
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// Users who may all, beside root.
    pub admin_uids: BTreeSet<u32>,
    /// Groups whose members may all.
    pub admin_gids: BTreeSet<u32>,
}
