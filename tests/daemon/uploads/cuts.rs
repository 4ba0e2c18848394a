//! A link of 5 Mbit/s that goes away for a while in mid-upload, in four ways.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ferryd::demo::{Behaviour, Server};

use super::files::{assert_arrived, config, file, put, until_bytes_flow, until_more_than};
use crate::device::{Device, tell};
use crate::netns::{self, Netns, Pair};

/// The cuts of DESIGN section 10, in seconds. The longest only with `FERRY_TEST_LONG=1`.
const CUTS: [u64; 4] = [1, 3, 8, 60];
/// Some seconds of a link of 5 Mbit/s.
const SIZE: usize = 2_000_000;
const CHUNK: usize = 512 * 1024;

/// How the link goes away and comes back.
struct Way {
    name: &'static str,
    before: fn(&Pair),
    cut: fn(&Pair),
    mend: fn(&Pair),
}

#[test]
fn the_carrier_goes() {
    play(&Way { name: "carrier", before: |_| {}, cut: Pair::unplug, mend: Pair::plug });
}

/// What the kernel asks for meanwhile it asks for again only a second later: that would be waited for.
#[test]
fn the_carrier_goes_where_its_routes_go_too() {
    play(&Way {
        name: "carrier, and its routes with it",
        before: |pair| advised(&pair.device),
        cut: Pair::unplug,
        mend: |pair| {
            let neighbours = neighbours(&pair.device);
            assert!(!neighbours.contains("INCOMPLETE") && !neighbours.contains("FAILED"), "{neighbours}");
            pair.plug();
        },
    });
}

#[test]
fn the_interface_is_taken_down() {
    play(&Way {
        name: "link down",
        before: |_| {},
        cut: |pair| pair.device.ip("link set uplink down"),
        mend: |pair| pair.device.ip("link set uplink up"),
    });
}

#[test]
fn the_address_changes() {
    play(&Way {
        name: "another address",
        before: |_| {},
        cut: |pair| pair.device.ip(&format!("address flush dev {}", Pair::UPLINK)),
        mend: |pair| pair.device.ip(&format!("address add 10.77.0.{}/24 dev {}", 3 + round(), Pair::UPLINK)),
    });
}

/// No news come of this one: the carrier stays, and what is sent disappears.
#[test]
fn a_hole_swallows_everything() {
    play(&Way {
        name: "silent hole",
        before: |_| {},
        cut: |pair| {
            // Neither an answer to the device nor, by strict reverse path filtering (RFC 3704), anything from it.
            pair.server.sysctl("net/ipv4/conf/all/rp_filter", "1");
            pair.server.ip(&format!("route add blackhole {}/32", Pair::DEVICE));
        },
        mend: |pair| pair.server.ip(&format!("route delete blackhole {}/32", Pair::DEVICE)),
    });
}

/// A number that no two calls share.
fn round() -> u32 {
    static ROUND: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    ROUND.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn play(way: &Way) {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let listener = pair.server.inside(|| std::net::TcpListener::bind((Pair::SERVER, 0)).expect("a socket"));
    let server = Server::start(listener, Behaviour::honest()).expect("a server");
    tc(&pair.device, "qdisc add dev uplink root tbf rate 5mbit burst 16kb latency 100ms");
    (way.before)(&pair);
    let mut device = Device::start_in(&pair.device, &config(&server, CHUNK));
    let long = std::env::var("FERRY_TEST_LONG").is_ok_and(|long| long == "1");
    let mut files = Vec::new();
    for seconds in CUTS.into_iter().filter(|seconds| long || *seconds < 60) {
        let (path, bytes) = file(&device, &format!("{seconds}.bin"), SIZE + files.len());
        let uploads = server.uploads().len();
        let ids = put(&device, &[path]);
        assert!(server.wait_until(|log| log.uploads().len() > uploads, crate::device::HANG), "{}", device.log());
        until_more_than(&device, &server, 300_000);
        (way.cut)(&pair);
        // The length of the cut is what is tested.
        thread::sleep(Duration::from_secs(seconds));
        let had = server.uploads().last().expect("an upload").offset;
        let begun = Instant::now();
        (way.mend)(&pair);
        let flows = until_bytes_flow(&server, had, begun);
        device.until_done(&ids);
        let reliability = device.shown("Bandwidth")["Reliability"].as_f64().expect("a number");
        tell(format_args!("cut of {seconds} s by {}: bytes flow {flows:?} after it, {reliability:.2}", way.name));
        files.push(bytes);
        assert_arrived(&server, &files);
    }
    assert_eq!(device.strategy("photo")["Failed"], 0);
}

/// Sets the kernel as the file says that is shipped for it.
fn advised(netns: &Netns) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/config/sysctl.d/60-ferryd.conf");
    let text = fs::read_to_string(file).expect("it is shipped");
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (key, value) = line.split_once(" = ").expect("KEY = VALUE");
        netns.sysctl(&key.replace('*', Pair::UPLINK).replace('.', "/"), value);
    }
}

/// Whose hardware addresses the kernel knows or asks for.
fn neighbours(netns: &Netns) -> String {
    let mut ip = Command::new("ip");
    ip.args(["neighbour", "show", "dev", Pair::UPLINK]).stdin(Stdio::null()).stdout(Stdio::piped());
    let output = netns.spawn(&mut ip).and_then(Child::wait_with_output).expect("ip (package iproute2)");
    String::from_utf8(output.stdout).expect("text")
}

fn tc(netns: &Netns, arguments: &str) {
    let mut tc = Command::new("tc");
    tc.args(arguments.split_whitespace()).stdin(Stdio::null());
    let status = netns.spawn(&mut tc).and_then(|mut tc| tc.wait()).expect("tc (package iproute2)");
    assert!(status.success(), "tc {arguments}: {status}");
}
