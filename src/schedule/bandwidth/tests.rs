//! Samples in, estimates out.

use std::time::Duration;

use super::link::{Told, megabits, told};
use super::*;
use crate::model::{Estimate, Flow, Passage, WallTime};

fn now(seconds: u64) -> Now {
    Now {
        moment: Moment::since_boot(Duration::from_secs(seconds)),
        wall: WallTime::from_micros((1_000_000 + seconds) * 1_000_000),
    }
}

/// So much of a steady transfer, in bytes and seconds.
fn going(sent: u64, seconds: f64) -> Sample {
    Sample { sent, sending: Duration::from_secs_f64(seconds), ..Sample::default() }
}

/// A second at this rate, in Mbit/s.
fn second(rate: f64) -> Sample {
    going((rate * 125_000.0) as u64, 1.0)
}

fn speed(samples: impl IntoIterator<Item = Sample>) -> Option<f64> {
    let mut link = Link::new();
    samples.into_iter().zip(0..).for_each(|(sample, seconds)| link.learn(&sample, now(seconds)));
    link.estimate().upload
}

fn assert_near(value: Option<f64>, expected: f64) {
    assert!(value.is_some_and(|value| (value / expected - 1.0).abs() < 0.1), "{value:?}, not {expected}");
}

#[test]
fn what_is_small_tells_round_trips_and_no_speed() {
    let mut link = Link::new();
    let tiny = Sample {
        round_trip: Some(Duration::from_millis(80)),
        passage: Passage::Through,
        segments: 6,
        ..going(2_000, 0.08)
    };
    link.learn(&tiny, now(1));
    let estimate = link.estimate();
    assert_eq!((estimate.upload, estimate.latency, estimate.certainty), (None, Some(80.0), 0.0));
    assert_eq!((estimate.reliability, estimate.measured_at), (Some(1.0), now(1).wall));
    assert_eq!(speed([going(60_000, 0.001)]), None, "a burst that a shaped link lets through");
    assert_near(speed([going(30_000, 2.0)]), 0.12);
}

#[test]
fn the_time_in_which_tcp_feels_its_way_is_not_the_links() {
    // 200 KB over 5 Mbit/s take 0.32 s, and on a new connection four round trips before.
    let cold = |round_trip: f64| Sample {
        flow: Flow::Cold,
        round_trip: Some(Duration::from_secs_f64(round_trip)),
        ..going(200_000, 0.32 + 4.0 * round_trip)
    };
    assert_near(speed([cold(0.02)]), 5.0);
    assert_near(speed([cold(0.1)]), 5.0);
    // Most of the time went to round trips: it says only that the link bears at least that.
    let slow_start = cold(0.5);
    assert_eq!(told(&slow_start), Told::AtLeast(megabits(200_000, 2.32)));
    assert_near(speed([second(5.0), slow_start]), 5.0);
    assert_near(speed([slow_start]), megabits(200_000, 2.32));
    assert_near(speed([Sample { delivery: 500_000, ..slow_start }]), 4.0);
}

#[test]
fn what_we_held_back_raises_and_never_lowers() {
    let held = |rate| Sample { limited: true, ..second(rate) };
    assert_near(speed([second(8.0), held(0.6), held(0.6), held(0.6)]), 8.0);
    assert_near(speed([second(2.0), held(8.0), held(8.0), held(8.0), held(8.0)]), 8.0);
    assert_near(speed([held(0.6)]), 0.6);
}

#[test]
fn a_tenfold_change_is_followed_in_three_measurements_up_and_down() {
    for (before, after) in [(20.0, 2.0), (2.0, 20.0)] {
        let steady = std::iter::repeat_n(second(before), 10);
        let found = speed(steady.chain(std::iter::repeat_n(second(after), 3))).expect("an estimate");
        assert!((0.7..1.4).contains(&(found / after)), "{found} for {after}");
    }
    assert_near(speed([4.0, 6.0, 4.0, 6.0, 5.0, 4.5, 5.5].map(second)), 5.0);
}

#[test]
fn ten_measurements_are_kept_and_the_last_ones_make_it_sure() {
    let mut networks = Bandwidths::default();
    let home = NetworkId("wifi home".to_owned());
    for number in 0..15 {
        networks.learn(&home, &second(1.0 + number as f64), now(number));
    }
    let shown = networks.shown(Some(&home));
    let rates: Vec<f64> = shown.history.iter().map(|measurement| measurement.upload.round()).collect();
    assert_eq!(rates, [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0]);
    assert!((shown.estimate.certainty - 1.0).abs() < 1e-9);
    assert_eq!(networks.shown(None), Bandwidth::unknown());
}

#[test]
fn reliability_is_the_share_that_came_through_weighed_down_by_what_was_sent_again() {
    let ends = |passage| Sample { passage, ..Sample::default() };
    let mut link = Link::new();
    assert_eq!(link.estimate().reliability, None);
    (0..5).for_each(|_| link.learn(&ends(Passage::Through), now(1)));
    link.learn(&ends(Passage::Open), now(1));
    assert_eq!(link.estimate().reliability, Some(1.0));
    (0..7).for_each(|_| link.learn(&ends(Passage::Broke), now(1)));
    assert!(link.estimate().reliability.is_some_and(quality::is_unreliable));
    (0..30).for_each(|_| link.learn(&ends(Passage::Through), now(1)));
    assert!(link.estimate().reliability.is_some_and(|share| share > 0.95));
    link.learn(&Sample { segments: 2_000, lost: 500, ..Sample::default() }, now(1));
    assert!(link.estimate().reliability.is_some_and(|share| (0.7..0.8).contains(&share)), "{link:?}");
    link.learn(&Sample { segments: 100_000, lost: 0, ..Sample::default() }, now(1));
    assert!(link.estimate().reliability.is_some_and(|share| share > 0.95));

    let mut fresh = Link::new();
    fresh.learn(&Sample { segments: 3, lost: 1, ..ends(Passage::Through) }, now(1));
    assert!(fresh.estimate().reliability.is_some_and(|share| share > 0.9), "one lost segment is no share");
}

#[test]
fn what_loses_much_and_is_fast_takes_small_photos_also_after_a_cut() {
    let mut link = Link::new();
    link.learn(&Sample { segments: 315, lost: 42, passage: Passage::Through, ..going(262_437, 0.42) }, now(0));
    link.learn(&Sample { passage: Passage::Broke, ..Sample::default() }, now(1));
    // Seen on a link of 5 Mbit/s whose queue the device itself overran.
    link.learn(&Sample { segments: 5_344, lost: 4_649, passage: Passage::Through, ..going(524_586, 0.87) }, now(2));
    assert_eq!(link.strategy(now(2).moment), UploadStrategy::Conservative, "{link:?}");
}

#[test]
fn a_slow_link_is_doubted_when_nothing_was_measured_for_a_while() {
    let mut networks = Bandwidths::default();
    let home = NetworkId("wifi home".to_owned());
    let strategy = |networks: &Bandwidths, seconds| networks.strategy(Some(&home), now(seconds).moment);
    networks.learn(&home, &second(0.2), now(0));
    assert_eq!(strategy(&networks, 0), UploadStrategy::BackgroundOnly);
    assert_eq!(networks.doubted_from(&home), Some(now(0).moment + DOUBTED_AFTER));
    // Small requests say nothing of its speed, so they do not keep files waiting.
    networks.learn(&home, &Sample { passage: Passage::Through, ..going(2_000, 0.1) }, now(590));
    assert_eq!(strategy(&networks, 599), UploadStrategy::BackgroundOnly);
    assert_eq!(strategy(&networks, 600), UploadStrategy::Conservative);
    networks.learn(&home, &second(0.2), now(610));
    assert_eq!(strategy(&networks, 611), UploadStrategy::BackgroundOnly);
    networks.doubt(now(620).moment);
    assert_eq!(strategy(&networks, 620), UploadStrategy::Conservative);
    assert_eq!(networks.doubted_from(&NetworkId("other".to_owned())), None);
}

#[test]
fn what_was_kept_is_back_but_an_old_verdict_keeps_nothing_from_going() {
    let kept = |name: &str, upload: f64, seconds| Kept {
        network: NetworkId(name.to_owned()),
        estimate: Estimate {
            upload: Some(upload),
            reliability: Some(1.0),
            measured_at: now(seconds).wall,
            ..Estimate::default()
        },
    };
    let mut networks = Bandwidths::default();
    let all = vec![kept("fast", 30.0, 0), kept("slow", 0.3, 950), kept("once", 0.3, 0), kept("ahead", 0.3, 5_000)];
    networks.restore(all, now(1_000));
    let strategy = |name: &str| networks.strategy(Some(&NetworkId(name.to_owned())), now(1_000).moment);
    assert_eq!(strategy("fast"), UploadStrategy::HighQuality);
    assert_eq!(strategy("slow"), UploadStrategy::BackgroundOnly);
    assert_eq!((strategy("once"), strategy("ahead")), (UploadStrategy::Conservative, UploadStrategy::Conservative));
    assert_eq!(networks.unkept(), None, "it is on disk");
}

#[test]
fn what_differs_is_kept_and_the_number_of_networks_is_bounded() {
    let mut networks = Bandwidths::default();
    let name = |number: u64| NetworkId(format!("wifi {number}"));
    networks.learn(&name(0), &second(4.0), now(0));
    assert_eq!(networks.unkept().map(|kept| kept.len()), Some(1));
    networks.learn(&name(0), &second(4.1), now(1));
    assert_eq!(networks.unkept(), None, "almost the same");
    networks.learn(&name(0), &second(40.0), now(2));
    assert!(networks.unkept().is_some());
    networks.learn(&name(0), &second(12.0), now(700));
    assert!(networks.unkept().is_some(), "its age counts");
    (1..100).for_each(|number| networks.learn(&name(number), &second(4.0), now(1_000 + number)));
    let kept = networks.unkept().expect("news");
    assert_eq!(kept.len(), NETWORKS);
    assert!(kept.iter().all(|kept| kept.estimate.measured_at >= now(1_068).wall));
}
