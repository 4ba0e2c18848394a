//! Copies outlive attempts and daemons: an upload goes on with the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use ferryd::demo::Server;

use super::pictures::{config, device, finished, photo, put, run, text, until_more_than};
use crate::device::Device;

const SLOW: &str = "max_rate = \"100 KiB/s\"";

/// The one copy.
fn copy(device: &Device<'_>) -> PathBuf {
    let copies = fs::read_dir(device.state().join("copies")).expect("it works");
    let mut copies: Vec<_> = copies.map(|entry| entry.expect("it works").path()).collect();
    assert_eq!(copies.len(), 1);
    copies.remove(0)
}

/// Kills the daemon in the middle of the upload of a copy and does something to the copy before it comes back. What is
/// there in the end.
fn interrupted(meanwhile: impl FnOnce(&Path)) -> (Server, Device<'static>, String, PathBuf) {
    let (server, mut device) = device(SLOW);
    let path = photo(&device, "a.jpg", "");
    let id = put(&device, &path, "--quality balanced");
    until_more_than(&device, &server, 64 << 10);
    device.kill();
    meanwhile(&copy(&device));
    device.configure(&config(&server, ""));
    device.switch_on();
    let task = device.until_task(&id, "done");
    assert_eq!(task["result"]["quality"], "balanced", "{}", device.log());
    (server, device, id, path)
}

#[test]
fn an_upload_goes_on_with_the_copy_that_was_made() {
    let (server, device, id, path) = interrupted(|_| {});
    let uploads = server.uploads();
    assert_eq!((uploads.len(), uploads[0].again), (1, 0), "{uploads:?}\n{}", device.log());
    assert!(finished(&server, &id).unwrap().bytes.len() < fs::metadata(path).unwrap().len() as usize);
}

#[test]
fn a_copy_that_is_gone_or_damaged_is_made_anew_the_same() {
    for damage in [|copy: &Path| fs::remove_file(copy).unwrap(), |copy: &Path| fs::write(copy, "half").unwrap()] {
        let (server, device, id, _) = interrupted(damage);
        let uploads = server.uploads();
        assert_eq!((uploads.len(), uploads[0].again), (1, 0), "{uploads:?}\n{}", device.log());
        let upload = finished(&server, &id).unwrap();
        let arrived = super::pictures::keep(&device, &upload);
        run("djpeg", &["-outfile", "/dev/null", text(&arrived)]);
    }
}

#[test]
fn what_is_sent_is_shown_while_it_runs_and_the_copy_goes_with_its_task() {
    let (server, mut device) = device(SLOW);
    let path = photo(&device, "a.jpg", "");
    let id = put(&device, &path, "--quality conservative");
    until_more_than(&device, &server, 64 << 10);
    let task = device.until("it shows what it sends", |device| {
        Some(device.task(&id)).filter(|task| task["done"].as_u64() > Some(0))
    });
    assert_eq!((&task["quality"], &task["size"]), (&"conservative".into(), &fs::metadata(&path).unwrap().len().into()));
    let copy = copy(&device);
    device.ctl(&format!("cancel {id}"));
    device.until_task(&id, "cancelled");
    device.until_shown("Transfers", 0);
    let begun = std::time::Instant::now();
    while copy.exists() {
        assert!(begun.elapsed() < crate::device::HANG, "{}", device.log());
        std::thread::yield_now();
    }
    let told = |log: &ferryd::demo::Log| {
        log.uploads().iter().all(|upload| upload.state == ferryd::demo::UploadState::Terminated)
    };
    assert!(server.wait_until(told, crate::device::HANG), "{:?}", server.uploads());
}
