//! An app that floods, that never reads what it is sent, or that otherwise misbehaves, hurts itself only: on a bus that
//! stops reading from a sender when 1 MB of its messages wait for a receiver (`max_incoming_bytes`), another client's calls
//! stay within twice their usual median. The daemon's loop is a stand-in (see `common/faces.rs`).

#![expect(clippy::print_stdout, reason = "the figures are for people")]

mod abuse;
#[path = "../common/bus.rs"]
mod bus;
#[path = "../common/faces.rs"]
#[expect(dead_code, reason = "shared with tests/bus.rs")]
mod faces;
mod flood;
mod raw;
mod unread;
mod usual;

use bus::PrivateBus;

/// A bus on which 1 MB of one sender may wait, and so many of its calls for answers.
fn tight(replies: u64) -> PrivateBus {
    PrivateBus::with_limits(&[("max_incoming_bytes", 1 << 20), ("max_replies_per_connection", replies)])
}
