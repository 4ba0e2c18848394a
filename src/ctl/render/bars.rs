//! `ferryctl put --wait` on a terminal: a bar for each file under way, and a line for all.

use super::palette::{Ink, Palette};
use super::{clean, size};

/// The most bars at once.
const MOST: usize = 10;
/// Columns of a bar.
const WIDTH: u64 = 20;

/// The files that are waited for, in the order in which they were handed over.
#[derive(Debug, Default)]
pub(in crate::ctl) struct Bars(Vec<Row>);

#[derive(Debug)]
struct Row {
    id: String,
    file: String,
    done: u64,
    total: u64,
    rate: u64,
    ended: bool,
}

impl Bars {
    /// A file of this size is waited for.
    pub(in crate::ctl) fn add(&mut self, id: &str, file: &str, total: u64) {
        let (id, file) = (id.to_owned(), file.to_owned());
        self.0.push(Row { id, file, done: 0, total, rate: 0, ended: false });
    }

    /// More of it has arrived; of others nothing is noted.
    pub(in crate::ctl) fn heard(&mut self, id: &str, done: u64, total: u64, rate: u64) {
        if let Some(row) = self.0.iter_mut().find(|row| row.id == id) {
            (row.done, row.total, row.rate) = (done.min(total), total, rate);
        }
    }

    /// It has ended; gives its name.
    pub(in crate::ctl) fn ended(&mut self, id: &str) -> Option<String> {
        let row = self.0.iter_mut().find(|row| row.id == id && !row.ended)?;
        row.ended = true;
        Some(row.file.clone())
    }

    /// Nothing once all have ended.
    pub(super) fn text(&self, palette: Palette) -> String {
        if self.0.iter().all(|row| row.ended) {
            return String::new();
        }
        let under_way = self.0.iter().filter(|row| !row.ended && row.done > 0).take(MOST);
        let mut text: String = under_way.map(|row| bar(row, palette)).collect();
        let ended = self.0.iter().filter(|row| row.ended).count();
        let done = self.0.iter().map(|row| if row.ended { row.total } else { row.done }).sum();
        let total = self.0.iter().map(|row| row.total).sum();
        text += &format!("{ended} of {} files, {} of {}\n", self.0.len(), size(done), size(total));
        text
    }
}

fn bar(row: &Row, palette: Palette) -> String {
    let part = |of: u64| u64::try_from(u128::from(row.done) * u128::from(of) / u128::from(row.total.max(1)));
    let full = usize::try_from(part(WIDTH).unwrap_or(WIDTH)).unwrap_or_default();
    let bar = palette.paint(Ink::Busy, &"#".repeat(full)) + &".".repeat(usize::try_from(WIDTH).unwrap_or(full) - full);
    let name: String = clean(row.file.rsplit('/').next().unwrap_or_default()).chars().take(30).collect();
    let rate = if row.rate > 0 { format!("  {}/s", size(row.rate)) } else { String::new() };
    format!("{name:<30}  [{bar}]  {:>3} %{rate}\n", part(100).unwrap_or(100))
}
