//! `ferryctl simulate` for people: two tables, a line a strategy and queue, and a line a queue.

use super::palette::Palette;
use super::size;
use super::table::{Cell, table};
use crate::ctl::views::{FateView, QueueView, SimulationView};

pub(super) fn text(view: &SimulationView, palette: Palette) -> String {
    let SimulationView { scenario, days, devices, tasks_per_day, seed, queues } = view;
    let head = format!("{scenario}: {devices} devices, {days} days, {tasks_per_day} tasks a day, seed {seed}\n");
    let fates = table(["strategy", "queue", "tasks", "done", "lost", "median", "p99"], &fates(queues), palette);
    let heads = ["queue", "wifi", "cellular", "radio on", "wakes", "requests", "peak a second"];
    let totals = table(heads, &queues.iter().map(total).collect::<Vec<_>>(), palette);
    format!("{head}\n{fates}\n{totals}")
}

/// The queues of one strategy stand below each other.
fn fates(queues: &[QueueView]) -> Vec<[Cell; 7]> {
    let mut rows = Vec::new();
    for at in 0..queues.iter().map(|queue| queue.strategies.len()).max().unwrap_or(0) {
        rows.extend(queues.iter().filter_map(|queue| Some(fate(queue.queue, queue.strategies.get(at)?))));
    }
    rows
}

fn fate(queue: &str, fate: &FateView) -> [Cell; 7] {
    let time = |milliseconds: Option<u64>| Cell::figure(&milliseconds.map_or_else(|| "-".to_owned(), length));
    [
        Cell::text(&fate.name),
        Cell::text(queue),
        Cell::number(fate.tasks),
        Cell::number(fate.done),
        Cell::number(fate.lost),
        time(fate.median),
        time(fate.p99),
    ]
}

fn total(queue: &QueueView) -> [Cell; 7] {
    let bytes = |link| Cell::figure(&size(queue.bytes.get(link).copied().unwrap_or(0)));
    [
        Cell::text(queue.queue),
        bytes("wifi"),
        bytes("cellular"),
        Cell::figure(&length(queue.radio_on * 1_000)),
        Cell::number(queue.wakes.values().sum()),
        Cell::number(queue.requests),
        Cell::number(queue.peak.into()),
    ]
}

/// A length of time, as fine as it matters.
fn length(milliseconds: u64) -> String {
    let seconds = milliseconds / 1_000;
    match seconds {
        0..10 => format!("{}.{:02} s", seconds, milliseconds % 1_000 / 10),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}
