//! The stand-ins, and waits for what the daemon makes of them.

use std::time::{Duration, Instant};

use crate::device::{Device, HANG};
pub(crate) use crate::standins::*;

/// Waits until something is so of which the daemon sends no signal.
pub(crate) fn until(device: &mut Device<'_>, what: &str, mut holds: impl FnMut(&mut Device<'_>) -> bool) {
    let deadline = Instant::now() + HANG;
    while !holds(device) {
        assert!(Instant::now() < deadline, "waited in vain until {what}:\n{}", device.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until the log has these words so many times.
pub(crate) fn until_logged(device: &mut Device<'_>, words: &str, times: usize) {
    until(device, words, |device| device.log().matches(words).count() >= times);
}
