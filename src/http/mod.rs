//! The one HTTP client: one request, one answer, within bounds of time and size; where names resolve to; whom to trust.
//!
//! It must not know what a task is, nor what an answer means: `backend/` reads answers, `schedule/` decides.
//!
//! - No proxy but the one in config: `http_proxy` and the like in the environment are not read.
//! - The credential goes to the backend's origin alone: whatever a server names, only a [`Place`] of that origin can be asked.
//! - No retry but of a connection for which no next hop was found, no cookie, no automatic redirect: a 307 or 308 to the same origin is followed once by hand.
//! - An answer is read to at most [`ANSWER_LIMIT`], on the wire and after decompression; its head to some 400 KiB and
//!   100 lines.
//! - A [`glance`] is another client's: one `GET` on a connection of its own, with nothing of any backend in it.
//! - What its connections carry is looked at as they go ([`Gauge`]); nothing is sent for that.
//! - A connection is kept for [`KEEP_IDLE`] after its last use, so that a burst re-uses it and an idle process sleeps:
//!   the pool's timer ends with its last connection.

mod addresses;
mod client;
mod error;
mod gauge;
mod glance;
mod meter;
mod moving;
mod noting;
mod place;
mod reply;
mod secret;
mod tally;
mod trust;
mod words;

pub use addresses::{Addresses, Known};
pub use client::{Call, Client, Head, KEEP_IDLE};
pub use error::{ClientError, SendError};
pub use gauge::Gauge;
pub use glance::{Glance, glance};
pub use meter::{Meter, Rate};
pub use place::Place;
pub use reply::{ANSWER_LIMIT, Reply};
pub use secret::SecretFile;
pub use words::{WORDS_LIMIT, plain};
