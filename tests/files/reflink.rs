//! Where the file system can, a copy shares the blocks of its file: on a real XFS, made in a file on a loop device.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use ferryd::demo::{Behaviour, Server, UploadState};
use rustix::fs::{FallocateFlags, fallocate};
use tempfile::TempDir;

use super::mounts::Namespace;
use super::{put, with};
use crate::device::{Device, HANG, none, tell};
use crate::netns;

const SIZE: usize = 64 << 20;
/// What `mkfs.xfs` asks for at least is 300 MiB.
const DISK: u64 = 512 << 20;
const CHUNK: usize = 4 << 20;

/// A device whose state lies on an XFS that can share blocks.
struct Disk {
    namespace: Namespace,
    image: PathBuf,
    _folder: TempDir,
}

impl Disk {
    /// Mounted where the device has its state; `None` where that cannot be and that is known.
    fn mount(device: &Device<'_>) -> Option<Self> {
        let folder = TempDir::with_prefix("ferry-disk-").expect("a folder");
        let image = folder.path().join("image");
        File::create(&image).and_then(|file| file.set_len(DISK)).expect("a sparse file");
        let mut make = Command::new("mkfs.xfs");
        make.env("PATH", programs()).args(["-q", "-m", "reflink=1"]).arg(&image).stdin(Stdio::null());
        let made = make.status().expect("mkfs.xfs (package xfsprogs)");
        assert!(made.success(), "mkfs.xfs: {made}");
        fs::create_dir(device.state()).expect("a folder");
        let mut holder = Command::new("sh");
        holder.args(["-c", "mount -t xfs -o loop \"$0\" \"$1\" && echo mounted && exec cat"]);
        let namespace = Namespace::hold(&[], holder.arg(&image).arg(device.state()));
        if namespace.says("mounted") {
            return Some(Self { namespace, image, _folder: folder });
        }
        netns::not_run("no XFS on a loop device (be root, of a kernel that has both)");
        None
    }

    /// How this process finds a file of the device's state.
    fn path(&self, device: &Device<'_>, name: &str) -> PathBuf {
        self.namespace.path(&device.state().join(name))
    }

    /// Bytes that are free.
    fn free(&self, device: &Device<'_>) -> u64 {
        let disk = File::open(self.path(device, "")).expect("the disk");
        rustix::fs::syncfs(&disk).expect("synced");
        let disk = rustix::fs::fstatvfs(&disk).expect("its figures");
        disk.f_bavail * disk.f_frsize
    }

    /// Takes what is free but for so many bytes.
    fn leave(&self, device: &Device<'_>, bytes: u64) {
        let ballast = File::create(self.path(device, "ballast")).expect("a file");
        fallocate(ballast, FallocateFlags::empty(), 0, self.free(device) - bytes).expect("space");
    }

    /// Ends what holds it, and waits until it is unmounted and no loop device has it.
    fn unmount(&mut self) {
        assert!(self.is_in_use());
        self.namespace.end();
        let deadline = Instant::now() + HANG;
        while self.is_in_use() {
            assert!(Instant::now() < deadline, "it stays mounted");
            thread::yield_now();
        }
    }

    fn is_in_use(&self) -> bool {
        let listed = Command::new("losetup").env("PATH", programs()).arg("-j").arg(&self.image).output();
        !listed.expect("losetup (package mount)").stdout.is_empty()
    }
}

/// Where Debian has programs for root.
fn programs() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// A file of bytes that no two places of it share.
fn photo(path: &Path, seed: u64) -> (File, Vec<u8>) {
    let mut bytes = vec![0; SIZE];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    fs::write(path, &bytes).expect("written");
    let file = File::open(path).expect("opened");
    file.sync_all().expect("on disk");
    (file, bytes)
}

/// What `filefrag` says of each stretch of a file.
fn stretches(path: &Path) -> Vec<String> {
    let said = Command::new("filefrag").env("PATH", programs()).arg("-v").arg(path).output();
    let said = String::from_utf8(said.expect("filefrag (package e2fsprogs)").stdout).expect("UTF-8");
    let number = |line: &&str| line.split(':').next().is_some_and(|number| number.trim().parse::<u32>().is_ok());
    said.lines().filter(number).map(str::to_owned).collect()
}

#[track_caller]
fn assert_shared(path: &Path) {
    let stretches = stretches(path);
    assert!(!stretches.is_empty() && stretches.iter().all(|line| line.contains("shared")), "{stretches:#?}");
}

#[test]
fn a_copy_shares_the_blocks_of_its_file_and_arrives_whole() {
    let server = Server::start(std::net::TcpListener::bind("127.0.0.1:0").expect("a socket"), Behaviour::honest());
    let server = server.expect("a server");
    let mut device = Device::off(
        None,
        &format!(
            "[backend.files]\nkind = \"tus\"\nurl = \"http://{}/files/\"\nchunk = {CHUNK}\n\
             [strategy.photo]\nnetwork = \"any\"\n",
            server.address()
        ),
    );
    let Some(mut disk) = Disk::mount(&device) else { return };
    let daemon = disk.namespace.daemon(&device);
    device.switch_on_by(daemon);
    device.call("Manager", "Pause", &none()).expect("paused");

    let (first, first_bytes) = photo(&disk.path(&device, "first"), 1);
    let before = disk.free(&device);
    let first = put(&mut device, first, with([("app", "a".into())])).expect("taken");
    let taken = before.saturating_sub(disk.free(&device));
    tell(format_args!("a copy of {SIZE} bytes on XFS took {taken} of the disk"));
    assert!(taken < SIZE as u64 / 8);
    assert_shared(&disk.path(&device, &format!("spool/{first}")));

    // For a file that shares its blocks there need be no space.
    let (second, second_bytes) = photo(&disk.path(&device, "second"), 2);
    disk.leave(&device, SIZE as u64 / 2);
    let second = put(&mut device, second, with([("app", "b".into())])).expect("taken");
    assert_shared(&disk.path(&device, &format!("spool/{second}")));

    device.call("Manager", "Resume", &none()).expect("resumed");
    device.until_done(&[first, second]);
    let uploads = server.uploads();
    assert!(uploads.iter().all(|upload| upload.state == UploadState::Finished), "finished");
    for bytes in [first_bytes, second_bytes] {
        assert_eq!(uploads.iter().filter(|upload| upload.bytes == bytes).count(), 1);
    }
    device.switch_off();
    disk.unmount();
}
