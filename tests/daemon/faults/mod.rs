//! Faults below the daemon: the power goes, a disk fails or is full. A run of the built daemon is recorded call by call
//! (`trace`); a model of the disk makes of it what a power cut may leave at any point (`disk`).
//!
//! `FERRY_TEST_LONG=1` takes every point and every fault where CI takes a sample.

mod disk;
mod failing;
mod power_cut;
mod recording;
mod trace;

/// Whether everything is to be tried, however long it takes.
fn is_soak() -> bool {
    std::env::var("FERRY_TEST_LONG").is_ok_and(|value| value == "1")
}
