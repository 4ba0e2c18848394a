//! Captive portals: a gateway that sends all web traffic to a server of its own until somebody signs in, names that
//! resolve to it, and networks that reach nobody. No task suffers, and no credential is shown.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ferryd::demo::{Behaviour, Fault, Gate, Server, Wait};
use serde_json::json;

use crate::device::{Device, HANG, Row, none, tell};
use crate::netns::{self, Netns, Pair};
use crate::rest::assert_rests;
use crate::servers::{answering, serve_tls_on};
use crate::uploads::files;

const SECRET: &str = "tell-nobody-0815";
/// Beyond the gateway.
const SERVER: &str = "203.0.113.7";
const PROBE: &str = "203.0.113.8";

/// A device behind a gateway, and what lies beyond that.
struct Hotel {
    /// The device, and the gateway in the server's place.
    pair: Pair,
    /// Answers for everybody while nobody has signed in.
    portal: Server,
    /// The same where TLS is spoken; nobody trusts it.
    portal_tls: Server,
    server: Server,
    secure: Server,
    /// Who vouches for `secure`.
    authority: String,
    probe: Server,
    _internet: Netns,
}

impl Hotel {
    /// In which the portal answers so.
    fn new(page: Fault) -> Self {
        let (pair, internet) = (Pair::new(), Netns::new());
        pair.default_route();
        let peer = format!("peer name isp netns {}", internet.path());
        pair.server.ip(&format!("link add wan type veth {peer}"));
        pair.server.ip("address add 198.51.100.1/24 dev wan");
        pair.server.ip("link set wan up");
        pair.server.sysctl("net/ipv4/ip_forward", "1");
        internet.ip_batch(&format!(
            "address add 198.51.100.2/24 dev isp\naddress add {SERVER}/32 dev lo\naddress add {PROBE}/32 dev lo\n\
             link set isp up\nroute add default via 198.51.100.1"
        ));
        pair.server.ip("route add default via 198.51.100.2");
        let listen = |netns: &Netns, at: (&str, u16)| netns.inside(|| TcpListener::bind(at).expect("a socket"));
        let serve = |netns, at, behaviour| Server::start(listen(netns, at), behaviour).expect("a server");
        let (portal_tls, _) = serve_tls_on(listen(&pair.server, (Pair::SERVER, 443)), Behaviour::honest(), &[]);
        let (secure, authority) = serve_tls_on(listen(&internet, (SERVER, 443)), Behaviour::honest(), &["sync.test"]);
        let hotel = Self {
            portal: serve(&pair.server, (Pair::SERVER, 80), answering(page)),
            portal_tls,
            server: serve(&internet, (SERVER, 80), Behaviour::honest()),
            secure,
            authority,
            probe: serve(&internet, (PROBE, 80), answering(Fault::status(204, ""))),
            pair,
            _internet: internet,
        };
        hotel.sign_out();
        hotel
    }

    /// From now on the portal answers for everybody; connections that are open break.
    fn sign_out(&self) {
        self.nft(&format!(
            "table ip portal {{
                chain from {{ type nat hook prerouting priority dstnat; iifname port tcp dport {{ 80, 443 }} dnat to {}; }}
                chain through {{ type filter hook forward priority 0; meta l4proto tcp reject with tcp reset; }}
            }}",
            Pair::SERVER
        ));
    }

    /// Everybody is let through.
    fn sign_in(&self) {
        self.nft("delete table ip portal");
    }

    /// Nothing is let through, and nobody is told.
    fn cut_off(&self) {
        self.nft("table ip portal { chain through { type filter hook forward priority 0; drop; }; }");
    }

    fn nft(&self, rules: &str) {
        let mut nft = Command::new("nft");
        nft.args(["-f", "-"]).env("PATH", path()).stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.pair.server.spawn(&mut nft).expect("nft (package nftables)");
        child.stdin.take().expect("a pipe").write_all(rules.as_bytes()).expect("writing to nft");
        let output = child.wait_with_output().expect("nft's end");
        assert!(output.status.success(), "{rules}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A device with a secret for this server, that looks at the probe's.
    fn device(&self, url: &str, more: &str) -> Device<'_> {
        let device = Device::off(Some(&self.pair.device), "");
        fs::write(device.file("token"), SECRET).expect("a file");
        fs::write(device.file("ca.pem"), &self.authority).expect("a file");
        let (token, ca) = (device.file("token"), device.file("ca.pem"));
        device.configure(&format!(
            "[device]\nname = \"tested\"\n[backend.main]\nurl = \"{url}\"\ntoken_file = \"{}\"\nca_file = \"{}\"\n\
             [network]\nprobe_url = \"http://{PROBE}/generate_204?who=me\"\n{more}",
            token.display(),
            ca.display()
        ));
        device
    }

    /// Neither server of the portal has seen the secret, and the one that speaks TLS no request at all.
    fn assert_nothing_told(&self) {
        let heads = self.portal.log(|log| log.heads().cloned().collect::<Vec<_>>());
        assert!(!format!("{heads:?}").contains(SECRET), "{heads:?}");
        assert_eq!(self.portal_tls.log(|log| log.requests), 0);
    }
}

/// Where Debian has `nft`, which users do not look.
fn path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

fn pages() -> Vec<(&'static str, Fault)> {
    vec![
        ("redirect", Fault::redirect(302, "http://10.77.0.1/login")),
        ("page", Fault::html()),
        ("511", Fault::status(511, "sign in")),
        ("403", Fault::status(403, "who are you?")),
        ("404", Fault::status(404, "")),
        ("400", Fault::status(400, "bad host")),
        ("empty 200", Fault::status(200, "")),
    ]
}

/// The tasks wait for this, until a time; none of them is any worse off. A connection that broke as it began may count as
/// an outage for a moment.
fn waits_unharmed(device: &mut Device<'_>, ids: &[String], reason: &str) -> Row {
    let row = device.until(&format!("they wait for {reason}"), |device| {
        let rows = device.explain(&ids[0]);
        let rests = device.shown("Manager")["Transfers"] == 0;
        let others = rests && rows.iter().all(|row| [reason, "backend-down"].contains(&row.reason.as_str()));
        rows.into_iter().find(|row| others && row.reason == reason && row.detail["until"].is_string())
    });
    for id in ids {
        let task = device.task(id);
        assert_eq!((task["state"].as_str(), task["attempts"].as_u64()), (Some("pending"), Some(0)), "{task}");
    }
    row
}

/// Names resolve by this file, which the resolver reads anew each time; to be written in place, so that the mount shows it.
fn switch_on_with_hosts(device: &mut Device<'_>, names: &str) -> PathBuf {
    let hosts = device.file("hosts");
    fs::write(&hosts, names).expect("a file");
    let daemon = device.command();
    let mut command = device.logged("unshare");
    command.args(["--mount", "--", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(&hosts);
    command.arg(daemon.get_program()).args(daemon.get_args());
    device.switch_on_by(command);
    hosts
}

fn sync_now(device: &mut Device<'_>) {
    device.call("Manager", "SyncNow", &("", none())).expect("anybody may");
}

#[test]
fn a_portal_gets_no_credential_by_plain_http_and_harms_no_task() {
    if !netns::require() {
        return;
    }
    for (name, page) in pages() {
        let hotel = Hotel::new(page);
        let mut device = hotel.device(&format!("http://{SERVER}/sync"), "");
        device.switch_on();
        let ids = device.enqueue(60);
        let row = waits_unharmed(&mut device, &ids, "captive-portal");
        assert!(row.clears.starts_with("somebody signs in at the portal of the network on uplink"), "{row:?}");
        assert_eq!(row.detail["probe_url"], format!("http://{PROBE}/generate_204"), "{name}");
        device.until_shown("Blocked", json!(["captive-portal"]));
        let network = device.shown("Network");
        assert_eq!((&network["Connectivity"], &network["InternetReachable"]), (&json!("portal"), &json!(false)));
        hotel.assert_nothing_told();
        hotel.sign_in();
        sync_now(&mut device);
        device.until_done(&ids);
        assert!(hotel.server.received().iter().all(|item| item.attempt == 1 && item.seen == 1));
        assert_eq!(device.shown("Network")["Connectivity"], "full");
        hotel.assert_nothing_told();
    }
}

#[test]
fn a_portal_in_the_way_of_tls_is_no_bad_certificate() {
    if !netns::require() {
        return;
    }
    let hotel = Hotel::new(Fault::redirect(302, "http://10.77.0.1/login"));
    let mut device = hotel.device(&format!("https://{SERVER}/sync"), "");
    device.switch_on();
    let ids = device.enqueue(60);
    waits_unharmed(&mut device, &ids, "captive-portal");
    assert!(hotel.portal_tls.log(|log| log.connections) > 0, "it was asked");
    hotel.sign_in();
    let id = device.enqueue_one();
    device.until("it is looked again soon", |device| {
        (device.shown("Manager")["NextWake"][0] != "reach-probe" || device.task(&id)["state"] == "done").then_some(())
    });
    device.until_done(&ids);
    hotel.assert_nothing_told();
    assert!(hotel.secure.received().iter().all(|item| item.attempt == 1));
}

#[test]
fn a_session_that_ends_in_between_fails_nothing() {
    if !netns::require() {
        return;
    }
    for (name, page) in pages() {
        let hotel = Hotel::new(page);
        hotel.sign_in();
        let mut device = hotel.device(&format!("http://{SERVER}/sync"), "");
        device.switch_on();
        let ids = device.enqueue(3);
        device.until_done(&ids);
        hotel.sign_out();
        let ids = device.enqueue(2);
        waits_unharmed(&mut device, &ids, "captive-portal");
        hotel.sign_in();
        sync_now(&mut device);
        device.until_done(&ids);
        assert_eq!(device.strategy("metadata")["Failed"], 0, "{name}");
        assert!(hotel.server.received().iter().all(|item| item.attempt == 1));
    }
}

#[test]
fn an_upload_goes_on_after_the_portal_where_it_was() {
    if !netns::require() {
        return;
    }
    for (scheme, page) in [("http", Fault::status(404, "")), ("https", Fault::html())] {
        let hotel = Hotel::new(page);
        hotel.sign_in();
        let server = if scheme == "http" { &hotel.server } else { &hotel.secure };
        let slow = Wait::For(std::time::Duration::from_millis(20));
        server.behave(Behaviour { before_answering: slow, ..Behaviour::honest() });
        let url = format!("{scheme}://{SERVER}/files/");
        let tus = "[strategy.photo]\nnetwork = \"any\"\nbackend = \"main\"\n";
        let mut device = hotel.device(&url, tus);
        let config = fs::read_to_string(device.config()).expect("a configuration");
        device.configure(&config.replace("[backend.main]", "[backend.main]\nkind = \"tus\"\nchunk = 65536"));
        device.switch_on();
        let (path, bytes) = files::file(&device, "photo", 4_000_000);
        let id = files::put(&device, &[path]).remove(0);
        files::until_more_than(&device, server, 500_000);
        hotel.sign_out();
        let ids = [id];
        waits_unharmed(&mut device, &ids, "captive-portal");
        let before = server.uploads().len();
        server.behave(Behaviour::honest());
        hotel.sign_in();
        sync_now(&mut device);
        device.until_done(&ids);
        files::assert_arrived(server, &[bytes]);
        assert_eq!((server.uploads().len(), before), (1, 1), "{scheme}: the same upload");
        assert_eq!(hotel.portal_tls.log(|log| log.requests), 0);
    }
}

#[test]
fn names_that_resolve_to_the_portal_are_resolved_anew_by_the_next_attempt() {
    if !netns::require() {
        return;
    }
    for scheme in ["http", "https"] {
        let hotel = Hotel::new(Fault::html());
        hotel.sign_in();
        let mut device = hotel.device(&format!("{scheme}://sync.test/sync"), "");
        let config = fs::read_to_string(device.config()).expect("a configuration");
        let config = config.replace(PROBE, "probe.test");
        device.configure(&config);
        let hosts = switch_on_with_hosts(&mut device, &format!("{0} sync.test\n{0} probe.test\n", Pair::SERVER));
        let ids = device.enqueue(3);
        waits_unharmed(&mut device, &ids, "captive-portal");
        hotel.assert_nothing_told();
        fs::write(&hosts, format!("{SERVER} sync.test\n{PROBE} probe.test\n")).expect("a file");
        sync_now(&mut device);
        device.until_done(&ids);
        hotel.assert_nothing_told();
    }
}

#[test]
fn a_network_that_reaches_nobody_is_told_from_a_server_that_is_down() {
    if !netns::require() {
        return;
    }
    let hotel = Hotel::new(Fault::No);
    hotel.sign_in();
    hotel.cut_off();
    let mut device = hotel.device(&format!("http://{SERVER}/sync"), "");
    let config = fs::read_to_string(device.config()).expect("a configuration");
    device.configure(&config.replace("ca_file", "connect_timeout = \"1 s\"\nread_timeout = \"1 s\"\nca_file"));
    device.switch_on();
    let ids = device.enqueue(3);
    let row = waits_unharmed(&mut device, &ids, "no-internet");
    assert!(row.clears.starts_with("the network reaches the internet; looked at again in "), "{row:?}");
    assert_eq!(device.shown("Network")["Connectivity"], "limited");
    hotel.sign_in();
    sync_now(&mut device);
    device.until_done(&ids);
}

#[test]
fn a_server_this_side_of_a_dead_line_is_served() {
    if !netns::require() {
        return;
    }
    for host in [Pair::SERVER, "near.test"] {
        let hotel = Hotel::new(Fault::No);
        hotel.sign_in();
        hotel.cut_off();
        hotel.portal.behave(Behaviour::honest());
        let mut device = hotel.device(&format!("http://{host}/sync"), "");
        switch_on_with_hosts(&mut device, &format!("{} near.test\n", Pair::SERVER));
        for _ in 0..3 {
            let ids = device.enqueue(3);
            device.until_done(&ids);
        }
        assert_eq!(device.shown("Manager")["Blocked"], json!([]));
    }
}

#[test]
fn a_server_by_another_link_is_not_behind_the_portal_of_this_one() {
    if !netns::require() {
        return;
    }
    let hotel = Hotel::new(Fault::html());
    hotel.pair.cable("lan", "switch");
    hotel.pair.device.ip("address add 10.78.0.2/24 dev lan");
    hotel.pair.server.ip("address add 10.78.0.1/24 dev switch");
    let listener = hotel.pair.server.inside(|| TcpListener::bind("10.78.0.1:80").expect("a socket"));
    let near = Server::start(listener, Behaviour::honest()).expect("a server");
    let second = format!("[backend.other]\nurl = \"https://{SERVER}/\"\n[strategy.analytics]\nbackend = \"other\"");
    let mut device = hotel.device("http://near.test/sync", &second);
    switch_on_with_hosts(&mut device, "10.78.0.1 near.test\n");
    let far = device.enqueue_to("analytics", 1);
    waits_unharmed(&mut device, &far, "captive-portal");
    let ids = device.enqueue(3);
    device.until_done(&ids);
    assert_eq!(near.log(|log| log.applied()), 3);
    assert_eq!(device.task(&far[0])["state"], "pending");
    hotel.assert_nothing_told();
}

#[test]
fn in_doubt_an_attempt_can_be_cancelled_and_the_daemon_stopped() {
    if !netns::require() {
        return;
    }
    let hotel = Hotel::new(Fault::No);
    hotel.sign_in();
    let mut device = hotel.device(&format!("http://{SERVER}/sync"), "");
    device.switch_on();
    let first = device.enqueue(1);
    device.until_done(&first);
    hotel.server.behave(answering(Fault::status(403, "no")));
    hotel.probe.behave(Behaviour { before_applying: Wait::Gate(Gate::closed()), ..Behaviour::honest() });
    let asked = hotel.probe.log(|log| log.requests);
    let (cancelled, kept) = (device.enqueue_one(), device.enqueue_one());
    assert!(hotel.probe.wait_until(|log| log.requests > asked, HANG), "{}", device.log());
    assert_eq!(device.task(&cancelled)["state"], "running");
    assert_eq!(device.call("Tasks", "Cancel", &vec![&cancelled]), Ok(vec![json!(1)]));
    assert_eq!(device.task(&cancelled)["state"], "cancelled");
    let took = device.switch_off();
    tell(format_args!("stopped in doubt after {took:?}"));
    hotel.server.behave(Behaviour::honest());
    hotel.probe.behave(answering(Fault::status(204, "")));
    device.switch_on();
    let task = device.until_task(&kept, "done");
    assert_eq!(task["attempts"], 0);
    assert_eq!(device.task(&cancelled)["state"], "cancelled");
}

#[test]
fn a_portal_with_a_thousand_tasks_waiting_lets_the_daemon_rest() {
    if !netns::require() {
        return;
    }
    let hotel = Hotel::new(Fault::redirect(302, "http://10.77.0.1/login"));
    let mut device = hotel.device(&format!("http://{SERVER}/sync"), "");
    device.set("FERRYD_LOG", "debug");
    device.switch_on();
    let ids = device.enqueue(1_000);
    waits_unharmed(&mut device, &ids[..1], "captive-portal");
    // More work has it looked at once more, ten seconds after the first look.
    device.enqueue_one();
    assert!(hotel.portal.wait_until(|log| log.requests >= 2, HANG));
    waits_unharmed(&mut device, &ids[..1], "captive-portal");
    assert_rests(&mut device, "in a portal, 1000 tasks waiting");
    assert_eq!(device.shown("Manager")["NextWake"][0], "reach-probe");
}
