//! The built `ferryd` from start to end: a private bus, real sockets and links, the embedded server as the judge.

#[path = "../common/bus.rs"]
mod bus;
mod device;
mod lifecycle;
#[path = "../common/netns.rs"]
mod netns;
mod servers;
