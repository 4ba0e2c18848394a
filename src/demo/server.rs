//! The server: `docs/http-backend.md` from the other side, on a thread of its own, with a log that outlives what sends
//! to it. A bare payload (`answer = "status"`) is an item whose id is its `Idempotency-Key`. Under `/files/` it speaks tus.

use std::collections::VecDeque;
use std::io::{Error, Result};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::log::{Log, Received};
use super::misbehave::{At, Behaviour, Fault, Item, Then, Treated, Verdict, Wait};
use super::uploads::{Upload, UploadState};
use super::wire::{Asked, Buffer, answer};
use super::{files, log::Head};

/// A running server; dropped, it closes its socket and all connections.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
pub(super) struct Shared {
    log: Mutex<Log>,
    changed: Condvar,
    pub(super) news: watch::Sender<()>,
    plan: Mutex<Plan>,
}

/// How requests to come are treated.
#[derive(Default)]
struct Plan {
    next: VecDeque<Behaviour>,
    /// Of files, if they are treated otherwise than the rest.
    files: Option<Behaviour>,
    rest: Behaviour,
    discard: bool,
}

impl Server {
    /// Serves plain HTTP from this listener, which may live in another network namespace.
    pub fn start(listener: TcpListener, behaviour: Behaviour) -> Result<Self> {
        Self::run(listener, None, behaviour)
    }

    /// Serves HTTPS.
    pub fn start_tls(listener: TcpListener, tls: rustls::ServerConfig, behaviour: Behaviour) -> Result<Self> {
        Self::run(listener, Some(TlsAcceptor::from(Arc::new(tls))), behaviour)
    }

    fn run(listener: TcpListener, tls: Option<TlsAcceptor>, behaviour: Behaviour) -> Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        shared.plan().rest = behaviour;
        let (stop, stopped) = watch::channel(false);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("server".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                // Dropping the runtime drops its connections.
                if let Err(error) = runtime.block_on(accept(listener, tls, shared, stopped)) {
                    tracing::error!(%error, "the embedded server");
                }
            }
        })?;
        Ok(Self { address, shared, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How all requests to come are treated.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.plan().rest = behaviour;
    }

    /// How all requests for files to come are treated, `None` for as the others.
    pub fn behave_files(&self, behaviour: Option<Behaviour>) {
        self.shared.plan().files = behaviour;
    }

    /// How the next request is treated, or the one after those said already.
    pub fn behave_once(&self, behaviour: Behaviour) {
        self.shared.plan().next.push_back(behaviour);
    }

    /// All items, in the order in which they first arrived.
    pub fn received(&self) -> Vec<Received> {
        self.log(|log| log.items().to_vec())
    }

    /// All uploads, in the order of their creation.
    pub fn uploads(&self) -> Vec<Upload> {
        self.log(|log| log.uploads().to_vec())
    }

    /// Counts the bytes of uploads created from now on and keeps none, so that one may measure with large files.
    pub fn discard(&self) {
        self.shared.plan().discard = true;
    }

    /// Ends an upload as if it had expired: it is answered with 410.
    pub fn expire(&self, path: &str) {
        self.shared.note(|log| log.uploads.end(path, UploadState::Expired));
    }

    /// Looks at the log.
    pub fn log<T>(&self, look: impl FnOnce(&Log) -> T) -> T {
        look(&self.shared.log())
    }

    /// Blocks until the log is as wanted; `false` if that took longer than `limit`.
    pub fn wait_until(&self, mut wanted: impl FnMut(&Log) -> bool, limit: Duration) -> bool {
        let waited = self.shared.changed.wait_timeout_while(self.shared.log(), limit, |log| !wanted(log));
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Waits until the log is as wanted.
    pub async fn until(&self, mut wanted: impl FnMut(&Log) -> bool) {
        let mut news = self.shared.news.subscribe();
        while !self.log(&mut wanted) {
            // The sender is ours: waiting cannot fail.
            let _ = news.changed().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the request that begins is closed unread.
    fn refuses(&self) -> bool {
        let refuses = |behaviour: &Behaviour| matches!(behaviour.fault, Fault::Close(At::BeforeReading));
        let mut plan = self.plan();
        let refused = plan.next.front().map_or_else(|| refuses(&plan.rest), refuses);
        if refused {
            plan.next.pop_front();
        }
        refused
    }

    fn next_behaviour(&self, head: &Head) -> Behaviour {
        let mut plan = self.plan();
        let files = plan.files.clone().filter(|_| files::serves(&head.target));
        let behaviour = plan.next.pop_front().or(files).unwrap_or_else(|| plan.rest.clone());
        behaviour.for_method(&head.method)
    }

    /// Whether uploads' bytes are not kept.
    pub(super) fn discards(&self) -> bool {
        self.plan().discard
    }

    /// Has a request stop as its behaviour asks.
    pub(super) async fn stop(&self, head: &Head, wait: &Wait) {
        if !matches!(wait, Wait::No) {
            self.note(|log| log.stopped.push(head.clone()));
            wait.over().await;
        }
    }

    pub(super) fn note<T>(&self, change: impl FnOnce(&mut Log) -> T) -> T {
        let noted = change(&mut self.log());
        self.changed.notify_all();
        self.news.send_replace(());
        noted
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    mut stopped: watch::Receiver<bool>,
) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
            accepted = listener.accept() => accepted?,
        };
        // Without this the second half of an answer in two writes waits for an ACK.
        stream.set_nodelay(true)?;
        let connection = Connection { shared: Arc::clone(&shared), buffer: Buffer::default() };
        let tls = tls.clone();
        tokio::spawn(async move {
            connection.shared.note(|log| {
                log.connections += 1;
                log.open += 1;
            });
            let shared = Arc::clone(&connection.shared);
            let end = match tls {
                None => connection.serve(stream).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => connection.serve(stream).await,
                    Err(error) => Err(error),
                },
            };
            if let Err(error) = end {
                tracing::debug!(%error, "a connection of the embedded server");
            }
            shared.note(|log| log.open -= 1);
        });
    }
}

struct Connection {
    shared: Arc<Shared>,
    buffer: Buffer,
}

/// A request that was read, until it is answered, cut, or its client gone.
struct InFlight<'a>(&'a Shared);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.note(|log| log.in_flight -= 1);
    }
}

impl Connection {
    async fn serve(mut self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        while self.buffer.begun(&mut stream).await? {
            if self.shared.refuses() {
                return Ok(());
            }
            let head = self.buffer.head(&mut stream).await?;
            let behaviour = self.shared.next_behaviour(&head);
            let (treated, items, in_flight);
            if files::serves(&head.target) {
                self.shared.note(|log| log.note_head(head.clone()));
                in_flight = InFlight(&self.shared);
                treated = files::treat(&self.shared, &mut self.buffer, &mut stream, &head, &behaviour).await?;
                items = Vec::new();
            } else {
                let asked = self.buffer.body(&mut stream, head).await?;
                self.shared.note(|log| log.note_head(asked.head.clone()));
                in_flight = InFlight(&self.shared);
                treated = tokio::select! {
                    treated = treat(&self.shared, &asked, &behaviour) => treated,
                    // A client that sends more before it is answered is none of ours.
                    gone = self.buffer.begun(&mut stream) => gone.map(|_| Treated::Close),
                }?;
                items = self::items(&asked).unwrap_or_default();
            }
            match treated {
                Treated::Close => return Ok(()),
                Treated::Answer(bytes, Then::Next) => {
                    stream.write_all(&bytes).await?;
                    stream.flush().await?;
                    self.shared.note(|log| log.note_answer(&items));
                    drop(in_flight);
                }
                Treated::Answer(bytes, Then::Close) => {
                    stream.write_all(&bytes).await?;
                    return stream.shutdown().await;
                }
                Treated::Answer(bytes, Then::Hold) => {
                    stream.write_all(&bytes).await?;
                    stream.flush().await?;
                    self.buffer.begun(&mut stream).await?;
                    return Ok(());
                }
                Treated::Answer(bytes, Then::Repeat(chunk)) => {
                    stream.write_all(&bytes).await?;
                    loop {
                        stream.write_all(chunk).await?;
                    }
                }
            }
        }
        Ok(())
    }
}

async fn treat(shared: &Shared, asked: &Asked, behaviour: &Behaviour) -> Result<Treated> {
    shared.stop(&asked.head, &behaviour.before_applying).await;
    let fault = behaviour.fault_of(&asked.head, &items(asked).unwrap_or_default());
    if let Some(refusal) = fault.refusal() {
        note(shared, asked);
        shared.stop(&asked.head, &behaviour.before_answering).await;
        return Ok(refusal);
    }
    let bytes = apply(shared, asked, behaviour)?;
    shared.stop(&asked.head, &behaviour.before_answering).await;
    Ok(fault.spoil(bytes))
}

/// Notes the items of a request that is refused.
fn note(shared: &Shared, asked: &Asked) {
    if let Ok(items) = items(asked) {
        shared.note(|log| items.iter().for_each(|item| log.note_item(item)));
    }
}

/// Applies what may be applied, in one step; gives the honest answer.
fn apply(shared: &Shared, asked: &Asked, behaviour: &Behaviour) -> Result<Vec<u8>> {
    let items = match items(asked) {
        Ok(items) => items,
        Err(error) => return Ok(answer(400, &behaviour.headers, error.to_string().as_bytes())),
    };
    let results: Vec<serde_json::Value> = shared.note(|log| {
        items
            .iter()
            .map(|item| {
                log.note_item(item);
                result(log, item, behaviour.verdict(item))
            })
            .collect()
    });
    let mut headers = vec![("Content-Type".to_owned(), "application/json".to_owned())];
    headers.extend(behaviour.headers.iter().cloned());
    Ok(answer(200, &headers, json!({ "results": results }).to_string().as_bytes()))
}

fn result(log: &mut Log, item: &Item, verdict: Verdict) -> serde_json::Value {
    let id = &item.id;
    match verdict {
        Verdict::Take if log.apply(id) => json!({ "id": id, "outcome": "ok" }),
        Verdict::Take => json!({ "id": id, "outcome": "duplicate" }),
        Verdict::Retry { after, reason } => json!({ "id": id, "outcome": "retry", "after": after, "reason": reason }),
        Verdict::Reject { reason } => json!({ "id": id, "outcome": "rejected", "reason": reason }),
        Verdict::Conflict { reason } => json!({ "id": id, "outcome": "conflict", "reason": reason }),
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    device: String,
    strategy: String,
    #[serde(borrow)]
    items: Vec<Row<'a>>,
}

#[derive(Deserialize)]
struct Row<'a> {
    id: String,
    created: u64,
    attempt: u32,
    #[serde(borrow)]
    payload: &'a RawValue,
}

/// The items of a request: of the envelope, or the bare payload.
fn items(asked: &Asked) -> Result<Vec<Item>> {
    if let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(&asked.body) {
        let (strategy, device) = (envelope.strategy, envelope.device);
        let item = |row: Row<'_>| Item {
            id: row.id,
            payload: row.payload.get().to_owned(),
            strategy: strategy.clone(),
            device: device.clone(),
            created: row.created,
            attempt: row.attempt,
        };
        return Ok(envelope.items.into_iter().map(item).collect());
    }
    let payload: &RawValue = serde_json::from_slice(&asked.body)?;
    let id = asked.head.headers.get("idempotency-key").ok_or_else(|| Error::other("an item without an id"))?;
    Ok(vec![Item {
        id: id.clone(),
        payload: payload.get().to_owned(),
        strategy: String::new(),
        device: String::new(),
        created: 0,
        attempt: 0,
    }])
}
