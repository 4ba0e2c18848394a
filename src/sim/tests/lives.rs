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
    let Lived { steps, tasks, done, explained, granted } = lived;
    assert!(steps > 100 * lives() && tasks > 10 * lives() && done > tasks / 2, "{lived:?}");
    assert!(explained > 10 * lives() && granted > lives() / 2, "{lived:?}");
}

#[test]
fn one_seed_lives_one_life() {
    let config = config().expect("it is valid");
    for seed in 0..20 {
        assert_eq!(live(seed, &config, Scheduler::new, None), live(seed, &config, Scheduler::new, None), "seed {seed}");
    }
}
