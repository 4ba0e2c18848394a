//! Ferry: apps on a Linux handheld or kiosk hand their sync work to one daemon over D-Bus; it keeps that work safe on
//! disk and carries it across when network, power and the task's strategy allow.
//!
//! The house has floors, and imports go down only (`tests/floors.rs` holds them to it):
//!
//! | floor | rooms |
//! | --- | --- |
//! | 0 words | [`model`]: plain types, no I/O |
//! | 1 thought | `schedule`: pure and deterministic; time and randomness are arguments |
//! | 2 hands | `store`, `config`, `http`, `backend`, `sense`: one outside thing each |
//! | 3 faces and loop | `bus`, `daemon` |
//! | 4 programs | `ctl`, `demo`, `sim`, `bend`, the two bins |
//!
//! A task's way: `bus` checks it → `store` makes it durable → `schedule` hears of the lane, and once nothing blocks it
//! asks for a claim → `store` hands rows over → `backend` makes one attempt → `schedule` decides what the answer means →
//! `store` writes it down → `bus` tells the owner.

pub mod backend;
#[cfg(feature = "tools")]
pub mod bend;
pub mod bus;
pub mod config;
pub mod ctl;
pub mod daemon;
#[cfg(feature = "tools")]
pub mod demo;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod model;
pub mod schedule;
pub mod sense;
#[cfg(feature = "tools")]
pub mod sim;
pub mod store;
