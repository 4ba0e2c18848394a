//! Saving power. The profiles and UPower are stand-ins: here is no battery that UPower would warn of. So is the battery: files
//! bound over `/sys/class/power_supply` for the daemon alone.

use std::fs;
use std::process::{Command, Stdio};

use ferryd::demo::Behaviour;
use serde_json::json;
use tempfile::TempDir;

use crate::device::Device;
use crate::machine::*;
use crate::mock::{Mood, owned};
use crate::netns;
use crate::servers::{config, serve};

/// A daemon on a battery with so many percent, which heeds no uevent: it reads its battery once.
fn on_battery(device: &mut Device<'_>, percent: u32) -> TempDir {
    let class = TempDir::with_prefix("ferry-saver-").expect("a folder");
    let battery = class.path().join("BAT0");
    fs::create_dir(&battery).expect("a folder");
    for (file, text) in [("type", "Battery"), ("status", "Discharging"), ("capacity", &percent.to_string())] {
        fs::write(battery.join(file), text).expect("a file");
    }
    let ferryd = device.command();
    let mut command = Command::new("unshare");
    let script = "mount --bind \"$1\" /sys/class/power_supply && shift && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh"]).arg(class.path());
    command.arg(ferryd.get_program()).args(ferryd.get_args()).stdin(Stdio::null()).stdout(Stdio::null());
    let log = fs::File::options().create(true).append(true).open(device.file("log")).expect("a log");
    device.switch_on_by({
        command.stderr(log);
        command
    });
    class
}

fn saves(device: &mut Device<'_>, saves: bool) {
    until(device, "power is saved, or not", |device| device.shown("Power")["PowerSave"] == saves);
}

#[test]
fn the_profile_decides_by_its_new_name_and_by_its_old() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    saves(&mut device, false);
    let new = profiles(device.bus.address(), "power-saver");
    saves(&mut device, true);
    let id = device.enqueue_to("analytics", 1).remove(0);
    device.until_waits_for(&id, "power-save");
    device.until_strategy("analytics", "Blocked", json!(["power-save"]));
    let urgent = device.enqueue(1);
    device.until_done(&urgent);
    new.set(PPD_PATH, PPD, "ActiveProfile", "balanced");
    device.until_done(&[id]);
    // Both at once, as releases from 0.20 on have it: the new one is asked.
    let old = old_profiles(device.bus.address(), "power-saver");
    new.set(PPD_PATH, PPD, "ActiveProfile", "performance");
    saves(&mut device, false);
    drop(new);
    saves(&mut device, true);
    old.set(OLD_PPD_PATH, OLD_PPD, "ActiveProfile", "balanced");
    saves(&mut device, false);
    old.set(OLD_PPD_PATH, OLD_PPD, "ActiveProfile", "power-saver");
    saves(&mut device, true);
    drop(old);
    saves(&mut device, false);
}

#[test]
fn on_battery_upower_warns_where_there_are_no_profiles_and_the_charge_where_there_is_no_upower() {
    if !netns::require() {
        return;
    }
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config(&server));
    let _class = on_battery(&mut device, 10);
    saves(&mut device, true);
    let upower = upower(device.bus.address(), 1);
    saves(&mut device, false);
    for (level, low) in [(3u32, true), (2, false), (4, true), (5, true), (1, false), (3, true)] {
        upower.set(DISPLAY, UP_DEVICE, "WarningLevel", level);
        saves(&mut device, low);
    }
    // Whatever UPower warns of: who chose a profile has decided. Nor is UPower listened to then.
    let profiles = profiles(device.bus.address(), "balanced");
    saves(&mut device, false);
    let asked = upower.asked();
    upower.set(DISPLAY, UP_DEVICE, "WarningLevel", 4u32);
    profiles.set(PPD_PATH, PPD, "ActiveProfile", "power-saver");
    saves(&mut device, true);
    assert_eq!(upower.asked(), asked);
    profiles.set(PPD_PATH, PPD, "ActiveProfile", "balanced");
    saves(&mut device, false);
    // One that is not understood decides nothing.
    profiles.be(Mood::Babble);
    profiles.tell(PPD_PATH, PPD, "ActiveProfile", &value("balanced"));
    saves(&mut device, true);
    upower.set(DISPLAY, UP_DEVICE, "WarningLevel", 1u32);
    saves(&mut device, false);
    upower.quietly(|objects| objects.set(DISPLAY, UP_DEVICE, "WarningLevel", owned("low")));
    upower.tell(DISPLAY, UP_DEVICE, "WarningLevel", &value(1u32));
    // 10 % are left.
    saves(&mut device, true);
    until_logged(&mut device, "upower is there and not understood", 1);
}

#[test]
fn a_warning_counts_on_battery_only() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let upower = upower(device.bus.address(), 5);
    assert_eq!(device.shown("Power")["ExternalPower"], true);
    let ids = device.enqueue_to("analytics", 1);
    device.until_done(&ids);
    assert_eq!((upower.asked(), &device.shown("Power")["PowerSave"]), (0, &json!(false)));
}
