//! A device's two clocks in virtual time.

use std::time::Duration;

use crate::model::{Moment, Now, WallTime};

/// When every simulated world begins, by its own clock: midnight at the start of 2026, UTC.
const EPOCH: u64 = 1_767_225_600_000_000;

/// What a device reads. A clock that drifts does so with both, since one oscillator drives them; what tells them apart is
/// that the one on the wall is set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Clocks {
    /// Microseconds by which the wall clock was set forward, in all.
    set: i64,
}

impl Clocks {
    /// Sets the wall clock forward, or back.
    pub(super) fn set(&mut self, millis: i64) {
        self.set += millis * 1_000;
    }

    /// Both clocks at a moment.
    pub(super) fn read(&self, moment: Moment) -> Now {
        let elapsed = i64::try_from(moment.elapsed_since_boot().as_micros()).unwrap_or(i64::MAX);
        let wall = elapsed.saturating_add(self.set);
        Now { moment, wall: WallTime::from_micros(EPOCH.saturating_add_signed(wall)) }
    }
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
    fn a_moment_between_two_microseconds_is_the_later() {
        assert_eq!(in_micros(Moment::since_boot(Duration::from_nanos(1_001))), at(0.000_002));
    }
}
