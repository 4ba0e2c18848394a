//! Tests of the core as a whole: an in-memory store in place of SQLite, and a clock that tests move by hand.

mod charge;
mod dates;
mod files;
mod hotel;
mod nonsense;
mod outages;
mod outcomes;
mod races;
mod reach;
mod reference;
mod rig;
mod rules;
mod shown;
mod sleep;
mod slow;
mod spread;
mod twins;
