//! Whether another user may read a file: a doctor that runs as root may read them all.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// A user, by number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    /// Its groups; `None` = unknown, so that what a group may counts as allowed.
    pub(super) gids: Option<Vec<u32>>,
}

/// A right, as its bit for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Read = 0o4,
    Enter = 0o1,
}

/// Whose a file is, and who may what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Node {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl From<Metadata> for Node {
    fn from(of: Metadata) -> Self {
        Self { uid: of.uid(), gid: of.gid(), mode: of.mode() }
    }
}

impl User {
    /// This process's.
    pub(super) fn own() -> Self {
        Self { uid: rustix::process::geteuid().as_raw(), gids: None }
    }

    /// By the mode alone, as `path_resolution(7)` has it; access lists are not looked at.
    fn may(&self, right: Right, node: Node) -> bool {
        let bit = right as u32;
        match (self.uid, &self.gids) {
            (0, _) => true,
            (uid, _) if uid == node.uid => node.mode & bit << 6 != 0,
            (_, Some(gids)) if gids.contains(&node.gid) => node.mode & bit << 3 != 0,
            (_, Some(_)) => node.mode & bit != 0,
            (_, None) => node.mode & (bit << 3 | bit) != 0,
        }
    }

    /// What keeps this user from reading a file: it, or the first folder above it that may not be entered. The path is
    /// absolute. The error is one of looking.
    pub(super) fn kept_from(&self, file: &Path) -> io::Result<Option<PathBuf>> {
        let mut folders: Vec<_> = file.ancestors().skip(1).collect();
        folders.reverse();
        for folder in folders {
            if !self.may(Right::Enter, fs::metadata(folder)?.into()) {
                return Ok(Some(folder.to_owned()));
            }
        }
        Ok((!self.may(Right::Read, fs::metadata(file)?.into())).then(|| file.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_right_is_the_owners_the_groups_or_everybodys() {
        let user = |uid, gids: &[u32]| User { uid, gids: Some(gids.to_vec()) };
        let node = |mode| Node { uid: 7, gid: 70, mode };
        let may = |user: &User, mode| user.may(Right::Read, node(mode));
        assert!(may(&user(0, &[]), 0o000), "root");
        assert!(may(&user(7, &[]), 0o400) && !may(&user(7, &[70]), 0o044));
        assert!(may(&user(8, &[1, 70]), 0o040) && !may(&user(8, &[70]), 0o404));
        assert!(may(&user(8, &[1]), 0o004) && !may(&user(8, &[]), 0o440));
        let unknown = User { uid: 8, gids: None };
        assert!(may(&unknown, 0o040) && may(&unknown, 0o004) && !may(&unknown, 0o400));
        assert!(unknown.may(Right::Enter, node(0o010)) && !unknown.may(Right::Enter, node(0o044)));
    }

    #[test]
    fn the_first_folder_that_is_closed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, file) = (folder.path().join("inner"), folder.path().join("inner/secret"));
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "x").unwrap();
        let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let other = User { uid: 4_000_000, gids: Some(Vec::new()) };
        for (outer, middle, last, expected) in [
            (0o755, 0o755, 0o644, None),
            (0o755, 0o755, 0o600, Some(file.as_path())),
            (0o755, 0o700, 0o644, Some(inner.as_path())),
            (0o700, 0o755, 0o644, Some(folder.path())),
        ] {
            mode(folder.path(), outer);
            mode(&inner, middle);
            mode(&file, last);
            assert_eq!(other.kept_from(&file).unwrap().as_deref(), expected);
        }
        mode(folder.path(), 0o755);
        assert!(other.kept_from(&inner.join("nothing")).is_err());
    }
}
