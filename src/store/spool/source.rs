//! The file of an app as a copy reads it: on the copy's own thread, or by a process of its own (`apart`) where the file's
//! file system is itself a process. Which one is decided here, without asking anything of that file system.
//!
//! A read that such a process never answers cannot be broken off, not even by SIGKILL (`request_wait_answer` in the
//! kernel's `fs/fuse/dev.c`), and who waits in it cannot end: neither the daemon nor what it holds, its lock and its name.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, Stat, Statx, StatxFlags};
use rustix::io::Errno;

use super::super::error::SpoolError;
use super::apart::Reader;

/// The file, and who reads it.
pub(super) enum Source {
    Here(OwnedFd),
    Apart(Reader),
}

/// What is seen of a file without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Looks {
    /// `st_mode`.
    pub(super) mode: u32,
    /// Bytes.
    pub(super) size: u64,
    pub(super) links: u32,
    /// When its bytes changed: seconds and nanoseconds.
    pub(super) written: (i64, i64),
    /// When anything of it changed.
    pub(super) touched: (i64, i64),
}

impl Source {
    /// The file if it may be taken: a regular file that is opened for reading.
    pub(super) fn of(file: OwnedFd) -> Result<Self, SpoolError> {
        let flags = rustix::fs::fcntl_getfl(&file).map_err(reading)?;
        if flags.contains(OFlags::PATH) {
            return Err(SpoolError::NotReadable { how: "with O_PATH" });
        }
        let glance = glance(&file);
        if let Some(glance) = &glance {
            check_type(glance.stx_mode.into())?;
        }
        if flags & OFlags::RWMODE == OFlags::WRONLY {
            return Err(SpoolError::NotReadable { how: "for writing only" });
        }
        match glance.as_ref().and_then(|glance| is_process(&file, glance)) {
            Some(false) => Ok(Self::Here(file)),
            Some(true) => Ok(Self::Apart(Reader::start(file)?)),
            // It is on no mount of ours; the reader can ask without harm.
            None => {
                let kept = file.try_clone().map_err(|error| SpoolError::Spool { words: error.to_string() })?;
                let mut reader = Reader::start(file)?;
                Ok(if reader.is_on_a_process()? { Self::Apart(reader) } else { Self::Here(kept) })
            }
        }
    }

    /// What it looks like now: a regular file.
    pub(super) fn looks(&mut self) -> Result<Looks, SpoolError> {
        let looks = match self {
            Self::Here(file) => Looks::of(file).map_err(reading)?,
            Self::Apart(reader) => reader.looks()?,
        };
        check_type(looks.mode)?;
        Ok(looks)
    }

    /// Reads from this offset on, fewer bytes than asked for only near the end; 0 at the end.
    pub(super) fn read_at(&mut self, into: &mut [u8], at: u64) -> Result<usize, SpoolError> {
        match self {
            Self::Here(file) => {
                rustix::io::retry_on_intr(|| rustix::io::pread(&*file, &mut *into, at)).map_err(reading)
            }
            Self::Apart(reader) => reader.read_at(into, at),
        }
    }

    /// For what the kernel copies by itself.
    pub(super) fn here(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Here(file) => Some(file.as_fd()),
            Self::Apart(_) => None,
        }
    }
}

impl Looks {
    /// May wait for the file system.
    pub(super) fn of(file: impl AsFd) -> rustix::io::Result<Self> {
        let Stat { st_mode, st_size, st_nlink, st_mtime, st_mtime_nsec, st_ctime, st_ctime_nsec, .. } =
            rustix::fs::fstat(file)?;
        let nanoseconds = |number| i64::try_from(number).unwrap_or_default();
        Ok(Self {
            mode: st_mode,
            size: u64::try_from(st_size).unwrap_or(0),
            links: u32::try_from(st_nlink).unwrap_or(u32::MAX),
            written: (st_mtime, nanoseconds(st_mtime_nsec)),
            touched: (st_ctime, nanoseconds(st_ctime_nsec)),
        })
    }
}

fn check_type(mode: u32) -> Result<(), SpoolError> {
    let what = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a directory",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "no file but something of the kernel's",
    };
    Err(SpoolError::NotRegular { what })
}

/// What the kernel knows of the file by itself.
fn glance(file: &OwnedFd) -> Option<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(file, "", flags, StatxFlags::TYPE).ok()
}

/// Whether a process is its file system; `None` if that is not known here.
fn is_process(file: &OwnedFd, glance: &Statx) -> Option<bool> {
    // Only memory has seals. A memfd is on a mount that is not shown.
    if rustix::fs::fcntl_get_seals(file).is_ok() {
        return Some(false);
    }
    let mounts = fs::read("/proc/self/mountinfo").ok()?;
    let device = format!("{}:{}", glance.stx_dev_major, glance.stx_dev_minor);
    let kind = kind(&String::from_utf8_lossy(&mounts), glance.stx_mnt_id, &device)?;
    Some(matches!(kind.split('.').next(), Some("fuse" | "fuseblk" | "virtiofs" | "9p")))
}

/// The type of the file system on this mount, or on another of the same device. See `proc_pid_mountinfo(5)`.
fn kind(mounts: &str, mount: u64, device: &str) -> Option<String> {
    let mut same_device = None;
    for line in mounts.lines() {
        let Some((about_mount, about_source)) = line.split_once(" - ") else { continue };
        let mut fields = about_mount.split(' ');
        let (id, dev) = (fields.next().and_then(|id| id.parse().ok()), fields.nth(1));
        let kind = about_source.split(' ').next().map(str::to_owned);
        if id == Some(mount) {
            return kind;
        }
        if dev == Some(device) {
            same_device = kind;
        }
    }
    same_device
}

/// Why the file cannot be read.
pub(super) fn reading(error: Errno) -> SpoolError {
    SpoolError::Unreadable { words: io::Error::from(error).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 253:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
30 22 0:25 / /proc rw shared:5 - proc proc rw
41 22 0:40 / /home/a/phone\\040x rw,nosuid shared:9 master:2 - fuse.sshfs a@b:/ rw,user_id=1000
42 22 0:31 /@home /home rw - btrfs /dev/vdb rw,subvol=/@home
43 22 8:17 / /media/stick rw - fuseblk /dev/sdb1 rw
";

    #[test]
    fn a_file_system_is_found_by_its_mount_or_its_device() {
        let kind = |mount, device| kind(MOUNTS, mount, device);
        assert_eq!(kind(41, "9:9").as_deref(), Some("fuse.sshfs"));
        assert_eq!(kind(22, "0:40").as_deref(), Some("ext4"), "the mount goes first");
        assert_eq!(kind(99, "8:17").as_deref(), Some("fuseblk"), "seen from another namespace");
        assert_eq!(kind(99, "0:99"), None);
        assert_eq!(super::kind("", 1, "0:1"), None);
    }

    #[test]
    fn what_lies_on_disk_or_in_memory_is_read_here() {
        let memory = rustix::fs::memfd_create("a", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        for file in [memory, tempfile::tempfile().unwrap().into(), fs::File::open("/proc/self/status").unwrap().into()]
        {
            assert!(matches!(Source::of(file), Ok(Source::Here(_))));
        }
    }
}
