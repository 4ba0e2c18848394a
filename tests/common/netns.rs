//! Real links for tests: network namespaces joined by a veth pair. A namespace has no name and no process of its own; it
//! lives as long as its descriptor, so nothing is left behind even by a test that is killed.
#![allow(clippy::allow_attributes, dead_code, reason = "each test binary uses another part of this")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

/// Set to `1` to let tests that need namespaces or mounts pass without being run where there are none.
const UNPRIVILEGED: &str = "FERRY_TEST_UNPRIVILEGED";

/// Set in a test that runs itself again as root of a user namespace.
const AGAIN: &str = "FERRY_TEST_IN_USER_NAMESPACE";

/// Call it first in a test that makes namespaces, and return if it says `false`: then the test has been run, as root of a
/// user namespace, by itself; or there are no namespaces here and `FERRY_TEST_UNPRIVILEGED=1` says that this is known.
/// Panics if it has failed there, or if there are none and that is not known.
#[must_use]
pub(crate) fn require() -> bool {
    let Err(error) = Netns::try_new() else {
        return true;
    };
    if std::env::var_os(AGAIN).is_none()
        && let Some(status) = again()
    {
        assert!(status.success(), "the test failed in a user namespace: {status}");
        return false;
    }
    not_run(&format!("no network namespaces ({error}); be root or allow user ones"));
    false
}

/// Says that the test cannot be run here, and why not. Panics unless it is known that there are such tests here.
pub(crate) fn not_run(why: &str) {
    let known = std::env::var(UNPRIVILEGED).is_ok_and(|value| value == "1");
    // Not by `eprintln!`, which the test harness keeps to itself if the test passes.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let _closed = writeln!(io::stderr(), "NOT RUN: {test}: {why}");
    assert!(known, "{why}; set {UNPRIVILEGED}=1 to pass without what needs that");
}

/// Whether namespaces can be made.
pub(crate) fn possible() -> bool {
    Netns::try_new().is_ok()
}

/// Runs this test alone in a user namespace; `None` if there are none.
fn again() -> Option<ExitStatus> {
    let unshare = ["--user", "--map-root-user", "--net", "--"];
    if !Command::new("unshare").args(unshare).arg("true").stderr(Stdio::null()).status().ok()?.success() {
        return None;
    }
    // The test harness names each test's thread after it; with --test-threads=1 there is none and all of the file runs.
    let name = thread::current().name().filter(|&name| name != "main").map(str::to_owned);
    let mut command = Command::new("unshare");
    command.args(unshare).arg(std::env::current_exe().ok()?).env(AGAIN, "1").args(["--nocapture", "--test-threads=2"]);
    command.args(name.iter().flat_map(|name| ["--exact", name]));
    command.status().ok()
}

/// A network namespace, in which at first only `lo` is, and up.
#[derive(Debug)]
pub(crate) struct Netns(File);

impl Netns {
    /// A new one. Panics if that is not allowed; see [`require`].
    pub(crate) fn new() -> Self {
        Self::try_new().expect("a network namespace")
    }

    fn try_new() -> io::Result<Self> {
        let made = thread::spawn(|| {
            unshare_network()?;
            File::open("/proc/thread-self/ns/net")
        });
        let new = Self(made.join().expect("the thread that makes a namespace")?);
        new.ip("link set lo up");
        Ok(new)
    }

    /// Moves the calling thread here for good: the sockets it opens and the processes it starts from now on are here.
    pub(crate) fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))?)
    }

    /// What the function gives when it is run here, on a thread of its own.
    pub(crate) fn inside<T: Send>(&self, function: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter().expect("entering the namespace");
                function()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a program here.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        self.inside(|| command.spawn())
    }

    /// Runs `ip` with these arguments here, by words. Panics if it fails.
    pub(crate) fn ip(&self, arguments: &str) {
        let mut ip = Command::new("ip");
        ip.args(arguments.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = self.spawn(&mut ip).expect("ip (package iproute2)");
        succeeded(child, arguments);
    }

    /// Runs lines of `ip` arguments (no options) in one process, quickly. Panics if one fails.
    pub(crate) fn ip_batch(&self, lines: &str) {
        let mut ip = Command::new("ip");
        ip.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = self.spawn(&mut ip).expect("ip (package iproute2)");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(lines.as_bytes()).and_then(|()| stdin.write_all(b"\n")).expect("writing to ip");
        drop(stdin);
        succeeded(child, lines);
    }

    /// Shapes what leaves by an interface to a rate (`200kbit`) from now on (tc-tbf(8)): what is beyond it waits for at most half a
    /// second. Panics if that fails.
    pub(crate) fn shape(&self, interface: &str, rate: &str) {
        let arguments = format!("qdisc replace dev {interface} root tbf rate {rate} burst 16kb latency 500ms");
        let mut tc = Command::new("tc");
        tc.args(arguments.split_whitespace()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let child = self.spawn(&mut tc).expect("tc (package iproute2)");
        succeeded(child, &arguments);
    }

    /// Sets a sysctl of this namespace (`net/ipv6/conf/all/disable_ipv6`).
    pub(crate) fn sysctl(&self, key: &str, value: &str) {
        self.inside(|| fs::write(format!("/proc/sys/{key}"), value)).expect("setting a sysctl");
    }

    /// A path under which another process, such as `ip`, finds this namespace.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }
}

fn succeeded(program: Child, arguments: &str) {
    let output = program.wait_with_output().expect("its end");
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[expect(deprecated, reason = "its successor is `unsafe` because of other flags than this one")]
fn unshare_network() -> io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::NEWNET)?)
}

/// A device and a server on one cable. The device has no default route at first.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Its end is [`Pair::UPLINK`].
    pub(crate) device: Netns,
    /// Its end is `port`.
    pub(crate) server: Netns,
}

impl Pair {
    /// The device's interface.
    pub(crate) const UPLINK: &str = "uplink";
    /// The device's address, of a /24.
    pub(crate) const DEVICE: &str = "10.77.0.2";
    /// The server's address.
    pub(crate) const SERVER: &str = "10.77.0.1";
    /// The device's IPv6 address, of a /64.
    pub(crate) const DEVICE6: &str = "fd77::2";
    /// The server's IPv6 address.
    pub(crate) const SERVER6: &str = "fd77::1";

    /// Both ends up, with addresses of both protocols.
    pub(crate) fn new() -> Self {
        let pair = Self::without_addresses();
        pair.device.ip(&format!("address add {}/24 dev {}", Self::DEVICE, Self::UPLINK));
        pair.device.ip(&format!("address add {}/64 dev {} nodad", Self::DEVICE6, Self::UPLINK));
        pair.server.ip(&format!("address add {}/24 dev port", Self::SERVER));
        pair.server.ip(&format!("address add {}/64 dev port nodad", Self::SERVER6));
        pair
    }

    /// Both ends up, without any address, not even link-local ones.
    pub(crate) fn without_addresses() -> Self {
        let pair = Self { device: Netns::new(), server: Netns::new() };
        pair.cable(Self::UPLINK, "port");
        pair
    }

    /// One more cable between the two, its ends so named; both are up and have no address.
    pub(crate) fn cable(&self, device: &str, server: &str) {
        // If both ends have the same number, the kernel takes the veth for a real device and its news of the carrier may
        // take a second (linkwatch_urgent_event).
        static NUMBER: AtomicU32 = AtomicU32::new(100);
        let [near, far] = [(); 2].map(|()| NUMBER.fetch_add(1, Ordering::Relaxed));
        let peer = format!("peer name {server} index {far} netns {}", self.server.path());
        self.device.ip(&format!("link add {device} index {near} type veth {peer}"));
        self.device.ip(&format!("link set {device} addrgenmode none up"));
        self.server.ip(&format!("link set {server} addrgenmode none up"));
    }

    /// Gives the device a default route through the server.
    pub(crate) fn default_route(&self) {
        self.device.ip(&format!("route replace default via {} dev {}", Self::SERVER, Self::UPLINK));
    }

    /// Pulls the cable out at the server's end: the device loses its carrier and keeps its routes.
    pub(crate) fn unplug(&self) {
        self.server.ip("link set port down");
    }

    /// Plugs it in again.
    pub(crate) fn plug(&self) {
        self.server.ip("link set port up");
    }
}
