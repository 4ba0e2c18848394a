//! Disk space kept aside, so that the end of a task can be recorded on a full disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// A file whose only use is the space it takes.
#[derive(Debug)]
pub(super) struct Reserve {
    file: File,
    size: u64,
    full: Arc<AtomicBool>,
}

impl Reserve {
    /// Opens or makes the file and fills it; on a full disk it stays spent until there is space.
    pub(super) fn open(path: &Path, size: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(path)?;
        let mut reserve = Self { file, size, full: Arc::default() };
        reserve.refill();
        Ok(reserve)
    }

    /// Whether the space is used up, so that nothing may be added to the queue.
    pub(super) fn is_spent(&self) -> bool {
        !self.full.load(Relaxed)
    }

    /// What says elsewhere whether the space is there.
    pub(super) fn level(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.full)
    }

    /// Tries to take the space; whether it is there now. A reserve of 0 bytes always is.
    pub(super) fn refill(&mut self) -> bool {
        let full = match self.take() {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!("the reserve cannot be filled: {error}");
                // Half a reserve would take the space that ends need.
                let _ = self.file.set_len(0);
                false
            }
        };
        self.full.store(full, Relaxed);
        full
    }

    fn take(&mut self) -> io::Result<()> {
        self.file.set_len(self.size)?;
        if self.size == 0 {
            return Ok(());
        }
        match fallocate(&self.file, FallocateFlags::empty(), 0, self.size) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.fill_by_hand(),
            other => Ok(other?),
        }
    }

    /// For file systems without `fallocate`: zeros are space too, unless it compresses.
    fn fill_by_hand(&mut self) -> io::Result<()> {
        let zeros = [0; 4096];
        let mut left = self.size;
        io::Seek::rewind(&mut self.file)?;
        while left > 0 {
            let piece = left.min(zeros.len() as u64);
            self.file.write_all(&zeros[..piece as usize])?;
            left -= piece;
        }
        self.file.sync_all()
    }

    /// Gives the space to whoever writes next; whether there was any.
    pub(super) fn release(&mut self) -> bool {
        if self.is_spent() || self.size == 0 {
            return false;
        }
        self.full.store(false, Relaxed);
        // Synced, since a journaling file system gives blocks back only when its journal is written.
        match self.file.set_len(0).and_then(|()| self.file.sync_all()) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!("releasing the reserve: {error}");
                false
            }
        }
    }

    /// Takes another size, at once if the space is there.
    pub(super) fn resize(&mut self, size: u64) {
        if size != self.size {
            self.size = size;
            self.refill();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn a_reserve_takes_its_space_gives_it_and_takes_it_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        let blocks = || std::fs::metadata(&path).unwrap().blocks() * 512;
        let mut reserve = Reserve::open(&path, 1 << 20).unwrap();
        assert!(!reserve.is_spent());
        assert!(blocks() >= 1 << 20);
        assert!(reserve.release());
        assert!(reserve.is_spent());
        assert_eq!(blocks(), 0);
        assert!(!reserve.release());
        assert!(reserve.refill());
        assert!(blocks() >= 1 << 20);
        reserve.resize(1 << 16);
        assert!(!reserve.is_spent());
        assert!(blocks() < 1 << 20);
    }

    #[test]
    fn a_reserve_of_nothing_is_never_spent_and_never_released() {
        let dir = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::open(&dir.path().join("reserve"), 0).unwrap();
        assert!(!reserve.is_spent());
        assert!(!reserve.release());
        assert!(!reserve.is_spent());
    }
}
