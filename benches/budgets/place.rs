//! Where the benches write: beside the build, on a real disk.

use std::path::Path;

use tempfile::TempDir;

use crate::Failed;

/// A new directory that goes when it is dropped; an error where nothing is ever synced.
pub(crate) fn directory() -> Result<TempDir, Failed> {
    const TMPFS: i64 = 0x0102_1994; // linux/magic.h
    let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
    #[expect(clippy::useless_conversion, reason = "the field's type differs between machines")]
    if i64::from(rustix::fs::statfs(place)?.f_type) == TMPFS {
        return Err(format!("{} is a tmpfs: set CARGO_TARGET_DIR to a place on a disk", place.display()).into());
    }
    Ok(tempfile::Builder::new().prefix("budgets-").tempdir_in(place)?)
}
