//! `ferryctl simulate`: what is asked for in, figures out. The devices live in `sim`.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::ctl::arguments::Simulate;
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::render::{Printer, plot};
use crate::ctl::views::{ComparisonView, FateView, QueueView, SimulationView};
use crate::model::Config;
use crate::sim::{Figures, Fleet, Queue, Scenario};

const BASELINES: [(&str, Queue); 2] = [("fifo", Queue::Fifo), ("patient", Queue::Patient)];

pub(in crate::ctl) fn simulate(asked: &Simulate, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let config = config(asked)?;
    if asked.compare {
        let simulations =
            Scenario::ALL.iter().map(|scenario| view(asked, *scenario, &lived(asked, *scenario, &config))).collect();
        return printer.comparison(&ComparisonView { simulations });
    }
    let failed = |file: &std::path::Path, error| Failure::said(Exit::Failed, format!("{}: {error}", file.display()));
    // A picture that cannot be written is said before devices live for days.
    let plot = asked
        .plot
        .as_deref()
        .map(|file| File::create(file).map(|open| (file, open)).map_err(|error| failed(file, error)));
    let figures = lived(asked, asked.scenario, &config);
    if let Some((file, mut open)) = plot.transpose()? {
        let Simulate { scenario, days, devices, seed, .. } = asked;
        let title = format!("How old data gets: {scenario}, {devices} devices, {days} days, seed {seed}");
        open.write_all(plot::svg(&title, &figures).as_bytes()).map_err(|error| failed(file, error))?;
    }
    printer.simulation(&view(asked, asked.scenario, &figures))
}

fn config(asked: &Simulate) -> Result<Arc<Config>, Failure> {
    let config = match &asked.config {
        Some(file) => crate::config::load(Some(file)),
        None => crate::sim::config(),
    };
    let config = config.map_err(|error| Failure::said(Exit::Failed, error.to_string()))?;
    if config.strategies.values().all(|strategy| strategy.backend.is_none()) {
        return Err(Failure::said(Exit::Failed, "the configuration names no backend: nothing could be sent"));
    }
    Ok(config.into())
}

/// What Ferry's devices did, and the others that were asked for.
fn lived(asked: &Simulate, scenario: Scenario, config: &Arc<Config>) -> Vec<(&'static str, Figures)> {
    let Simulate { days, devices, tasks_per_day, seed, .. } = *asked;
    let (tasks_per_day, config) = (f64::from(tasks_per_day), Arc::clone(config));
    let fleet = Fleet { scenario, days, devices, tasks_per_day, config, seed };
    let wanted = |(name, _): &&(&str, Queue)| asked.compare || asked.baseline.iter().any(|baseline| baseline == name);
    let others = BASELINES.iter().filter(wanted);
    std::iter::once(&("ferry", Queue::Ferry))
        .chain(others)
        .map(|(name, queue)| (*name, fleet.simulate(*queue)))
        .collect()
}

fn view(asked: &Simulate, scenario: Scenario, figures: &[(&'static str, Figures)]) -> SimulationView {
    let Simulate { days, devices, tasks_per_day, seed, .. } = *asked;
    let queues = figures.iter().map(|(name, figures)| queue(name, figures)).collect();
    SimulationView { scenario: scenario.as_str(), days, devices, tasks_per_day, seed, queues }
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
        wakes: figures.wakes.iter().map(|(wake, times)| (wake.as_str(), *times)).collect(),
        requests: figures.requests,
        peak: figures.peak(),
    }
}
