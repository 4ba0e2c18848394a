//! Hours, time zones, budgets of metered bytes and rates, with real clocks, sockets and links.
//!
//! What follows from a clock that is not set, or is set otherwise, is tested in `tests/clock` and
//! `src/schedule/tests/dates.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use ferryd::demo::{Behaviour, Server};
use jiff::Timestamp;
use zbus::Variant;

use crate::device::{Device, HANG, none, tell};
use crate::netns::{self, Netns, Pair};
use crate::rest::assert_rests;
use crate::servers::{METERED, config_with, serve, serve_in, serve_tls};
use crate::uploads::files::{assert_arrived, config, file, put, until_more_than};

const CHUNK: usize = 256 * 1024;

/// Photos to this server, over a cable that costs money or not.
fn frugal(server: &Server, metered: &str, more: &str) -> String {
    let photo = format!("[strategy.photo]\n{more}\n");
    let rule = format!("[[network.interface]]\nmatch = \"{}\"\nmetered = \"{metered}\"\n", Pair::UPLINK);
    config(server, CHUNK).replace("[strategy.photo]\n", &photo) + &rule
}

/// A cable on which each packet is counted with its own headers.
fn cable() -> Pair {
    let pair = Pair::new();
    pair.device.ip(&format!("link set {} gso_max_segs 1", Pair::UPLINK));
    pair
}

/// The bytes that have left by the cable, by the kernel's count, Ethernet headers included.
fn left(netns: &Netns) -> u64 {
    let table = netns.inside(|| fs::read_to_string("/proc/thread-self/net/dev").expect("a table"));
    let line = table.lines().find(|line| line.trim_start().starts_with(Pair::UPLINK)).expect("the cable");
    line.split_whitespace().nth(9).expect("a number").parse().expect("a number")
}

fn used(device: &mut Device<'_>) -> u64 {
    device.strategy("photo")["BudgetUsed"].as_u64().expect("a number")
}

#[test]
fn a_spent_budget_ends_an_upload_at_its_next_chunk_and_outlasts_the_daemon() {
    if !netns::require() {
        return;
    }
    let pair = cable();
    let server = serve_in(&pair.server, Behaviour::honest());
    let budget = "metered_bytes_per_day = \"1 MiB\"";
    let mut device = Device::start_in(&pair.device, &frugal(&server, "yes", budget));
    let before = left(&pair.device);
    let (path, bytes) = file(&device, "photo.bin", 3_000_000);
    let id = put(&device, &[path]).remove(0);
    let row = device.until_waits_for(&id, "budget");
    assert!(row.clears.starts_with("a new day begins at 00:00, in "), "{}", row.clears);
    device.until_strategy("photo", "Running", 0);
    let (spent, wire) = (used(&mut device), left(&pair.device) - before);
    let ratio = spent as f64 / wire as f64;
    tell(format_args!("{spent} bytes counted where {wire} left, {ratio:.4} of them (without Ethernet headers)"));
    assert!((0.95..1.01).contains(&ratio), "{spent} of {wire}");
    assert!(spent >= 1 << 20 && spent < (1 << 20) + 2 * CHUNK as u64, "{spent}");
    let has = server.uploads()[0].offset;
    assert!(has.is_multiple_of(CHUNK as u64) && has < 3_000_000, "it ended where a chunk does: {has}");
    assert_eq!(device.strategy("photo")["BudgetLimit"], 1 << 20);

    device.kill();
    device.switch_on();
    device.until_waits_for(&id, "budget");
    assert_eq!(used(&mut device), spent, "written at the end of the attempt");
    let waive = BTreeMap::from([("override", Variant::from(vec!["budget".to_owned()]))]);
    let (other, second) = file(&device, "other.bin", 10_000);
    let other = put(&device, &[other]);
    device.until_waits_for(&other[0], "budget");
    device.configure(&frugal(&server, "no", budget));
    device.call("Manager", "Reload", &()).expect("reloaded");
    device.until_done(&[id]);
    device.until_done(&other);
    assert_eq!(used(&mut device), spent, "what costs nothing is not counted");
    device.configure(&frugal(&server, "yes", budget));
    device.call("Manager", "Reload", &()).expect("reloaded");
    let (third, last) = file(&device, "third.bin", 20_000);
    let third = put(&device, &[third]);
    device.until_waits_for(&third[0], "budget");
    device.call("Manager", "SyncNow", &("", waive)).expect("waived");
    device.until_done(&third);
    assert!(used(&mut device) > spent + 20_000, "what is waived is counted all the same");
    assert_arrived(&server, &[bytes, second, last]);
}

fn slow(pair: &Pair, rate: &str) {
    let mut tc = Command::new("tc");
    tc.args(["qdisc", "add", "dev", Pair::UPLINK, "root", "tbf", "rate", rate, "burst", "16kb", "latency", "400ms"]);
    assert!(pair.device.spawn(&mut tc).and_then(|mut tc| tc.wait()).expect("tc (package iproute2)").success());
}

#[test]
fn a_daemon_that_is_killed_in_mid_upload_forgets_little_of_what_was_spent() {
    if !netns::require() {
        return;
    }
    let pair = cable();
    let server = serve_in(&pair.server, Behaviour::honest());
    slow(&pair, "16mbit");
    let wide = frugal(&server, "yes", "metered_bytes_per_day = \"1 GiB\"").replace("chunk = 262144", "chunk = 4194304");
    let mut device = Device::start_in(&pair.device, &wide);
    let before = left(&pair.device);
    let (path, _) = file(&device, "photo.bin", 4_000_000);
    put(&device, &[path]);
    until_more_than(&device, &server, 1_500_000);
    device.kill();
    let wire = left(&pair.device) - before;
    pair.unplug();
    device.switch_on();
    let spent = used(&mut device);
    tell(format_args!("{spent} bytes known after kill -9 where some {wire} had left"));
    assert!(spent > wire - 500_000 && spent < wire + 500_000, "{spent} of {wire}");
}

#[test]
fn what_a_lost_link_left_in_buffers_is_not_counted() {
    if !netns::require() {
        return;
    }
    let pair = cable();
    let server = serve_in(&pair.server, Behaviour::honest());
    slow(&pair, "4mbit");
    let wide = frugal(&server, "yes", "metered_bytes_per_day = \"1 GiB\"").replace("chunk = 262144", "chunk = 4194304");
    let mut device = Device::start_in(&pair.device, &format!("{wide}[network]\nlink_grace = \"0 s\"\n"));
    let before = left(&pair.device);
    let (path, bytes) = file(&device, "photo.bin", 1_500_000);
    let ids = put(&device, &[path]);
    until_more_than(&device, &server, 400_000);
    pair.unplug();
    device.until_strategy("photo", "Running", 0);
    let (spent, wire) = (used(&mut device), left(&pair.device) - before);
    let ratio = spent as f64 / wire as f64;
    tell(format_args!("{spent} bytes counted where {wire} left before the link went, {ratio:.4} of them"));
    // To TCP, what its cable's queue drops or still holds when the link goes was sent. What was handed over is thrice as much.
    assert!((0.95..2.0).contains(&ratio), "{spent} of {wire}");
    pair.plug();
    device.until_done(&ids);
    let (spent, wire) = (used(&mut device), left(&pair.device) - before);
    let ratio = spent as f64 / wire as f64;
    tell(format_args!("{spent} bytes counted where {wire} left in all, {ratio:.4} of them"));
    assert!((0.95..2.0).contains(&ratio), "{spent} of {wire}");
    assert_arrived(&server, &[bytes]);
}

#[test]
fn tls_and_json_are_counted_too() {
    let (server, authority) = serve_tls(Behaviour::honest());
    let more = format!("{METERED}\n[strategy.metadata]\nmetered_bytes_per_day = \"1 MiB\"");
    let mut device = Device::off(None, &config_with(&server, &more));
    let pem = device.file("ca.pem");
    fs::write(&pem, authority).expect("a file");
    let url = format!("http://{}/sync\"", server.address());
    let secure = format!("https://{}/sync\"\nca_file = \"{}\"\ngzip = false", server.address(), pem.display());
    device.configure(&config_with(&server, &more).replace(&url, &secure));
    device.switch_on();
    let payload = serde_json::json!({ "padding": "x".repeat(50_000) }).to_string();
    let payloads: Vec<&str> = vec![&payload; 10];
    let ids = device.call("Tasks", "EnqueueBatch", &("metadata", payloads, none())).expect("taken").remove(0);
    let ids: Vec<String> =
        ids.as_array().expect("ids").iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
    device.until_done(&ids);
    device.until_strategy("metadata", "Running", 0);
    let spent = device.strategy("metadata")["BudgetUsed"].as_u64().expect("a number");
    tell(format_args!("{spent} bytes counted for 500000 by TLS"));
    assert!((500_000..560_000).contains(&spent), "{spent}");
}

#[test]
fn two_uploads_together_go_no_faster_than_their_rate() {
    const RATE: u64 = 512 * 1024;
    const SIZE: usize = 400_000;
    let server = serve(Behaviour::honest());
    let paced = config(&server, CHUNK).replace("[strategy.photo]", "[strategy.photo]\nmax_rate = \"512 KiB/s\"");
    // Shorter than a chunk takes: a body that waits for its turn is not stuck.
    let paced = paced.replace("kind = \"tus\"", "kind = \"tus\"\nread_timeout = \"200 ms\"");
    let mut device = Device::start(&paced);
    let (first, second) = (file(&device, "a.bin", SIZE), file(&device, "b.bin", SIZE + 1));
    let begun = Instant::now();
    let ids = put(&device, &[first.0, second.0]);
    assert!(server.wait_until(|log| log.uploads().len() == 2, HANG), "both run at once");
    device.until_done(&ids);
    let rate = (2 * SIZE) as f64 / begun.elapsed().as_secs_f64();
    let ratio = rate / RATE as f64;
    tell(format_args!("{ratio:.3} of the rate"));
    // The time begins before the first byte goes, so a daemon that keeps to its rate cannot be above; how far below is
    // the machine's affair.
    assert!((0.3..1.05).contains(&ratio), "{ratio}");
    assert_arrived(&server, &[first.1, second.1]);
}

#[test]
fn a_batch_goes_no_faster_than_its_rate_though_that_takes_longer_than_a_request_may() {
    let server = serve(Behaviour::honest());
    let more = "gzip = false\nrequest_timeout = \"500 ms\"\n[strategy.metadata]\nmax_rate = \"64 KiB/s\"";
    let mut device = Device::start(&config_with(&server, more));
    let payload = serde_json::json!({ "padding": "x".repeat(32_768) }).to_string();
    let begun = Instant::now();
    let ids = device.call("Tasks", "EnqueueBatch", &("metadata", vec![payload; 4], none())).expect("taken").remove(0);
    let ids: Vec<String> =
        ids.as_array().expect("ids").iter().map(|id| id.as_str().expect("an id").to_owned()).collect();
    device.until_done(&ids);
    let ratio = (4 * 32_768) as f64 / begun.elapsed().as_secs_f64() / (64.0 * 1_024.0);
    tell(format_args!("{ratio:.3} of the rate"));
    assert!((0.3..1.05).contains(&ratio), "{ratio}");
}

/// The file of the tz database of a zone where it is this hour now.
fn zone_where_it_is(hour: i64) -> String {
    let utc = Timestamp::now().as_second() / 3_600 % 24;
    match (hour - utc + 36) % 24 - 12 {
        0 => "/usr/share/zoneinfo/Etc/GMT".to_owned(),
        east @ 1.. => format!("/usr/share/zoneinfo/Etc/GMT-{east}"),
        west => format!("/usr/share/zoneinfo/Etc/GMT+{}", -west),
    }
}

#[test]
fn an_attempt_goes_as_soon_as_its_hours_begin() {
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config_with(&server, "[strategy.metadata]\nwindow = \"12:00-13:00\""));
    // A place where it will be noon in five seconds.
    let noon = Timestamp::now().as_second() + 5;
    let east = (43_200 - noon % 86_400 + 43_200 + 86_400) % 86_400 - 43_200;
    let (sign, size) = if east < 0 { ("", -east) } else { ("-", east) };
    device.set("TZ", format!("<HERE>{sign}{:02}:{:02}:{:02}", size / 3_600, size / 60 % 60, size % 60));
    device.switch_on();
    let id = device.enqueue_one();
    let rows = device.explain(&id);
    if Timestamp::now().as_second() < noon {
        assert_eq!((rows[0].reason.as_str(), &rows[0].detail["window"]), ("window", &"12:00-13:00".into()));
        assert_eq!(rows[0].detail["until"], (noon * 1_000_000).to_string());
        assert!(rows[0].clears.starts_with("the hours of strategy metadata begin at 12:00, in "), "{rows:?}");
        assert_eq!(device.shown("Manager")["NextWake"][0], "window");
    }
    let done = device.until_task(&id, "done");
    let late = done["finished"].as_u64().expect("a time").checked_sub(noon.cast_unsigned() * 1_000_000);
    let late = late.expect("not before its hours");
    tell(format_args!("an attempt was over {late} us after its hours began"));
    assert_ne!(device.shown("Manager")["NextWake"][0], "window", "nothing waits for it any more");
}

#[test]
fn another_time_zone_counts_at_once_and_other_files_wake_nobody() {
    if !netns::require() {
        return;
    }
    // By itself: what happens to the machine's own links wakes whoever looks at them.
    let netns = Netns::new();
    let listener = netns.inside(|| TcpListener::bind("127.0.0.1:0")).expect("a socket");
    let server = Server::start(listener, Behaviour::honest()).expect("a server");
    let mut device =
        Device::off(Some(&netns), &config_with(&server, "[strategy.metadata]\nwindow = [\"00:00-12:00\"]"));
    let etc = device.file("etc");
    let copied = Command::new("cp").args(["-a", "/etc"]).arg(&etc).stderr(std::process::Stdio::null()).status();
    copied.expect("cp");
    let localtime = etc.join("localtime");
    let move_to = |zone: &str| {
        let new = etc.join("localtime.new");
        symlink(zone, &new).expect("a link");
        fs::rename(&new, &localtime).expect("in its place");
    };
    move_to(&zone_where_it_is(18));
    let ferryd = device.command();
    let mut command = device.logged("unshare");
    command.args(["--mount", "sh", "-c", "mount --bind \"$1\" /etc && shift && exec \"$@\"", "sh"]).arg(&etc);
    command.arg(ferryd.get_program()).args(ferryd.get_args()).env_remove("TZ");
    device.switch_on_by(command);
    let id = device.enqueue_one();
    device.until_waits_for(&id, "window");

    thread::scope(|scope| {
        let (rested, over) = mpsc::channel::<()>();
        let etc = &etc;
        let others = scope.spawn(move || {
            while over.recv_timeout(Duration::from_millis(100)) == Err(RecvTimeoutError::Timeout) {
                fs::write(etc.join("motd.new"), "x").expect("a file");
                fs::rename(etc.join("motd.new"), etc.join("motd")).expect("in its place");
            }
        });
        assert_rests(&mut device, "a task waits for its hours, and files beside localtime change");
        drop(rested);
        others.join().expect("they could be written");
    });

    move_to(&zone_where_it_is(6));
    device.until_done(&[id]);
}
