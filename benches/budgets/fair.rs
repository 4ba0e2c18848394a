//! Row 8: metadata while two photos fill a link of 1 Mbit/s, beside metadata on the same link when it is idle.
//!
//! What is measured is the time from the start of `ferryctl enqueue` until the server has the task, the median of some. The
//! budget allows twice the idle median, and one chunk that is on its way: up to five seconds.

use crate::line::Line;
use crate::report::{Budget, Figure, millis};
use crate::upload::{MEBIBYTE, write};
use crate::{Effort, Failed, rounds};

/// The longest that a chunk takes, in seconds.
const CHUNK: f64 = 5.0;

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let tasks = if effort == Effort::Full { 15 } else { 3 };
    let line = Line::of(1_000, |_| {})?;
    let small = || (0..tasks).map(|_| line.small()).collect::<Result<Vec<f64>, Failed>>();
    let idle = rounds::median(&small()?);
    for name in ["one", "two"] {
        let file = line.folder().join(name);
        // Far more than goes in the time.
        write(&file, 32 * MEBIBYTE)?;
        line.put(&file)?;
    }
    // Both have found their size of chunk.
    line.until_beyond(MEBIBYTE as u64 / 2)?;
    let beside = rounds::median(&small()?);
    line.stop()?;
    let limit = 2.0 * idle + CHUNK;
    Ok(vec![Figure {
        what: "metadata while two photos fill a link of 1 Mbit/s, beside twice its time on the idle link and a chunk"
            .to_owned(),
        measured: millis(beside),
        limit: format!("2 × {} + {CHUNK} s", millis(idle)),
        ratio: beside / limit,
        budget: Budget::AtMost(1.0),
    }])
}
