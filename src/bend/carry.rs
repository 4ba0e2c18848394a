//! One connection: its bytes as late and as slow as the link makes them, and its end. What the bytes say it must not know.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use fastrand::Rng;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::link::{Link, Way, under_way};
use super::portal;
use super::talk::{Loss, Talk};

/// Parcels of one connection and direction that may be under way.
const PARCELS: usize = 128;

/// How long before its turn a parcel is let go, so that a timer that is late leaves no gap.
const AHEAD: Duration = Duration::from_millis(20);

/// How long a connection stands still at most after a lost request, if its client does not give up.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes under way; none at the end of the stream.
struct Parcel {
    bytes: Bytes,
    arrives: Instant,
    /// Makes room for others when it has arrived.
    _room: Option<OwnedSemaphorePermit>,
}

enum Broken {
    Lost(Loss),
    /// By one of its ends.
    Io,
}

impl From<io::Error> for Broken {
    fn from(_: io::Error) -> Self {
        Self::Io
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Orderly,
    Reset,
}

/// Carries a connection to its end.
pub(super) async fn carry(mut client: TcpStream, to: SocketAddr, link: &Link, random: Rng) {
    let era = link.now().era;
    let mut server = None;
    let end = tokio::select! {
        () = link.broken(era) => End::Reset,
        end = pass(&mut client, &mut server, to, link, random) => end,
    };
    if end == End::Reset {
        for stream in [Some(&client), server.as_ref()].into_iter().flatten() {
            // If it has ended already, so much the better.
            stream.set_zero_linger().ok();
        }
    }
}

/// Hands the server's stream out, so that whoever breaks this off can reset it.
async fn pass(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    to: SocketAddr,
    link: &Link,
    mut random: Rng,
) -> End {
    let state = link.up().await;
    if state.portal {
        portal::answer(client, state.round_trip).await;
        return End::Orderly;
    }
    // The client's own handshake took no time.
    sleep(under_way(&state, &mut random) * 2).await;
    let Ok(stream) = TcpStream::connect(to).await else { return End::Reset };
    let server = server.insert(stream);
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return End::Reset;
    }
    match both_ways(client, server, link, random).await {
        Ok(()) => End::Orderly,
        Err(Broken::Io | Broken::Lost(Loss::Reset)) => End::Reset,
        Err(Broken::Lost(Loss::Stall)) => {
            // Either way it is over.
            timeout(PATIENCE, gives_up(client)).await.ok();
            End::Reset
        }
    }
}

async fn both_ways(client: &mut TcpStream, server: &mut TcpStream, link: &Link, mut random: Rng) -> Result<(), Broken> {
    let talk = Mutex::new(Talk::new(random.fork()));
    let ((from_client, to_client), (from_server, to_server)) = (client.split(), server.split());
    let up = one_way(from_client, to_server, Way::Up, link, &talk, random.fork());
    let down = one_way(from_server, to_client, Way::Down, link, &talk, random);
    tokio::try_join!(up, down).map(|_| ())
}

async fn one_way(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    way: Way,
    link: &Link,
    talk: &Mutex<Talk>,
    random: Rng,
) -> Result<(), Broken> {
    let (leaving, arriving) = mpsc::channel(PARCELS);
    tokio::try_join!(send(from, leaving, way, link, talk, random), receive(to, arriving, link)).map(|_| ())
}

async fn send(
    mut from: ReadHalf<'_>,
    leaving: mpsc::Sender<Parcel>,
    way: Way,
    link: &Link,
    talk: &Mutex<Talk>,
    mut random: Rng,
) -> Result<(), Broken> {
    let mut last = Instant::now();
    loop {
        let mut bytes = BytesMut::with_capacity(link.parcel(way));
        let read = from.read_buf(&mut bytes).await?;
        let room = link.room(read).await;
        let state = link.up().await;
        if read > 0
            && let Some(loss) = lose(talk, way, read, state.reliability)
        {
            return Err(Broken::Lost(loss));
        }
        let left = link.send(way, read, &state);
        // Jitter delays, but what was sent later never arrives earlier.
        last = last.max(left + under_way(&state, &mut random));
        sleep_until(left - AHEAD).await;
        let parcel = Parcel { bytes: bytes.freeze(), arrives: last, _room: room };
        if leaving.send(parcel).await.is_err() || read == 0 {
            return Ok(());
        }
    }
}

fn lose(talk: &Mutex<Talk>, way: Way, bytes: usize, reliability: f64) -> Option<Loss> {
    let mut talk = talk.lock().unwrap_or_else(PoisonError::into_inner);
    match way {
        Way::Up => talk.ask(bytes, reliability),
        Way::Down => talk.answer(),
    }
}

async fn receive(mut to: WriteHalf<'_>, mut arriving: mpsc::Receiver<Parcel>, link: &Link) -> Result<(), Broken> {
    while let Some(parcel) = arriving.recv().await {
        sleep_until(parcel.arrives).await;
        link.up().await;
        if parcel.bytes.is_empty() {
            break;
        }
        to.write_all(&parcel.bytes).await?;
    }
    to.shutdown().await.map_err(Broken::from)
}

/// Waits until the other end has closed, without taking what it sent before.
async fn gives_up(stream: &TcpStream) {
    while let Ok(ready) = stream.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        // Forgets that there are bytes, so that only news wake us.
        let unread: io::Result<()> = stream.try_io(Interest::READABLE, || Err(io::ErrorKind::WouldBlock.into()));
        drop(unread);
    }
}
