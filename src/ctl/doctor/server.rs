//! `server`: whether each backend can be reached and trusted and answers, from here and by the daemon's own word. No
//! credential is sent: any answer will do.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;

use super::bounded::{bounded, bounded_blocking, no_answer};
use super::finding::{Finding, shell};
use super::user::User;
use crate::ctl::views::StrategyView;
use crate::http::{Addresses, Call, Client, SendError};
use crate::model::{BackendConfig, BackendName, Config, Reason};

/// The longest wait for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// How asking a server went.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// The daemon may not read this, the file of roots to trust or a folder above it.
    Closed(PathBuf),
    /// It cannot be asked, because of what the configuration says.
    Unfit(String),
    /// It answered with this status.
    Answered(u16),
    /// It did not.
    Failed {
        error: SendError,
        /// Whether its name was resolved.
        is_resolved: bool,
    },
    /// Not even the client ended in time.
    Late,
}

/// `server`. `user`: the daemon's.
pub(super) async fn check(config: Option<&Config>, strategies: &[StrategyView], user: &User) -> Vec<Finding> {
    let Some(config) = config else {
        return vec![Finding::unknown("there is no configuration that says which", "see config")];
    };
    let asked: Vec<_> = config
        .backends
        .iter()
        .map(|(name, backend)| (name, backend, tokio::spawn(ask(backend.clone(), user.clone()))))
        .collect();
    let mut found = Vec::new();
    for (name, backend, asked) in asked {
        let server = Server::of(name, backend);
        found.push(server.verdict(&asked.await.unwrap_or(Asked::Late)));
    }
    if found.is_empty() {
        found.push(Finding::ok("none is configured"));
    }
    found.extend(suffering(config, strategies));
    found
}

async fn ask(config: BackendConfig, user: User) -> Asked {
    let ca_file = config.ca_file.clone();
    let kept_from = move || ca_file.and_then(|file| user.kept_from(&file).ok().flatten());
    if let Some(Some(closed)) = bounded_blocking(kept_from).await {
        return Asked::Closed(closed);
    }
    let addresses = Addresses::new();
    let quick = BackendConfig {
        url: config.target(),
        credential: None,
        connect_timeout: config.connect_timeout.min(PATIENCE),
        read_timeout: config.read_timeout.min(PATIENCE),
        request_timeout: PATIENCE,
        ..config
    };
    let known = addresses.clone();
    let client = match bounded_blocking(move || Client::new(&quick, None, &known)).await {
        Some(Ok(client)) => client,
        Some(Err(error)) => return Asked::Unfit(error.to_string()),
        None => return Asked::Late,
    };
    // It asks what may be asked, and so does nothing on any server (RFC 9110, section 9.3.7).
    let call = Call { method: Method::OPTIONS, headers: HeaderMap::new(), body: Vec::new() };
    match bounded(client.send(call)).await {
        Some(Ok(reply)) => Asked::Answered(reply.status),
        Some(Err(error)) => Asked::Failed { error, is_resolved: !addresses.get(client.peer()).is_empty() },
        None => Asked::Late,
    }
}

/// A server by its names.
struct Server {
    /// Its key in the configuration.
    key: String,
    /// Scheme, host and port.
    origin: String,
    /// The host that connections go to: its own, or its proxy's.
    peer: String,
}

impl Server {
    fn of(name: &BackendName, config: &BackendConfig) -> Self {
        let part = |url: &str| reqwest::Url::parse(url).ok();
        let url = part(&config.target());
        let proxy = config.proxy.as_deref().and_then(part);
        let host = |url: &reqwest::Url| url.host_str().map(str::to_owned);
        Self {
            key: format!("backend.{name}"),
            origin: url.as_ref().map(|url| url.origin().ascii_serialization()).unwrap_or_default(),
            peer: proxy.as_ref().or(url.as_ref()).and_then(host).unwrap_or_default(),
        }
    }

    fn verdict(&self, asked: &Asked) -> Finding {
        let Self { key, origin, .. } = self;
        match asked {
            Asked::Closed(path) => Finding::problem(
                format!("{key}: ferryd's user may not read {}, which its ca_file needs", path.display()),
                format!("sudo chmod a+rX {}", shell(path)),
            ),
            Asked::Unfit(words) => Finding::problem(
                format!("{key}.{words}"),
                format!("correct {key} in the configuration; then: ferryctl reload"),
            ),
            Asked::Answered(407) => self.proxy(),
            Asked::Answered(status @ (502..=504)) => Finding::warning(
                format!("{key}: {origin} answers, but what is behind it does not (status {status})"),
                "mend it there; ferryd asks again by itself, and at once after: ferryctl sync",
            ),
            Asked::Answered(511) => self.portal("it asks for a login (status 511)"),
            Asked::Answered(status) => Finding::ok(format!("{key}: {origin} answers (status {status} to OPTIONS)")),
            Asked::Failed { error, is_resolved } => self.failed(error, *is_resolved),
            Asked::Late => self.unreachable(&no_answer()),
        }
    }

    fn failed(&self, error: &SendError, is_resolved: bool) -> Finding {
        let Self { key, origin, peer } = self;
        let text = error.to_string();
        let words = text.strip_prefix(&format!("{origin}: ")).unwrap_or(&text);
        match error {
            SendError::Untrusted(_) => {
                Finding::problem(format!("{key}: {origin} is not trusted: {words}"), self.trust(words))
            }
            SendError::ProxyAuth(_) => self.proxy(),
            SendError::Redirect(_) => self.portal(words),
            SendError::Coding(_) => Finding::ok(format!("{key}: {origin} answers ({words})")),
            SendError::Unreachable(_) if !is_resolved => Finding::problem(
                format!("{key}: the name {peer} is not resolved: {words}"),
                format!("is it right? does DNS work? resolvectl query {peer}, or getent hosts {peer}"),
            ),
            SendError::Unreachable(_) if words.contains("Connection refused") => Finding::problem(
                format!("{key}: {origin} refuses connections"),
                format!("start the server there, or correct the port in {key}.url"),
            ),
            SendError::Unreachable(_) | SendError::Broken(_) | SendError::NoCredential(_) => self.unreachable(words),
        }
    }

    fn unreachable(&self, words: &str) -> Finding {
        let words = format!("{}: {} cannot be reached: {words}", self.key, self.origin);
        Finding::problem(words, "is the device online? ferryctl status; does a firewall stand between?")
    }

    fn proxy(&self) -> Finding {
        let Self { key, peer, .. } = self;
        Finding::problem(
            format!("{key}: the proxy {peer} wants a user and password, and ferryd has none for it"),
            format!("let this device through at the proxy, or correct {key}.proxy"),
        )
    }

    fn portal(&self, words: &str) -> Finding {
        let words = format!("{}: {} sends elsewhere: {words}", self.key, self.origin);
        Finding::warning(words, format!("log in to this network if it asks for that; else correct {}.url", self.key))
    }

    /// How to have it trusted, by what rustls says is wrong with its certificate.
    fn trust(&self, words: &str) -> String {
        let Self { key, peer, .. } = self;
        let says = |word: &str| words.contains(word);
        if says("xpired") || says("not valid yet") || says("NotValidYet") {
            return "is the clock right? see clock; else renew the certificate on the server".to_owned();
        }
        if says("NotValidForName") || says("not valid for name") {
            return format!("correct the host in {key}.url, or give the server a certificate for {peer}");
        }
        format!(
            "{key}.ca_file = \"FILE\" with its authority's certificate as PEM; or: sudo apt install ca-certificates"
        )
    }
}

/// What the daemon itself says of servers. Credentials are another check's.
fn suffering(config: &Config, strategies: &[StrategyView]) -> Vec<Finding> {
    let words = [
        (Reason::BackendTls, "does not trust it", "see above; then: ferryctl sync"),
        (Reason::BackendDown, "did not reach it when it last tried", "ferryctl sync, once it answers"),
        (Reason::BackendConfig, "was told that nothing is at this URL", "correct its url; then: ferryctl reload"),
    ];
    let found = |(reason, words, mend): (Reason, &'static str, &'static str)| {
        let names = backends_that_wait(config, strategies, reason);
        names.into_iter().map(move |name| Finding::problem(format!("backend.{name}: ferryd {words} ({reason})"), mend))
    };
    words.into_iter().flat_map(found).collect()
}

/// The backends of strategies that are held up for this reason.
pub(super) fn backends_that_wait(
    config: &Config,
    strategies: &[StrategyView],
    reason: Reason,
) -> BTreeSet<BackendName> {
    let waits = |strategy: &&StrategyView| strategy.blocked.iter().any(|blocked| blocked == reason.as_str());
    let backend = |strategy: &StrategyView| config.strategy(&strategy.name)?.backend.clone();
    strategies.iter().filter(waits).filter_map(backend).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Host, parse};
    use crate::ctl::views::Verdict;

    fn config(text: &str) -> Config {
        parse(&[("f.toml".into(), text.to_owned())], &Host::default()).unwrap()
    }

    fn server(text: &str) -> Server {
        let config = config(&format!("[backend.main]\nurl = \"https://sync.example.org/secret?token=x\"\n{text}"));
        let (name, backend) = config.backends.first_key_value().unwrap();
        Server::of(name, backend)
    }

    fn failed(error: SendError) -> Asked {
        Asked::Failed { error, is_resolved: true }
    }

    #[test]
    fn every_way_to_fail_has_its_words_and_its_mend() {
        let placed = |words: &str| format!("https://sync.example.org: {words}");
        let untrusted = |words: &str| failed(SendError::Untrusted(placed(words)));
        let unreachable = |words: &str| SendError::Unreachable(placed(words));
        let unresolved = Asked::Failed { error: unreachable("dns error"), is_resolved: false };
        for (asked, expected, words, mend) in [
            (Asked::Answered(401), Verdict::Ok, "https://sync.example.org answers (status 401", ""),
            (Asked::Answered(503), Verdict::Warning, "behind it does not (status 503)", "ferryctl sync"),
            (Asked::Answered(407), Verdict::Problem, "the proxy", "backend.main.proxy"),
            (Asked::Answered(511), Verdict::Warning, "login", "log in"),
            (unresolved, Verdict::Problem, "the name sync.example.org is not resolved: dns error", "getent hosts"),
            (failed(unreachable("Connection refused (os error 111)")), Verdict::Problem, "refuses connections", "port"),
            (failed(unreachable("timed out")), Verdict::Problem, "cannot be reached: timed out", "online"),
            (Asked::Late, Verdict::Problem, "no answer within 5 s", "online"),
            (untrusted("UnknownIssuer"), Verdict::Problem, "is not trusted: UnknownIssuer", "backend.main.ca_file"),
            (untrusted("certificate expired: verified at 7"), Verdict::Problem, "expired", "clock"),
            (untrusted("certificate not valid for name \"a\""), Verdict::Problem, "for name", "correct the host"),
            (failed(SendError::Redirect("redirects to http://portal".into())), Verdict::Warning, "portal", "log in"),
            (failed(SendError::ProxyAuth(placed("no"))), Verdict::Problem, "the proxy", "backend.main.proxy"),
            (Asked::Unfit("ca_file: /x: gone".into()), Verdict::Problem, "backend.main.ca_file: /x: gone", "reload"),
            (Asked::Closed("/etc/x".into()), Verdict::Problem, "may not read /etc/x", "sudo chmod a+rX /etc/x"),
        ] {
            let found = server("").verdict(&asked);
            assert!(found.verdict == expected && found.words.contains(words), "{found:?}");
            assert!(!found.words.contains("token"), "{found:?}");
            assert!(found.mend.unwrap_or_default().contains(mend), "{asked:?}");
        }
        assert_eq!(server("proxy = \"http://proxy.example:3128\"").peer, "proxy.example");
    }

    #[test]
    fn what_the_daemon_says_is_told_once_a_backend() {
        let config =
            config("[backend.main]\nurl = \"http://a/\"\n[backend.files]\nkind = \"tus\"\nurl = \"http://b/\"\n");
        let waits = |name: &str, blocked: &[&str]| StrategyView {
            name: name.to_owned(),
            priority: 1,
            pending: 1,
            running: 0,
            failed: 0,
            blocked: blocked.iter().map(|word| (*word).to_owned()).collect(),
            next_attempt: None,
            paused: false,
            budget_used: 0,
            budget_limit: None,
        };
        let strategies = [
            waits("metadata", &["backend-down", "metered"]),
            waits("analytics", &["backend-down"]),
            waits("photo", &["backend-tls", "backend-auth"]),
        ];
        let found: Vec<_> = suffering(&config, &strategies).into_iter().map(|finding| finding.words).collect();
        let expected = [
            "backend.files: ferryd does not trust it (backend-tls)",
            "backend.main: ferryd did not reach it when it last tried (backend-down)",
        ];
        assert_eq!(found, expected);
        let refused = backends_that_wait(&config, &strategies, Reason::BackendAuth);
        assert_eq!(refused.iter().map(ToString::to_string).collect::<Vec<_>>(), ["files"]);
    }
}
