//! The `http` backend through the library's public face, against the embedded server: every way in which an answer can
//! come or fail to come, and what it is told as.

#![cfg(feature = "tools")]

mod answers;
mod compression;
mod faults;
mod idle;
mod protocol;
mod proxy;
mod redirects;
mod secrets;
mod setup;
mod trust;
