//! Row 6: a file that goes up on a link of 5 Mbit/s, beside curl's PUT of the same file on the same link.
//!
//! What is measured is goodput: of the daemon, from the moment the server knows of the upload until it has all of it, with
//! the URL synced to disk and all chunks, each vouched for by its SHA-256; of curl, its whole transfer by its own clock.

use std::time::Instant;

use crate::line::Line;
use crate::report::{Budget, Figure};
use crate::rounds::Turns;
use crate::upload::{MEBIBYTE, write};
use crate::{Effort, Failed, curl};

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    // Two chunks and a half of the default configuration; in the short run half a chunk.
    let (rounds, size) = if effort == Effort::Full { (5, 10 * MEBIBYTE) } else { (1, 2 * MEBIBYTE) };
    let figure = beside_curl(5_000, size, rounds)?;
    Ok(vec![Figure { budget: Budget::AtLeast(0.985), ..figure }])
}

/// The same at other rates, for comparison; from the first file on, of which nothing is known.
pub(crate) fn at_rates(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let rounds = if effort == Effort::Full { 3 } else { 1 };
    let sizes = [(200, MEBIBYTE), (1_000, MEBIBYTE), (5_000, 4 * MEBIBYTE), (20_000, 16 * MEBIBYTE)];
    sizes.into_iter().map(|(kilobits, size)| beside_curl(kilobits, size, rounds)).collect()
}

/// A file on a link of so many kbit/s.
fn beside_curl(kilobits: u32, size: usize, rounds: usize) -> Result<Figure, Failed> {
    let line = Line::of(kilobits, |_| {})?;
    let file = line.folder().join("file");
    write(&file, size)?;
    let ours = || {
        line.put(&file)?;
        let began = Instant::now();
        line.until_finished()?;
        Ok(size as f64 / began.elapsed().as_secs_f64())
    };
    let curl = || curl::put(line.server.address(), &file, &|command| line.start(command));
    let turns = Turns::take(rounds, ours, curl)?;
    line.stop()?;
    let speed = |rate: f64| format!("{:.3} Mbit/s", rate * 8.0 / 1e6);
    let (size, link) = (size / MEBIBYTE, f64::from(kilobits) / 1e3);
    Ok(Figure {
        what: format!("upload of {size} MiB at {link} Mbit/s, beside curl's PUT"),
        measured: speed(turns.a()),
        limit: speed(turns.b()),
        ratio: turns.ratio(),
        budget: Budget::None,
    })
}
