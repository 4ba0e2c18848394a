//! One direction of the link, which all connections share: when bytes have left; pure.

use std::time::Duration;

use tokio::time::Instant;

/// A lane sends what it is given in order, without a pause and without a burst: never faster than its rate.
#[derive(Debug)]
pub(super) struct Lane {
    /// When the last byte that it was given has left.
    free: Instant,
}

impl Lane {
    pub(super) fn new(now: Instant) -> Self {
        Self { free: now }
    }

    /// Sends so many bytes, at so many a second (more than 0); when the last has left.
    pub(super) fn send(&mut self, bytes: usize, rate: u64, now: Instant) -> Instant {
        let nanoseconds = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate));
        let takes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.free = self.free.max(now) + takes;
        self.free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_at_the_rate_and_not_before() {
        let now = Instant::now();
        let mut lane = Lane::new(now);
        let second = Duration::from_secs(1);
        assert_eq!(lane.send(1_000, 1_000, now), now + second);
        assert_eq!(lane.send(500, 1_000, now + second / 4), now + second * 3 / 2, "behind those before");
        assert_eq!(lane.send(500, 2_000, now + second), now + second * 7 / 4, "at the rate of now");
        assert_eq!(lane.send(1_000, 1_000, now + second * 5), now + second * 6, "time at rest is not made up for");
        assert_eq!(
            lane.send(1, 3, now + second * 6) - now,
            second * 6 + Duration::from_nanos(333_333_334),
            "rounded up"
        );
    }
}
