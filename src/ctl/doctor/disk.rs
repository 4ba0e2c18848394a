//! `disk`: whether what apps hand over has room.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};

use super::bounded::{bounded_blocking, no_answer};
use super::finding::{Finding, shell};
use crate::ctl::render::size;
use crate::model::Config;

/// What a file system has, for who is not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Room {
    /// Bytes.
    free: u64,
    /// Whether new files can be made.
    has_nodes: bool,
    is_read_only: bool,
}

/// `disk`: the file system where the state directory is, or will be.
pub(super) async fn check(dir: &Path, config: Option<&Config>) -> Finding {
    let place = dir.to_owned();
    match bounded_blocking(move || look(&place)).await {
        Some(Ok((place, room))) => {
            let needs = config.map(|config| (config.store.reserve, config.limits.quotas.bytes));
            verdict(&place, room, needs)
        }
        Some(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            Finding::forbidden(format!("this user may not look at the disk of {}", dir.display()))
        }
        Some(Err(error)) => broken(dir, &error.to_string()),
        None => broken(dir, &no_answer()),
    }
}

fn broken(dir: &Path, words: &str) -> Finding {
    let mend = format!("look at the file system of {}", shell(dir));
    Finding::problem(format!("the disk of {}: {words}", dir.display()), mend)
}

/// The room at this place or, if it is not there yet, at the nearest folder above it.
fn look(dir: &Path) -> io::Result<(PathBuf, Room)> {
    for place in dir.ancestors() {
        match statvfs(place) {
            Ok(found) => {
                let room = Room {
                    free: found.f_bavail.saturating_mul(found.f_frsize),
                    // Some file systems do not count them.
                    has_nodes: found.f_files == 0 || found.f_favail > 0,
                    is_read_only: found.f_flag.contains(StatVfsMountFlags::RDONLY),
                };
                return Ok((place.to_owned(), room));
            }
            Err(rustix::io::Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// `needs`: the store's reserve, and what one user may hand over.
fn verdict(place: &Path, room: Room, needs: Option<(u64, u64)>) -> Finding {
    let (name, path) = (place.display(), shell(place));
    let (reserve, quota) = needs.unwrap_or_default();
    let make_room = format!("make room: df -h {path}; du -xh --max-depth=2 / | sort -h | tail");
    if room.is_read_only {
        return Finding::problem(
            format!("the disk of {name} is mounted read-only"),
            format!("dmesg may say why; then: sudo mount -o remount,rw \"$(findmnt -no TARGET -T {path})\""),
        );
    }
    if !room.has_nodes {
        return Finding::problem(format!("the disk of {name} can hold no more files: df -i {path}"), make_room);
    }
    let free = size(room.free);
    if room.free == 0 || room.free < reserve {
        let words = format!(
            "{free} are free at {name}, less than the {} that are kept for the ends of tasks: soon nothing more is taken",
            size(reserve)
        );
        return Finding::problem(words, make_room);
    }
    if room.free < quota {
        let words = format!("{free} are free at {name}; a user may hand over {}", size(quota));
        return Finding::warning(words, format!("{make_room}; or set limits.quota.bytes"));
    }
    Finding::ok(format!("{free} are free at {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::views::Verdict;

    #[test]
    fn room_is_held_against_the_reserve_and_the_quota() {
        let room = |free| Room { free, has_nodes: true, is_read_only: false };
        let needs = Some((4 << 20, 1 << 30));
        for (room, needs, expected, words) in [
            (room(2 << 30), needs, Verdict::Ok, "2.1 GB are free at /s"),
            (room(1 << 29), needs, Verdict::Warning, "a user may hand over 1.0 GB"),
            (room(1 << 20), needs, Verdict::Problem, "less than the 4.1 MB"),
            (room(1), None, Verdict::Ok, "1 bytes are free"),
            (room(0), None, Verdict::Problem, "0 bytes are free"),
            (Room { has_nodes: false, ..room(2 << 30) }, needs, Verdict::Problem, "no more files"),
            (Room { is_read_only: true, ..room(2 << 30) }, needs, Verdict::Problem, "read-only"),
        ] {
            let found = verdict(Path::new("/s"), room, needs);
            assert!(found.verdict == expected && found.words.contains(words), "{found:?}");
        }
    }

    #[test]
    fn a_directory_that_is_not_there_yet_will_be_on_the_disk_above() {
        let folder = tempfile::tempdir().unwrap();
        let (place, room) = look(&folder.path().join("a/b")).unwrap();
        assert_eq!((place.as_path(), room.has_nodes, room.is_read_only), (folder.path(), true, false));
    }
}
