//! The link sense under load, at rest, and against the clock.

#[path = "common/netns.rs"]
mod netns;
#[path = "common/sensed.rs"]
mod sensed;

use std::fs;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ferryd::model::{Facts, Network};
use ferryd::sense::clock::{Alarm, WallJumps, now};
use netns::{Netns, Pair};
use sensed::Sensed;

const FLAPS: usize = 100;

/// A change that is told last, so that all before it has been told.
fn mark_the_end(pair: &Pair) {
    pair.device.ip("address add 10.79.0.2/16 dev uplink");
    pair.device.ip("route replace default via 10.77.0.1 src 10.79.0.2");
}

fn is_the_end(network: &Network) -> bool {
    network.subnet == "10.79.0.2/16"
}

#[test]
fn a_link_that_flaps_ends_in_the_right_state() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let sensed = Sensed::start(&pair.device, &["203.0.113.7"]);
    assert!(sensed.next().connected);
    pair.server.ip_batch(&"link set port down\nlink set port up\n".repeat(FLAPS));
    mark_the_end(&pair);
    let told = sensed.until(is_the_end);
    println!("{FLAPS} flaps: {} news", told.len());
    assert!(told.len() <= 2 * FLAPS + 1);
    assert!(told.windows(2).all(|pair| pair[0] != pair[1]), "only differences are news");
    assert!(told.last().is_some_and(|last| last.connected));
}

/// Messages that the kernel could not deliver to the rtnetlink sockets of a namespace.
fn drops(netns: &Netns) -> u64 {
    let table = netns.inside(|| fs::read_to_string("/proc/thread-self/net/netlink")).expect("/proc");
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let column = lines.next().and_then(|head| head.iter().position(|&word| word == "Drops")).expect("a column");
    lines.filter(|line| line[1] == "0").map(|line| line[column].parse::<u64>().expect("a number")).sum()
}

#[test]
fn news_that_was_lost_in_a_flood_is_read_anew() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    // The first news holds the sense up until the flood is over.
    let (open, gate) = channel::<()>();
    let sensed = Sensed::start_with(
        &pair.device,
        &[],
        || {},
        move |_| {
            let _opened = gate.recv();
        },
    );
    for _ in 0..20 {
        pair.device.ip_batch(&"link set uplink down\nlink set uplink up\n".repeat(FLAPS));
    }
    assert!(drops(&pair.device) > 0, "that was no flood");
    mark_the_end(&pair);
    drop(open);
    assert!(!is_the_end(&sensed.next()));
    assert!(is_the_end(&sensed.next()), "one news for all that was missed");
    // And it hears again.
    pair.unplug();
    assert!(!sensed.next().connected);
}

#[test]
fn link_up_is_told_without_delay() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let sensed = Sensed::start(&pair.device, &["203.0.113.7"]);
    assert!(sensed.next().connected);
    let mut took: Vec<Duration> = Vec::new();
    for _ in 0..20 {
        pair.unplug();
        assert!(!sensed.next().connected);
        let started = Instant::now();
        pair.plug();
        let (told, news) = sensed.next_at();
        assert!(news.unwrap().values().all(|network| network.connected));
        took.push(told.saturating_duration_since(started));
    }
    took.sort();
    let [median, least, most] = [took[took.len() / 2], took[0], took[took.len() - 1]];
    println!("from `ip link set up` (its start included) to the news: median {median:?} ({least:?} to {most:?})");
}

/// Voluntary context switches of this thread so far.
fn switches() -> u64 {
    let status = fs::read_to_string("/proc/thread-self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.and_then(|count| count.trim().parse().ok()).expect("a count")
}

#[test]
fn at_rest_it_sleeps() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let (told, news) = channel();
    let (_targets, targets) = tokio::sync::watch::channel(sensed::targets(&["203.0.113.7"]));
    let (_rules, rules) = tokio::sync::watch::channel(Vec::new());
    let (_facts, facts) = tokio::sync::watch::channel(Facts::new());
    let rested = pair.device.inside(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let watching = ferryd::sense::link::watch(targets, rules, facts, |news| told.send(news).unwrap());
            tokio::pin!(watching);
            let (mut alarm, never, mut jumps) =
                (Alarm::new().unwrap(), Alarm::new().unwrap(), WallJumps::new().unwrap());
            let mut rested = Vec::new();
            // The first span lets pass what the new link still has to tell (multicast groups, duplicate addresses).
            for _ in 0..2 {
                let before = switches();
                alarm.set(Some(now().moment + Duration::from_secs(5))).unwrap();
                tokio::select! {
                    () = &mut watching => {}
                    _ = never.wait() => {}
                    _ = jumps.next() => {}
                    rung = alarm.wait() => rung.unwrap(),
                }
                rested.push(switches() - before);
            }
            rested
        })
    });
    assert!(news.recv().unwrap().unwrap().values().all(|network| network.connected));
    assert!(news.recv().is_err(), "nothing happened");
    println!("voluntary context switches in 5 s with rtnetlink and three timers: {rested:?}, the waking among them");
    // To fall asleep until the alarm is one; the other tests of this file may set the thread back, but not wake it.
    assert_eq!(rested[1], 1);
}
