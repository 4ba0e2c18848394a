//! The built `ferryd` from start to end: a private bus, real sockets and links, the embedded server as the judge.

mod all_output;
mod bandwidth;
#[path = "../common/bus.rs"]
mod bus;
mod conditions;
mod configuration;
mod ctl;
mod damage;
mod device;
mod doctor;
mod faults;
mod flaps;
mod hold;
mod journal;
mod lifecycle;
mod link;
mod manager;
#[path = "../common/netns.rs"]
mod netns;
mod notify;
mod outcomes;
mod pause;
mod photos;
mod policy;
mod portal;
mod power;
mod rest;
mod routes;
#[path = "../common/s3_relay.rs"]
mod s3_relay;
#[path = "../common/s3.rs"]
mod s3_stand;
mod secrets;
mod servers;
mod sync_now;
#[path = "../common/system_bus.rs"]
mod system_bus;
#[path = "../common/tunnel.rs"]
mod tunnel;
mod uploads;
mod visitors;
mod wild;
