//! Floor 4, feature `tools`: the bent network, `ferryctl bend`. A TCP proxy that makes of a good network a bad one: it
//! follows the timeline of a scenario of [`sim`](crate::sim) and may be steered while it runs. It is no room of `sim`,
//! which is pure: this one has sockets and lives in real time. Of ferryd and what goes through it must know nothing.
//!
//! `order` and `steering` say what the link is now, `lane` when bytes have left, `talk` which requests are lost: pure all
//! four. `carry` moves the bytes of one connection accordingly, over the `link` that all share.

mod carry;
mod lane;
mod link;
mod order;
mod portal;
mod proxy;
mod steering;
mod talk;

pub use order::{NotAnOrder, Order, Rate};
pub use proxy::{Bend, BendError, News};
pub use steering::{Course, Outlook, WhenDown};
