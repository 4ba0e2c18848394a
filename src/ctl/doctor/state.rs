//! `state`: whether the state directory is there, the daemon's, and nobody else's.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::bounded::{bounded_blocking, no_answer};
use super::finding::{Finding, shell};

/// What the file system says of the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Folder {
    is_folder: bool,
    uid: u32,
    /// Permission bits.
    mode: u32,
}

/// `state`. `owner`: the daemon's user, as far as it is known; `runs`: whether it runs.
pub(super) async fn check(dir: &Path, owner: Option<u32>, runs: bool) -> Finding {
    let place = dir.to_owned();
    match bounded_blocking(move || look(&place)).await {
        Some(looked) => verdict(dir, looked, owner, runs),
        None => Finding::problem(
            format!("{}: {}", dir.display(), no_answer()),
            format!("look at the file system of {}", shell(dir)),
        ),
    }
}

fn look(dir: &Path) -> io::Result<Folder> {
    let about = fs::metadata(dir)?;
    Ok(Folder { is_folder: about.is_dir(), uid: about.uid(), mode: about.mode() & 0o7777 })
}

fn verdict(dir: &Path, looked: io::Result<Folder>, owner: Option<u32>, runs: bool) -> Finding {
    let (name, path) = (dir.display(), shell(dir));
    let folder = match looked {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Finding::forbidden(format!("this user may not look at {name}"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !runs => {
            return Finding::warning(format!("{name} is not there yet: ferryd makes it at its start"), "start ferryd");
        }
        Err(error) => {
            let mend = "give the one that ferryd uses with --state-dir; if it is this one, restart ferryd";
            return Finding::problem(format!("{name}: {error}"), mend);
        }
    };
    if !folder.is_folder {
        return Finding::problem(format!("{name} is no directory"), format!("move it away: sudo mv {path} {path}.old"));
    }
    if let Some(owner) = owner.filter(|owner| *owner != folder.uid) {
        let words = format!("{name} is user {}'s, but ferryd runs as user {owner}", folder.uid);
        return Finding::problem(words, format!("sudo chown -R {owner} {path}"));
    }
    let mend = format!("sudo chmod 0700 {path}");
    match folder.mode {
        0o700 => Finding::ok(format!("{name} is ferryd's alone")),
        mode if mode & 0o700 != 0o700 => {
            Finding::problem(format!("{name} has mode {mode:04o}: its owner cannot work in it"), mend)
        }
        mode if mode & 0o077 != 0 => {
            Finding::problem(format!("{name} has mode {mode:04o}: it is open to others than ferryd"), mend)
        }
        mode => Finding::ok(format!("{name} is ferryd's alone (mode {mode:04o})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::views::Verdict;

    #[test]
    fn the_directory_is_the_daemons_alone_or_it_is_told_how() {
        let chmod = Some("sudo chmod 0700 /s");
        let folder = |uid, mode| Ok(Folder { is_folder: true, uid, mode });
        let error = |kind: io::ErrorKind| Err(kind.into());
        for (looked, owner, runs, expected, words, mend) in [
            (folder(998, 0o700), Some(998), true, Verdict::Ok, "alone", None),
            (folder(998, 0o700), None, false, Verdict::Ok, "alone", None),
            (folder(998, 0o2700), Some(998), true, Verdict::Ok, "alone (mode 2700)", None),
            (
                folder(998, 0o755),
                Some(998),
                true,
                Verdict::Problem,
                "mode 0755: it is open",
                Some("sudo chmod 0700 /s"),
            ),
            (
                folder(998, 0o701),
                Some(998),
                true,
                Verdict::Problem,
                "mode 0701: it is open",
                Some("sudo chmod 0700 /s"),
            ),
            (folder(998, 0o500), Some(998), true, Verdict::Problem, "cannot work in it", chmod),
            (folder(0, 0o700), Some(998), true, Verdict::Problem, "is user 0's", Some("sudo chown -R 998 /s")),
            (
                Ok(Folder { is_folder: false, uid: 998, mode: 0o700 }),
                Some(998),
                false,
                Verdict::Problem,
                "no directory",
                Some("move it away: sudo mv /s /s.old"),
            ),
            (error(io::ErrorKind::NotFound), Some(998), false, Verdict::Warning, "not there yet", Some("start ferryd")),
        ] {
            let found = verdict(Path::new("/s"), looked, owner, runs);
            assert!(found.verdict == expected && found.words.contains(words), "{words}: {found:?}");
            assert_eq!(found.mend.as_deref(), mend);
        }
        let gone = verdict(Path::new("/s"), error(io::ErrorKind::NotFound), Some(998), true);
        assert_eq!(gone.verdict, Verdict::Problem, "a daemon that runs has one");
        let closed = verdict(Path::new("/s"), error(io::ErrorKind::PermissionDenied), Some(998), true);
        assert_eq!(closed, Finding::forbidden("this user may not look at /s"));
    }
}
