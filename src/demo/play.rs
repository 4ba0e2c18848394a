//! `ferryctl demo`: Ferry's main job for real. A private bus, the embedded server, `ferryd` as a child process, two client
//! programs and a third with photos, a link that is down at first, and kill -9 while requests are in flight and in the middle
//! of an upload. At the end the *server's* log is compared with what was handed over.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::files;
use super::link::Link;
use super::log::Log;
use super::misbehave::{Behaviour, Gate, Wait};
use super::observe::{Observer, Of};
use super::photos::{self, Photo};
use super::server::Server;
use super::stage::{Daemon, Stage};
use super::verdict::{self, HandedOver};

/// Tasks that each client program hands over.
const TASKS: usize = 20;
/// The client programs; each uses its name as key, so that order can be checked.
const CLIENTS: [&str; 2] = ["camera", "notes"];
/// Bytes of a photo's chunk that the server takes, at most, before ferryd is killed: more than half of it, not all.
const AMID: u64 = 40_000;

/// Why the demo could not be played; a difference found at its end is no error but a verdict.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {problem}")]
pub struct DemoError {
    doing: &'static str,
    problem: String,
}

impl DemoError {
    pub(super) fn of(doing: &'static str, problem: impl std::fmt::Display) -> Self {
        Self { doing, problem: problem.to_string() }
    }
}

/// Plays the demo and tells it, a line a step. `photos` is a folder whose files go up in the place of those that the demo
/// makes. `true` if the server holds exactly what was handed over.
pub async fn run(photos: Option<&Path>, tell: &mut dyn FnMut(&str)) -> bool {
    let mut teller = Teller(tell);
    match play(photos, &mut teller).await {
        Ok(whole) => whole,
        Err(error) => {
            teller.say(&format!("the demo broke off while {error}"));
            false
        }
    }
}

/// Whom the demo tells what happens.
struct Teller<'a>(&'a mut dyn FnMut(&str));

impl Teller<'_> {
    fn say(&mut self, line: &str) {
        (self.0)(line);
    }
}

/// All acts; `false` if the server holds something else than was handed over.
async fn play(photos: Option<&Path>, teller: &mut Teller<'_>) -> Result<bool, DemoError> {
    let link_error = |error: io::Error| DemoError::of("making the link", error);
    let mut link = Link::new().map_err(link_error)?;
    teller.say(&format!("link: {}", link.describe()));
    let listener = link.listener().map_err(link_error)?;
    let server =
        Server::start(listener, Behaviour::default()).map_err(|error| DemoError::of("starting the server", error))?;
    let stage = Stage::set()?;
    let address = link.server_address().ok_or_else(|| DemoError::of("making the link", "the server has no address"))?;
    stage.configure(address)?;
    let folder = match photos {
        Some(folder) => folder.to_owned(),
        None => {
            photos::make(&stage.photos()).map_err(|error| DemoError::of("making photos", error))?;
            stage.photos()
        }
    };

    let played = act(teller, &mut link, &server, &stage, &folder).await;
    if !matches!(played, Ok(true)) {
        let log = std::fs::read_to_string(stage.log()).unwrap_or_default();
        teller.say(&format!("ferryd's log:\n{log}"));
    }
    played
}

async fn act(
    teller: &mut Teller<'_>,
    link: &mut Link,
    server: &Server,
    stage: &Stage,
    folder: &Path,
) -> Result<bool, DemoError> {
    let mut observer = Observer::connect(&stage.address).await?;
    let daemon = start(link, stage, &mut observer).await?;
    teller.say(&format!("ferryd runs as process {} on a private bus", daemon.id()));

    let (handed_over, photos) = hand_over(teller, link, stage, folder, &mut observer).await?;

    // The server reads the first request and goes no further. What it does with it later, it does for a dead client.
    let unread = hold(server, |behaviour| &mut behaviour.before_applying);
    link.raise().map_err(|error| DemoError::of("raising the link", error))?;
    teller.say("the link is up");
    kill_in_flight(teller, server, &unread, daemon, "read by the server, not yet applied").await?;
    // The next is applied, but its answer never comes: its tasks must arrive again, and count once.
    let unanswered = hold(server, |behaviour| &mut behaviour.before_answering);
    unread.gate.open();
    let daemon = restart(teller, link, stage, &mut observer).await?;
    kill_in_flight(teller, server, &unanswered, daemon, "applied, not yet answered").await?;
    server.behave(Behaviour::honest());
    unanswered.gate.open();
    let daemon = restart(teller, link, stage, &mut observer).await?;

    observer.until_empty(Of::Metadata).await?;
    kill_amid_upload(teller, server, &mut observer, daemon, &photos).await?;
    let daemon = restart(teller, link, stage, &mut observer).await?;
    observer.until_empty(Of::Photo).await?;
    daemon.terminate().await?;
    teller.say("ferryd has nothing left to do and ended on SIGTERM");
    let verdict = verdict::compare(&handed_over, &server.received());
    teller.say(&verdict.to_string());
    let album = photos::compare(&photos, &server.uploads()).map_err(|error| DemoError::of("reading a photo", error))?;
    teller.say(&album.to_string());
    Ok(verdict.is_whole() && album.is_whole())
}

/// All three client programs hand their work over, offline.
async fn hand_over(
    teller: &mut Teller<'_>,
    link: &Link,
    stage: &Stage,
    folder: &Path,
    observer: &mut Observer,
) -> Result<(HandedOver, Vec<Photo>), DemoError> {
    let handed_over = enqueue(stage)?;
    let waiting = handed_over.values().map(Vec::len).sum::<usize>();
    let reason = observer.until_blocked(Of::Metadata, waiting, link.reason_when_down()).await?;
    teller.say(&format!("offline: {waiting} waiting, reason {reason}"));
    let photos = hand_over_photos(stage, folder)?;
    let reason = observer.until_blocked(Of::Photo, photos.len(), link.reason_when_down()).await?;
    teller.say(&format!("offline: {} photos waiting in the spool, reason {reason}", photos.len()));
    // Who is killed three times in the same attempt is suspected of killing: the photos have a kill of their own.
    observer.pause(Of::Photo).await?;
    teller.say("the photos are paused");
    Ok((handed_over, photos))
}

/// A line of `ferryctl --json put`.
#[derive(Deserialize)]
struct Acknowledged {
    file: PathBuf,
    id: String,
}

/// The third client program hands its photos over.
fn hand_over_photos(stage: &Stage, folder: &Path) -> Result<Vec<Photo>, DemoError> {
    let lines = stage.start_gallery(folder)?.acknowledged()?;
    let photo = |line: &String| {
        let read = serde_json::from_str::<Acknowledged>(line);
        read.map(|Acknowledged { file: path, id }| Photo { path, id })
            .map_err(|error| DemoError::of("handing photos over", format!("{line}: {error}")))
    };
    match lines.iter().map(photo).collect::<Result<Vec<_>, _>>()? {
        photos if photos.is_empty() => Err(DemoError::of("handing photos over", "the folder holds none")),
        photos => Ok(photos),
    }
}

/// Lets the photos go, and kills the daemon when the server has taken a part of a chunk.
async fn kill_amid_upload(
    teller: &mut Teller<'_>,
    server: &Server,
    observer: &mut Observer,
    daemon: Daemon,
    photos: &[Photo],
) -> Result<(), DemoError> {
    let gate = Gate::closed();
    let sizes = photos.iter().filter_map(|photo| Some(std::fs::metadata(&photo.path).ok()?.len()));
    // Whichever goes first comes so far.
    let reached = sizes.min().unwrap_or_default().div_ceil(2).min(AMID);
    let amid = Some((reached, Wait::Gate(gate.clone())));
    server.behave_files(Some(Behaviour { amid, ..Behaviour::honest() }));
    observer.resume(Of::Photo).await?;
    teller.say("the photos may go");
    server.until(|log| log.stopped.iter().any(|head| head.method == "PATCH")).await;
    let process = daemon.id();
    daemon.kill().await?;
    let kept = server.log(|log| log.uploads().iter().map(|upload| upload.offset).sum::<u64>());
    server.behave_files(None);
    gate.open();
    teller.say(&format!("kill -9 {process} in the middle of an upload: the server has {kept} bytes of photos so far"));
    Ok(())
}

/// The client programs hand their work over; gives payloads by acknowledged id, for each client in order.
fn enqueue(stage: &Stage) -> Result<HandedOver, DemoError> {
    let payloads = |client: &str| -> Vec<String> {
        (1..=TASKS).map(|n| format!(r#"{{"app":"{client}","n":{n},"title":"{client} item {n}"}}"#)).collect()
    };
    let started = CLIENTS.map(|client| (client, payloads(client)));
    let running =
        started.iter().map(|(client, payloads)| stage.start_client(client, payloads)).collect::<Result<Vec<_>, _>>()?;
    let mut handed_over = HandedOver::new();
    for ((client, payloads), program) in started.into_iter().zip(running) {
        let ids = program.acknowledged()?;
        if ids.len() != payloads.len() {
            let problem = format!("{client}: {} of {} acknowledged", ids.len(), payloads.len());
            return Err(DemoError::of("handing work over", problem));
        }
        handed_over.insert(client.to_owned(), ids.into_iter().zip(payloads).collect());
    }
    Ok(handed_over)
}

/// A gate at which the server stops every request.
struct Hold {
    gate: Gate,
    /// Requests for tasks that stopped there before.
    earlier: usize,
}

fn hold(server: &Server, at: impl FnOnce(&mut Behaviour) -> &mut Wait) -> Hold {
    let gate = Gate::closed();
    let mut behaviour = Behaviour::honest();
    *at(&mut behaviour) = Wait::Gate(gate.clone());
    server.behave(behaviour);
    Hold { gate, earlier: server.log(stopped) }
}

/// How many requests for tasks came to a gate.
fn stopped(log: &Log) -> usize {
    log.stopped.iter().filter(|head| !files::serves(&head.target)).count()
}

/// Waits until a request stands at the gate, then kills the daemon with -9.
async fn kill_in_flight(
    teller: &mut Teller<'_>,
    server: &Server,
    hold: &Hold,
    daemon: Daemon,
    state: &str,
) -> Result<(), DemoError> {
    server.until(|log| stopped(log) > hold.earlier).await;
    let process = daemon.id();
    daemon.kill().await?;
    teller.say(&format!("kill -9 {process} while a request is in flight: {state}"));
    Ok(())
}

/// Starts the daemon and waits until it owns its name, or has ended without.
async fn start(link: &Link, stage: &Stage, observer: &mut Observer) -> Result<Daemon, DemoError> {
    let mut daemon = stage.start_ferryd(link)?;
    tokio::select! {
        ready = observer.until_ready() => ready?,
        ended = daemon.ended() => {
            let problem = ended.map_or_else(|error| error.to_string(), |status| format!("it ended with {status}"));
            return Err(DemoError::of("starting ferryd", problem));
        }
    }
    Ok(daemon)
}

async fn restart(
    teller: &mut Teller<'_>,
    link: &Link,
    stage: &Stage,
    observer: &mut Observer,
) -> Result<Daemon, DemoError> {
    let daemon = start(link, stage, observer).await?;
    teller.say(&format!("ferryd runs again as process {}", daemon.id()));
    Ok(daemon)
}
