//! One copy: the space for it, the bytes, and whether they stayed what they were. Knows no quota, and not who reads.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::super::error::{EnqueueError, SpoolError};
use super::source::{Looks, Source};

/// Bytes that one call copies: bounds how long it takes.
const STRETCH: usize = 16 << 20;
/// Bytes read or hashed at once.
const PIECE: usize = 256 << 10;

/// Copies a file that was `before`, to a new one at `to`; gives its SHA-256 when all of it and its name are on disk. The
/// caller removes what is left of a copy that failed. `midway` is called before the last look at the file.
pub(super) fn copy(
    from: &mut Source,
    before: &Looks,
    to: &Path,
    midway: impl FnOnce(),
) -> Result<[u8; 32], SpoolError> {
    let mut copy = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(to).map_err(writing)?;
    let size = before.size;
    let is_shared = share(from, &copy, size);
    if !is_shared {
        take_space(&copy, size)?;
    }
    midway();
    if !is_shared {
        fill(from, &copy, size)?;
    }
    compare(from, before)?;
    let sha256 = hash(&mut copy, size)?;
    copy.sync_all().map_err(writing)?;
    let folder = to.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(writing)?;
    Ok(sha256)
}

/// Whether the copy has the file's own blocks now, which takes no space. Those of both change apart.
fn share(from: &Source, copy: &File, size: u64) -> bool {
    size > 0 && from.here().is_some_and(|from| rustix::fs::ioctl_ficlone(copy, from).is_ok())
}

/// Looks first: a file system that is asked for more than it has may give all of it before it says no.
fn take_space(copy: &File, size: u64) -> Result<(), SpoolError> {
    if size == 0 {
        return Ok(());
    }
    let disk = rustix::fs::fstatvfs(copy).map_err(|error| writing(error.into()))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < size {
        return Err(no_space());
    }
    match rustix::fs::fallocate(copy, FallocateFlags::empty(), 0, size) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(writing(error.into())),
    }
}

/// Copies from offset 0, and leaves the offset of `from` to its owner.
fn fill(from: &mut Source, copy: &File, size: u64) -> Result<(), SpoolError> {
    let at = match from.here() {
        Some(from) => fill_in_the_kernel(from, copy, size)?,
        None => 0,
    };
    fill_by_hand(from, copy, at, size)
}

/// How far that came.
fn fill_in_the_kernel(from: BorrowedFd<'_>, copy: &File, size: u64) -> Result<u64, SpoolError> {
    let mut at = 0;
    while at < size {
        let (mut read, mut written) = (at, at);
        let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(STRETCH);
        match rustix::fs::copy_file_range(from, Some(&mut read), copy, Some(&mut written), length) {
            Err(Errno::INTR) => {}
            // Some file systems copy nothing and do not say so.
            Ok(0) => break,
            Ok(count) => at += count as u64,
            Err(error) if is_full(error) => return Err(no_space()),
            // Whatever it is that it cannot do: reading will, or says what is wrong.
            Err(_) => break,
        }
    }
    Ok(at)
}

fn fill_by_hand(from: &mut Source, copy: &File, mut at: u64, size: u64) -> Result<(), SpoolError> {
    use std::os::unix::fs::FileExt as _;

    if at == size {
        return Ok(());
    }
    let mut piece = vec![0; PIECE];
    while at < size {
        let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(PIECE);
        let count = from.read_at(&mut piece[..length], at)?;
        if count == 0 {
            return Err(SpoolError::Changed { how: "it ends earlier than its size says" });
        }
        copy.write_all_at(&piece[..count], at).map_err(writing)?;
        at += count as u64;
    }
    Ok(())
}

/// Refuses a file that is not what it was before.
fn compare(from: &mut Source, before: &Looks) -> Result<(), SpoolError> {
    let after = from.looks()?;
    let changed = |how| Err(SpoolError::Changed { how });
    if after.size < before.size {
        return changed("it is shorter now");
    }
    if after.size > before.size {
        return changed("it is longer now");
    }
    if after.written != before.written {
        return changed("it was written to");
    }
    // Who hands a file over and removes its name at once has not changed it.
    let renamed = after.links != before.links;
    if !renamed && after.touched != before.touched {
        return changed("it was touched");
    }
    // The kernel's own files have more bytes than they say.
    if from.read_at(&mut [0; 1], before.size)? > 0 {
        return changed("it goes on after the end that its size says");
    }
    Ok(())
}

fn hash(copy: &mut File, size: u64) -> Result<[u8; 32], SpoolError> {
    io::Seek::rewind(copy).map_err(writing)?;
    let (mut hash, mut piece, mut left) = (Sha256::new(), vec![0; PIECE], size);
    while left > 0 {
        let count = copy.read(&mut piece).map_err(writing)?;
        if count == 0 {
            return Err(SpoolError::Changed { how: "its copy ends early" });
        }
        hash.update(&piece[..count]);
        left = left.saturating_sub(count as u64);
    }
    Ok(hash.finalize().into())
}

fn writing(error: io::Error) -> SpoolError {
    if Errno::from_io_error(&error).is_some_and(is_full) {
        return no_space();
    }
    SpoolError::Spool { words: error.to_string() }
}

fn is_full(error: Errno) -> bool {
    matches!(error, Errno::NOSPC | Errno::DQUOT | Errno::FBIG)
}

fn no_space() -> SpoolError {
    SpoolError::Refused(EnqueueError::NoSpace)
}
