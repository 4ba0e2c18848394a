//! Row 1: durable enqueue over D-Bus, the real daemon beside a bare one, on the same bus and the same disk.

use crate::bus::{Bus, NameWatch};
use crate::client::Client;
use crate::ferryd::{self, Ferryd, Offline};
use crate::limit_daemon::{self, LimitDaemon};
use crate::report::{Budget, Figure, rate};
use crate::rounds::Turns;
use crate::{Effort, Failed, place};

/// Calls in flight, calls a round, and what share of the limit is asked for.
const LOADS: [(usize, usize, f64); 3] = [(1, 400, 0.9), (8, 1600, 0.85), (64, 4800, 0.85)];

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bus = Bus::start()?;
    let (ferry_dir, limit_dir) = (place::directory()?, place::directory()?);
    let _ferryd = runtime.block_on(Ferryd::start(&bus, ferry_dir.path(), Offline::NoBackend))?;
    let mut limit_name = runtime.block_on(NameWatch::new(&bus, limit_daemon::NAME))?;
    let _limit = LimitDaemon::start(&bus, limit_dir.path())?;
    runtime.block_on(limit_name.owned())?;
    let mut client = Client::new(runtime.block_on(bus.connect())?);
    let mut figures = Vec::new();
    for (in_flight, calls, floor) in LOADS {
        let (rounds, calls) = if effort == Effort::Full { (15, calls) } else { (3, calls / 4) };
        let client = std::cell::RefCell::new(&mut client);
        let enqueue = |name| runtime.block_on(client.borrow_mut().enqueue(name, calls, in_flight));
        let turns = Turns::take(rounds, || enqueue(ferryd::NAME), || enqueue(limit_daemon::NAME))?;
        figures.push(Figure {
            what: format!("enqueue over D-Bus, {in_flight} in flight"),
            measured: rate(turns.a()),
            limit: rate(turns.b()),
            ratio: turns.ratio(),
            budget: Budget::AtLeast(floor),
        });
    }
    Ok(figures)
}
