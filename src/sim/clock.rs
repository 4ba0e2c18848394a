//! A device's two clocks in virtual time.

use std::time::Duration;

use crate::model::{Moment, Now, WallTime, Zone};

/// When every simulated world begins, by a clock that is right: midnight at the start of 2026, UTC. The daemon was built
/// then.
const EPOCH: u64 = 1_767_225_600_000_000;

const YEAR_2000: u64 = 946_684_800_000_000;

/// What a device reads, and where on earth it does. One oscillator drives both clocks, so that they drift alike; what tells
/// them apart is that the one on the wall is set, and slewed.
#[derive(Debug, Clone)]
pub(super) struct Clocks {
    /// Microseconds from [`EPOCH`] to the beginning of this world.
    begins: u64,
    /// Microseconds by which the wall clock is ahead of the time.
    ahead: i64,
    /// Of them, those that it was slewed by, unheard.
    slewed: i64,
    /// What local clocks show there.
    pub(super) zone: Zone,
}

impl Default for Clocks {
    fn default() -> Self {
        Self::from(Duration::ZERO, Zone::UTC)
    }
}

impl Clocks {
    /// The most that slewing adds up to, in microseconds.
    const MOST_SLEWED: i64 = 1_000_000;

    /// Clocks that are right, in a world that begins so long after [`EPOCH`].
    pub(super) fn from(begins: Duration, zone: Zone) -> Self {
        Self { begins: micros(begins), ahead: 0, slewed: 0, zone }
    }

    /// Sets the wall clock forward, or back.
    pub(super) fn set(&mut self, millis: i64) {
        self.ahead += millis * 1_000;
    }

    /// The wall clock forgets the time: at `now` it shows the first second of 2000, as clock chips do.
    pub(super) fn lose(&mut self, now: Moment) {
        self.ahead = YEAR_2000.cast_signed() - (EPOCH + self.begins + micros(now.elapsed_since_boot())).cast_signed();
    }

    /// The wall clock is right again.
    pub(super) fn find(&mut self) {
        (self.ahead, self.slewed) = (0, 0);
    }

    /// The wall clock goes a little faster or slower than the other for a while, in all by so many milliseconds. The kernel
    /// tells nobody.
    pub(super) fn slew(&mut self, millis: i64) {
        let slewed = (self.slewed + millis * 1_000).clamp(-Self::MOST_SLEWED, Self::MOST_SLEWED);
        self.ahead += slewed - self.slewed;
        self.slewed = slewed;
    }

    /// Both clocks at a moment.
    pub(super) fn read(&self, moment: Moment) -> Now {
        let right = EPOCH + self.begins + micros(moment.elapsed_since_boot());
        Now { moment, wall: WallTime::from_micros(right.saturating_add_signed(self.ahead)) }
    }
}

/// Whether a clock shows a time before the daemon was built.
pub(super) fn is_unset(wall: WallTime) -> bool {
    wall < WallTime::from_micros(EPOCH)
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// A moment so many seconds after the world began, to the microsecond: both clocks show it alike.
pub(super) fn at(seconds: f64) -> Moment {
    in_micros(Moment::since_boot(Duration::from_secs_f64(seconds.max(0.0))))
}

/// The same moment, on the next full microsecond: the finest that a wall clock shows.
pub(super) fn in_micros(moment: Moment) -> Moment {
    let micros = moment.elapsed_since_boot().as_nanos().div_ceil(1_000);
    Moment::since_boot(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_set_and_the_other_is_not() {
        let mut clocks = Clocks::default();
        let hour = at(3_600.0);
        assert_eq!(clocks.read(hour).wall.as_micros() - EPOCH, 3_600_000_000);
        clocks.set(-1_800_500);
        assert_eq!(clocks.read(hour).wall.as_micros() - EPOCH, 1_799_500_000);
    }

    #[test]
    fn a_clock_that_forgets_the_time_is_unset_until_it_is_right_again() {
        let mut clocks = Clocks::from(Duration::from_secs(500), Zone::UTC);
        let hour = at(3_600.0);
        let right = clocks.read(hour);
        clocks.lose(hour);
        assert_eq!(clocks.read(hour).wall, WallTime::from_micros(YEAR_2000));
        assert!(is_unset(clocks.read(hour).wall) && !is_unset(right.wall));
        clocks.find();
        assert_eq!(clocks.read(hour), right);
    }

    #[test]
    fn slewing_adds_up_to_no_more_than_a_second() {
        let mut clocks = Clocks::default();
        let wall = |clocks: &Clocks| clocks.read(at(0.0)).wall.as_micros().cast_signed() - EPOCH.cast_signed();
        for (millis, in_all) in [(400, 400), (-300, 100), (-900, -800), (-900, -1_000), (3_000, 1_000)] {
            clocks.slew(millis);
            assert_eq!(wall(&clocks), in_all * 1_000);
        }
    }

    #[test]
    fn a_moment_between_two_microseconds_is_the_later() {
        assert_eq!(in_micros(Moment::since_boot(Duration::from_nanos(1_001))), at(0.000_002));
    }
}
