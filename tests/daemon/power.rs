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
use crate::rest::assert_rests;
use crate::servers::config_with;

/// Supplies as the daemon sees them.
struct Supplies {
    class: TempDir,
}

impl Supplies {
    /// Each a name and its files, `KEY=VALUE` with blanks between, `_` for a blank in a value.
    fn new(supplies: &[(&str, &str)]) -> Self {
        let supplied = Self { class: TempDir::with_prefix("ferry-power-").expect("a folder") };
        supplied.fill(supplies);
        supplied
    }

    fn fill(&self, supplies: &[(&str, &str)]) {
        for (name, files) in supplies {
            let folder = self.class.path().join(name);
            fs::create_dir(&folder).expect("a folder");
            for (file, value) in files.split(' ').filter_map(|file| file.split_once('=')) {
                fs::write(folder.join(file), format!("{}\n", value.replace('_', " "))).expect("a file");
            }
        }
    }

    /// Puts others in place of all, and has the kernel tell of it.
    fn replace(&self, netns: &Netns, supplies: &[(&str, &str)]) {
        for folder in fs::read_dir(self.class.path()).expect("a folder") {
            fs::remove_dir_all(folder.expect("a folder").path()).expect("removed");
        }
        self.fill(supplies);
        Self::tell(netns);
    }

    /// Changes a file, and has the kernel tell of it.
    fn set(&self, netns: &Netns, file: &str, value: &str) {
        fs::write(self.class.path().join(file), value).expect("a file");
        Self::tell(netns);
    }

    /// Has the kernel tell that something is different (lib/kobject_uevent.c: root of a network namespace may inject).
    fn tell(netns: &Netns) {
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
fn on_battery_with_nothing_that_asks_for_it_nobody_wakes() {
    if !netns::require() {
        return;
    }
    let netns = Netns::new();
    let server = serve_inside(&netns);
    let supplies = Supplies::new(&[
        ("AC", "type=Mains online=0"),
        ("BAT0", "type=Battery present=1 status=Discharging capacity=20"),
    ]);
    let more = "[strategy.analytics]\ncharging = true";
    let mut device = Device::off(Some(&netns), &config_with(&server, more));
    device.set("FERRYD_LOG", "debug");
    supplies.switch_on(&mut device);
    // What waits for the charger alone needs no looking at the battery: the kernel tells of chargers.
    let (sent, waits) = (device.enqueue(10), device.enqueue_to("analytics", 1).remove(0));
    device.until_done(&sent);
    device.until_waits_for(&waits, "not-charging");
    assert_rests(&mut device, "on battery, one waiting for a charger");
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

/// Devices as they are found in the wild, each unlike the one before in more than its percentage, of which no signal tells:
/// what it is, its supplies with the files that their drivers write, and
/// `ExternalPower`, `Charging`, `BatteryPresent`, `BatteryPercent` (by energy, not by the mean of percentages), `PowerSave`.
const DEVICES: &[Found<'_>] = &[
    (
        "held at its charge limit",
        &[
            ("AC", "type=Mains online=1"),
            (
                "BAT0",
                "type=Battery present=1 status=Not_charging capacity=80 charge_control_end_threshold=80 \
                 charge_now=3200000 charge_full=4000000 charge_full_design=4400000 current_now=0 voltage_now=12600000",
            ),
        ],
        (true, false, true, 80.0, false),
    ),
    (
        "a laptop on battery",
        &[
            ("ACAD", "type=Mains online=0"),
            (
                "BAT1",
                "type=Battery present=1 status=Discharging capacity=61 energy_now=30500000 energy_full=50000000 \
                 energy_full_design=57000000 power_now=9000000 voltage_now=11400000 technology=Li-ion",
            ),
        ],
        (false, false, true, 61.0, false),
    ),
    (
        "USB-C only, a phone charger in the second port",
        &[
            ("ucsi-source-psy-USBC000:001", "type=USB online=0 usb_type=C_[PD] scope=System"),
            ("ucsi-source-psy-USBC000:002", "type=USB online=1 usb_type=[C]_PD scope=System"),
            ("BAT0", "type=Battery present=1 status=Charging capacity=42"),
        ],
        (true, true, true, 42.0, false),
    ),
    (
        "two batteries of unequal size, the second at rest",
        &[
            ("AC", "type=Mains online=0"),
            (
                "BAT0",
                "type=Battery present=1 status=Discharging capacity=10 energy_now=2000000 energy_full=20000000 \
                 energy_full_design=23000000 power_now=7000000 voltage_now=11000000",
            ),
            (
                "BAT1",
                "type=Battery present=1 status=Not_charging capacity=90 energy_now=72000000 energy_full=80000000 \
                 energy_full_design=80000000 power_now=0 voltage_now=12000000",
            ),
        ],
        (false, false, true, 74.0, false),
    ),
    (
        "a kiosk without battery, whose mouse has one",
        &[("hidpp_battery_0", "type=Battery scope=Device capacity=50")],
        MAINS,
    ),
    (
        "a handheld with a headset and a pen that are nearly empty",
        &[
            ("battery", "type=Battery present=1 status=Discharging capacity=77 health=Good"),
            ("hci0-headset", "type=Battery scope=Device present=1 status=Discharging capacity=3"),
            ("wacom_battery_0", "type=Battery scope=Device status=Charging capacity=1 online=1"),
        ],
        (false, false, true, 77.0, false),
    ),
    ("a kiosk without anything", &[], MAINS),
    (
        "a battery of which sysfs says nonsense",
        &[("BAT0", "type=Battery present=1 status=Discharging capacity=-22 energy_now=99 energy_full=0 voltage_now=x")],
        (false, false, true, 0.0, false),
    ),
    (
        "a wireless charger",
        &[("dc", "type=Wireless online=1"), ("battery", "type=Battery status=Full capacity=100")],
        (true, false, true, 100.0, false),
    ),
    (
        "capacity only, nearly empty",
        &[("battery", "type=Battery status=Discharging capacity=9")],
        (false, false, true, 9.0, true),
    ),
    (
        "an empty bay beside a full one",
        &[
            ("AC", "type=Mains online=0"),
            ("BAT0", "type=Battery present=0 status=Unknown"),
            ("BAT1", "type=Battery present=1 status=Discharging capacity=88"),
        ],
        (false, false, true, 88.0, false),
    ),
    (
        "a phone whose charger no driver shows, charging",
        &[("bms", "type=BMS online=0"), ("battery", "type=Battery status=Charging capacity=55")],
        (true, true, true, 55.0, false),
    ),
];

type Found<'a> = (&'a str, &'a [(&'a str, &'a str)], Told);
type Told = (bool, bool, bool, f64, bool);
const MAINS: Told = (true, false, false, 0.0, false);

#[test]
fn each_device_found_in_the_wild_is_told_as_it_is() {
    if !netns::require() {
        return;
    }
    let netns = Netns::new();
    let supplies = Supplies::new(&[]);
    let mut device = Device::off(Some(&netns), "");
    supplies.switch_on(&mut device);
    for (what, found, (external, charging, present, percent, saves)) in DEVICES {
        let expected = json!({"ExternalPower": external, "Charging": charging, "BatteryPresent": present,
            "BatteryPercent": percent, "PowerSave": saves});
        let change = || supplies.replace(&netns, found);
        device.until_told(&format!("{what}: {expected}"), change, |device| device.shown("Power") == expected);
    }
}
