//! The bent network, as the built `ferryctl bend` makes it: what it does to bytes, and the built `ferryd` behind it.

mod bent;
#[path = "../common/bus.rs"]
mod bus;
#[path = "../daemon/device.rs"]
#[expect(dead_code, reason = "shared with tests/daemon")]
mod device;
mod ends;

#[path = "../daemon/uploads/files.rs"]
#[expect(dead_code, reason = "shared with tests/daemon")]
mod files;
#[path = "../common/machine.rs"]
#[expect(dead_code, reason = "shared with tests/examples")]
mod machine;
#[path = "../common/netns.rs"]
mod netns;
#[path = "../common/page.rs"]
#[expect(dead_code, reason = "shared with tests/readme.rs")]
mod page;
#[path = "../common/ready.rs"]
mod ready;
mod shape;
mod synced;
mod testing_page;
