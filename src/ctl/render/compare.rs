//! `ferryctl simulate --compare` for people: how old data gets and what it costs in each scenario, as ratios.

use super::palette::Palette;
use super::table::{Cell, table};
use crate::ctl::views::{ComparisonView, FateView, QueueView, SimulationView};

pub(super) fn text(view: &ComparisonView, palette: Palette) -> String {
    let Some(SimulationView { days, devices, tasks_per_day, seed, .. }) = view.simulations.first() else {
        return String::new();
    };
    let head = format!(
        "{devices} devices, {days} days, {tasks_per_day} tasks a day, seed {seed}: Ferry's figure divided by that of fifo, and\n\
         in brackets by that of patient; lost are tasks that Ferry and fifo gave up\n"
    );
    let compared: Vec<Compared<'_>> = view.simulations.iter().filter_map(compared).collect();
    let fates: Vec<_> = compared.iter().flat_map(Compared::fates).collect();
    let fates = table(["scenario", "strategy", "lost", "median", "p99"], &fates, palette);
    let costs: Vec<_> = compared.iter().map(Compared::costs).collect();
    let heads = ["scenario", "all bytes", "cellular", "radio on", "wakes", "requests", "peak a second"];
    format!("{head}\n{fates}\n{}", table(heads, &costs, palette))
}

/// A scenario in which something was sent.
struct Compared<'a> {
    scenario: &'static str,
    queues: [&'a QueueView; 3],
}

fn compared(view: &SimulationView) -> Option<Compared<'_>> {
    let [ferry, fifo, patient] = &view.queues[..] else { return None };
    let queues = [ferry, fifo, patient];
    queues.iter().any(|queue| queue.requests > 0).then_some(Compared { scenario: view.scenario, queues })
}

impl Compared<'_> {
    /// Strategies of which something arrived.
    fn fates(&self) -> Vec<[Cell; 5]> {
        let [ferry, fifo, patient] = self.queues.map(|queue| &queue.strategies);
        let together = ferry.iter().zip(fifo).zip(patient).map(|((ferry, fifo), patient)| [ferry, fifo, patient]);
        let arrived = |fates: &[&FateView; 3]| fates.iter().any(|fate| fate.done > 0);
        let row = |fates: [&FateView; 3]| {
            let time = |of: fn(&FateView) -> Option<u64>| ratios(fates.map(|fate| of(fate).unwrap_or_default()));
            let [ferry, fifo, _] = fates.map(|fate| fate.lost);
            [
                Cell::text(self.scenario),
                Cell::text(&fates[0].name),
                Cell::figure(&format!("{ferry} : {fifo}")),
                time(|fate| fate.median),
                time(|fate| fate.p99),
            ]
        };
        together.filter(arrived).map(row).collect()
    }

    fn costs(&self) -> [Cell; 7] {
        let of = |figure: fn(&QueueView) -> u64| ratios(self.queues.map(figure));
        [
            Cell::text(self.scenario),
            of(|queue| queue.bytes.values().sum()),
            of(|queue| queue.bytes.get("cellular").copied().unwrap_or_default()),
            of(|queue| queue.radio_on),
            of(|queue| queue.wakes.values().sum()),
            of(|queue| queue.requests),
            of(|queue| queue.peak.into()),
        ]
    }
}

fn ratios([ferry, fifo, patient]: [u64; 3]) -> Cell {
    Cell::figure(&match (ratio(ferry, fifo), ratio(ferry, patient)) {
        (None, None) => "-".to_owned(),
        (fifo, patient) => {
            let shown = |ratio: Option<String>| ratio.unwrap_or_else(|| "-".to_owned());
            format!("{} ({})", shown(fifo), shown(patient))
        }
    })
}

/// As fine as it matters; `None` beside nothing.
fn ratio(ours: u64, theirs: u64) -> Option<String> {
    let ratio = (theirs > 0).then(|| ours as f64 / theirs as f64)?;
    Some(match ratio {
        0.1.. => format!("{ratio:.2}"),
        0.001.. => format!("{ratio:.3}"),
        _ => "<0.001".to_owned(),
    })
}
