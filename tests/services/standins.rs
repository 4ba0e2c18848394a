//! The stand-ins with the shapes of what they stand for, on any bus. They know nothing of who listens.

use zbus::{ObjectPath, Variant};

use crate::mock::{Mock, owned};

pub(crate) const NM: &str = "org.freedesktop.NetworkManager";
pub(crate) const NM_PATH: &str = "/org/freedesktop/NetworkManager";
pub(crate) const NM_DEVICE: &str = "org.freedesktop.NetworkManager.Device";
pub(crate) const LO: &str = "/org/freedesktop/NetworkManager/Devices/1";
const OTHER: &str = "/org/freedesktop/NetworkManager/Devices/2";

/// `NMMetered`.
pub(crate) const UNKNOWN: u32 = 0;
pub(crate) const YES: u32 = 1;
pub(crate) const NO: u32 = 2;
pub(crate) const GUESS_YES: u32 = 3;
pub(crate) const GUESS_NO: u32 = 4;

/// NetworkManager with two devices, one of which is `lo`, over which tests reach their servers.
pub(crate) fn networkmanager(address: &str, metered: u32) -> Mock {
    Mock::start(address, &[NM], |objects| {
        let devices = [LO, OTHER].map(|path| ObjectPath::try_from(path).expect("a path")).to_vec();
        objects.set(NM_PATH, NM, "Devices", owned(devices));
        objects.set(NM_PATH, NM, "ConnectivityCheckEnabled", owned(false));
        objects.set(NM_PATH, NM, "Connectivity", owned(4u32));
        for (path, interface, ip_interface, metered) in [(LO, "lo", "lo", metered), (OTHER, "ttyUSB2", "", YES)] {
            objects.set(path, NM_DEVICE, "Interface", owned(interface));
            objects.set(path, NM_DEVICE, "IpInterface", owned(ip_interface));
            objects.set(path, NM_DEVICE, "Metered", owned(metered));
        }
    })
}

pub(crate) fn set_metered(networkmanager: &Mock, metered: u32) {
    networkmanager.set(LO, NM_DEVICE, "Metered", metered);
}

pub(crate) const MM: &str = "org.freedesktop.ModemManager1";
pub(crate) const MODEM_PATH: &str = "/org/freedesktop/ModemManager1/Modem/0";
pub(crate) const MODEM: &str = "org.freedesktop.ModemManager1.Modem";
pub(crate) const MODEM_3GPP: &str = "org.freedesktop.ModemManager1.Modem.Modem3gpp";

/// `MMModem3gppRegistrationState`.
pub(crate) const HOME: u32 = 1;
pub(crate) const SEARCHING: u32 = 2;
pub(crate) const ROAMING: u32 = 5;

/// ModemManager with a modem whose bytes go over `lo`.
pub(crate) fn modemmanager(address: &str, registration: u32) -> Mock {
    Mock::start(address, &[MM], |objects| {
        // Ports of the kinds `at`, `net` and `qmi`.
        let ports = vec![("ttyUSB2", 3u32), ("lo", 2u32), ("cdc-wdm0", 6u32)];
        objects.set(MODEM_PATH, MODEM, "Ports", owned(ports));
        objects.set(MODEM_PATH, MODEM_3GPP, "RegistrationState", owned(registration));
        // One that waits for its PIN has no such interface.
        objects.set("/org/freedesktop/ModemManager1/Modem/1", MODEM, "Ports", owned(vec![("lo", 2u32)]));
    })
}

pub(crate) const PPD: &str = "org.freedesktop.UPower.PowerProfiles";
pub(crate) const PPD_PATH: &str = "/org/freedesktop/UPower/PowerProfiles";
pub(crate) const OLD_PPD: &str = "net.hadess.PowerProfiles";
pub(crate) const OLD_PPD_PATH: &str = "/net/hadess/PowerProfiles";

pub(crate) fn profiles(address: &str, profile: &str) -> Mock {
    Mock::start(address, &[PPD], |objects| {
        objects.set(PPD_PATH, PPD, "ActiveProfile", owned(profile));
    })
}

pub(crate) fn old_profiles(address: &str, profile: &str) -> Mock {
    Mock::start(address, &[OLD_PPD], |objects| {
        objects.set(OLD_PPD_PATH, OLD_PPD, "ActiveProfile", owned(profile));
    })
}

pub(crate) const UPOWER: &str = "org.freedesktop.UPower";
pub(crate) const DISPLAY: &str = "/org/freedesktop/UPower/devices/DisplayDevice";
pub(crate) const UP_DEVICE: &str = "org.freedesktop.UPower.Device";

pub(crate) fn upower(address: &str, warning: u32) -> Mock {
    Mock::start(address, &[UPOWER], |objects| {
        objects.set(DISPLAY, UP_DEVICE, "WarningLevel", owned(warning));
    })
}

pub(crate) const LOGIND: &str = "org.freedesktop.login1";
pub(crate) const LOGIND_PATH: &str = "/org/freedesktop/login1";
pub(crate) const LOGIND_MANAGER: &str = "org.freedesktop.login1.Manager";

pub(crate) fn logind(address: &str) -> Mock {
    logind_that(address, false)
}

/// One that lets nobody delay sleep, as polkit may have it.
pub(crate) fn logind_that_refuses(address: &str) -> Mock {
    logind_that(address, true)
}

fn logind_that(address: &str, refuses: bool) -> Mock {
    Mock::start_that(address, &[LOGIND], refuses, |objects| {
        objects.set(LOGIND_PATH, LOGIND_MANAGER, "PreparingForSleep", owned(false));
    })
}

/// Says that the device is about to sleep, or has woken, as logind does.
pub(crate) fn prepare_for_sleep(logind: &Mock, near: bool) {
    logind.quietly(|objects| objects.set(LOGIND_PATH, LOGIND_MANAGER, "PreparingForSleep", owned(near)));
    logind.emit(LOGIND_PATH, LOGIND_MANAGER, "PrepareForSleep", &near);
}

/// A value that is told.
pub(crate) fn value<'v>(value: impl Into<Variant<'v>>) -> Variant<'v> {
    value.into()
}
