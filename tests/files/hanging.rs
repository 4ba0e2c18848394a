//! A file on a mount that hangs: a real FUSE mount whose server, a process of its own, answers everything but reads of the
//! file, or but looks at it. Who handed it over waits, and nobody else; and the daemon ends as if nothing were.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::device::{Device, none};
use super::mounts::Namespace;
use super::{CONFIG, file, id, put, refused, send, spooled, until_spool};
use crate::netns;

/// What the server never answers.
#[derive(Debug, Clone, Copy)]
enum Hangs {
    Reads,
    Looks,
}

/// The server's mount.
struct Mount {
    namespace: Namespace,
    folder: TempDir,
}

impl Mount {
    /// `None` where there are no such mounts and that is known.
    fn new(hangs: Hangs) -> Option<Self> {
        let folder = TempDir::with_prefix("ferry-hang-").expect("a folder");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/hanging_fuse.py");
        let mut server = Command::new("/usr/bin/python3");
        server.arg(script).arg(folder.path()).arg(match hangs {
            Hangs::Reads => "READS",
            Hangs::Looks => "LOOKS",
        });
        let options: &[_] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
        let namespace = Namespace::hold(options, &mut server);
        if namespace.says("mounted") {
            return Some(Self { namespace, folder });
        }
        netns::not_run("no FUSE mounts (be root, and have /dev/fuse and /usr/bin/python3)");
        None
    }

    /// Blocks until somebody waits for an answer that will not come.
    fn until_hangs(&self) {
        assert!(self.namespace.says("hangs"));
    }

    /// Where its one file is, for processes in any namespace.
    fn path(&self) -> PathBuf {
        self.namespace.path(&self.folder.path().join("file"))
    }

    fn file(&self) -> File {
        File::open(self.path()).expect("opened")
    }

    /// From now on everything is answered, and what waited first.
    fn let_go(&mut self) {
        self.namespace.nudge();
    }

    /// The server dies.
    fn kill(&mut self) {
        self.namespace.end();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `ferryctl put` of this file, on a connection of its own, by this user or another.
fn ctl_put(device: &Device<'_>, path: &Path, user: Option<u32>) -> Child {
    // By its descriptor, since others may not be let into the folder in which it was built.
    let ferryctl = File::open(env!("CARGO_BIN_EXE_ferryctl")).expect("it is built");
    let mut command = Command::new(format!("/proc/self/fd/{}", ferryctl.as_raw_fd()));
    command.args(["--address", device.bus.address(), "put"]).arg(path);
    if let Some(user) = user {
        command.uid(user).gid(user).current_dir("/");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("ferryctl runs")
}

/// What it said, with its exit code.
fn ended(child: Child) -> (String, Option<i32>) {
    let output = child.wait_with_output().expect("its output");
    (String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8"), output.status.code())
}

#[track_caller]
fn taken(child: Child) -> String {
    let (said, code) = ended(child);
    assert_eq!(code, Some(0), "{said}");
    said.trim().to_owned()
}

/// A file that every user may read.
fn readable(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("ferry-file-").expect("a folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("open to other users");
    let path = folder.path().join("small");
    fs::write(&path, bytes).expect("written");
    (folder, path)
}

#[test]
fn files_whose_reads_hang_hold_up_their_owners_files_alone() {
    let Some(mut mount) = Mount::new(Hangs::Reads) else { return };
    let mut device = Device::start(CONFIG);
    let (_folder, small) = readable(b"small");
    // As many as are copied at once of one owner.
    let first = send(&mut device, mount.file(), none());
    mount.until_hangs();
    let second = ctl_put(&device, &mount.path(), None);
    mount.until_hangs();

    let mut waits = ctl_put(&device, &small, None);
    let (said, code) = device.ctl("enqueue metadata {}");
    assert_eq!(code, 0, "what is no file goes on: {said}");
    let mut expected = Vec::new();
    if is_root() {
        expected.push(taken(ctl_put(&device, &small, Some(65534))));
    } else {
        netns::not_run("another user's file while this one's hangs (be root)");
    }
    assert!(waits.try_wait().expect("our child").is_none(), "a third file of this owner waits");
    mount.kill();
    refused(id(&mut device, first), "InvalidArgument", "reading the file: ");
    let (said, code) = ended(second);
    assert!(code != Some(0) && said.contains("reading the file: "), "{said}");
    expected.push(taken(waits));
    until_spool(&device, &expected.iter().map(String::as_str).collect::<Vec<_>>());
    device.switch_off();
}

#[test]
fn a_file_that_hangs_when_it_is_looked_at_holds_up_its_call_alone() {
    let Some(mut mount) = Mount::new(Hangs::Looks) else { return };
    let mut device = Device::start(CONFIG);
    let (_folder, small) = readable(b"small");
    let call = send(&mut device, mount.file(), none());
    mount.until_hangs();
    let other = taken(ctl_put(&device, &small, None));
    mount.kill();
    refused(id(&mut device, call), "InvalidArgument", "reading the file: ");
    until_spool(&device, &[&other]);
}

#[test]
fn a_file_that_hung_for_a_while_is_taken_whole() {
    for hangs in [Hangs::Reads, Hangs::Looks] {
        let Some(mut mount) = Mount::new(hangs) else { return };
        // A daemon that sees the mount knows by itself what it is.
        let mut device = Device::off(None, CONFIG);
        let daemon = if is_root() { mount.namespace.daemon(&device) } else { device.command() };
        device.switch_on_by(daemon);
        let call = send(&mut device, mount.file(), none());
        mount.until_hangs();
        mount.let_go();
        let id = id(&mut device, call).expect("taken");
        let bytes: Vec<u8> = (0..300_000).map(|n| u8::try_from(n * 31 % 251).expect("a byte")).collect();
        assert!(fs::read(spooled(&device, &id)).expect("spooled") == bytes, "the bytes of {hangs:?}");
    }
}

#[test]
fn the_daemon_ends_and_starts_again_while_a_file_hangs() {
    for hangs in [Hangs::Reads, Hangs::Looks] {
        let Some(mount) = Mount::new(hangs) else { return };
        let mut device = Device::start(CONFIG);
        let kept = put(&mut device, file(b"kept"), none()).expect("taken");
        let call = send(&mut device, mount.file(), none());
        mount.until_hangs();
        device.switch_off();
        let refused = id(&mut device, call).expect_err("the daemon is gone");
        assert_eq!(refused.name, "NoReply", "{refused:?}");
        device.switch_on();
        until_spool(&device, &[&kept]);
        assert_eq!(device.task(&kept)["state"], "pending");

        let call = send(&mut device, mount.file(), none());
        mount.until_hangs();
        device.kill();
        id(&mut device, call).expect_err("the daemon is gone");
        device.switch_on();
        until_spool(&device, &[&kept]);
        put(&mut device, file(b"more"), none()).expect("taken");
        device.switch_off();
    }
}
