//! What names last resolved to, for the sense of the link: a route to such an address means "online" for its backend.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::watch;

/// Addresses by host, sorted.
pub type Known = BTreeMap<String, Vec<IpAddr>>;

/// What names last resolved to. Clones share one memory.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    known: watch::Sender<Known>,
}

impl Addresses {
    /// Knows no name yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The addresses that this host last resolved to; an address is its own; empty if it never resolved.
    pub fn get(&self, host: &str) -> Vec<IpAddr> {
        match bare(host).parse() {
            Ok(address) => vec![address],
            Err(_) => self.known.borrow().get(&host.to_ascii_lowercase()).cloned().unwrap_or_default(),
        }
    }

    /// To await changes: marked changed only when a name resolved to something else than before.
    pub fn watch(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Resolves a name, though nobody connects, and remembers what came.
    pub async fn look_up(&self, host: &str) {
        if bare(host).parse::<IpAddr>().is_err()
            && let Ok(found) = tokio::net::lookup_host((host, 0)).await
        {
            self.record(host, found.map(|address| address.ip()));
        }
    }

    /// Remembers what a name resolved to.
    pub fn record(&self, host: &str, found: impl IntoIterator<Item = IpAddr>) {
        let mut found: Vec<IpAddr> = found.into_iter().collect();
        found.sort_unstable();
        found.dedup();
        let host = host.to_ascii_lowercase();
        self.known.send_if_modified(|known| {
            if found.is_empty() || known.get(&host) == Some(&found) {
                return false;
            }
            known.insert(host, found);
            true
        });
    }
}

/// An IPv6 address as URLs write it, without its brackets.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host)
}

/// The system's resolver (`getaddrinfo` on a thread of its own), its findings recorded.
impl Resolve for Addresses {
    fn resolve(&self, name: Name) -> Resolving {
        let addresses = self.clone();
        Box::pin(async move {
            let host = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((host, 0)).await?.collect();
            addresses.record(host, found.iter().map(SocketAddr::ip));
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn only_a_real_change_is_news() {
        let addresses = Addresses::new();
        let mut news = addresses.watch();
        addresses.record("Host.example", [TWO, ONE, TWO]);
        assert!(news.has_changed().unwrap());
        news.mark_unchanged();
        addresses.record("host.example", [ONE, TWO]);
        addresses.record("host.example", []);
        assert!(!news.has_changed().unwrap(), "the same addresses in another order, or none, change nothing");
        addresses.record("host.example", [ONE]);
        assert!(news.has_changed().unwrap());
        assert_eq!(addresses.get("HOST.example"), [ONE]);
    }

    #[test]
    fn an_address_is_its_own() {
        let addresses = Addresses::new();
        assert_eq!(addresses.get("192.0.2.1"), [ONE]);
        assert_eq!(addresses.get("[2001:db8::1]"), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
        assert!(addresses.get("unknown.example").is_empty());
    }
}
