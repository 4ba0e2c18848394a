//! Power: a stand-in for `/sys/class/power_supply`, bound over the real one for the daemon alone, and uevents that the real
//! kernel sends in the daemon's network namespace. A real battery is seen in a virtual machine only.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use ferryd::demo::{Behaviour, Server};
use netlink_sys::protocols::NETLINK_KOBJECT_UEVENT;
use netlink_sys::{Socket, SocketAddr};
use serde_json::json;
use tempfile::TempDir;

use crate::device::{Device, none};
use crate::netns::{self, Netns};
use crate::servers::config_with;

/// Supplies as the daemon sees them.
struct Supplies {
    class: TempDir,
}

impl Supplies {
    /// Each a name and its files, `KEY=VALUE` with blanks between.
    fn new(supplies: &[(&str, &str)]) -> Self {
        let class = TempDir::with_prefix("ferry-power-").expect("a folder");
        for (name, files) in supplies {
            fs::create_dir(class.path().join(name)).expect("a folder");
            files.split(' ').for_each(|file| {
                let (file, value) = file.split_once('=').expect("a value");
                fs::write(class.path().join(name).join(file), value).expect("a file");
            });
        }
        Self { class }
    }

    /// Changes a file, and has the kernel tell of it (lib/kobject_uevent.c: root of a network namespace may inject).
    fn set(&self, netns: &Netns, file: &str, value: &str) {
        fs::write(self.class.path().join(file), value).expect("a file");
        let text = "change@/devices/x\0ACTION=change\0DEVPATH=/devices/x\0SUBSYSTEM=power_supply\0";
        // A netlink header: length, type 16 (the first free one), NLM_F_REQUEST, number, sender.
        let length = u32::try_from(16 + text.len()).expect("a short text");
        let mut message = [length.to_ne_bytes(), [0; 4], [0; 4], [0; 4]].concat();
        (message[4], message[6]) = (16, 1);
        message.extend_from_slice(text.as_bytes());
        netns.inside(|| {
            let socket = Socket::new(NETLINK_KOBJECT_UEVENT).expect("a socket");
            socket.send_to(&message, &SocketAddr::new(0, 0), 0).expect("the kernel takes it");
        });
    }

    /// The daemon, with these supplies in place of the machine's.
    fn switch_on(&self, device: &mut Device<'_>) {
        let ferryd = device.command();
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "sh",
            "-c",
            "mount --bind \"$1\" /sys/class/power_supply && shift && exec \"$@\"",
            "sh",
        ]);
        command.arg(self.class.path()).arg(ferryd.get_program()).args(ferryd.get_args());
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let log = fs::File::options().create(true).append(true).open(device.file("log")).expect("a log");
        command.stderr(log);
        device.switch_on_by(command);
    }
}

fn serve_inside(netns: &Netns) -> Server {
    let listener = netns.inside(|| TcpListener::bind("127.0.0.1:0").expect("a socket"));
    Server::start(listener, Behaviour::honest()).expect("a server")
}

#[test]
fn a_task_waits_for_charge_and_charger_and_goes_when_the_kernel_tells_of_them() {
    if !netns::require() {
        return;
    }
    let netns = Netns::new();
    let server = serve_inside(&netns);
    let supplies = Supplies::new(&[
        ("AC", "type=Mains online=0"),
        ("BAT0", "type=Battery present=1 status=Discharging capacity=20"),
        ("mouse", "type=Battery scope=Device status=Discharging capacity=3"),
    ]);
    let more = "[strategy.metadata]\nmin_battery = 30\n[strategy.analytics]\ncharging = true";
    let mut device = Device::off(Some(&netns), &config_with(&server, more));
    supplies.switch_on(&mut device);
    let (charge, charger) = (device.enqueue(1).remove(0), device.enqueue_to("analytics", 1).remove(0));
    let row = device.until_waits_for(&charge, "low-battery");
    assert_eq!((&row.detail["battery_percent"], &row.detail["min_battery"]), (&json!("20"), &json!("30")));
    assert!(row.clears.starts_with("the battery reaches 33 %"), "what it says is what it takes: {}", row.clears);
    device.until_waits_for(&charger, "not-charging");
    let shown = device.shown("Power");
    let expected = json!({"ExternalPower": false, "Charging": false, "BatteryPresent": true, "BatteryPercent": 20.0,
        "PowerSave": false});
    assert_eq!(shown, expected);
    assert_eq!(device.shown("Manager")["NextWake"][0], "read-power");

    supplies.set(&netns, "BAT0/capacity", "33");
    device.until_done(&[charge]);

    device.until_waits_for(&charger, "not-charging");
    supplies.set(&netns, "BAT0/status", "Charging");
    supplies.set(&netns, "AC/online", "1");
    device.until_done(&[charger]);
    assert_eq!(device.shown("Power")["Charging"], true);
    assert_ne!(device.shown("Manager")["NextWake"][0], "read-power", "nothing asks any more");
}

#[test]
fn power_that_cannot_be_read_is_never_taken_for_good_news() {
    if !netns::require() {
        return;
    }
    let netns = Netns::new();
    let server = serve_inside(&netns);
    let supplies = Supplies::new(&[("BAT0", "type=Battery status=Discharging capacity=unknown")]);
    let more = "[strategy.metadata]\nmin_battery = 15\n[strategy.analytics]\nmin_battery = 0";
    let mut device = Device::off(Some(&netns), &config_with(&server, more));
    supplies.switch_on(&mut device);
    let (asks, plain) = (device.enqueue(1).remove(0), device.enqueue_to("analytics", 1));
    device.until_done(&plain);
    device.until_waits_for(&asks, "low-battery");
    assert_eq!(device.shown("Power")["BatteryPresent"], true);
    // `SyncNow` is the way out for who knows better.
    let waive = std::collections::BTreeMap::from([("override", zbus::Variant::from(vec!["low-battery".to_owned()]))]);
    device.call("Manager", "SyncNow", &("", waive)).expect("waived");
    device.until_done(&[asks]);
    device.call("Manager", "Pause", &none()).expect("paused");
}
