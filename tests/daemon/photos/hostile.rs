//! Pictures that are made to break who decodes them. Each goes as it is, and the daemon is the one that it was.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use super::pictures::{device, landscape, photo, put, send};
use crate::device::Device;

/// A JPEG with this frame before the tables and scans of a real one.
fn resized(real: &[u8], width: u16, height: u16) -> Vec<u8> {
    let at = real.windows(2).position(|bytes| bytes[0] == 0xff && matches!(bytes[1], 0xc0 | 0xc2)).expect("a frame");
    let mut file = real.to_vec();
    file[at + 5..at + 7].copy_from_slice(&height.to_be_bytes());
    file[at + 7..at + 9].copy_from_slice(&width.to_be_bytes());
    file
}

/// The last scan of a progressive picture again and again.
fn endless(real: &[u8], times: usize) -> Vec<u8> {
    let scan = real.windows(2).rposition(|bytes| bytes == [0xff, 0xda]).expect("a scan");
    let (head, scan) = real[..real.len() - 2].split_at(scan);
    [head, &scan.repeat(times), &[0xff, 0xd9]].concat()
}

fn written(device: &Device<'_>, name: &str, bytes: &[u8]) -> PathBuf {
    let path = device.file(name);
    fs::write(&path, bytes).expect("it works");
    path
}

#[test]
fn bombs_and_damage_go_as_they_are_and_the_daemon_lives() {
    let (server, mut device) = device("");
    let pid = device.pid();
    let baseline = fs::read(photo(&device, "a.jpg", "-resize 400x300!")).unwrap();
    let progressive = fs::read(photo(&device, "b.jpg", "-resize 400x300! -interlace JPEG")).unwrap();
    let mut files = Vec::new();
    for (name, real) in [("baseline", &baseline), ("progressive", &progressive)] {
        for (width, height) in [(u16::MAX, u16::MAX), (u16::MAX, 1), (1, u16::MAX), (5000, 5000), (401, 301), (0, 0)] {
            files.push((format!("{name} {width}x{height}"), resized(real, width, height)));
        }
        for length in [3, 20, 200, real.len() / 3, real.len() - 1] {
            files.push((format!("{name} cut at {length}"), real[..length].to_vec()));
        }
    }
    files.push(("endless".to_owned(), endless(&progressive, 50_000)));
    files.push(("many scans".to_owned(), endless(&resized(&progressive, 2000, 2000), 40)));
    for (name, bytes) in files {
        let path = written(&device, "hostile.jpg", &bytes);
        let (_, task, upload) = send(&mut device, &server, &path, "--quality conservative");
        if task["result"]["quality"] == "original" {
            assert!(upload.bytes == bytes, "{name}");
        } else {
            // What stands in it can be decoded: so it is by others.
            assert!(upload.bytes.len() < bytes.len(), "{name}");
        }
    }
    assert_eq!(device.pid(), pid);
    assert_eq!(device.strategy("photo")["Failed"], 0);
}

#[test]
fn bits_that_flip_at_random_end_no_daemon() {
    let (server, mut device) = device("strip_gps = true");
    let real = [
        fs::read(photo(&device, "a.jpg", "-resize 160x120!")).unwrap(),
        fs::read(photo(&device, "b.jpg", "-resize 160x120! -interlace JPEG")).unwrap(),
    ];
    let mut random = fastrand::Rng::with_seed(11);
    let mut ids = Vec::new();
    for at in 0..120 {
        let mut bytes = random.choice(&real).unwrap().clone();
        for _ in 0..random.usize(1..20) {
            let place = if random.bool() { random.usize(3..700) } else { random.usize(3..bytes.len()) };
            bytes[place] = random.u8(..);
        }
        let path = written(&device, &format!("{at}.jpg"), &bytes);
        ids.push(put(&device, &path, "--quality conservative"));
    }
    device.until_done(&ids);
    assert_eq!(server.uploads().len(), ids.len());
    let left = fs::read_dir(device.state().join("copies")).unwrap().count();
    device.switch_off();
    assert!(left <= ids.len(), "{}", device.log());
}

/// The process that works on a picture for the daemon.
pub(super) fn worker(device: &Device<'_>) -> Option<Pid> {
    let pid = device.pid();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().find_map(|child| Pid::from_raw(child.parse().ok()?))
}

pub(super) fn until_worker(device: &Device<'_>) -> Pid {
    let begun = std::time::Instant::now();
    loop {
        if let Some(worker) = worker(device) {
            return worker;
        }
        assert!(begun.elapsed() < crate::device::HANG, "{}", device.log());
        std::thread::yield_now();
    }
}

#[test]
fn if_the_process_that_works_on_it_dies_the_original_goes() {
    let (server, mut device) = device("");
    let id = put(&device, &landscape(), "--quality conservative");
    kill_process(until_worker(&device), Signal::KILL).unwrap();
    let task = device.until_task(&id, "done");
    assert_eq!(task["result"]["quality"], "original", "{}", device.log());
    assert!(server.uploads()[0].bytes == fs::read(landscape()).unwrap());
    assert!(device.log().contains("was ended by signal 9"), "{}", device.log());
}

#[test]
fn it_works_on_one_at_a_time_holds_nothing_and_ends_with_its_task() {
    let (_server, mut device) = device("batch = 1");
    let ids = [(); 2].map(|()| put(&device, &landscape(), "--quality balanced"));
    let worker_pid = until_worker(&device);
    let pid = worker_pid.as_raw_nonzero();
    let read = |what: &str| fs::read_to_string(format!("/proc/{pid}/{what}")).unwrap_or_default();
    let begun = std::time::Instant::now();
    while !read("limits").contains("Max open files            0                    0") {
        assert!(begun.elapsed() < crate::device::HANG && worker(&device) == Some(worker_pid), "{}", read("limits"));
        std::thread::yield_now();
    }
    let status = read("status");
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(read("limits").contains("Max processes             0                    0"), "{}", read("limits"));
    assert!(read("environ").is_empty());
    let own = device.pid();
    let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap();
    assert_eq!(children.split_whitespace().count(), 1);
    let (said, code) = device.ctl(&format!("cancel {} {}", ids[0], ids[1]));
    assert_eq!(code, 0, "{said}");
    device.until_shown("Transfers", 0);
    let begun = std::time::Instant::now();
    while fs::exists(format!("/proc/{pid}/exe")).unwrap_or(false) && !read("status").contains("State:\tZ") {
        assert!(begun.elapsed() < crate::device::HANG, "it goes on");
        std::thread::yield_now();
    }
}
