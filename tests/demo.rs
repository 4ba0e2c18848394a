//! `ferryctl demo`, the built binary: over a real link as root, behind a gate as anybody.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FERRYCTL: &str = env!("CARGO_BIN_EXE_ferryctl");
const FERRYD: &str = env!("CARGO_BIN_EXE_ferryd");

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What every demo tells, whatever its link.
fn assert_whole(output: &Output, reason: &str) {
    let said = said(output);
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert!(said.contains(&format!("offline: 40 waiting, reason {reason}")), "{said}");
    assert_eq!(said.matches("kill -9").count(), 3, "{said}");
    assert!(said.contains("the server holds all 40 tasks, each applied once and in order"), "{said}");
    assert!(said.contains(&format!("offline: 20 photos waiting in the spool, reason {reason}")), "{said}");
    assert!(said.contains("in the middle of an upload"), "{said}");
    assert!(said.contains("the server holds all 20 photos byte for byte, "), "{said}");
    assert!(said.contains(" 20 with their Exif data; bytes sent twice that it had: 0"), "{said}");
}

#[test]
fn as_root_over_a_veth_pair() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: the demo's real link was not tested, only the gate");
        return;
    }
    let output = Command::new(FERRYCTL).arg("demo").output().expect("ferryctl runs");
    assert!(said(&output).contains("a veth pair between two network namespaces"), "{}", said(&output));
    assert_whole(&output, "offline");
}

#[test]
fn as_anybody_behind_a_gate() {
    let folder = tempfile::tempdir().expect("a folder");
    let ferryctl = readable_copy(folder.path());
    let output = if rustix::process::geteuid().is_root() {
        Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&ferryctl)
            .arg("demo")
            .output()
    } else {
        Command::new(&ferryctl).arg("demo").output()
    };
    let output = output.expect("ferryctl runs");
    assert!(said(&output).contains("a gate on loopback"), "{}", said(&output));
    assert_whole(&output, "backend-down");
}

#[test]
fn the_photos_may_be_ones_own() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, size) in [("a.jpg", 1), ("b.jpg", 70_000), ("c", 200_000)] {
        fs::write(folder.path().join(name), vec![7; size]).expect("a file");
    }
    let output = Command::new(FERRYCTL).args(["demo", "--photos"]).arg(folder.path()).output().expect("ferryctl runs");
    let said = said(&output);
    assert!(output.status.success(), "{}\n{said}", output.status);
    assert!(
        said.contains("the server holds all 3 photos byte for byte, 270001 bytes, 0 with their Exif data"),
        "{said}"
    );
}

/// The programs where user nobody can run them: the build folder may be closed to it.
fn readable_copy(folder: &Path) -> PathBuf {
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(folder, open).expect("an open folder");
    fs::copy(FERRYD, folder.join("ferryd")).expect("a copy of ferryd");
    let ferryctl = folder.join("ferryctl");
    fs::copy(FERRYCTL, &ferryctl).expect("a copy of ferryctl");
    ferryctl
}
