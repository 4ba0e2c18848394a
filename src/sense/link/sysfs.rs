//! What rtnetlink does not say of a device and sysfs does: whether it is a radio.

use std::fs;
use std::path::Path;

/// The kinds of device that look like ethernet to rtnetlink (DEVTYPE, set by the driver).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Radio {
    Wifi,
    Modem,
    Bluetooth,
}

/// The radio behind an interface. `None` also if sysfs is not there or shows another network namespace.
pub(super) fn radio(name: &str, index: u32) -> Option<Radio> {
    radio_in(Path::new("/sys/class/net"), name, index)
}

fn radio_in(class: &Path, name: &str, index: u32) -> Option<Radio> {
    let device = class.join(name);
    let uevent = fs::read_to_string(device.join("uevent")).ok()?;
    let value = |key: &str| uevent.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if value("IFINDEX") != Some(index.to_string().as_str()) {
        return None;
    }
    match value("DEVTYPE") {
        Some("wlan") => Some(Radio::Wifi),
        Some("wwan") => Some(Radio::Modem),
        Some("bluetooth") => Some(Radio::Bluetooth),
        // Old drivers set no DEVTYPE.
        _ => ["phy80211", "wireless"].iter().any(|entry| device.join(entry).exists()).then_some(Radio::Wifi),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(class: &Path, name: &str, uevent: &str) {
        fs::create_dir(class.join(name)).unwrap();
        fs::write(class.join(name).join("uevent"), uevent).unwrap();
    }

    #[test]
    fn the_driver_says_what_radio_it_is() {
        let class = tempfile::tempdir().unwrap();
        let class = class.path();
        device(class, "wlan0", "DEVTYPE=wlan\nINTERFACE=wlan0\nIFINDEX=3\n");
        device(class, "wwan0", "DEVTYPE=wwan\nINTERFACE=wwan0\nIFINDEX=4\n");
        device(class, "bnep0", "DEVTYPE=bluetooth\nINTERFACE=bnep0\nIFINDEX=5\n");
        device(class, "ath0", "INTERFACE=ath0\nIFINDEX=6\n");
        fs::create_dir(class.join("ath0/wireless")).unwrap();
        device(class, "eth0", "INTERFACE=eth0\nIFINDEX=2\n");
        assert_eq!(radio_in(class, "wlan0", 3), Some(Radio::Wifi));
        assert_eq!(radio_in(class, "wwan0", 4), Some(Radio::Modem));
        assert_eq!(radio_in(class, "bnep0", 5), Some(Radio::Bluetooth));
        assert_eq!(radio_in(class, "ath0", 6), Some(Radio::Wifi));
        assert_eq!(radio_in(class, "eth0", 2), None);
    }

    #[test]
    fn another_namespace_s_device_of_the_same_name_is_not_believed() {
        let class = tempfile::tempdir().unwrap();
        device(class.path(), "wlan0", "DEVTYPE=wlan\nINTERFACE=wlan0\nIFINDEX=3\n");
        assert_eq!(radio_in(class.path(), "wlan0", 4), None);
        assert_eq!(radio_in(class.path(), "wlan1", 3), None);
    }
}
