//! Many short lives of the core as it is.

use crate::schedule::Scheduler;
use crate::sim::{Lived, config, live, soak};

/// How many: 10,000, or what `FERRYD_TEST_LIVES` says.
fn lives() -> u64 {
    std::env::var("FERRYD_TEST_LIVES").ok().and_then(|lives| lives.parse().ok()).unwrap_or(10_000)
}

#[test]
fn the_laws_hold_in_every_life() {
    let lived = soak(0..lives(), &config().expect("it is valid")).unwrap_or_else(|failed| panic!("{failed}"));
    println!("{lived:?}");
    let Lived { steps, tasks, done, explained, supposed, granted, restarts } = lived;
    assert!(steps > 100 * lives() && tasks > 10 * lives() && done > tasks / 2, "{lived:?}");
    assert!(explained > 10 * lives() && supposed > explained / 3 && granted > lives() / 2, "{lived:?}");
    assert!(restarts > lives(), "{lived:?}");
}

/// Seeds of lives in which a law was broken once. What they live depends on all that the world is made of, so that they
/// live another life when that changes: each fault found has a test of its own where it was.
const BROKEN_ONCE: &[u64] = &[
    5, 10, 50, 159, 421, 482, 1_562, 1_580, 1_742, 2_055, 2_422, 8_702, 9_864, 16_118, 51_279, 53_142, 71_860, 139_526,
    170_092, 255_508, 331_367, 429_629, 577_271, 1_016_636, 1_093_576,
];

#[test]
fn lives_that_broke_a_law_once_break_none_now() {
    let config = config().expect("it is valid");
    for seed in BROKEN_ONCE {
        live(*seed, &config, Scheduler::new, None).unwrap_or_else(|breach| panic!("seed {seed}: {breach}"));
    }
}

#[test]
fn one_seed_lives_one_life() {
    let config = config().expect("it is valid");
    for seed in 0..20 {
        assert_eq!(live(seed, &config, Scheduler::new, None), live(seed, &config, Scheduler::new, None), "seed {seed}");
    }
}
