//! What other services of the machine say, and what the built `ferryd` makes of it. The services are stand-ins on a private
//! bus: NetworkManager, ModemManager, power-profiles-daemon, UPower and logind cannot be had in all their moods without
//! the hardware they rule over, and a real one never lies on demand.

#[path = "../common/bus.rs"]
mod bus;
#[path = "../daemon/device.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod device;
#[path = "../daemon/uploads/files.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod files;
mod lies;
mod machine;
mod metering;
mod mock;
#[path = "../common/netns.rs"]
mod netns;
mod reach;
mod real;
mod rest;
mod saver;
#[path = "../daemon/servers.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod servers;
mod sleep;
mod standins;
