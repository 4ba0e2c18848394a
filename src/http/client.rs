//! The client: one call, one reply, within the config's bounds.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Body, Method, Proxy, Request, Response, Url, redirect, retry};
use rustls::ClientConfig;

use super::error::{ClientError, SendError, lacks_next_hop};
use super::gauge::Gauge;
use super::meter::Meter;
use super::moving::{Moved, Moving, Whole};
use super::noting::Noting;
use super::place::{Place, is_anonymous};
use super::reply::Reply;
use super::secret::{Secret, blot_query};
use super::{Addresses, trust};
use crate::model::{BackendConfig, Passage};

/// How long a connection is kept after its last use: longer than the pause between two batches of a burst, shorter than
/// servers keep theirs (gunicorn's 2 s are the shortest of the common ones), so that none is used as it is closed.
pub const KEEP_IDLE: Duration = Duration::from_secs(1);

/// The slowest upload that is waited for, in bytes a second: the answer to a large body may take this much longer.
const SLOWEST_UPLOAD: usize = 16 * 1024;

/// The most of a streamed body, in bytes, that is thought to be under way still when all of it was taken.
const SEND_BUFFERS: usize = 1024 * 1024;

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Header fields beside those that the client adds (credential, `User-Agent`, `Accept-Encoding`).
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

/// A request without its body.
#[derive(Debug, Clone)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// Header fields beside those that the client adds.
    pub headers: HeaderMap,
}

/// The client of one backend. Clones share connections.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    meter: Option<Meter>,
}

struct Shared {
    url: Url,
    proxy: Option<Url>,
    ca_file: Option<PathBuf>,
    connect_timeout: Duration,
    read_timeout: Duration,
    request_timeout: Duration,
    secret: Option<Secret>,
    addresses: Addresses,
    gauge: OnceLock<Gauge>,
    inner: Mutex<Inner>,
}

/// What is made anew when connections or roots are stale.
struct Inner {
    client: reqwest::Client,
    /// Those whose connections a meter counts.
    metered: Vec<(Meter, reqwest::Client)>,
    tls: ClientConfig,
    /// A server was not trusted: the next call looks at the roots again, an admin may have mended them.
    doubted: bool,
}

impl Client {
    /// A client for this backend. Systemd credentials lie in `credentials_directory`; without it there are none. Where
    /// names resolve to is recorded in `addresses`.
    pub fn new(
        config: &BackendConfig,
        credentials_directory: Option<&Path>,
        addresses: &Addresses,
    ) -> Result<Self, ClientError> {
        let url = parse(&config.url).filter(is_anonymous).ok_or(ClientError::Url)?;
        let proxy = match &config.proxy {
            Some(proxy) => Some(parse(proxy).ok_or(ClientError::Proxy)?),
            None => None,
        };
        let secret = Secret::new(config.credential.as_ref(), &config.token, credentials_directory)?;
        let tls = trust::settings(config.ca_file.as_deref(), speaks_tls(&url, proxy.as_ref()))?;
        let timeouts = (config.connect_timeout, config.read_timeout);
        let nobody = Noting { meter: None, gauge: None };
        let client = build(tls.clone(), proxy.as_ref(), timeouts, addresses, nobody)?;
        let shared = Shared {
            url,
            proxy,
            ca_file: config.ca_file.clone(),
            connect_timeout: config.connect_timeout,
            read_timeout: config.read_timeout,
            request_timeout: config.request_timeout,
            secret,
            addresses: addresses.clone(),
            gauge: OnceLock::new(),
            inner: Mutex::new(Inner { client, metered: Vec::new(), tls, doubted: false }),
        };
        Ok(Self { shared: Arc::new(shared), meter: None })
    }

    /// The same, whose bytes this meter counts and paces.
    pub fn metered(&self, meter: Option<Meter>) -> Self {
        Self { shared: Arc::clone(&self.shared), meter }
    }

    /// From now on this gauge sees what its connections carry. It can be given but once.
    pub fn gauge(&self, gauge: Gauge) {
        if self.shared.gauge.set(gauge).is_ok() {
            self.forget_connections();
        }
    }

    /// What goes from now on goes over another network.
    pub fn moved_on(&self) {
        self.shared.gauge.get().inspect(|gauge| gauge.moved_on());
        self.forget_connections();
    }

    /// The link went away under a request, or came back as if it had been away.
    pub fn link_broke(&self) {
        self.shared.gauge.get().inspect(|gauge| gauge.broke());
    }

    /// Scheme, host and port of the backend's URL: what may be shown of it.
    pub fn origin(&self) -> String {
        self.shared.url.origin().ascii_serialization()
    }

    /// The host that connections go to, the proxy's if there is one: the name to ask [`Addresses`] for.
    pub fn peer(&self) -> &str {
        self.shared.proxy.as_ref().unwrap_or(&self.shared.url).host_str().unwrap_or_default()
    }

    /// Whether a request made now would carry a credential. The error names its file and what is wrong with it, never what
    /// is in it.
    pub fn has_credential(&self) -> Result<bool, String> {
        match &self.shared.secret {
            Some(secret) => Ok(secret.header()?.is_some()),
            None => Ok(false),
        }
    }

    /// The place of this URL, absolute or relative to the backend's; the error says why no request may go there.
    pub fn place(&self, url: &str) -> Result<Place, String> {
        Place::of(&self.shared.url, &self.shared.url, url)
    }

    /// The place that an answer's `Location` names; the error says what is wrong with it.
    pub fn located(&self, reply: &Reply) -> Result<Place, String> {
        let location = reply.headers.get(LOCATION).ok_or("no Location")?;
        let location = location.to_str().map_err(|_| "a Location that is no URL")?;
        Place::of(&self.shared.url, &reply.url, location).map_err(|words| format!("a Location that is {words}"))
    }

    /// Sends once and reads the answer; a 307 or 308 to the same origin is followed once. Dropping the future closes
    /// the connection.
    pub async fn send(&self, call: Call) -> Result<Reply, SendError> {
        self.send_at(self.shared.url.clone(), call).await
    }

    /// [`Client::send`] to another URL of the same origin.
    pub async fn send_to(&self, place: &Place, call: Call) -> Result<Reply, SendError> {
        self.send_at(place.url().clone(), call).await
    }

    /// Sends once to a URL of the same origin and reads the answer, whatever its status: a signed request cannot be sent
    /// elsewhere.
    pub async fn send_signed(&self, place: &Place, call: Call) -> Result<Reply, SendError> {
        let Call { method, headers, body } = call;
        self.within(self.once(place.url().clone(), Head { method, headers }, Bytes::from(body))).await
    }

    async fn send_at(&self, url: Url, call: Call) -> Result<Reply, SendError> {
        // How long a body takes that is held back to a rate says nothing of the server.
        let paced = self.meter.as_ref().is_some_and(Meter::is_limited);
        if paced { self.exchange(url, call).await } else { self.within(self.exchange(url, call)).await }
    }

    /// Sends a body piece by piece to a URL of the same origin and reads the answer, whatever its status: a body can be
    /// sent but once. Its size must be known, and is told (`Content-Length`).
    ///
    /// It may take as long as it goes on: no piece taken within `read_timeout` ends it. Dropping the future closes the
    /// connection.
    pub async fn stream<B>(&self, place: &Place, head: Head, body: B) -> Result<Reply, SendError>
    where
        B: http_body::Body<Data = Bytes, Error = std::io::Error> + Unpin + Send + Sync + 'static,
    {
        self.carry(place.url().clone(), head, body).await
    }

    async fn carry<B>(&self, url: Url, head: Head, body: B) -> Result<Reply, SendError>
    where
        B: http_body::Body<Data = Bytes, Error = std::io::Error> + Unpin + Send + Sync + 'static,
    {
        let size = body.size_hint().exact().unwrap_or_default();
        let (body, moved) = Moving::new(body, self.meter.clone(), self.shared.gauge.get().cloned());
        let request = self.request(url, head, Body::wrap(body))?;
        self.begins(0);
        let sent = request.headers().clone();
        let answer = async {
            let response = self.watched(request, moved, size).await?;
            self.within(Reply::read(response, self.shared.read_timeout)).await
        };
        self.finished(self.gauged(0, answer).await, &sent)
    }

    /// Lets go of connections kept for re-use: after the network changed they lead nowhere.
    pub fn forget_connections(&self) {
        let mut inner = self.inner();
        self.rebuild(&mut inner);
    }

    async fn within(&self, reply: impl Future<Output = Result<Reply, SendError>>) -> Result<Reply, SendError> {
        let limit = self.shared.request_timeout;
        tokio::time::timeout(limit, reply).await.unwrap_or_else(|_| {
            Err(SendError::Unreachable(format!("{}: no whole answer within {limit:?}", self.origin())))
        })
    }

    async fn exchange(&self, url: Url, call: Call) -> Result<Reply, SendError> {
        let Call { method, headers, body } = call;
        let (head, body) = (Head { method, headers }, Bytes::from(body));
        let reply = self.once(url, head.clone(), body.clone()).await?;
        if !(300..400).contains(&reply.status) {
            return Ok(reply);
        }
        let target = self.redirect(&reply)?;
        let reply = self.once(target, head, body).await?;
        if (300..400).contains(&reply.status) {
            return Err(SendError::Redirect(format!("{}: a second redirect after the first", self.origin())));
        }
        Ok(reply)
    }

    fn request(&self, url: Url, head: Head, body: Body) -> Result<Request, SendError> {
        let mut request = Request::new(head.method, url);
        *request.headers_mut() = head.headers;
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        if let Some(secret) = &self.shared.secret
            && let Some((name, value)) = secret.header().map_err(SendError::NoCredential)?
        {
            request.headers_mut().insert(name, value);
        }
        *request.body_mut() = Some(body);
        Ok(request)
    }

    async fn once(&self, url: Url, head: Head, body: Bytes) -> Result<Reply, SendError> {
        let size = body.len();
        if size > 0 && self.meter.as_ref().is_some_and(Meter::is_limited) {
            return self.carry(url, head, Whole(body)).await;
        }
        let request = self.request(url, head, Body::from(body))?;
        self.begins(size as u64);
        let upload = Duration::from_secs((size / SLOWEST_UPLOAD) as u64);
        let patience = self.shared.connect_timeout + self.shared.read_timeout + upload;
        let sent = request.headers().clone();
        let answer = async {
            let response = tokio::time::timeout(patience, self.execute(request))
                .await
                .map_err(|_| SendError::Unreachable(format!("no answer within {patience:?}")))?
                .map_err(SendError::of)?;
            Reply::read(response, self.shared.read_timeout).await
        };
        self.finished(self.gauged(size as u64, answer).await, &sent)
    }

    /// Sends. A connection that was never made, because a search for the next hop failed that may have begun while the
    /// link was away, is tried once more: the kernel searches anew.
    async fn execute(&self, request: Request) -> Result<Response, reqwest::Error> {
        let again = request.try_clone();
        match (self.client().execute(request).await, again) {
            (Err(error), Some(again)) if lacks_next_hop(&error) => self.client().execute(again).await,
            (end, _) => end,
        }
    }

    /// The answer to a request with so large a body, while the gauge looks.
    async fn gauged(
        &self,
        body: u64,
        answer: impl Future<Output = Result<Reply, SendError>>,
    ) -> Result<Reply, SendError> {
        let Some(gauge) = self.shared.gauge.get() else { return answer.await };
        let under_way = gauge.begins(body, self.meter.as_ref().is_some_and(Meter::is_limited));
        let answer = answer.await;
        let passage = answer.as_ref().map_or_else(SendError::passage, |_| Passage::Through);
        under_way.ends(passage, answer.as_ref().ok());
        answer
    }

    /// The head of the answer to a body that is watched as it goes.
    async fn watched(&self, request: Request, mut moved: Moved, size: u64) -> Result<Response, SendError> {
        let client = self.client();
        let mut answer = pin!(client.execute(request));
        // What was taken may still lie in the buffers of this program and of the kernel.
        let buffered = usize::try_from(size).unwrap_or(SEND_BUFFERS).min(SEND_BUFFERS);
        let mut patience = self.shared.connect_timeout + self.shared.read_timeout;
        let mut going = true;
        loop {
            tokio::select! {
                biased;
                response = &mut answer => return response.map_err(SendError::of),
                more = moved.more(), if going => {
                    going = more.is_some();
                    let flush = || Duration::from_secs((buffered / SLOWEST_UPLOAD) as u64);
                    patience = self.shared.read_timeout + more.unwrap_or_else(flush);
                }
                () = tokio::time::sleep(patience) => {
                    return Err(match going {
                        true => SendError::Broken(format!("nothing more was taken within {patience:?}")),
                        false => SendError::Unreachable(format!("no answer within {patience:?}")),
                    });
                }
            }
        }
    }

    fn finished(&self, answer: Result<Reply, SendError>, sent: &HeaderMap) -> Result<Reply, SendError> {
        let mut reply = answer.map_err(|error| self.placed(error))?;
        if let Some(secret) = &self.shared.secret {
            secret.blot(sent, &mut reply.body);
        }
        blot_query(&self.shared.url, &mut reply.body);
        Ok(reply)
    }

    /// Where a redirect leads, if it may be followed.
    fn redirect(&self, reply: &Reply) -> Result<Url, SendError> {
        let refused =
            |why: &str| SendError::Redirect(format!("{}: status {} redirects {why}", self.origin(), reply.status));
        let location = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        let target = location.and_then(|location| reply.url.join(location).ok()).ok_or_else(|| refused("nowhere"))?;
        if target.origin() != self.shared.url.origin() || !is_anonymous(&target) {
            return Err(refused(&format!("to {}", target.origin().ascii_serialization())));
        }
        if !matches!(reply.status, 307 | 308) {
            return Err(refused("in a way that changes the request"));
        }
        Ok(target)
    }

    /// The error with the name of the server before it.
    fn placed(&self, error: SendError) -> SendError {
        let place = |words: String| format!("{}: {words}", self.origin());
        match error {
            SendError::Unreachable(words) => SendError::Unreachable(place(words)),
            SendError::Broken(words) => SendError::Broken(place(words)),
            SendError::Untrusted(words) => {
                self.inner().doubted = true;
                SendError::Untrusted(place(words))
            }
            SendError::ProxyAuth(words) => SendError::ProxyAuth(place(words)),
            SendError::Coding(words) => SendError::Coding(place(words)),
            other @ (SendError::Redirect(_) | SendError::NoCredential(_)) => other,
        }
    }

    fn client(&self) -> reqwest::Client {
        let mut inner = self.inner();
        if std::mem::take(&mut inner.doubted) {
            match trust::settings(
                self.shared.ca_file.as_deref(),
                speaks_tls(&self.shared.url, self.shared.proxy.as_ref()),
            ) {
                Ok(tls) => {
                    inner.tls = tls;
                    self.rebuild(&mut inner);
                }
                Err(error) => tracing::warn!("the roots cannot be read again; the old ones stay: {error}"),
            }
        }
        let Some(meter) = self.meter.as_ref().filter(|meter| meter.counts()) else { return inner.client.clone() };
        if let Some((_, client)) = inner.metered.iter().find(|(other, _)| other.is(meter)) {
            return client.clone();
        }
        match self.build(inner.tls.clone(), Some(meter)) {
            Ok(client) => {
                inner.metered.push((meter.clone(), client.clone()));
                client
            }
            Err(error) => {
                tracing::warn!("what leaves is estimated, no client of its own can be made: {error}");
                meter.estimate();
                inner.client.clone()
            }
        }
    }

    fn begins(&self, body: u64) {
        if let Some(meter) = &self.meter {
            meter.begins(body);
        }
    }

    fn rebuild(&self, inner: &mut Inner) {
        match self.build(inner.tls.clone(), None) {
            Ok(client) => {
                inner.client = client;
                inner.metered.clear();
            }
            Err(error) => tracing::warn!("the HTTP client cannot be built anew; the old one stays: {error}"),
        }
    }

    fn build(&self, tls: ClientConfig, meter: Option<&Meter>) -> Result<reqwest::Client, ClientError> {
        let Shared { proxy, connect_timeout, read_timeout, addresses, gauge, .. } = &*self.shared;
        let noting = Noting { meter: meter.cloned(), gauge: gauge.get().cloned() };
        build(tls, proxy.as_ref(), (*connect_timeout, *read_timeout), addresses, noting)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows nothing that config may hold in secret, such as a query or the proxy's password.
impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("origin", &self.origin()).field("peer", &self.peer()).finish_non_exhaustive()
    }
}

fn build(
    tls: ClientConfig,
    proxy: Option<&Url>,
    (connect_timeout, read_timeout): (Duration, Duration),
    addresses: &Addresses,
    noting: Noting,
) -> Result<reqwest::Client, ClientError> {
    let setup = |error: reqwest::Error| ClientError::Setup(error.without_url().to_string());
    let mut builder = plain(tls)
        .dns_resolver(addresses.clone())
        .connect_timeout(connect_timeout)
        .tcp_user_timeout(read_timeout)
        .pool_idle_timeout(KEEP_IDLE)
        .pool_max_idle_per_host(2);
    if let Some(proxy) = proxy {
        builder = builder.proxy(Proxy::all(proxy.clone()).map_err(setup)?);
    }
    if !noting.is_for_nobody() {
        builder = builder.connector_layer(noting);
    }
    builder.build().map_err(setup)
}

/// A client that does nothing by itself: no proxy of the environment, no redirect, no retry.
pub(super) fn plain(tls: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(concat!("ferryd/", env!("CARGO_PKG_VERSION")))
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_gzip()
        .http1_only()
        .tls_backend_preconfigured(tls)
}

fn parse(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

fn speaks_tls(url: &Url, proxy: Option<&Url>) -> bool {
    url.scheme() == "https" || proxy.is_some_and(|proxy| proxy.scheme() == "https")
}
