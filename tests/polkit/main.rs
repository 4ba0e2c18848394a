//! Who may, on a bus with the policy of the system's: the built `ferryd` as a user of its own, callers of several users, and
//! a stand-in for polkit. Needs root.

mod absent;
#[path = "../common/bus.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod bus;
#[path = "../common/calls.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod calls;
mod client;
mod failing;
mod machine;
mod mock;
mod reach;
#[path = "../common/ready.rs"]
mod ready;
mod sharing;
#[path = "../common/system_bus.rs"]
mod system_bus;
mod verdicts;
