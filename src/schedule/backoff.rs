//! How long to wait after a failure. Full jitter: what failed together does not come back together.

use std::time::Duration;

/// The first ceiling, before it grows.
const BASE: Duration = Duration::from_secs(1);

/// The longest wait that a server may ask for.
pub(super) const ASKED_CAP: Duration = Duration::from_secs(24 * 60 * 60);

/// Draws uniform(0, min(`cap`, 1 s × `multiplier`^`exponent`)): "full jitter" of Marc Brooker, "Exponential Backoff
/// And Jitter", AWS Architecture Blog, 2015. `multiplier` is at least 1.
pub fn full_jitter(rng: &mut fastrand::Rng, cap: Duration, multiplier: f64, exponent: u32) -> Duration {
    ceiling(cap, multiplier, exponent).mul_f64(rng.f64())
}

/// The wait after a failure for which the server may have asked a wait of its own: that one, at most 24 h, and the
/// jitter on top, so that a fleet told the same number of seconds still spreads out.
pub(super) fn wait(
    rng: &mut fastrand::Rng,
    cap: Duration,
    multiplier: f64,
    exponent: u32,
    asked: Option<Duration>,
) -> Duration {
    asked.unwrap_or_default().min(ASKED_CAP) + full_jitter(rng, cap, multiplier, exponent)
}

/// min(`cap`, 1 s × `multiplier`^`exponent`): the longest that [`full_jitter`] waits.
pub(super) fn ceiling(cap: Duration, multiplier: f64, exponent: u32) -> Duration {
    let grown = BASE.as_secs_f64() * multiplier.powi(i32::try_from(exponent).unwrap_or(i32::MAX));
    Duration::try_from_secs_f64(grown).map_or(cap, |grown| grown.min(cap))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(15 * 60);

    #[test]
    fn the_ceiling_grows_by_the_multiplier_up_to_the_cap() {
        assert_eq!(ceiling(CAP, 2.0, 0), Duration::from_secs(1));
        assert_eq!(ceiling(CAP, 2.0, 3), Duration::from_secs(8));
        assert_eq!(ceiling(CAP, 1.5, 2), Duration::from_millis(2250));
        assert_eq!(ceiling(CAP, 2.0, 10), CAP);
        assert_eq!(ceiling(CAP, 2.0, u32::MAX), CAP);
        assert_eq!(ceiling(CAP, 1.0, u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn jitter_fills_the_whole_range_evenly() {
        let mut rng = fastrand::Rng::with_seed(1);
        let draws: Vec<f64> = (0..10_000).map(|_| full_jitter(&mut rng, CAP, 2.0, 3).as_secs_f64()).collect();
        assert!(draws.iter().all(|draw| (0.0..8.0).contains(draw)));
        let quarters = (0..4).map(|q| draws.iter().filter(|draw| (**draw / 2.0) as usize == q).count());
        for count in quarters {
            assert!((2_300..2_700).contains(&count), "{count} of 10000 in a quarter");
        }
    }

    #[test]
    fn what_the_server_asks_for_is_a_minimum_and_at_most_a_day() {
        let mut rng = fastrand::Rng::with_seed(2);
        let hour = Duration::from_secs(3600);
        let asked = wait(&mut rng, CAP, 2.0, 0, Some(hour));
        assert!(asked >= hour && asked <= hour + Duration::from_secs(1));
        let greedy = wait(&mut rng, CAP, 2.0, 0, Some(hour * 1000));
        assert!(greedy >= ASKED_CAP && greedy <= ASKED_CAP + Duration::from_secs(1));
    }
}
