//! One look at a URL that is no backend's: no credential, no proxy, no redirect, a connection of its own.

use std::time::Duration;

use reqwest::Url;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

use super::client::plain;
use super::error::SendError;
use super::trust;

/// The most time for DNS, TCP and TLS.
const CONNECTING: Duration = Duration::from_secs(5);

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// The status.
    pub status: u16,
    /// The body, at most `limit` bytes of it and one more, which says that there was more.
    pub body: Vec<u8>,
}

/// `GET`s this URL by way of this interface, within `patience`; more than `limit` bytes of body are not waited for.
pub async fn glance(url: &str, interface: &str, limit: usize, patience: Duration) -> Result<Glance, SendError> {
    let look = look(url, interface, limit);
    let late = |_| SendError::Unreachable(format!("no whole answer within {patience:?}"));
    tokio::time::timeout(patience, look).await.map_err(late)?
}

async fn look(url: &str, interface: &str, limit: usize) -> Result<Glance, SendError> {
    let url = Url::parse(url).map_err(|error| SendError::Unreachable(format!("not a URL: {error}")))?;
    let tls = trust::settings(None, url.scheme() == "https");
    let tls = tls.map_err(|error| SendError::Unreachable(error.to_string()))?;
    let client = plain(tls)
        .default_headers(HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]))
        .connect_timeout(CONNECTING)
        .pool_max_idle_per_host(0)
        .interface(interface)
        .build()
        .map_err(SendError::of)?;
    let mut response = client.get(url).send().await.map_err(SendError::of)?;
    let mut glance = Glance { status: response.status().as_u16(), body: Vec::new() };
    while glance.body.len() <= limit
        && let Some(piece) = response.chunk().await.map_err(SendError::of)?
    {
        let room = limit + 1 - glance.body.len();
        glance.body.extend_from_slice(piece.get(..room).unwrap_or(&piece));
    }
    Ok(glance)
}
