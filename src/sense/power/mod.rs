//! Power: whether the device is supplied from outside, and how full its batteries are. The kernel's uevents are hints on
//! which everything is read anew; most batteries send none for a percent, so that whoever needs to know asks.

mod supply;

use std::io;
use std::path::Path;
use std::thread;

use tokio::sync::{oneshot, watch};

use super::uevent::Uevents;
use crate::model::{Battery, Power};

const CLASS: &str = "/sys/class/power_supply";

/// Why nothing is known about power now.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// The kernel's hints cannot be heard.
    #[error("listening for changes of power: {0}")]
    Listen(io::Error),
    /// The supplies cannot be listed.
    #[error("reading {CLASS}: {0}")]
    Read(io::Error),
}

/// Calls `news` with the device's power: once at the start, on each hint of the kernel, and whenever `asked` has a new
/// value. Never ends; drop it to stop. Asleep while nothing happens. An `Err` says that nothing is known until the next
/// call; after an error of listening only `asked` brings one.
pub async fn watch(mut asked: watch::Receiver<u64>, mut news: impl FnMut(Result<Power, PowerError>)) {
    let mut hints = match Uevents::open("power_supply") {
        Ok(hints) => Some(hints),
        Err(error) => {
            news(Err(PowerError::Listen(error)));
            None
        }
    };
    loop {
        news(look().await);
        tokio::select! {
            true = next(&mut hints) => {}
            Ok(()) = asked.changed() => {}
            else => std::future::pending().await,
        }
    }
}

/// Resolves with the next hint; a socket that breaks is given up, and power is read once more.
async fn next(hints: &mut Option<Uevents>) -> bool {
    let Some(open) = hints else { return std::future::pending().await };
    if let Err(error) = open.next().await {
        tracing::error!("listening for changes of power: {error}");
        *hints = None;
    }
    true
}

/// Reads everything on a thread, since the firmware behind a battery may take its time; one of its own, since the
/// runtime's would stay for a while and wake once more to end.
async fn look() -> Result<Power, PowerError> {
    let (told, heard) = oneshot::channel();
    let reading = thread::Builder::new().name("power".to_owned()).spawn(|| told.send(read()));
    reading.map_err(PowerError::Read)?;
    heard.await.unwrap_or_else(|_| Err(PowerError::Read(io::Error::other("the thread that reads has ended"))))
}

fn read() -> Result<Power, PowerError> {
    let supplies = supply::read(Path::new(CLASS)).map_err(PowerError::Read)?;
    let power = supply::judge(&supplies, None);
    let charge = if power.battery == Battery::None { None } else { charge() };
    Ok(supply::judge(&supplies, charge))
}

/// How full all batteries are together, in percent to two places, weighed by what they hold; `None` if one of them is beyond what the
/// `battery` crate reads.
fn charge() -> Option<f64> {
    let batteries: Vec<battery::Battery> =
        battery::Manager::new().ok()?.batteries().ok()?.collect::<Result<_, _>>().ok()?;
    together(batteries.iter().map(|battery| (battery.state_of_charge().value, battery.energy_full().value)))
}

/// How full batteries are together, in percent; each is given as how full it is, from 0 to 1, and how much it holds.
fn together(batteries: impl Iterator<Item = (f32, f32)>) -> Option<f64> {
    let (mut energy, mut full) = (0.0, 0.0);
    // One that holds nothing says nothing of the others, and the crate may say of it that it is 0 / 0 full.
    for (charge, holds) in batteries.filter(|(_, holds)| *holds != 0.0) {
        energy += f64::from(charge * holds);
        full += f64::from(holds);
    }
    // The crate counts in single precision: 61 % are 61.0000014 there.
    let percent = ((energy / full * 10_000.0).round() / 100.0).clamp(0.0, 100.0);
    (full > 0.0 && percent.is_finite()).then_some(percent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_battery_weighs_more_and_one_that_is_dead_nothing() {
        let percent = |batteries: &[(f32, f32)]| together(batteries.iter().copied());
        assert_eq!(percent(&[(0.61, 50.0)]), Some(61.0));
        assert_eq!(percent(&[(1.0, 30.0), (0.0, 10.0)]), Some(75.0));
        // The crate divides what it has by what it can hold: 0 / 0.
        assert_eq!(percent(&[(0.5, 30.0), (f32::NAN, 0.0)]), Some(50.0));
        assert_eq!(percent(&[(f32::NAN, 30.0)]), None);
        assert_eq!(percent(&[(0.5, f32::NAN)]), None);
        assert_eq!(percent(&[(0.0, 0.0)]), None);
        assert_eq!(percent(&[]), None);
    }
}
