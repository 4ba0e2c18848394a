//! A device's time zone: a folder in the place of its `/etc`, with zones that no country has. It knows nothing of why.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::HANG;
use crate::Failed;

/// A day.
const DAY: i64 = 86_400;

/// Noon, as a second of the day.
pub(super) const NOON: i64 = DAY / 2;
/// In the evening.
pub(super) const EVENING: i64 = 18 * 3_600;
const MIDNIGHT: i64 = 0;

/// What the daemon logs when it has heard of another zone.
const HEARD: &str = "the time zone is ";

/// The folder, and what the daemon says.
pub(super) struct Localtime {
    folder: PathBuf,
    log: PathBuf,
    /// The last midnight there was began this day.
    last_day: Option<i64>,
}

impl Localtime {
    /// A copy of the machine's `/etc` in `dir`.
    pub(super) fn new(dir: &Path) -> Result<Self, Failed> {
        let (folder, log) = (dir.join("etc"), dir.join("log"));
        // What only others may read is not needed.
        Command::new("cp").args(["-a", "/etc"]).arg(&folder).stderr(std::process::Stdio::null()).status()?;
        Ok(Self { folder, log, last_day: None })
    }

    /// To be mounted.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the daemon is to log.
    pub(super) fn log(&self) -> Result<File, Failed> {
        Ok(File::create(&self.log)?)
    }

    /// What it has logged.
    pub(super) fn said(&self) -> Result<String, Failed> {
        Ok(std::fs::read_to_string(&self.log)?)
    }

    /// The clock on the wall is ahead of UTC by so many seconds, give or take a day.
    pub(super) fn go(&self, ahead: i64) -> Result<(), Failed> {
        self.be((ahead + DAY / 2).rem_euclid(DAY) - DAY / 2)
    }

    /// The same; returns when the daemon knows.
    pub(super) fn live(&self, ahead: i64) -> Result<(), Failed> {
        self.known(|zone| zone.go(ahead))
    }

    /// Whether no day has begun yet.
    pub(super) fn is_first_night(&self) -> bool {
        self.last_day.is_none()
    }

    /// At this whole second after the epoch a day begins. Each time it is the other one of two: what was spent on a day that is
    /// two days ahead counts for today, so that there is no end of midnights.
    pub(super) fn live_before_a_new_day(&mut self, midnight: Duration) -> Result<(), Failed> {
        let midnight = i64::try_from(midnight.as_secs())?;
        let today = midnight.div_euclid(DAY);
        let day = if self.last_day == Some(today + 1) { today } else { today + 1 };
        self.last_day = Some(day);
        self.known(|zone| zone.be(day * DAY + MIDNIGHT - midnight))
    }

    fn known(&self, change: impl FnOnce(&Self) -> Result<(), Failed>) -> Result<(), Failed> {
        let before = self.heard()?;
        change(self)?;
        let deadline = Instant::now() + HANG;
        while self.heard()? == before {
            if Instant::now() > deadline {
                return Err("the time zone went unheard".into());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn heard(&self) -> Result<usize, Failed> {
        Ok(self.said()?.matches(HEARD).count())
    }

    fn be(&self, ahead: i64) -> Result<(), Failed> {
        let new = self.folder.join("localtime.new");
        std::fs::write(&new, rules(i32::try_from(ahead)?))?;
        Ok(std::fs::rename(new, self.folder.join("localtime"))?)
    }
}

/// The second of the day in UTC.
pub(super) fn second_of(since_epoch: Duration) -> i64 {
    (since_epoch.as_secs() % DAY.unsigned_abs()).cast_signed()
}

/// A file of the tz database (RFC 9636): one kind of time, so many seconds ahead of UTC, without end.
fn rules(ahead: i32) -> Vec<u8> {
    const NAME: &[u8] = b"HERE\0";
    let name_length = NAME.len() as u8;
    let mut block = b"TZif2".to_vec();
    block.resize(20, 0);
    // Six counts: of no flags (two), leap seconds and changes, of one kind of time, of the letters of its name.
    block.extend([[0, 0, 0, 0]; 4].concat());
    block.extend([0, 0, 0, 1, 0, 0, 0, name_length]);
    block.extend(ahead.to_be_bytes());
    block.extend([0, 0]);
    block.extend(NAME);
    // Once for old readers and once for the others, then no rule for what comes after.
    [&block[..], &block, b"\n\n"].concat()
}
