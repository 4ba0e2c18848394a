//! The label of a caller, `app`: its systemd unit, else the name of its executable. Best effort: it may have gone, and a
//! label is no secret and no proof.
//!
//! `/proc/PID/cgroup` tells the unit of any process. Where others' processes are hidden (`ProtectProc=` in our own unit:
//! nothing there is our business but this one name), the tree of cgroups tells it too: whose name a process is in.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use tokio::sync::Semaphore;

use super::options::TEXT_MAX;

/// Who has no label.
const UNKNOWN: &str = "unknown";

/// Where systemd keeps the tree of cgroups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Cgroups looked into for one caller. A device has about a hundred; a user may make any number of its own, and hides only
/// itself by that.
const CGROUPS_MAX: usize = 512;

/// Bytes of one cgroup's list of processes that are read.
const LIST_MAX: u64 = 64 * 1024;

/// The tree is walked beside the loop, and for one caller at a time.
static WALK: Semaphore = Semaphore::const_new(1);

/// The label of the process `pid` of the user `uid`.
pub(super) async fn of(uid: u32, pid: Option<u32>) -> String {
    let Some(pid) = pid else { return UNKNOWN.to_owned() };
    if let Some(name) = name_of(&Path::new("/proc").join(pid.to_string())) {
        return label(&name);
    }
    let Ok(_turn) = WALK.acquire().await else { return UNKNOWN.to_owned() };
    let walked = tokio::task::spawn_blocking(move || walk(Path::new(CGROUPS), uid, pid)).await;
    label(&walked.ok().flatten().unwrap_or_default())
}

/// The unit or executable of the process whose directory in `/proc` this is.
fn name_of(process: &Path) -> Option<String> {
    let unit = fs::read_to_string(process.join("cgroup")).ok().and_then(|text| unit(&text));
    let executable = || {
        let path = fs::read_link(process.join("exe")).ok()?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    };
    let command = || fs::read_to_string(process.join("comm")).ok().map(|text| text.trim_end().to_owned());
    unit.or_else(executable).or_else(command)
}

/// The unit in the text of `/proc/PID/cgroup`.
fn unit(cgroup: &str) -> Option<String> {
    unit_of_path(cgroup.lines().find_map(|line| line.strip_prefix("0::"))?)
}

/// The innermost unit of a cgroup's path that stands for an app and not for a login.
fn unit_of_path(path: &str) -> Option<String> {
    let of_a_login = |name: &str| name.starts_with("user@") || name.starts_with("session-") || name == "init.scope";
    path.rsplit('/')
        .find(|name| name.ends_with(".service") || name.ends_with(".scope"))
        .filter(|name| !of_a_login(name))
        .map(ToOwned::to_owned)
}

/// Looks for a process in the cgroups below `root` where one of this user can be: the user's own, then those of services.
fn walk(root: &Path, uid: u32, pid: u32) -> Option<String> {
    let mut left = vec![root.join("system.slice"), root.join(format!("user.slice/user-{uid}.slice"))];
    for _ in 0..CGROUPS_MAX {
        let cgroup = left.pop()?;
        if has_process(&cgroup, pid) {
            return unit_of_path(&cgroup.strip_prefix(root).ok()?.to_string_lossy());
        }
        left.extend(below(&cgroup));
    }
    None
}

fn has_process(cgroup: &Path, pid: u32) -> bool {
    let mut list = String::new();
    let read = File::open(cgroup.join("cgroup.procs")).and_then(|file| file.take(LIST_MAX).read_to_string(&mut list));
    read.is_ok() && list.lines().any(|line| line.parse() == Ok(pid))
}

fn below(cgroup: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(cgroup) else { return Vec::new() };
    let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.map(|entry| entry.path()).collect()
}

/// `name` as an `app` may read: printable, at most 255 bytes, never empty.
fn label(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars().map(|character| if character.is_control() { '_' } else { character }) {
        if text.len() + character.len_utf8() > TEXT_MAX {
            break;
        }
        text.push(character);
    }
    if text.is_empty() { UNKNOWN.to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_the_innermost_that_stands_for_an_app() {
        assert_eq!(unit("0::/system.slice/camera.service\n"), Some("camera.service".into()));
        assert_eq!(unit("1:name=x:/y\n0::/system.slice/a.service/payload\n"), Some("a.service".into()));
        assert_eq!(
            unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-kiosk-12.scope\n"),
            Some("app-kiosk-12.scope".into())
        );
        for none in ["0::/\n", "0::/user.slice/user-1000.slice/session-3.scope\n", "0::/user@1.service\n", ""] {
            assert_eq!(unit(none), None, "{none}");
        }
    }

    #[test]
    fn a_label_is_printable_bounded_and_never_empty() {
        assert_eq!(label("ca\nt"), "ca_t");
        assert_eq!(label(""), "unknown");
        assert_eq!(label(&"ä".repeat(200)).len(), 254);
    }

    #[test]
    fn this_process_has_a_name() {
        assert!(name_of(Path::new("/proc/self")).is_some());
        assert_eq!(name_of(Path::new("/proc/self/nowhere")), None);
    }

    /// A tree of cgroups, each with these processes.
    fn tree(cgroups: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, processes) in cgroups {
            let folder = root.path().join(path);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("cgroup.procs"), processes).unwrap();
        }
        root
    }

    #[test]
    fn where_processes_are_hidden_the_cgroups_tell() {
        let user = "user.slice/user-1000.slice";
        let tree = tree(&[
            ("system.slice/camera.service", "7\n77\n"),
            ("system.slice/camera.service/payload", "8\n"),
            (&format!("{user}/user@1000.service/app.slice/app-kiosk-12.scope"), "12\n"),
            (&format!("{user}/user@1000.service/init.scope"), "9\n"),
            (&format!("{user}/session-3.scope"), "3\n"),
            ("user.slice/user-1001.slice/user@1001.service/app.slice/other.service", "5\n"),
        ]);
        let of = |uid, pid| walk(tree.path(), uid, pid);
        assert_eq!(of(1000, 77), Some("camera.service".into()), "a service that runs as this user");
        assert_eq!(of(0, 8), Some("camera.service".into()));
        assert_eq!(of(1000, 12), Some("app-kiosk-12.scope".into()));
        for (uid, pid, why) in [(1000, 9, "a login"), (1000, 3, "a login"), (1000, 5, "another's"), (1000, 1, "none")] {
            assert_eq!(of(uid, pid), None, "{why}");
        }
        assert_eq!(walk(Path::new("/nowhere"), 0, 1), None);
    }

    #[test]
    fn who_makes_cgroups_without_end_hides_only_itself() {
        let cgroups: Vec<_> = (0..600).map(|n| format!("user.slice/user-1000.slice/app-{n}.scope")).collect();
        let cgroups: Vec<_> = cgroups.iter().map(|path| (path.as_str(), "")).collect();
        let tree = tree(&[&cgroups[..], &[("system.slice/camera.service", "7\n")]].concat());
        assert_eq!(walk(tree.path(), 1000, 7), None);
        assert_eq!(walk(tree.path(), 1001, 7), Some("camera.service".into()));
    }
}
