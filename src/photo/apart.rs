//! The process that works on one picture, seen from the daemon, which believes nothing of it but how it ends.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Recipe;
use super::serve::{ARGUMENT, ENCODED, FAILED, NO_ROOM, NO_ROOM_FOR_A_COPY, NOTHING, ONLY_LOOK, STRIPPED, is_full};

/// Bytes of an original that is looked at, at most.
const LARGEST: u64 = 64 << 20;
/// The longest that it may take, whatever else the device does.
const LIMIT: Duration = Duration::from_secs(180);
/// Bytes that are read of its words.
const WORDS: u64 = 1024;
/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// What became of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Made {
    /// A copy.
    Copy {
        /// Bytes.
        size: u64,
        /// SHA-256 of all of it.
        sha256: [u8; 32],
        /// Whether its pixels are not the original's.
        is_encoded: bool,
    },
    /// Nothing: the original does, and why.
    Nothing(String),
    /// The place where it was taken cannot be removed, so it may not go at all, and why.
    Withheld(String),
    /// The place where it was taken is to be removed when the disk has room for that, and why it has not.
    NoRoom(String),
}

/// Whether the disk has room for a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// As much as there is.
    Some,
    /// What there is is kept for others: nothing is made, and what would need to be does not go.
    None,
}

/// Where pictures are worked on, one at a time.
#[derive(Debug)]
pub struct Studio {
    turns: Semaphore,
}

impl Default for Studio {
    fn default() -> Self {
        Self { turns: Semaphore::new(1) }
    }
}

impl Studio {
    /// Makes a copy of `original` at `copy`, whatever lay there. Dropping the future ends the work; what lies at `copy`
    /// then is of no use. To be called on the runtime's own thread, which the process does not outlive.
    pub async fn make(&self, original: &Path, copy: &Path, recipe: Recipe, room: Room) -> Made {
        let Ok(_turn) = self.turns.acquire().await else { return Made::Nothing("nobody works".to_owned()) };
        let of_copy = copy.to_owned();
        let made = match make(original, copy, recipe, room).await {
            Ok(Some(is_encoded)) => match in_background(move || hash(&of_copy)).await {
                Ok((size, sha256)) => Made::Copy { size, sha256, is_encoded },
                Err(error) => not_made(recipe, error.to_string()),
            },
            Ok(None) => Made::Nothing("there is nothing to make of it".to_owned()),
            Err(End::Nothing(why)) => Made::Nothing(why),
            Err(End::NoRoom(why)) => {
                tracing::warn!(reason = why, "no copy of a picture could be made: {why}");
                if recipe.strip_gps { Made::NoRoom(why) } else { Made::Nothing(why) }
            }
            Err(End::Failed(why)) => {
                tracing::warn!(reason = why, "no copy of a picture could be made: {why}");
                not_made(recipe, why)
            }
        };
        if !matches!(made, Made::Copy { .. }) {
            let of_copy = copy.to_owned();
            // If it cannot be removed now, it is with its task.
            in_background(move || fs::remove_file(of_copy)).await.ok();
        }
        made
    }

    /// Size and SHA-256 of a copy that was made earlier, if it still lies there.
    pub async fn look(copy: &Path) -> Option<(u64, [u8; 32])> {
        let copy = copy.to_owned();
        in_background(move || hash(&copy)).await.ok()
    }
}

/// Why there is no copy.
#[derive(Debug)]
enum End {
    /// The original needs none.
    Nothing(String),
    /// The disk has no room for it.
    NoRoom(String),
    /// It could not be looked at.
    Failed(String),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        if is_full(&error) { Self::NoRoom(error.to_string()) } else { Self::Failed(error.to_string()) }
    }
}

fn not_made(recipe: Recipe, why: String) -> Made {
    if recipe.strip_gps { Made::Withheld(why) } else { Made::Nothing(why) }
}

/// Whether the copy was encoded; `None`: there is none, and none is needed.
async fn make(original: &Path, copy: &Path, recipe: Recipe, room: Room) -> Result<Option<bool>, End> {
    match attempt(original, copy, recipe, room).await {
        // The pixels may be to blame. Without them the place is removed by far less code.
        Err(End::Failed(why)) if recipe.strip_gps && recipe.quality.is_some() => {
            tracing::warn!(reason = why, "a picture was not encoded anew: {why}");
            attempt(original, copy, recipe.without_encoding(), room).await
        }
        made => made,
    }
}

async fn attempt(original: &Path, copy: &Path, recipe: Recipe, room: Room) -> Result<Option<bool>, End> {
    let (of_original, of_copy) = (original.to_owned(), copy.to_owned());
    let files = in_background(move || open(&of_original, of_copy, room)).await;
    let (original, copy) = files??;
    // Whether it says a place can be seen without a copy.
    let recipe = match copy {
        Some(_) => recipe,
        None if recipe.strip_gps => recipe.without_encoding(),
        None => return Err(End::NoRoom(NO_ROOM_FOR_A_COPY.to_owned())),
    };
    let ended = timeout(LIMIT, run(original, copy, recipe)).await;
    let (status, words) = ended
        .map_err(|_| End::Failed(format!("it takes longer than {} s", LIMIT.as_secs())))?
        .map_err(|error| End::Failed(format!("the process that works on it: {error}")))?;
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(ENCODED) => Ok(Some(true)),
        Some(STRIPPED) => Ok(Some(false)),
        Some(NOTHING) => Err(End::Nothing(words)),
        Some(NO_ROOM) => Err(End::NoRoom(words)),
        Some(FAILED) => Err(End::Failed(words)),
        Some(_) | None => Err(End::Failed(format!("the process that works on it {}", how(status, &words)))),
    }
}

fn how(status: ExitStatus, words: &str) -> String {
    let end = status.signal().map_or_else(|| status.to_string(), |signal| format!("was ended by signal {signal}"));
    if words.is_empty() { end } else { format!("{end}: {words}") }
}

/// The original, and a new file for its copy if there is room for one; the inner error: there is no use in one.
fn open(original: &Path, copy: PathBuf, room: Room) -> io::Result<Result<(File, Option<File>), End>> {
    let mut file = File::open(original)?;
    let mut start = [0; 3];
    let is_jpeg = file.read_exact(&mut start).is_ok() && start == [0xff, 0xd8, 0xff];
    if !is_jpeg {
        return Ok(Err(End::Nothing("it is no JPEG".to_owned())));
    }
    let size = file.metadata()?.len();
    if size > LARGEST {
        return Ok(Err(End::Failed(format!("{size} bytes are too many to look at"))));
    }
    match fs::remove_file(&copy) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    io::Seek::rewind(&mut file)?;
    // Room for it and as much again: a copy takes no space that apps need for what they hand over.
    let disk = rustix::fs::fstatvfs(&file)?;
    if room == Room::None || disk.f_bavail.saturating_mul(disk.f_frsize) < 2 * size {
        return Ok(Ok((file, None)));
    }
    match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(copy) {
        Ok(copy) => Ok(Ok((file, Some(copy)))),
        Err(error) if is_full(&error) => Ok(Ok((file, None))),
        Err(error) => Err(error),
    }
}

/// How the process ended, and what it said.
async fn run(original: File, copy: Option<File>, recipe: Recipe) -> io::Result<(ExitStatus, String)> {
    // The link leads to this very program, also after another was installed in its place.
    let mut command = Command::new("/proc/self/exe");
    command.arg0("ferryd").arg(ARGUMENT).arg(recipe.to_argument()).env_clear().kill_on_drop(true);
    if copy.is_none() {
        command.arg(ONLY_LOOK);
    }
    let copy = copy.map_or_else(Stdio::null, Stdio::from);
    let mut process = command.stdin(original).stdout(copy).stderr(Stdio::piped()).spawn()?;
    drop(command);
    let mut words = Vec::new();
    if let Some(errors) = process.stderr.take() {
        errors.take(WORDS).read_to_end(&mut words).await?;
    }
    let status = process.wait().await?;
    Ok((status, String::from_utf8_lossy(&words).trim().escape_debug().to_string()))
}

/// Size and SHA-256.
fn hash(path: &Path) -> io::Result<(u64, [u8; 32])> {
    let mut file = File::open(path)?;
    let (mut hash, mut piece, mut size) = (Sha256::new(), vec![0; PIECE], 0);
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            return Ok((size, hash.finalize().into()));
        }
        hash.update(&piece[..count]);
        size += count as u64;
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}
