//! Row 4, its offline half: the daemon with tasks that wait and no route.

use std::time::Duration;

use crate::bus::Bus;
use crate::client::Client;
use crate::ferryd::{self, Ferryd, Offline};
use crate::report::{Budget, Figure, mebibytes};
use crate::{Effort, Failed, place};

const TASKS: usize = 1000;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let watched = Duration::from_secs(if effort == Effort::Full { 60 } else { 5 });
    let bus = Bus::start()?;
    let dir = place::directory()?;
    let ferryd = runtime.block_on(async {
        let ferryd = Ferryd::start(&bus, dir.path(), Offline::NoRoute).await?;
        Client::new(bus.connect().await?).enqueue(ferryd::NAME, TASKS, 8).await?;
        Ok::<_, Failed>(ferryd)
    })?;
    drop(runtime); // and with it the last client
    // Nothing tells when a process has come to rest; what it still has to do takes it well under a second.
    std::thread::sleep(Duration::from_secs(3));
    let before = ferryd.voluntary_switches()?;
    std::thread::sleep(watched);
    let switches = ferryd.voluntary_switches()?.saturating_sub(before);
    let memory = ferryd.memory()?;
    ferryd.stop()?;
    let figure = |what: String, measured: String, limit: String, ratio: f64| Figure {
        what,
        measured,
        limit,
        ratio,
        budget: Budget::AtMost(1.0),
    };
    let (resident, dirty) = (8.0 * MEBIBYTE, 2.0 * MEBIBYTE);
    Ok(vec![
        Figure {
            budget: Budget::AtMost(0.0),
            ..figure(
                format!("offline, {TASKS} waiting: voluntary switches in {} s", watched.as_secs()),
                switches.to_string(),
                "0".to_owned(),
                switches as f64,
            )
        },
        figure(
            "the same: resident".to_owned(),
            mebibytes(memory.resident),
            mebibytes(resident),
            memory.resident / resident,
        ),
        figure("the same: private dirty".to_owned(), mebibytes(memory.dirty), mebibytes(dirty), memory.dirty / dirty),
    ])
}
