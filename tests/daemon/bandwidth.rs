//! Links of known speed, between namespaces: what the daemon finds them to bear, how files go, and what it costs.

use std::time::{Duration, Instant};

use ferryd::demo::{Behaviour, Server, UploadState};
use serde_json::{Value, json};

use crate::device::{Device, none, tell};
use crate::netns::{self, Pair};
use crate::servers::serve_in;
use crate::uploads::files::{assert_arrived, file, put};

/// A configuration by which photos go to this server over any link, with more lines in the backend's section, or after it.
fn config(server: &Server, more: &str) -> String {
    let address = server.address();
    format!(
        "[device]\nname = \"tested\"\n[strategy.photo]\nnetwork = \"any\"\n\
         [backend.files]\nkind = \"tus\"\nurl = \"http://{address}/files/\"\n{more}\n"
    )
}

fn speed(device: &mut Device<'_>) -> f64 {
    device.shown("Bandwidth")["UploadSpeed"].as_f64().expect("a number")
}

fn until_connected(device: &mut Device<'_>) {
    device.until("it is connected", |device| (device.shown("Network")["Connected"] == true).then_some(()));
}

/// A link of so many kbit/s with a server at its other end.
fn link(kilobits: u32) -> (Pair, Server) {
    let pair = Pair::new();
    pair.device.shape(Pair::UPLINK, &format!("{kilobits}kbit"));
    let server = serve_in(&pair.server, Behaviour::honest());
    (pair, server)
}

/// Sends a file that takes some seconds; the link is then known to take photos so. On a machine that is too busy to keep its
/// own link steady, the kernel sends again what was not lost: then it is another link, and tried anew.
fn finds(kilobits: u32, size: usize, strategy: &str) {
    assert!((0..4).any(|_| finds_once(kilobits, size, strategy)), "no steady link of {kilobits} kbit/s can be had");
}

/// Whether the link was steady.
fn finds_once(kilobits: u32, size: usize, strategy: &str) -> bool {
    let (pair, server) = link(kilobits);
    let mut device = Device::start_in(&pair.device, &config(&server, ""));
    let nothing = device.shown("Bandwidth");
    assert_eq!((&nothing["UploadStrategy"], &nothing["MeasuredAt"]), (&json!("conservative"), &json!(0)));
    let (path, bytes) = file(&device, "a.jpg", size);
    let ids = put(&device, &[path]);
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
    let link = f64::from(kilobits) / 1_000.0;
    let found = device
        .until("its speed is known", |device| Some(device.shown("Bandwidth")).filter(|shown| shown["MeasuredAt"] != 0));
    tell(format_args!("{link} Mbit/s: {found}"));
    if found["Reliability"].as_f64().is_some_and(|share| share < 0.8) {
        return false;
    }
    let share = found["UploadSpeed"].as_f64().expect("a number") / link;
    assert!((0.6..1.5).contains(&share), "{found} on a link of {link} Mbit/s");
    assert_eq!(found["UploadStrategy"], strategy, "{found}");
    assert!(found["Latency"].as_f64().is_some_and(|latency| latency > 0.0), "{found}");
    // Nothing was sent to measure.
    assert_eq!((server.uploads().len(), server.received().len()), (1, 0));

    // It is known again after a restart.
    device.switch_off();
    device.switch_on();
    let again = device.until("the network is known again", |device| {
        Some(device.shown("Bandwidth")).filter(|shown| shown["MeasuredAt"] != 0)
    });
    assert_eq!((&again["UploadStrategy"], &again["MeasuredAt"]), (&found["UploadStrategy"], &found["MeasuredAt"]));
    let history = device.call("Bandwidth", "History", &()).expect("measurements").remove(0);
    assert_eq!(history.as_array().map(Vec::len), Some(1), "{history}");

    let (path, _) = file(&device, "b.jpg", 20_000_000);
    let ids = put(&device, &[path]);
    if strategy == "background_only" {
        let row = device.until_waits_for(&ids[0], "slow-link");
        assert!(row.clears.contains("one file tries it again in"), "{row:?}");
        let (said, _) = device.ctl(&format!("explain {}", ids[0]));
        assert!(said.contains("slow-link") && said.contains("Mbit/s up"), "{said}");
        assert_eq!(server.uploads().len(), 1);
    } else {
        let task = device.until("it is under way", |device| {
            Some(device.task(&ids[0])).filter(|task| task["chunk_size"].as_u64().is_some_and(|size| size > 0))
        });
        let seconds =
            task["chunk_size"].as_f64().expect("a size") * 8e-6 / found["UploadSpeed"].as_f64().expect("a speed");
        assert_eq!(task["upload_strategy"], strategy);
        assert!((2.0..=5.0).contains(&seconds), "{task} on {found}");
    }
    true
}

#[test]
fn a_link_of_200_kbit_lets_files_wait() {
    if netns::require() {
        finds(200, 200_000, "background_only");
    }
}

#[test]
fn a_link_of_1_mbit_takes_photos_conservatively() {
    if netns::require() {
        finds(1_000, 700_000, "conservative");
    }
}

#[test]
fn a_link_of_5_mbit_takes_balanced_photos() {
    if netns::require() {
        finds(5_000, 3_000_000, "balanced");
    }
}

#[test]
fn a_link_of_20_mbit_takes_photos_as_they_are() {
    if netns::require() {
        finds(20_000, 10_000_000, "high_quality");
    }
}

#[test]
fn a_rate_that_changes_tenfold_in_mid_upload_is_followed_by_estimate_and_chunk() {
    if !netns::require() {
        return;
    }
    let (pair, server) = link(20_000);
    let mut device = Device::start_in(&pair.device, &config(&server, "chunk = \"2 MiB\""));
    let (path, bytes) = file(&device, "a.jpg", 25_000_000);
    let ids = put(&device, &[path]);
    let chunk = |device: &mut Device<'_>| device.task(&ids[0])["chunk_size"].as_u64().unwrap_or_default();
    device.until("it is as fast as the link", |device| (speed(device) > 14.0).then_some(()));
    device.until("chunks are as large as they may be", |device| (chunk(device) == 2 << 20).then_some(()));

    pair.device.shape(Pair::UPLINK, "2mbit");
    let began = Instant::now();
    device.until("the fall is seen", |device| (speed(device) < 2.8).then_some(()));
    let estimate = began.elapsed();
    device.until("chunks take their time again", |device| (1..=1_250_000).contains(&chunk(device)).then_some(()));
    tell(format_args!("20 to 2 Mbit/s: the estimate follows in {estimate:?}, the chunk in {:?}", began.elapsed()));

    pair.device.shape(Pair::UPLINK, "20mbit");
    let began = Instant::now();
    device.until("the rise is seen", |device| (speed(device) > 14.0).then_some(()));
    let estimate = began.elapsed();
    device.until("chunks are as large as they may be", |device| (chunk(device) == 2 << 20).then_some(()));
    tell(format_args!("2 to 20 Mbit/s: the estimate follows in {estimate:?}, the chunk in {:?}", began.elapsed()));
    device.until_done(&ids);
    assert_arrived(&server, &[bytes]);
}

#[test]
fn two_files_at_once_show_the_speed_of_the_link_and_not_of_each() {
    if !netns::require() {
        return;
    }
    let (pair, server) = link(8_000);
    let mut device = Device::start_in(&pair.device, &config(&server, ""));
    let files = [1, 2].map(|n| file(&device, &format!("{n}.jpg"), 3_000_000 + n));
    let ids = put(&device, &files.clone().map(|(path, _)| path));
    device.until("both are under way", |device| {
        let speed = speed(device);
        let both = ids.iter().all(|id| device.task(id)["done"].as_u64().is_some_and(|done| done > 500_000));
        (both && speed > 0.0).then_some(())
    });
    device.until_done(&ids);
    let found = speed(&mut device);
    assert!((5.5..11.0).contains(&found), "{found} on a link of 8 Mbit/s");
}

#[test]
fn measure_sends_100_kb_and_nothing_stays() {
    if !netns::require() {
        return;
    }
    let (pair, server) = link(5_000);
    let mut device = Device::start_in(&pair.device, &config(&server, ""));
    until_connected(&mut device);
    device.call("Bandwidth", "Measure", &none()).expect("it is measured");
    let found = device.shown("Bandwidth");
    assert!(found["UploadSpeed"].as_f64().is_some_and(|speed| (2.5..10.0).contains(&speed)), "{found}");
    let [upload] = server.uploads().try_into().expect("one upload");
    assert_eq!((upload.state, upload.metadata.len()), (UploadState::Terminated, 1));
    let (said, code) = device.ctl("measure");
    assert!(code == 0 && said.contains("Mbit/s up") && said.ends_with(": balanced\n"), "{said}");
    let (said, _) = device.ctl("status");
    assert!(said.contains("\n  bandwidth  "), "{said}");
    let options = std::collections::BTreeMap::from([("size", zbus::Variant::from(7))]);
    let refused = device.call("Bandwidth", "Measure", &options).expect_err("there is no such option");
    assert_eq!(refused.name, "InvalidArgument");
}

#[test]
fn measure_goes_where_config_says_and_is_told_what_is_wrong() {
    if !netns::require() {
        return;
    }
    let (pair, server) = link(5_000);
    let mut device = Device::start_in(&pair.device, &config(&server, "measure_url = \"/elsewhere\""));
    until_connected(&mut device);
    let refused = device.call("Bandwidth", "Measure", &none()).expect_err("nothing is there");
    assert!(refused.name == "Unavailable" && refused.message.contains("status 4"), "{refused:?}");
    assert_eq!(server.uploads().len(), 0);
    let wrong = config(&server, "measure_url = \"http://192.0.2.9/\"");
    device.configure(&wrong);
    let (said, code) = device.ctl("reload");
    assert!(code != 0 && said.contains("backend.files.measure_url"), "{said}");
}

#[test]
fn nothing_is_measured_where_bytes_cost_or_nobody_is_there() {
    if !netns::require() {
        return;
    }
    let (pair, server) = link(5_000);
    let metered = "[[network.interface]]\nmatch = \"uplink\"\nmetered = \"guess-yes\"";
    let mut device = Device::start_in(&pair.device, &config(&server, metered));
    device.until("the network is known", |device| (device.shown("Network")["Metered"] == "guess-yes").then_some(()));
    let refused = device.call("Bandwidth", "Measure", &none()).expect_err("it costs");
    assert!(refused.name == "Unavailable" && refused.message.contains("metered"), "{refused:?}");
    pair.unplug();
    device.until("it is offline", |device| (device.shown("Network")["Connected"] == false).then_some(()));
    let refused = device.call("Bandwidth", "Measure", &none()).expect_err("nobody is there");
    assert!(refused.name == "Unavailable" && refused.message.contains("no route"), "{refused:?}");
    assert_eq!(server.uploads().len(), 0);
}

#[test]
fn what_a_network_bears_is_remembered_while_the_device_is_on_another() {
    if !netns::require() {
        return;
    }
    let (pair, server) = link(5_000);
    let mut device = Device::start_in(&pair.device, &config(&server, ""));
    let (path, _) = file(&device, "a.jpg", 2_000_000);
    let ids = put(&device, &[path]);
    device.until_done(&ids);
    let unknown = |shown: &Value| shown["UploadSpeed"] == 0.0;
    assert!(!unknown(&device.shown("Bandwidth")));
    let history = |device: &mut Device<'_>| device.call("Bandwidth", "History", &()).expect("measurements").remove(0);
    let before = history(&mut device);
    // The same server by way of a router: another network, of which nothing is known.
    pair.device.ip(&format!("address del {}/24 dev {}", Pair::DEVICE, Pair::UPLINK));
    pair.device.ip(&format!("address add {}/32 dev {}", Pair::DEVICE, Pair::UPLINK));
    pair.device.ip(&format!("route add 10.77.0.9 dev {}", Pair::UPLINK));
    pair.device.ip(&format!("route add {} via 10.77.0.9 dev {}", Pair::SERVER, Pair::UPLINK));
    device.until("the other network is unknown", |device| unknown(&device.shown("Bandwidth")).then_some(()));
    pair.device.ip(&format!("route del {} via 10.77.0.9 dev {}", Pair::SERVER, Pair::UPLINK));
    pair.device.ip(&format!("address del {}/32 dev {}", Pair::DEVICE, Pair::UPLINK));
    pair.device.ip(&format!("address add {}/24 dev {}", Pair::DEVICE, Pair::UPLINK));
    device.until("the first one is known again", |device| (!unknown(&device.shown("Bandwidth"))).then_some(()));
    assert_eq!(server.uploads().len(), 1, "by nothing that was sent");
    // One may have come after the task's end.
    let (before, after) = (before.as_array().expect("some"), history(&mut device));
    assert!(after.as_array().is_some_and(|after| after.starts_with(before)), "{after} after {before:?}");
}

#[test]
fn all_that_goes_over_a_network_keeps_to_its_rate() {
    if !netns::require() {
        return;
    }
    let (pair, server) = link(50_000);
    let slow = "[[network.interface]]\nmatch = \"uplink\"\nmax_rate = \"200 KiB/s\"";
    let mut device = Device::start_in(&pair.device, &config(&server, slow));
    let files = [1, 2].map(|n| file(&device, &format!("{n}.jpg"), 400_000 + n));
    let began = Instant::now();
    let ids = put(&device, &files.map(|(path, _)| path));
    device.until_done(&ids);
    let least = Duration::from_secs_f64(800_000.0 / (200.0 * 1024.0) * 0.9);
    assert!(began.elapsed() > least, "both in {:?}", began.elapsed());
    // What we held back says only that the link bears at least that.
    assert_eq!(device.shown("Bandwidth")["UploadStrategy"], "conservative");
}
