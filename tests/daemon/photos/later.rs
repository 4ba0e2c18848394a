//! `original = "later"`: the photo first, its original when that costs nothing.

use std::fs;

use ferryd::demo::Server;
use serde_json::Value;

use super::pictures::{config, device, finished, photo, send};
use crate::device::Device;

fn metered(server: &Server, word: &str) -> String {
    format!("{}\n[[network.interface]]\nmatch = \"lo\"\nmetered = \"{word}\"\n", config(server, ""))
}

/// A photo that went as a copy over a metered link: its task, and the task that carries its original.
fn preview(server: &Server, device: &mut Device<'_>) -> (String, Value, String) {
    device.configure(&metered(server, "yes"));
    assert_eq!(device.ctl("reload").1, 0, "{}", device.log());
    let path = photo(device, "a.jpg", "");
    let options = "--quality conservative --original later --tag trip --name lake.jpg --metadata {\"album\":7}";
    let (id, task, _) = send(device, server, &path, options);
    let original = task["result"]["original_task"].as_str().expect("a task").to_owned();
    (id, task, original)
}

#[test]
fn the_original_follows_where_it_costs_nothing_and_the_server_learns_that_both_are_one() {
    let (server, mut device) = device("");
    let (id, _, original) = preview(&server, &mut device);
    device.until_waits_for(&original, "metered");
    let task = device.task(&original);
    assert_eq!(task["state"], "pending");
    assert_eq!(
        (&task["network"], &task["after"][0], &task["tags"][0]),
        (&"unmetered".into(), &id.as_str().into(), &"trip".into())
    );
    assert_eq!(task["size"], fs::metadata(device.file("a.jpg")).unwrap().len());
    // It is a task as any other, also after a restart.
    device.kill();
    device.switch_on();
    device.until_waits_for(&original, "metered");
    device.configure(&metered(&server, "no"));
    assert_eq!(device.ctl("reload").1, 0, "{}", device.log());
    let task = device.until_task(&original, "done");
    assert_eq!(task["result"]["quality"], "original");
    let (copy, whole) = (finished(&server, &id).unwrap(), finished(&server, &original).unwrap());
    assert!(whole.bytes == fs::read(device.file("a.jpg")).unwrap());
    for (upload, variant) in [(&copy, "conservative"), (&whole, "original")] {
        assert_eq!(upload.metadata["photo"], id);
        assert_eq!(upload.metadata["variant"], variant);
        assert_eq!(
            (upload.metadata["filename"].as_str(), upload.metadata["metadata"].as_str()),
            ("lake.jpg", "{\"album\":7}")
        );
    }
}

#[test]
fn the_app_can_take_the_original_back() {
    let (server, mut device) = device("");
    let (_, _, original) = preview(&server, &mut device);
    device.until_waits_for(&original, "metered");
    let kept = device.state().join("spool").join(&original);
    assert!(kept.exists());
    assert_eq!(device.ctl(&format!("cancel {original}")).1, 0);
    device.until_task(&original, "cancelled");
    let begun = std::time::Instant::now();
    while kept.exists() {
        assert!(begun.elapsed() < crate::device::HANG, "{}", device.log());
        std::thread::yield_now();
    }
    assert_eq!(server.uploads().len(), 1);
}

#[test]
fn nothing_follows_what_went_as_it_was() {
    let (server, mut device) = device("");
    let path = photo(&device, "deep.png", "-depth 16");
    let (_, task, _) = send(&mut device, &server, &path, "--quality conservative --original later");
    assert_eq!(task["result"].get("original_task"), None);
    let path = photo(&device, "a.jpg", "");
    let (_, task, _) = send(&mut device, &server, &path, "--quality conservative --original never");
    assert_eq!((task["result"].get("original_task"), &task["result"]["quality"]), (None, &"conservative".into()));
}
