//! The built `ferryd` from start to end: a private bus, real sockets and links, the embedded server as the judge.

#[path = "../common/bus.rs"]
mod bus;
mod configuration;
mod ctl;
mod damage;
mod device;
mod hold;
mod lifecycle;
mod link;
#[path = "../common/netns.rs"]
mod netns;
mod outcomes;
mod pause;
mod rest;
mod secrets;
mod servers;
mod sync_now;
mod uploads;
