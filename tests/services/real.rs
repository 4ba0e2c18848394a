//! Real services, where they are installed, on a bus and with a `/run` of their own: NetworkManager (package network-manager)
//! rules over one cable in a namespace, and logind (systemd) sends nobody to sleep, since the service manager it asks is a
//! stand-in. What they say when they are well is what the stand-ins of the other tests say.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ferryd::demo::{Behaviour, Gate, Wait};
use serde_json::json;
use zbus::ObjectPath;

use crate::device::{Device, HANG};
use crate::machine::*;
use crate::mock::{JOB, Mock, owned};
use crate::netns::{self, Netns, Pair};
use crate::servers::{config_with, serve, serve_in};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const SYSTEMD_PATH: &str = "/org/freedesktop/systemd1";
const SUSPEND_PATH: &str = "/org/freedesktop/systemd1/unit/suspend_2etarget";

/// A program in `PATH`, or where Debian has daemons.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let daemons = ["/usr/sbin", "/usr/lib/systemd", "/lib/systemd"].map(PathBuf::from);
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(daemons).collect();
    folders.into_iter().map(|folder| folder.join(name)).find(|file| file.exists())
}

/// NetworkManager on the device's bus.
struct NetworkManager<'n> {
    netns: &'n Netns,
    process: Child,
    address: String,
    nmcli: PathBuf,
}

impl<'n> NetworkManager<'n> {
    /// Starts it with one connection, the cable's.
    fn start(device: &Device<'_>, netns: &'n Netns, daemon: &Path, nmcli: PathBuf) -> Self {
        let folder = device.file("nm");
        fs::create_dir_all(folder.join("conf.d")).expect("a folder");
        fs::create_dir_all(folder.join("connections")).expect("a folder");
        let at = |name: &str| folder.join(name).display().to_string();
        let configuration = format!(
            "[main]\nplugins=keyfile\ndns=none\nauth-polkit=false\nno-auto-default=*\n[keyfile]\npath={}\n",
            at("connections")
        );
        fs::write(folder.join("nm.conf"), configuration).expect("a file");
        let address = device.bus.address().to_owned();
        // It wants a `/run` of its own, and takes a `/sys` that is read-only as a sign that no udev is there to wait for.
        let script =
            "mount -t tmpfs run /run && mkdir /run/NetworkManager && mount -t sysfs -o ro sys /sys && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(daemon).arg("--no-daemon");
        command.args(["--config", &at("nm.conf"), "--config-dir", &at("conf.d"), "--state-file", &at("state")]);
        command.args(["--pid-file", &at("pid")]).env("DBUS_SYSTEM_BUS_ADDRESS", &address);
        let log = File::create(folder.join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = netns.spawn(&mut command).expect("NetworkManager runs");
        Self { netns, process, address, nmcli }
    }

    /// Runs nmcli with arguments split at spaces; whether it succeeded.
    fn cli(&self, arguments: &str) -> bool {
        let mut command = Command::new(&self.nmcli);
        command.args(arguments.split_whitespace()).env("DBUS_SYSTEM_BUS_ADDRESS", &self.address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.netns.spawn(&mut command).expect("nmcli runs").wait().expect("our child").success()
    }
}

impl Drop for NetworkManager<'_> {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn what_the_real_one_says_of_a_link_counts() {
    if !netns::require() {
        return;
    }
    let (Some(daemon), Some(nmcli)) = (program("NetworkManager"), program("nmcli")) else {
        return not_installed("NetworkManager");
    };
    let pair = Pair::new();
    let server = serve_in(&pair.server, Behaviour::honest());
    let mut device =
        Device::off(Some(&pair.device), &config_with(&server, "[strategy.analytics]\nnetwork = \"unmetered\""));
    device.switch_on();
    let networkmanager = NetworkManager::start(&device, &pair.device, &daemon, nmcli);
    until(&mut device, "it is there", |_| networkmanager.cli("general status"));
    let add = format!(
        "connection add type ethernet ifname {} con-name cable ipv4.method manual ipv4.addresses {}/24 \
         ipv6.method disabled connection.metered yes",
        Pair::UPLINK,
        Pair::DEVICE
    );
    assert!(networkmanager.cli(&add), "{}", log(&device));
    assert!(networkmanager.cli("connection up cable"), "{}", log(&device));
    let shows = |device: &mut Device<'_>, word: &str| {
        until(device, &format!("metered is {word}"), |device| device.shown("Network")["Metered"] == word);
    };
    shows(&mut device, "yes");
    let id = device.enqueue_to("analytics", 1).remove(0);
    device.until_waits_for(&id, "metered");
    assert!(networkmanager.cli(&format!("device modify {} connection.metered no", Pair::UPLINK)));
    shows(&mut device, "no");
    device.until_done(&[id]);
    // Left to guess, it says of a cable what we would; so it is told otherwise once more, and leaves.
    assert!(networkmanager.cli(&format!("device modify {} connection.metered yes", Pair::UPLINK)));
    shows(&mut device, "yes");
    drop(networkmanager);
    shows(&mut device, "guess-no");
    assert!(!device.log().contains("not understood"), "{}", device.log());
}

/// logind on the device's bus.
struct Logind(Child);

impl Logind {
    fn start(device: &Device<'_>, daemon: &Path) -> Self {
        // It finds that the machine can sleep, and whoever it asks to bring that about is not the machine's.
        let script = "mount -t tmpfs run /run && mkdir -p /run/systemd /run/udev /run/user && \
                      mount -t tmpfs power /sys/power && echo mem > /sys/power/state && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(daemon);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", device.bus.address()).env("SYSTEMD_LOG_TARGET", "console");
        let log = File::create(device.file("logind")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Self(command.spawn().expect("logind runs"))
    }
}

impl Drop for Logind {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Calls a method of logind; what it says.
fn ask_logind(device: &Device<'_>, call: &str) -> String {
    let mut busctl = Command::new("busctl");
    busctl.arg(format!("--address={}", device.bus.address())).args(["call", LOGIND, LOGIND_PATH, LOGIND_MANAGER]);
    let output = busctl.args(call.split_whitespace()).output().expect("busctl (package systemd)");
    String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8")
}

#[test]
fn the_real_logind_waits_for_us_and_tells_of_the_morning() {
    // It must be root, and no root of a user namespace.
    if !netns::possible() {
        return not_installed("logind");
    }
    let Some(daemon) = program("systemd-logind") else { return not_installed("logind") };
    let (unanswered, server) = (Gate::closed(), serve(Behaviour::honest()));
    server.behave(Behaviour { before_answering: Wait::Gate(unanswered.clone()), ..Behaviour::honest() });
    let mut device = Device::start(&config_with(&server, ""));
    let manager = Mock::start(device.bus.address(), &[SYSTEMD], |objects| {
        objects.set(SUSPEND_PATH, "org.freedesktop.systemd1.Unit", "LoadState", owned("loaded"));
    });
    let logind = Logind::start(&device, &daemon);
    until(&mut device, "sleep is delayed", |device| ask_logind(device, "ListInhibitors").contains("\"ferryd\""));
    let id = device.enqueue_one();
    assert!(server.wait_until(|log| log.applied() == 1, HANG));

    assert_eq!(ask_logind(&device, "Suspend b false"), "", "{}", logind_log(&device));
    device.until_strategy("metadata", "Blocked", json!(["suspending"]));
    // While an attempt runs nobody sleeps. When it has ended, the machine would.
    assert!(ask_logind(&device, "ListInhibitors").contains("\"ferryd\""));
    unanswered.open();
    manager.until_called("StartUnit");
    assert!(!ask_logind(&device, "ListInhibitors").contains("\"ferryd\""));
    assert_eq!(device.task(&id)["state"], "done");
    let id = device.enqueue_one();
    device.until_waits_for(&id, "suspending");

    let job = ObjectPath::try_from(JOB).expect("a path");
    manager.emit(
        SYSTEMD_PATH,
        "org.freedesktop.systemd1.Manager",
        "JobRemoved",
        &(1u32, job, "suspend.target", "done"),
    );
    device.until_done(&[id]);
    until(&mut device, "sleep is delayed", |device| ask_logind(device, "ListInhibitors").contains("\"ferryd\""));
    drop(logind);
    assert!(!device.log().contains("WARN"), "{}", device.log());
}

fn logind_log(device: &Device<'_>) -> String {
    fs::read_to_string(device.file("logind")).unwrap_or_default()
}

/// What cannot be run here is said.
fn not_installed(what: &str) {
    // Not by `eprintln!`, which the test harness keeps to itself if the test passes.
    let _closed = writeln!(io::stderr(), "NOT RUN: the real {what}: it is not there, or this is not root");
}

fn log(device: &Device<'_>) -> String {
    fs::read_to_string(device.file("nm/log")).unwrap_or_default()
}
