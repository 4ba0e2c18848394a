//! Two kinds of time: [`Moment`] for waiting, [`WallTime`] for the disk and the wire.

use std::ops::Add;
use std::time::Duration;

/// A point on CLOCK_BOOTTIME: never jumps, runs on through suspend, means nothing after a reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The moment this long after boot.
    pub const fn since_boot(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after boot this is.
    pub const fn elapsed_since_boot(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to this; zero if `earlier` is later.
    pub fn saturating_since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, duration: Duration) -> Moment {
        Moment(self.0.saturating_add(duration))
    }
}

/// Microseconds since the Unix epoch by the wall clock, which may jump. 0 on D-Bus means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(u64);

impl WallTime {
    /// The time this many microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Time from `earlier` to this; zero if `earlier` is later.
    pub fn saturating_since(self, earlier: WallTime) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for WallTime {
    type Output = WallTime;

    fn add(self, duration: Duration) -> WallTime {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        WallTime(self.0.saturating_add(micros))
    }
}

/// Both clocks read together: the argument by which time reaches everything that thinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// For deadlines.
    pub moment: Moment,
    /// For what is stored or shown.
    pub wall: WallTime,
}

impl Now {
    /// Where a wall time lies on the clock that deadlines use; a past one is now.
    pub fn moment_of(self, wall: WallTime) -> Moment {
        self.moment + wall.saturating_since(self.wall)
    }

    /// What the wall clock will show at a moment to come; a past one is now.
    pub fn wall_of(self, moment: Moment) -> WallTime {
        self.wall + moment.saturating_since(self.moment)
    }
}

impl Add<Duration> for Now {
    type Output = Now;

    fn add(self, duration: Duration) -> Now {
        Now { moment: self.moment + duration, wall: self.wall + duration }
    }
}
