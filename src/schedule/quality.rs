//! How a file goes over a link: which of the four upload strategies (the spec's "Bandwidth-Aware Upload"), and in pieces of
//! which size. Pure.

use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::model::{Estimate, UploadStrategy};

/// The sizes that a chunk may have, in bytes.
pub const CHUNKS: RangeInclusive<u64> = 64 * KIB..=8 * MIB;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A chunk that takes so long is as it should be: long enough that the answer is not waited for too often, short enough
/// that what is more urgent has its turn.
const AS_IT_SHOULD: RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(5);

/// What another is made for, in seconds.
const AIM: f64 = 3.0;

/// A chunk may be at most so many times as large as the one before: a first one may have gone into somebody's buffer.
const GROWTH: u64 = 4;

/// What each strategy asks for: more Mbit/s up, and more reliability.
const NEEDS: [(UploadStrategy, f64, f64); 3] = [
    (UploadStrategy::HighQuality, 10.0, 0.9),
    (UploadStrategy::Balanced, 2.0, 0.7),
    (UploadStrategy::Conservative, 0.5, 0.5),
];

/// A better strategy than the one before must exceed its thresholds by that much, and one that holds may fall below them by
/// as much: by a share of the speed, and of reliability by so much.
const SPEED_SLACK: f64 = 0.15;
const RELIABILITY_SLACK: f64 = 0.03;

/// Whether it alone keeps photos from going.
pub(super) fn is_unreliable(reliability: f64) -> bool {
    reliability <= NEEDS.last().map_or(0.0, |(_, _, least)| *least)
}

/// How photos go over a link of which this is known; `before` is how they went. Without any measurement of its speed they go
/// as the spec has it begin.
pub(super) fn choose(estimate: &Estimate, before: Option<UploadStrategy>) -> UploadStrategy {
    let reliability = estimate.reliability.unwrap_or(1.0);
    let Some(upload) = estimate.upload else {
        return if is_unreliable(reliability) { UploadStrategy::BackgroundOnly } else { UploadStrategy::Conservative };
    };
    let suits = |(strategy, speed, least): &(UploadStrategy, f64, f64)| {
        // Better ones come first.
        let sign = match before.map(|before| strategy.cmp(&before)) {
            Some(Ordering::Less) => 1.0,
            Some(Ordering::Equal) => -1.0,
            Some(Ordering::Greater) | None => 0.0,
        };
        upload > speed * (1.0 + sign * SPEED_SLACK) && reliability > least + sign * RELIABILITY_SLACK
    };
    NEEDS.iter().find(|needs| suits(needs)).map_or(UploadStrategy::BackgroundOnly, |(strategy, ..)| *strategy)
}

/// What a link is to transfers that config holds back to so many Mbit/s.
pub(super) fn held_back(estimate: &Estimate, most: Option<f64>) -> Estimate {
    let upload = estimate.upload.into_iter().chain(most).reduce(f64::min);
    Estimate { upload, ..*estimate }
}

/// How photos go that are held back to that: not in a better quality than such a link would bear. What config itself wants
/// slow does not wait for a faster link.
pub(super) fn of_held_back(of_link: UploadStrategy, held: &Estimate, is_held: bool) -> UploadStrategy {
    let would = choose(held, None).min(UploadStrategy::Conservative);
    if is_held { of_link.max(would) } else { of_link }
}

/// Bytes of the first chunk of a file, where `beside` others go at the same time: as many as are thought to take their
/// time; if nothing is known, the spec's size.
pub(super) fn first_chunk(estimate: &Estimate, strategy: UploadStrategy, beside: usize) -> u64 {
    match estimate.upload {
        Some(megabits) => in_time(megabits * 125_000.0 / (beside + 1) as f64),
        None => match strategy {
            UploadStrategy::HighQuality => MIB,
            UploadStrategy::Balanced => 512 * KIB,
            UploadStrategy::Conservative | UploadStrategy::BackgroundOnly => 256 * KIB,
        },
    }
}

/// Bytes of the next chunk after one of so many took so long.
pub fn next_chunk(bytes: u64, took: Duration) -> u64 {
    if AS_IT_SHOULD.contains(&took) {
        return bytes;
    }
    in_time(bytes as f64 / took.as_secs_f64().max(1e-6)).min(bytes.saturating_mul(GROWTH))
}

/// As many bytes as go in the time aimed at, at so many a second; whole blocks of a file.
fn in_time(rate: f64) -> u64 {
    let wanted = (rate * AIM).min(*CHUNKS.end() as f64) as u64;
    (wanted / (64 * KIB) * (64 * KIB)).clamp(*CHUNKS.start(), *CHUNKS.end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use UploadStrategy::{BackgroundOnly, Balanced, Conservative, HighQuality};

    fn of(upload: f64, reliability: f64) -> Estimate {
        Estimate { upload: Some(upload), reliability: Some(reliability), ..Estimate::default() }
    }

    #[test]
    fn the_specs_thresholds_decide_where_nothing_was_before() {
        for (upload, reliability, strategy) in [
            (10.1, 0.91, HighQuality),
            (10.0, 0.95, Balanced),
            (50.0, 0.9, Balanced),
            (2.1, 0.71, Balanced),
            (2.0, 0.8, Conservative),
            (50.0, 0.7, Conservative),
            (0.51, 0.51, Conservative),
            (0.5, 1.0, BackgroundOnly),
            (50.0, 0.5, BackgroundOnly),
        ] {
            assert_eq!(choose(&of(upload, reliability), None), strategy, "{upload} {reliability}");
        }
        assert_eq!(choose(&Estimate::default(), None), Conservative, "as the spec begins");
        let lossy = Estimate { reliability: Some(0.4), ..Estimate::default() };
        assert_eq!(choose(&lossy, None), BackgroundOnly);
        assert_eq!(choose(&Estimate { reliability: None, ..of(20.0, 0.0) }, None), HighQuality);
    }

    #[test]
    fn what_wavers_about_a_threshold_changes_nothing() {
        let mut before = choose(&of(9.0, 1.0), None);
        for upload in [10.5, 9.5, 11.0, 9.0, 11.4, 8.8] {
            before = choose(&of(upload, 1.0), Some(before));
            assert_eq!(before, Balanced);
        }
        before = choose(&of(11.6, 1.0), Some(before));
        for (upload, reliability) in [(9.5, 1.0), (10.5, 0.88), (8.6, 1.0), (11.0, 0.89)] {
            before = choose(&of(upload, reliability), Some(before));
            assert_eq!(before, HighQuality);
        }
        assert_eq!(choose(&of(8.4, 1.0), Some(before)), Balanced);
        assert_eq!(choose(&of(20.0, 0.86), Some(before)), Balanced);
        assert_eq!(choose(&of(0.55, 1.0), Some(BackgroundOnly)), BackgroundOnly);
        assert_eq!(choose(&of(0.45, 1.0), Some(Conservative)), Conservative);
        assert_eq!(choose(&of(30.0, 1.0), Some(BackgroundOnly)), HighQuality, "no step is in the way of a leap");
        assert_eq!(choose(&of(0.1, 1.0), Some(HighQuality)), BackgroundOnly);
    }

    #[test]
    fn what_config_holds_back_goes_in_no_better_quality_than_that_rate_bears_and_does_not_wait_for_it() {
        let held = |found, most| {
            let held = held_back(&of(found, 1.0), most);
            of_held_back(choose(&of(found, 1.0), None), &held, most.is_some())
        };
        assert_eq!((held(50.0, None), held(50.0, Some(20.0))), (HighQuality, HighQuality));
        assert_eq!((held(50.0, Some(4.0)), held(50.0, Some(0.1))), (Balanced, Conservative));
        assert_eq!(held(0.2, Some(4.0)), BackgroundOnly, "the link itself is slow");
        assert_eq!(held_back(&Estimate::default(), Some(0.4)).upload, Some(0.4));
    }

    #[test]
    fn a_first_chunk_is_as_large_as_the_link_is_fast() {
        assert_eq!(first_chunk(&of(5.0, 1.0), Balanced, 0), 28 * 64 * KIB, "1.875 MB");
        assert_eq!(first_chunk(&of(5.0, 1.0), Balanced, 1), 14 * 64 * KIB, "two share the link");
        assert_eq!(first_chunk(&of(500.0, 1.0), HighQuality, 0), 8 * MIB);
        assert_eq!(first_chunk(&of(0.01, 1.0), BackgroundOnly, 0), 64 * KIB);
        let unknown = Estimate::default();
        let sizes = [HighQuality, Balanced, Conservative].map(|strategy| first_chunk(&unknown, strategy, 0) / KIB);
        assert_eq!(sizes, [1024, 512, 256], "the spec's");
    }

    #[test]
    fn the_next_chunk_takes_its_time_whatever_the_rate() {
        for rate in [20e3, 60e3, 200e3, 625e3, 2.5e6, 40e6] {
            let mut chunk = 256 * KIB;
            let mut took = Duration::ZERO;
            for _ in 0..5 {
                took = Duration::from_secs_f64(chunk as f64 / rate);
                chunk = next_chunk(chunk, took);
                assert!(CHUNKS.contains(&chunk));
            }
            let fits = AS_IT_SHOULD.contains(&took) || chunk == *CHUNKS.start() || chunk == *CHUNKS.end();
            assert!(fits, "{took:?} at {rate}");
        }
        assert_eq!(next_chunk(MIB, Duration::from_secs(2)), MIB);
        assert_eq!(next_chunk(MIB, Duration::from_secs(5)), MIB);
        assert_eq!(next_chunk(256 * KIB, Duration::from_millis(1)), MIB, "no more than four times as much");
        assert_eq!(next_chunk(8 * MIB, Duration::from_secs(40)), 9 * 64 * KIB);
        assert_eq!(next_chunk(64 * KIB, Duration::ZERO), 256 * KIB);
    }

    #[test]
    fn a_tenfold_change_is_met_by_the_next_chunk_or_the_one_after_it() {
        let steady = next_chunk(8 * MIB, Duration::from_secs_f64(8.0 * 1048576.0 / 250e3));
        assert!(AS_IT_SHOULD.contains(&Duration::from_secs_f64(steady as f64 / 250e3)));
        let mut chunk = 750_000;
        for _ in 0..2 {
            chunk = next_chunk(chunk, Duration::from_secs_f64(chunk as f64 / 2.5e6));
        }
        assert!(AS_IT_SHOULD.contains(&Duration::from_secs_f64(chunk as f64 / 2.5e6)), "{chunk}");
    }
}
