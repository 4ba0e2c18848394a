//! Cuts, resets, losses and portals; orders, and words for what is wrong.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use ferryd::sim::Scenario;

use crate::bent::{Bent, FERRYCTL, ask, echo};

#[test]
fn a_cut_resets_what_is_open_and_what_comes_and_mending_ends_that() {
    let mut bent = Bent::without_losses(echo(), "");
    let mut client = bent.connect();
    ask(&mut client).expect("an answer");
    let answer = bent.order("cut");
    assert_eq!((&answer["now"]["up"], &answer["now"]["cut"]), (&false.into(), &true.into()));
    assert_eq!(client.read(&mut [0]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    let refused = std::net::TcpStream::connect(bent.address).and_then(|mut client| ask(&mut client));
    assert!(refused.is_err(), "a new one too");
    bent.order("mend");
    ask(&mut bent.connect()).expect("an answer");
}

#[test]
fn a_cut_may_stall_instead_and_then_all_goes_on() {
    let mut bent = Bent::without_losses(echo(), "--when-down stall");
    let mut old = bent.connect();
    ask(&mut old).expect("an answer");
    bent.order("cut");
    let mut new = bent.connect();
    for client in [&mut old, &mut new] {
        client.write_all(b"word").expect("the kernel takes it");
        client.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
        assert_eq!(client.read(&mut [0]).expect_err("silence").kind(), ErrorKind::WouldBlock);
        client.set_read_timeout(Some(crate::device::HANG)).expect("a socket");
    }
    bent.order("mend");
    for client in [&mut old, &mut new] {
        let mut heard = [0; 4];
        client.read_exact(&mut heard).expect("what was said before");
        assert_eq!(&heard, b"word");
        ask(client).expect("an answer");
    }
}

#[test]
fn a_reset_spares_who_comes_later() {
    let mut bent = Bent::without_losses(echo(), "");
    let mut client = bent.connect();
    ask(&mut client).expect("an answer");
    assert_eq!(bent.order("reset")["connections"], 1);
    assert_eq!(client.read(&mut [0]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    ask(&mut bent.connect()).expect("an answer");
}

#[test]
fn ends_of_streams_pass_each_way_by_itself() {
    let bent = Bent::without_losses(echo(), "");
    let mut client = bent.connect();
    client.write_all(b"all").expect("it is taken");
    client.shutdown(std::net::Shutdown::Write).expect("a socket");
    let mut heard = String::new();
    client.read_to_string(&mut heard).expect("an answer and its end");
    assert_eq!(heard, "all");
}

#[test]
fn a_server_that_is_not_there_is_a_reset() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let bent = Bent::without_losses(gone, "");
    let mut client = bent.connect();
    assert_eq!(client.read(&mut [0]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
}

/// The share itself is the business of the unit tests of `talk`.
#[test]
fn requests_are_lost_by_reset_or_by_silence_until_the_client_gives_up() {
    let mut bent = Bent::without_losses(echo(), "--seed 5");
    bent.order("delay 0ms");
    let mut client = bent.connect();
    for _ in 0..200 {
        ask(&mut client).expect("none is lost");
    }
    drop(client);
    bent.order("reliability 0");
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut client = bent.connect();
        client.set_read_timeout(Some(Duration::from_millis(300))).expect("a socket");
        let kind = ask(&mut client).expect_err("lost").kind();
        assert!([ErrorKind::WouldBlock, ErrorKind::ConnectionReset].contains(&kind), "{kind}");
        silent.extend((kind == ErrorKind::WouldBlock).then_some(client));
    }
    assert!((1..20).contains(&silent.len()), "{} of 20 by silence", silent.len());
    bent.until_connections(silent.len());
    drop(silent);
    bent.until_connections(0);
}

#[test]
fn a_portal_answers_http_for_everyone_and_closes_on_others() {
    let mut bent = Bent::without_losses(echo(), "");
    let mut before = bent.connect();
    ask(&mut before).expect("an answer");
    assert_eq!(bent.order("scenario captive_portal")["now"]["portal"], true);
    assert_eq!(before.read(&mut [0]).expect_err("reset").kind(), ErrorKind::ConnectionReset);
    let mut asking = bent.connect();
    asking.write_all(b"POST /sync HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").expect("it is taken");
    // As with a server that keeps the connection: the client closes when it has the answer.
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("</html>") {
        let mut bytes = [0; 1024];
        let read = asking.read(&mut bytes).expect("an answer");
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend(&bytes[..read]);
    }
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 302 Found\r\nLocation: http://portal.invalid/sign-in\r\n"), "{answer}");
    let mut other = bent.connect();
    other.write_all(b"\x16\x03\x01\x00").expect("it is taken");
    // Closed in order, or reset for what was not read.
    assert!(!matches!(other.read(&mut [0]), Ok(1..)), "nothing is said");
    bent.order("scenario wifi");
    bent.order("reliability 1");
    ask(&mut bent.connect()).expect("an answer");
}

#[test]
fn the_scenario_is_followed_and_a_seed_repeats_it() {
    let mut fast = Bent::start(echo(), "--scenario intermittent --speed 100");
    let up: Vec<bool> = (0..6).map(|_| fast.until_changed()["up"].as_bool().expect("a flag")).collect();
    assert_eq!(up, [true, false, true, false, true, false], "it is gone at first");
    let mut noon = Bent::start(echo(), "--scenario commute --skip 12h");
    assert_eq!(noon.order("status")["now"]["type"], "wifi");
    for seed in [1, 2] {
        let mut bent = Bent::start(echo(), &format!("--scenario intermittent --seed {seed}"));
        let (changes, _) = Scenario::Intermittent.timeline(seed).nth(1).expect("endless");
        let next = Duration::from_millis(bent.order("status")["now"]["next"].as_u64().expect("a time"));
        assert!(next <= changes && next + Duration::from_secs(4) > changes, "{next:?} until {changes:?}");
    }
}

#[test]
fn each_order_is_answered_by_a_line_and_no_bad_one_is_followed() {
    let mut bent = Bent::start(echo(), "--scenario wifi");
    let answer = bent.order("rate 0.4 1.6");
    assert_eq!((&answer["now"]["up_rate"], &answer["now"]["down_rate"]), (&50_000.into(), &200_000.into()));
    for order in ["dance", "rate 1", "scenario rain", "delay soon"] {
        let answer = bent.order(order);
        assert_eq!(answer["event"], "refused", "{answer}");
        assert!(answer["error"].as_str().is_some_and(|error| !error.is_empty()), "{answer}");
    }
    assert_eq!(bent.order("status")["now"]["up_rate"], 50_000);
}

#[test]
fn what_is_wrong_at_its_start_is_said() {
    let said = |listen: &str, to: &str| {
        let output = Command::new(FERRYCTL)
            .args(["bend", "--scenario", "wifi", "--listen", listen, "--to", to])
            .stdin(Stdio::null())
            .output()
            .expect("ferryctl runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("UTF-8"))
    };
    let taken = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = taken.local_addr().expect("a socket").to_string();
    let (code, words) = said(&address, "127.0.0.1:9");
    assert_eq!((code, words.contains(&format!("listening on {address}: "))), (Some(1), true), "{words}");
    let (code, words) = said("127.0.0.1:0", "no-such-host.invalid:80");
    assert_eq!((code, words.contains("finding no-such-host.invalid:80: ")), (Some(1), true), "{words}");
    let (code, words) = said("localhost", "127.0.0.1:9");
    assert_eq!((code, words.contains("\"localhost\" is no HOST:PORT")), (Some(2), true), "{words}");
}
