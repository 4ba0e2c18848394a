//! Routes that change, differ by backend, speak another protocol or lead through a tunnel. The links are veth pairs which the
//! configuration calls Wi-Fi and cellular, and the tunnel is a TUN device.

use std::net::TcpListener;

use ferryd::demo::{Behaviour, Server};
use serde_json::{Value, json};

use crate::device::{Device, HANG};
use crate::netns::{self, Netns, Pair};
use crate::servers::{config_with, serve_in};
use crate::tunnel::Tunnel;
use crate::uploads::files::{assert_arrived, file, put, until_more_than};

/// The device's second interface, and its address and the server's there.
const MODEM: &str = "wwan0";
const MODEM_DEVICE: &str = "10.78.0.2";
const MODEM_SERVER: &str = "10.78.0.1";

/// The server's address beyond both links.
const FAR: &str = "203.0.113.7";

const SIZE: usize = 1_500_000;

/// What the interfaces are.
const RULES: &str = "[[network.interface]]\nmatch = \"uplink\"\ntype = \"wifi\"\n\
                     [[network.interface]]\nmatch = \"wwan0\"\ntype = \"cellular\"\n";

/// A device on Wi-Fi and on a modem, and a server that is reached by both.
fn both() -> (Pair, Server) {
    let pair = Pair::new();
    pair.cable(MODEM, "tower");
    pair.device.ip(&format!("address add {MODEM_DEVICE}/24 dev {MODEM}"));
    pair.server.ip(&format!("address add {MODEM_SERVER}/24 dev tower"));
    pair.server.ip(&format!("address add {FAR}/32 dev lo"));
    pair.device.ip(&format!("route add default via {MODEM_SERVER} metric 200"));
    let server = serve_at(&pair.server, FAR);
    (pair, server)
}

fn serve_at(netns: &Netns, address: &str) -> Server {
    let listener = netns.inside(|| TcpListener::bind((address, 0)).expect("a socket"));
    Server::start(listener, Behaviour::honest()).expect("a server")
}

/// Wi-Fi leads to everywhere, and is preferred.
fn associate(pair: &Pair) {
    pair.device.ip("route add default via 10.77.0.1 metric 100");
}

fn leave(pair: &Pair) {
    pair.device.ip("route delete default via 10.77.0.1 metric 100");
}

/// So slow that an upload can be met on its way.
fn slow(netns: &Netns, interface: &str) {
    let mut tc = std::process::Command::new("tc");
    tc.args(["qdisc", "add", "dev", interface, "root", "tbf", "rate", "5mbit", "burst", "16kb", "latency", "100ms"]);
    let status = netns.spawn(&mut tc).and_then(|mut tc| tc.wait()).expect("tc (package iproute2)");
    assert!(status.success(), "tc: {status}");
}

/// A configuration by which photos go to the one server, metadata to the other, and the interfaces are what they are here;
/// `more` is said of photos.
fn with_files(main: &Server, files: &Server, more: &str) -> String {
    let address = files.address();
    let backend = format!("[backend.zfiles]\nkind = \"tus\"\nurl = \"http://{address}/files/\"\nchunk = 131072\n");
    config_with(main, &format!("{backend}{RULES}[strategy.photo]\nbackend = \"zfiles\"\n{more}"))
}

fn until_network(device: &mut Device<'_>, expected: &Value) {
    device.until(&format!("the network is {expected}"), |device| {
        let shown = device.shown("Network");
        let same = expected.as_object().expect("fields").iter().all(|(name, value)| shown[name] == *value);
        same.then_some(())
    });
}

#[test]
fn an_upload_stops_on_the_way_to_cellular_and_goes_on_back_on_wifi() {
    if !netns::require() {
        return;
    }
    let (pair, server) = both();
    associate(&pair);
    slow(&pair.device, Pair::UPLINK);
    let mut device = Device::start_in(&pair.device, &with_files(&server, &server, ""));
    until_network(&mut device, &json!({"Type": "wifi", "Interface": "uplink", "Metered": "guess-no"}));
    let (path, bytes) = file(&device, "photo.jpg", SIZE);
    let ids = put(&device, &[path]);
    for had in [200_000, 600_000] {
        until_more_than(&device, &server, had);
        leave(&pair);
        device.until_waits_for(&ids[0], "metered");
        until_network(&mut device, &json!({"Type": "cellular", "Interface": "wwan0", "Metered": "guess-yes"}));
        // What does not mind goes meanwhile.
        let id = device.enqueue_one();
        device.until_done(&[id]);
        assert_eq!(device.task(&ids[0])["state"], "pending");
        associate(&pair);
    }
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
    assert_eq!(device.task(&ids[0])["attempts"], 0, "nothing was counted");
}

#[test]
fn a_rule_that_is_loaded_makes_a_link_metered_in_mid_upload() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    let server = serve_in(&pair.server, Behaviour::honest());
    slow(&pair.device, Pair::UPLINK);
    let plain = with_files(&server, &server, "");
    let mut device = Device::start_in(&pair.device, &plain);
    let (path, bytes) = file(&device, "photo.jpg", SIZE);
    let ids = put(&device, &[path]);
    until_more_than(&device, &server, 200_000);
    device.configure(&plain.replace("type = \"wifi\"", "type = \"wifi\"\nmetered = \"yes\""));
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until_waits_for(&ids[0], "metered");
    until_network(&mut device, &json!({"Type": "wifi", "Metered": "yes"}));
    device.configure(&plain);
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
}

#[test]
fn ipv6_alone_carries_tasks_and_files() {
    if !netns::require() {
        return;
    }
    let pair = Pair::without_addresses();
    pair.device.ip(&format!("address add {}/64 dev uplink nodad", Pair::DEVICE6));
    pair.server.ip(&format!("address add {}/64 dev port nodad", Pair::SERVER6));
    pair.server.ip("address add 2001:db8::7/128 dev lo nodad");
    let server = serve_at(&pair.server, "2001:db8::7");
    let mut device = Device::start_in(&pair.device, &with_files(&server, &server, ""));
    let id = device.enqueue_one();
    device.until_waits_for(&id, "offline");
    pair.device.ip(&format!("-6 route add default via {}", Pair::SERVER6));
    device.until_done(&[id]);
    let (path, bytes) = file(&device, "photo.jpg", SIZE);
    let ids = put(&device, &[path]);
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
    until_network(&mut device, &json!({"Connected": true, "Interface": "uplink", "Subnet": "fd77::2/64"}));
}

#[test]
fn a_tunnel_costs_what_its_carrier_costs() {
    if !netns::require() {
        return;
    }
    let (pair, far) = both();
    let _ends = [Tunnel::new(&pair.server, "tun9", None), Tunnel::new(&pair.device, "tun0", Some(FAR))];
    pair.server.ip("address add 10.99.0.1/24 dev tun9");
    pair.device.ip("address add 10.99.0.2/24 dev tun0");
    let server = serve_at(&pair.server, "10.99.0.1");
    let mut device = Device::start_in(&pair.device, &with_files(&server, &server, ""));
    until_network(&mut device, &json!({"Type": "cellular", "Interface": "tun0", "Metered": "guess-yes"}));
    let (path, bytes) = file(&device, "photo.jpg", SIZE);
    let ids = put(&device, &[path]);
    device.until_waits_for(&ids[0], "metered");
    let id = device.enqueue_one();
    device.until_done(&[id]);
    // The route to the server stays as it is: what carries it is another.
    associate(&pair);
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
    until_network(&mut device, &json!({"Type": "wifi", "Interface": "tun0", "Metered": "guess-no"}));
    assert_eq!(far.log(|log| log.requests), 0);
}

#[test]
fn each_backend_has_its_own_route() {
    if !netns::require() {
        return;
    }
    let (pair, far) = both();
    // Metadata to a neighbour on Wi-Fi; photos to the far one, which only the modem reaches.
    let near = serve_in(&pair.server, Behaviour::honest());
    let mut device = Device::start_in(&pair.device, &with_files(&near, &far, ""));
    let (path, bytes) = file(&device, "photo.jpg", SIZE);
    let photos = put(&device, &[path]);
    device.until_waits_for(&photos[0], "metered");
    let id = device.enqueue_one();
    device.until_done(&[id]);
    until_network(&mut device, &json!({"Type": "wifi", "Interface": "uplink"}));
    pair.unplug();
    let id = device.enqueue_one();
    device.until_waits_for(&id, "offline");
    assert_eq!(device.explain(&photos[0])[0].reason, "metered", "its own way is as before");
    device.configure(&with_files(&near, &far, "network = \"any\""));
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until_done(&photos);
    assert_arrived(&far, &[bytes]);
    pair.plug();
    device.until_done(&[id]);
    assert!(near.wait_until(|log| log.items().len() == 2, HANG));
}
