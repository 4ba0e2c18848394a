//! `ferryctl simulate`: what is asked for in, figures out. The devices live in `sim`.

use std::time::Duration;

use crate::ctl::arguments::Simulate;
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::render::{Printer, plot};
use crate::ctl::views::{FateView, QueueView, SimulationView};
use crate::sim::{Figures, Fleet, Queue};

pub(in crate::ctl) fn simulate(asked: &Simulate, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let config = match &asked.config {
        Some(file) => crate::config::load(Some(file)),
        None => crate::sim::config(),
    };
    let config = config.map_err(|error| Failure::said(Exit::Failed, error.to_string()))?;
    if config.strategies.values().all(|strategy| strategy.backend.is_none()) {
        return Err(Failure::said(Exit::Failed, "the configuration names no backend: nothing could be sent"));
    }
    let Simulate { scenario, days, devices, tasks_per_day, seed, .. } = *asked;
    let fleet = Fleet { scenario, days, devices, tasks_per_day: f64::from(tasks_per_day), config: config.into(), seed };
    let mut figures = vec![("ferry", fleet.simulate(Queue::Ferry))];
    if asked.baseline.is_some() {
        figures.push(("fifo", fleet.simulate(Queue::Fifo)));
    }
    if let Some(file) = &asked.plot {
        let title = format!("How old data gets: {scenario}, {devices} devices, {days} days, seed {seed}");
        let failed = |error| Failure::said(Exit::Failed, format!("writing {}: {error}", file.display()));
        std::fs::write(file, plot::svg(&title, &figures)).map_err(failed)?;
    }
    let queues = figures.iter().map(|(name, figures)| queue(name, figures)).collect();
    printer.simulation(&SimulationView { scenario: scenario.as_str(), days, devices, tasks_per_day, seed, queues })
}

fn queue(queue: &'static str, figures: &Figures) -> QueueView {
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let fates = figures.strategies.iter().map(|(name, fate)| FateView {
        name: name.to_string(),
        tasks: fate.tasks,
        done: fate.done,
        lost: fate.lost,
        median: fate.staleness.quantile(0.5).map(milliseconds),
        p99: fate.staleness.quantile(0.99).map(milliseconds),
    });
    QueueView {
        queue,
        strategies: fates.collect(),
        bytes: figures.bytes.iter().map(|(link, bytes)| (link.as_str(), *bytes)).collect(),
        radio_on: figures.radio_on.as_secs(),
        wakes: figures.wakes,
        requests: figures.requests,
        peak: figures.peak(),
    }
}
