//! Many short lives of the core as it is, on all processors.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::laws::Breach;
use super::life::{Lived, live};
use crate::model::Config;
use crate::schedule::Scheduler;

/// A life in which a law was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Whose.
    pub seed: u64,
    /// What was broken.
    pub breach: Breach,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, breach } = self;
        write!(f, "seed {seed}: {breach}\nto repeat it: cargo run --example soak -- 1 {seed}")
    }
}

/// Lives the lives of these seeds. When a law is broken the others are left; of several, the one with the lowest seed is told.
pub fn soak(seeds: Range<u64>, config: &Config) -> Result<Lived, Failed> {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    let over = AtomicBool::new(false);
    let shard = |first: u64| {
        let mut lived = Lived::default();
        for seed in (seeds.start + first..seeds.end).step_by(threads as usize) {
            if over.load(Ordering::Relaxed) {
                break;
            }
            match live(seed, config, Scheduler::new, None) {
                Ok(life) => lived = lived.and(life),
                Err(breach) => {
                    over.store(true, Ordering::Relaxed);
                    return Err(Failed { seed, breach });
                }
            }
        }
        Ok(lived)
    };
    let shards: Vec<Result<Lived, Failed>> = thread::scope(|scope| {
        let shard = &shard;
        let running: Vec<_> = (0..threads).map(|first| scope.spawn(move || shard(first))).collect();
        let ends = running.into_iter().map(|shard| shard.join());
        ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    let failed = shards.iter().filter_map(|shard| shard.as_ref().err()).min_by_key(|failed| failed.seed);
    match failed {
        Some(failed) => Err(failed.clone()),
        None => Ok(shards.into_iter().flatten().fold(Lived::default(), Lived::and)),
    }
}
