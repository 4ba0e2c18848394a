//! The system's time zone, and the news that it is another: after `timedatectl set-timezone`, or new rules in the tz
//! database. `TZ` in the environment wins, and does not change.
//!
//! What `/etc/localtime` leads to is watched link by link, not the folders: other files of `/etc` wake nobody.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;

use super::clock::watched;
use crate::model::Zone;

/// The system's zone: a file of the tz database, or a link to one (localtime(5)).
const LOCALTIME: &str = "/etc/localtime";

/// Where the tz database lies.
const DATABASE: &str = "/usr/share/zoneinfo";

/// As many links are followed; the kernel's own limit is 40.
const LINKS: usize = 8;

/// The zone cannot be told; clocks are read as if they showed UTC.
#[derive(Debug, thiserror::Error)]
pub enum ZoneError {
    /// A file of the tz database cannot be read.
    #[error("reading the time zone in {0}: {1}")]
    File(PathBuf, #[source] io::Error),
    /// What is there, or in `TZ`, is no zone.
    #[error("reading the time zone {0:?}: {1}")]
    Rules(OsString, #[source] jiff::Error),
    /// Nobody will hear of another one.
    #[error("watching the time zone: {0}")]
    Watch(#[source] io::Error),
}

/// The zone of this process now. Without a `/etc/localtime`, UTC (localtime(5)).
pub fn read() -> Result<Zone, ZoneError> {
    match std::env::var_os("TZ") {
        Some(value) => by_variable(&value),
        None => by_file(Path::new(LOCALTIME)),
    }
}

/// Tells of each zone that differs from the one `known` before; ends if there is nothing to watch. Needs a tokio runtime.
pub async fn watch(known: Option<Zone>, changed: impl FnMut(Result<Zone, ZoneError>)) {
    if std::env::var_os("TZ").is_none() {
        follow(Path::new(LOCALTIME), known, changed).await;
    }
}

async fn follow(path: &Path, mut known: Option<Zone>, mut changed: impl FnMut(Result<Zone, ZoneError>)) {
    loop {
        // Watched before it is read: what comes between is heard of.
        let links = match Links::of(path) {
            Ok(links) => links,
            Err(error) => return changed(Err(ZoneError::Watch(error))),
        };
        match by_file(path) {
            Ok(zone) if known.as_ref() == Some(&zone) => {}
            Ok(zone) => {
                known = Some(zone.clone());
                changed(Ok(zone));
            }
            Err(error) => {
                known = None;
                changed(Err(error));
            }
        }
        if let Err(error) = links.changed().await {
            return changed(Err(ZoneError::Watch(error)));
        }
    }
}

/// A file and the links that lead to it.
struct Links(AsyncFd<OwnedFd>);

impl Links {
    fn of(path: &Path) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            if !add(&watch, &path)? {
                break;
            }
            let Ok(target) = std::fs::read_link(&path) else { break };
            path = path.parent().unwrap_or(Path::new("/")).join(target);
        }
        Ok(Self(watched(watch)?))
    }

    /// Resolves when one of them is another than it was.
    async fn changed(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut events = [0; 1024];
            match ready.try_io(|watch| Ok(rustix::io::read(watch, &mut events)?)) {
                Ok(read) => return read.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}

/// Watches what lies at `path` itself; if nothing does, the folder in which it would (false).
fn add(watch: &OwnedFd, path: &Path) -> io::Result<bool> {
    let itself = WatchFlags::ATTRIB | WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::CLOSE_WRITE;
    match inotify::add_watch(watch, path, itself | WatchFlags::DONT_FOLLOW) {
        Ok(_) => return Ok(true),
        Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let entries = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::CLOSE_WRITE;
    let gone = WatchFlags::DELETE | WatchFlags::MOVED_FROM;
    match inotify::add_watch(watch, path.parent().unwrap_or(Path::new("/")), entries | gone) {
        Ok(_) | Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn by_file(path: &Path) -> Result<Zone, ZoneError> {
    let data = match std::fs::read(path) {
        Ok(data) => data,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Zone::UTC),
        Err(error) => return Err(ZoneError::File(path.to_owned(), error)),
    };
    let place = std::fs::canonicalize(path).unwrap_or_default();
    let name = place.to_str().and_then(|place| place.split_once("/zoneinfo/")).map_or("", |(_, name)| name);
    let zone = TimeZone::tzif(name, &data).map_err(|error| ZoneError::Rules(path.into(), error))?;
    Ok(Zone::of(zone))
}

/// What `TZ` names (POSIX, tzset(3)): a file of the database, with or without a colon before it, or rules of its own;
/// nothing is UTC.
fn by_variable(value: &OsStr) -> Result<Zone, ZoneError> {
    let name = value.as_bytes().strip_prefix(b":").unwrap_or(value.as_bytes());
    let path = Path::new(DATABASE).join(OsStr::from_bytes(name));
    if name.is_empty() || path.is_file() {
        return if name.is_empty() { Ok(Zone::UTC) } else { by_file(&path) };
    }
    let rules = TimeZone::posix(&String::from_utf8_lossy(name));
    rules.map(Zone::of).map_err(|error| ZoneError::Rules(value.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use tokio::sync::mpsc;

    use super::*;
    use crate::fuzz::fuzz;
    use crate::model::WallTime;

    fn berlin() -> Zone {
        by_variable(OsStr::new("Europe/Berlin")).expect("a zone of the database")
    }

    /// What clocks show at noon UTC of a day in May.
    fn shown(zone: &Zone) -> String {
        zone.local(WallTime::from_micros(1_777_636_800_000_000)).time()
    }

    #[test]
    fn tz_names_a_file_or_rules() {
        for (value, time) in [
            ("Europe/Berlin", "14:00"),
            (":Europe/Berlin", "14:00"),
            ("/usr/share/zoneinfo/Asia/Kolkata", "17:30"),
            ("EST5EDT,M3.2.0,M11.1.0", "08:00"),
            ("<+03>-3", "15:00"),
            ("", "12:00"),
        ] {
            assert_eq!(shown(&by_variable(OsStr::new(value)).expect(value)), time, "{value:?}");
        }
        assert!(by_variable(OsStr::new("Atlantis/Capital")).is_err());
    }

    #[test]
    fn without_a_file_it_is_utc_and_what_is_no_zone_is_an_error() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("localtime");
        assert_eq!(by_file(&path).expect("a zone"), Zone::UTC);
        fs::write(&path, "no zone").expect("a file");
        assert!(by_file(&path).is_err());
    }

    #[tokio::test]
    async fn another_zone_is_told_of_however_it_is_put_there() {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("localtime");
        let (told, mut news) = mpsc::unbounded_channel();
        let (watched, start) = (path.clone(), by_file(&path).ok());
        let watching = tokio::spawn(async move {
            let tell =
                |zone: Result<Zone, ZoneError>| told.send(zone.map_err(drop).as_ref().map(shown).ok()).expect("heard");
            follow(&watched, start, tell).await;
        });
        // So that what is done next happens while it is watched.
        while fs::read_dir("/proc/self/fdinfo").expect("a list").flatten().all(|entry| {
            let told = fs::read_to_string(entry.path()).unwrap_or_default();
            !told.contains(&format!("ino:{:x} ", inode(folder.path())))
        }) {
            tokio::task::yield_now().await;
        }
        let zone = |name: &str| Path::new(DATABASE).join(name);
        let temporary = folder.path().join("new");
        let renamed = |name: &str| {
            symlink(zone(name), &temporary).expect("a link");
            fs::rename(&temporary, &path).expect("in its place");
        };
        renamed("Europe/Berlin");
        assert_eq!(news.recv().await, Some(Some("14:00".to_owned())), "created");
        renamed("Asia/Kolkata");
        assert_eq!(news.recv().await, Some(Some("17:30".to_owned())), "replaced by another");
        fs::remove_file(&path).expect("removed");
        assert_eq!(news.recv().await, Some(Some("12:00".to_owned())), "removed");
        fs::copy(zone("Asia/Tokyo"), &path).expect("a copy");
        while news.recv().await != Some(Some("21:00".to_owned())) {}
        let chain = folder.path().join("chain");
        symlink(zone("Europe/Berlin"), &chain).expect("a link");
        symlink(&chain, &temporary).expect("a link");
        fs::rename(&temporary, &path).expect("in its place");
        assert_eq!(news.recv().await, Some(Some("14:00".to_owned())), "by a link to a link");
        symlink(zone("Asia/Kolkata"), &temporary).expect("a link");
        fs::rename(&temporary, &chain).expect("in its place");
        assert_eq!(news.recv().await, Some(Some("17:30".to_owned())), "the second link became another");
        fs::write(folder.path().join("passwd"), "").expect("another file");
        assert!(news.try_recv().is_err());
        assert_eq!(shown(&berlin()), "14:00");
        watching.abort();
    }

    fn inode(path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(path).expect("it is there").ino()
    }

    #[test]
    fn any_file_and_any_variable_is_a_zone_or_none() {
        fuzz!("zone", |input: &[u8]| {
            let rules = TimeZone::posix(&String::from_utf8_lossy(input));
            for zone in [TimeZone::tzif("fuzzed", input), rules].into_iter().flatten().map(Zone::of) {
                for time in [0, 1_777_636_800_000_000, 1 << 60, u64::MAX] {
                    let local = zone.local(WallTime::from_micros(time)).time();
                    assert!(local.len() >= 5, "{local}");
                }
            }
        });
    }
}
