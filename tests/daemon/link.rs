//! Real links between namespaces: offline at first, up, down in flight, readdressed, flapping.

use std::time::{Duration, Instant};

use ferryd::demo::{Behaviour, Gate, Server, Wait};
use serde_json::json;

use crate::device::{Device, HANG, none, tell};
use crate::netns::{self, Pair};
use crate::servers::{config, config_with, hanging, serve_in};

/// DESIGN section 9, promise 3: from the event that clears a condition to the attempt, beside the round trips. It is
/// printed beside what is measured and not asserted: the machine may be busy.
const PROMISE: Duration = Duration::from_millis(300);

/// How often link-up is measured.
const ROUNDS: usize = 20;

/// Both ends of the cable, and a server at the far one.
fn far(behaviour: Behaviour) -> (Pair, Server) {
    let pair = Pair::new();
    let server = serve_in(&pair.server, behaviour);
    (pair, server)
}

/// The server's items came each once, and nothing was counted against a task.
fn assert_each_once(server: &Server, ids: &[String]) {
    let received = server.received();
    assert_eq!(received.len(), ids.len());
    assert!(received.iter().all(|item| item.applied.is_some() && !item.changed && item.attempt == 1));
}

/// Rounds of cuts are no flapping: a daemon that was just started does not remember the ones before.
fn keep_calm(device: &mut Device<'_>, round: usize) {
    if round.is_multiple_of(3) {
        device.switch_off();
        device.switch_on();
    }
}

/// A configuration by which a lost link cuts at once.
fn impatient(server: &Server) -> String {
    config_with(server, "[network]\nlink_grace = \"0 s\"")
}

#[test]
fn a_link_that_is_down_at_the_start_is_told_and_its_coming_is_enough() {
    if !netns::require() {
        return;
    }
    let (pair, server) = far(Behaviour::honest());
    pair.unplug();
    let mut device = Device::start_in(&pair.device, &config(&server));
    let ids = device.enqueue(40);
    let row = device.until_waits_for(&ids[0], "offline");
    assert_eq!(row.clears, "the device gets a route to the server: connect it to a network");
    let (said, code) = device.ctl(&format!("explain {}", ids[0]));
    assert!(code == 0 && said.contains("offline") && said.contains("connect it to a network"), "{said}");
    device.until("it waits", |device| {
        let shown = device.shown("Manager");
        (json!([shown["State"], shown["Blocked"], shown["NextWake"]]) == json!(["waiting", ["offline"], ["", 0]]))
            .then_some(())
    });
    let network = device.shown("Network");
    assert_eq!(
        (&network["Connected"], &network["Type"], &network["Interface"]),
        (&json!(false), &json!("none"), &json!(""))
    );
    pair.plug();
    device.until_done(&ids);
    assert_each_once(&server, &ids);
    let network = device.shown("Network");
    assert_eq!((&network["Connected"], &network["Interface"]), (&json!(true), &json!(Pair::UPLINK)));
}

#[test]
fn from_link_up_to_the_request_at_the_server() {
    if !netns::require() {
        return;
    }
    let (pair, server) = far(Behaviour::honest());
    pair.default_route();
    let mut device = Device::start_in(&pair.device, &config(&server));
    let ids = device.enqueue(1);
    device.until_done(&ids);
    let mut spans = Vec::new();
    for round in 0..ROUNDS {
        keep_calm(&mut device, round);
        pair.unplug();
        device.until_shown("Blocked", json!(["offline"]));
        let id = device.enqueue_one();
        device.until_waits_for(&id, "offline");
        let before = server.log(|log| log.requests);
        let begun = Instant::now();
        pair.plug();
        assert!(server.wait_until(|log| log.requests > before, HANG), "round {round}:\n{}", device.log());
        spans.push(begun.elapsed());
        device.until_done(&[id]);
    }
    report("at rest", spans);
}

#[test]
fn from_link_up_to_the_request_after_a_cut_in_flight() {
    if !netns::require() {
        return;
    }
    let (pair, server) = far(hanging());
    pair.default_route();
    let mut device = Device::start_in(&pair.device, &impatient(&server));
    let id = device.enqueue_one();
    let mut spans = Vec::new();
    for round in 0..ROUNDS {
        keep_calm(&mut device, round);
        assert!(server.wait_until(|log| log.in_flight > 0, HANG), "round {round}:\n{}", device.log());
        pair.unplug();
        device.until_waits_for(&id, "offline");
        let before = server.log(|log| log.requests);
        let begun = Instant::now();
        pair.plug();
        assert!(server.wait_until(|log| log.requests > before, HANG), "round {round}:\n{}", device.log());
        spans.push(begun.elapsed());
        // The server hears of the old connection's end first or last.
        assert!(server.wait_until(|log| log.in_flight == 1, HANG), "round {round}:\n{}", device.log());
    }
    assert_eq!(device.task(&id)["attempts"], 0);
    report("with a request in flight", spans);
}

#[test]
fn a_search_for_the_next_hop_that_began_while_nobody_answered_is_no_outage() {
    if !netns::require() {
        return;
    }
    let (pair, server) = far(Behaviour::honest());
    // One question and long patience, so that it is certain what the search meets.
    pair.device.sysctl("net/ipv4/neigh/uplink/mcast_solicit", "1");
    pair.device.sysctl("net/ipv4/neigh/uplink/retrans_time_ms", "4000");
    let mut device = Device::start_in(&pair.device, &config(&server));
    pair.server.ip("link set port arp off");
    pair.device.inside(|| {
        let socket = std::net::UdpSocket::bind((Pair::DEVICE, 0)).expect("a socket");
        socket.send_to(b"somebody else's", (Pair::SERVER, 9)).expect("it waits for the next hop");
    });
    pair.server.ip("link set port arp on");
    let id = device.enqueue_one();
    device.until_done(&[id]);
    assert!(!device.log().contains("no answer"), "{}", device.log());
}

/// Prints the median and the worst beside the promise.
fn report(when: &str, mut spans: Vec<Duration>) {
    spans.sort_unstable();
    let (median, worst) = (spans[spans.len() / 2], spans[spans.len() - 1]);
    let share = |span: Duration| span.as_secs_f64() / PROMISE.as_secs_f64();
    tell(format_args!(
        "cut {when}, from link-up to the request at the server, {} rounds (`ip` included): median {median:?}, worst \
         {worst:?}: {:.3} and {:.3} of the promised {PROMISE:?}",
        spans.len(),
        share(median),
        share(worst)
    ));
}

#[test]
fn a_cut_in_flight_counts_nothing_and_goes_on_when_the_link_is_back() {
    if !netns::require() {
        return;
    }
    let (pair, server) = far(hanging());
    let mut device = Device::start_in(&pair.device, &impatient(&server));
    let ids = device.enqueue(120);
    for _ in 0..3 {
        let before = server.log(|log| log.requests);
        assert!(server.wait_until(|log| log.requests > before || log.in_flight >= 3, HANG));
        pair.unplug();
        device.until("all are cut", |device| {
            let reasons: Vec<_> = device.explain(&ids[0]).into_iter().map(|row| row.reason).collect();
            let shown = device.strategy("metadata");
            (reasons == ["offline"] && shown["Running"] == 0 && shown["Pending"] == 120).then_some(())
        });
        let task = device.task(&ids[0]);
        assert_eq!((&task["attempts"], &task["next"]), (&json!(0), &json!(0)), "due at once: {task}");
        assert!(device.history(&ids[0]).contains("the link went"));
        assert_eq!(device.strategy("metadata")["Failed"], 0);
        pair.plug();
    }
    server.behave(Behaviour::honest());
    pair.unplug();
    device.until_strategy("metadata", "Running", 0);
    pair.plug();
    device.until_done(&ids);
    assert_each_once(&server, &ids);
}

#[test]
fn a_route_to_the_server_alone_is_enough() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.server.ip("address add 203.0.113.7/32 dev lo");
    let listener = pair.server.inside(|| std::net::TcpListener::bind("203.0.113.7:0").expect("a socket"));
    let server = Server::start(listener, Behaviour::honest()).expect("a server");
    let mut device = Device::start_in(&pair.device, &config(&server));
    let ids = device.enqueue(3);
    device.until_waits_for(&ids[0], "offline");
    pair.device.ip("route add 203.0.113.7/32 via 10.77.0.1");
    device.until_done(&ids);
    pair.device.ip("route delete 203.0.113.7/32");
    let id = device.enqueue_one();
    device.until_waits_for(&id, "offline");
    pair.default_route();
    device.until_done(&[id]);
}

#[test]
fn another_address_in_flight_cuts_and_goes_on_by_a_new_connection() {
    if !netns::require() {
        return;
    }
    let (pair, server) = far(hanging());
    let mut device = Device::start_in(&pair.device, &config(&server));
    let ids = device.enqueue(3);
    assert!(server.wait_until(|log| log.in_flight == 1, HANG));
    server.behave(Behaviour::honest());
    pair.device.ip_batch("address delete 10.77.0.2/24 dev uplink\naddress add 10.77.0.9/24 dev uplink");
    device.until_done(&ids);
    assert_each_once(&server, &ids);
    device.until("the address is shown", |device| (device.shown("Network")["Subnet"] == "10.77.0.9/24").then_some(()));
}

#[test]
fn a_link_that_flaps_a_hundred_times_loses_and_doubles_nothing() {
    if !netns::require() {
        return;
    }
    let slow = Behaviour { before_answering: Wait::For(Duration::from_millis(2)), ..Behaviour::honest() };
    let (pair, server) = far(slow);
    let mut device = Device::start_in(&pair.device, &config_with(&server, "[strategy.metadata]\nbatch = 5"));
    let mut ids = Vec::new();
    for _ in 0..100 {
        pair.unplug();
        ids.extend(device.enqueue(10));
        pair.plug();
    }
    device.until_done(&ids);
    assert_each_once(&server, &ids);
    assert_eq!(device.strategy("metadata")["Failed"], 0);
    let (requests, repeats) =
        (server.log(|log| log.requests), server.received().iter().map(|item| item.seen - 1).sum::<u32>());
    tell(format_args!("100 flaps, {} tasks: {requests} requests, {repeats} items sent again", ids.len()));
}

#[test]
fn a_link_that_goes_while_paused_or_while_the_server_is_down_is_told_too() {
    if !netns::require() {
        return;
    }
    let gate = Gate::closed();
    let (pair, server) = far(Behaviour { before_applying: Wait::Gate(gate.clone()), ..Behaviour::honest() });
    let mut device = Device::start_in(&pair.device, &config(&server));
    device.call("Manager", "Pause", &none()).expect("paused");
    pair.unplug();
    let id = device.enqueue_one();
    device.until("both are told", |device| {
        let reasons: Vec<_> = device.explain(&id).into_iter().map(|row| row.reason).collect();
        (reasons == ["offline", "paused"]).then_some(())
    });
    device.call("Manager", "Resume", &none()).expect("resumed");
    assert_eq!(device.explain(&id)[0].reason, "offline");
    pair.plug();
    gate.open();
    device.until_done(&[id]);
}
