//! Fleets, and Ferry's queue beside the spec's.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Config, LinkType, ProbeConfig, StrategyName};
use crate::sim::clock::at;
use crate::sim::server::{Mood, Moods};
use crate::sim::{Figures, Fleet, Queue, Scenario, config};

fn fleet(scenario: Scenario, devices: u64) -> Fleet {
    let config = config().expect("it is valid").into();
    Fleet { scenario, days: 3, devices, tasks_per_day: 40.0, config, seed: 7 }
}

fn total(figures: &Figures) -> (u64, u64, u64) {
    let fates = figures.strategies.values();
    fates.fold((0, 0, 0), |(tasks, done, lost), fate| (tasks + fate.tasks, done + fate.done, lost + fate.lost))
}

fn median(figures: &Figures, strategy: &str) -> Duration {
    let fate = &figures.strategies[&StrategyName::new(strategy).expect("a name")];
    fate.staleness.quantile(0.5).expect("some tasks")
}

#[test]
fn one_seed_gives_one_result_and_another_another() {
    let one = fleet(Scenario::Commute, 20);
    assert_eq!(one.simulate(Queue::Ferry), one.simulate(Queue::Ferry));
    let other = Fleet { seed: 8, ..one.clone() };
    assert_ne!(one.simulate(Queue::Ferry), other.simulate(Queue::Ferry));
}

#[test]
fn on_wifi_nearly_all_arrives_and_nothing_is_lost() {
    let figures = fleet(Scenario::Wifi, 30).simulate(Queue::Ferry);
    let (tasks, done, lost) = total(&figures);
    assert!(tasks > 30 * 3 * 25 && done * 100 > tasks * 98 && lost == 0, "{figures:?}");
    assert!(median(&figures, "metadata") < Duration::from_secs(2) && figures.radio_on == Duration::ZERO);
}

#[test]
fn offline_nothing_is_sent_and_nobody_wakes() {
    let figures = fleet(Scenario::Offline, 10).simulate(Queue::Ferry);
    assert_eq!((total(&figures).1, figures.requests, figures.all_wakes(), figures.bytes.len()), (0, 0, 0, 0));
}

#[test]
fn on_a_metered_link_photos_wait() {
    let figures = fleet(Scenario::Metered, 20).simulate(Queue::Ferry);
    let photos = &figures.strategies[&StrategyName::new("photo").expect("a name")];
    assert!(photos.tasks > 50 && photos.done == 0, "{photos:?}");
    assert!(figures.bytes[&LinkType::Cellular] < total(&figures).0 * 3_000, "{:?}", figures.bytes);
}

#[test]
fn beside_the_spec_s_queue_nothing_is_lost_and_fewer_requests_are_made() {
    for scenario in [Scenario::Commute, Scenario::FlakyWifi, Scenario::Intermittent, Scenario::Slow3g] {
        let fleet = fleet(scenario, 20);
        let (ours, theirs) = (fleet.simulate(Queue::Ferry), fleet.simulate(Queue::Fifo));
        assert_eq!(total(&ours).0, total(&theirs).0, "{scenario}: the same apps");
        assert!(total(&ours).2 == 0 && total(&theirs).2 > 0, "{scenario}: {:?} {:?}", total(&ours), total(&theirs));
        assert!(ours.requests < theirs.requests, "{scenario}: {} and {}", ours.requests, theirs.requests);
    }
}

/// What makes the comparison fair: a queue that gives nothing up has the same work, and ours costs less in every world.
#[test]
fn for_the_same_work_ours_costs_less_in_every_world() {
    for scenario in Scenario::ALL.iter().filter(|scenario| **scenario != Scenario::Offline) {
        let fleet = fleet(*scenario, 40);
        let (ours, theirs) = (fleet.simulate(Queue::Ferry), fleet.simulate(Queue::Patient));
        assert_eq!((total(&ours).2, total(&theirs).2), (0, 0), "{scenario}");
        assert!(total(&ours).1.abs_diff(total(&theirs).1) * 200 <= total(&ours).1, "{scenario}: the same work");
        let bytes = |figures: &Figures| figures.bytes.values().sum::<u64>();
        assert!(bytes(&ours) < bytes(&theirs), "{scenario}: {} and {} bytes", bytes(&ours), bytes(&theirs));
        // A few rides: when they fall makes a percent.
        let most = theirs.radio_on.mul_f64(1.02);
        assert!(ours.radio_on <= most, "{scenario}: {:?} and {:?}", ours.radio_on, theirs.radio_on);
        assert!(ours.requests < theirs.requests && ours.peak() <= theirs.peak(), "{scenario}");
    }
}

/// Nobody is told that a portal has gone: ours finds out by asking again, or by the probe, and never by asking on and on.
#[test]
fn behind_a_portal_few_requests_are_made_with_a_probe_and_without() {
    let plain = fleet(Scenario::CaptivePortal, 20);
    let mut config = Config::clone(&plain.config);
    let url = "http://probe.example/".to_owned();
    config.network.probe = Some(ProbeConfig { url, status: 204, body: String::new() });
    let probing = Fleet { config: config.into(), ..plain.clone() };
    let open = fleet(Scenario::Wifi, 20).simulate(Queue::Ferry);
    for fleet in [plain, probing] {
        let figures = fleet.simulate(Queue::Ferry);
        assert!(figures.requests * 3 < open.requests * 4, "{} and {}", figures.requests, open.requests);
        assert_eq!(total(&figures).2, 0);
    }
}

/// The busiest second of a fleet whose links all come back at ten, beside the mean second until so many have passed.
fn return_at_ten(delay: Duration, drained_by: u64) -> (u32, f64) {
    let mut config = Config::clone(&fleet(Scenario::Outage, 1).config);
    config.strategies.values_mut().for_each(|strategy| strategy.randomized_delay = delay);
    let fleet = Fleet { days: 1, tasks_per_day: 100.0, config: config.into(), ..fleet(Scenario::Outage, 1_000) };
    let figures = fleet.simulate_with(Queue::Ferry, &Moods::default());
    assert_eq!(total(&figures).2, 0);
    let up = 10 * 3_600;
    let seconds: Vec<u32> = (up..up + drained_by).map(|second| figures.requests_in(second..second + 1)).collect();
    let (peak, all) = (seconds.iter().max().copied().unwrap_or(0), seconds.iter().sum::<u32>());
    (peak, f64::from(all) / drained_by as f64)
}

/// Links that all return in one second need a delay that is each device's own: promise 3 lets each go at once without it.
#[test]
fn a_fleet_whose_links_return_at_once_peaks_so_with_a_delay_of_each_device_s_own() {
    let (peak, mean) = return_at_ten(Duration::from_secs(120), 120);
    println!("peak {peak}, mean {mean} in a second");
    assert!(mean > 10.0 && f64::from(peak) <= 3.0 * mean, "peak {peak}, mean {mean} in a second");
    let (peak, mean) = return_at_ten(Duration::ZERO, 16);
    assert!(f64::from(peak) > 3.0 * mean, "without it nothing is spread: peak {peak}, mean {mean} in a second");
}

/// After two hours without the server every device has work, and none knows when it will be back.
#[test]
fn a_fleet_that_comes_back_at_once_peaks_at_no_more_than_three_times_the_mean_of_its_drain() {
    let (down, up): (u64, u64) = (8 * 3_600, 10 * 3_600);
    let moods: Moods = Arc::new([(at(down as f64), Mood::Down), (at(up as f64), Mood::Well)]);
    let fleet = Fleet { days: 1, tasks_per_day: 100.0, ..fleet(Scenario::Wifi, 1_500) };
    let figures = fleet.simulate_with(Queue::Ferry, &moods);
    assert_eq!(total(&figures).2, 0);
    // No backoff is longer than a quarter of an hour: by then all have come.
    let by_ten: Vec<u32> = (0..90).map(|ten| figures.requests_in(up + 10 * ten..up + 10 * ten + 10)).collect();
    let (peak, mean) = (by_ten.iter().max().copied().unwrap_or(0), by_ten.iter().sum::<u32>() / by_ten.len() as u32);
    println!("peak {peak}, mean {mean} in ten seconds");
    assert!(mean > 20 && peak <= 3 * mean, "peak {peak}, mean {mean} in ten seconds");
}
