//! Photos on a disk that is full, or fills while they are worked on: nothing acknowledged is lost, no place is told that is to
//! stay, and nothing half stays behind.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ferryd::demo::{Behaviour, Server};
use rustix::process::{Signal, kill_process};

use super::hostile::until_worker;
use super::pictures::{config, finished, keep, landscape, photo, put, until_empty, until_more_than};
use super::place::{placed, says_a_place, tag_a_place};
use crate::device::{Device, none, tell};
use crate::servers::serve;

/// The state directory of a device as a file system of so many megabytes. Unmounted when dropped.
struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(at: PathBuf, megabytes: u32) -> Option<Self> {
        fs::create_dir(&at).expect("a folder");
        let size = format!("size={megabytes}m,mode=0700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { at });
        }
        tell(format_args!("mounting a small disk is not allowed here: this test needs root"));
        None
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Another takes all space that is left.
    fn fill(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.ballast()).expect("a file");
        while file.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).expect("it is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.at).status();
        assert!(unmounted.is_ok_and(|status| status.success()));
    }
}

/// A device with a disk of 40 megabytes, 4 of which the store keeps aside; `more` goes to its strategy.
fn small(more: &str) -> Option<(Server, Device<'static>, SmallDisk)> {
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config(&server, more));
    let disk = SmallDisk::mount(device.state(), 40)?;
    device.switch_on();
    Some((server, device, disk))
}

fn pause(device: &mut Device<'_>) {
    device.call_strategy("photo", "Pause", &none()).expect("paused");
}

fn resume(device: &mut Device<'_>) {
    device.call_strategy("photo", "Resume", &none()).expect("resumed");
}

/// Lets the process that works on a picture go on when another has taken the disk.
fn fill_meanwhile(device: &Device<'_>, disk: &SmallDisk) {
    let worker = until_worker(device);
    kill_process(worker, Signal::STOP).expect("it works");
    disk.fill();
    kill_process(worker, Signal::CONT).expect("it works");
}

fn assert_nothing_is_left(device: &Device<'_>) {
    until_empty(device, "spool");
    until_empty(device, "copies");
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).expect("a file")
}

#[test]
fn what_was_taken_arrives_from_a_full_disk_as_it_is_and_what_comes_later_as_a_copy() {
    let Some((server, mut device, disk)) = small("") else { return };
    let path = photo(&device, "a.jpg", "");
    pause(&mut device);
    let options =
        ["--quality conservative", "--quality balanced --max-edge 800", "--quality conservative --original later"];
    let ids: Vec<_> = options.iter().cycle().take(6).map(|options| put(&device, &path, options)).collect();
    disk.fill();
    let (said, code) = device.ctl(&format!("put {}", path.display()));
    assert_eq!(code, 6, "what has no room is refused: {said}");
    // Nor does a start lose any.
    device.kill();
    disk.fill();
    device.switch_on();
    resume(&mut device);
    for id in &ids {
        let task = device.until_task(id, "done");
        let upload = finished(&server, id).expect("it is there");
        // What was sent makes room for a copy of what comes next.
        let is_whole = task["result"]["quality"] == "original";
        assert_eq!(upload.bytes == bytes(&path), is_whole);
    }
    let first = device.task(&ids[0]);
    assert_eq!(first["result"]["quality"], "original", "what is kept aside is not for copies: {}", device.log());

    disk.free();
    let id = put(&device, &path, "--quality conservative");
    assert_eq!(device.until_task(&id, "done")["result"]["quality"], "conservative", "{}", device.log());
    let later = device.call("Tasks", "List", &(none(), "", 100_u32)).expect("a list").remove(0);
    for task in later.as_array().expect("tasks") {
        device.until_task(task["id"].as_str().expect("an id"), "done");
    }
    assert_nothing_is_left(&device);
}

#[test]
fn a_disk_that_fills_while_a_copy_is_written_lets_the_original_go_and_keeps_no_half() {
    let Some((server, mut device, disk)) = small("") else { return };
    let id = put(&device, &landscape(), "--quality conservative");
    fill_meanwhile(&device, &disk);
    let task = device.until_task(&id, "done");
    assert_eq!(task["result"]["quality"], "original", "{}", device.log());
    assert!(finished(&server, &id).expect("it is there").bytes == bytes(&landscape()));
    assert!(device.log().contains("no copy of a picture could be made: No space left"), "{}", device.log());
    assert_nothing_is_left(&device);
}

/// Waits until a photo is held back for want of space, and nothing of it has left.
fn assert_waits_for_space(device: &mut Device<'_>, server: &Server, id: &str) {
    let row = device.until_waits_for(id, "backoff");
    let why = row.detail["error"].as_str().expect("a reason").to_owned();
    assert!(why.contains("the place where it was taken cannot be removed from it yet"), "{why}");
    let task = device.task(id);
    assert_eq!((&task["state"], &task["attempts"]), (&"pending".into(), &0.into()), "{task}");
    assert!(server.uploads().is_empty(), "{:?}", server.uploads());
    until_empty(device, "copies");
}

#[test]
fn a_photo_whose_place_is_to_stay_waits_for_space_and_goes_without_it() {
    let Some((server, mut device, disk)) = small("strip_gps = true") else { return };
    let path = device.file("a.jpg");
    fs::copy(landscape(), &path).expect("a copy");
    tag_a_place(&path);
    let id = put(&device, &path, "--quality conservative");
    fill_meanwhile(&device, &disk);
    assert_waits_for_space(&mut device, &server, &id);
    // As often as it is tried: it waits for space, and the server has no say in that.
    for _ in 0..4 {
        device.call("Manager", "SyncNow", &("photo", none())).expect("asked");
        assert_waits_for_space(&mut device, &server, &id);
    }
    device.kill();
    device.switch_on();
    assert_waits_for_space(&mut device, &server, &id);
    disk.free();
    device.call("Manager", "SyncNow", &("photo", none())).expect("asked");
    let task = device.until_task(&id, "done");
    assert_eq!(task["result"]["quality"], "conservative", "{}", device.log());
    assert!(!says_a_place(&keep(&device, &finished(&server, &id).expect("it is there"))));
    assert_nothing_is_left(&device);
}

#[test]
fn an_original_whose_place_is_to_stay_waits_for_space_too_and_holds_up_no_other() {
    let Some((server, mut device, disk)) = small("strip_gps = true") else { return };
    let path = placed(&device, "a.jpg", "");
    let others = [photo(&device, "b.png", "-resize 100x100"), photo(&device, "c.jpg", "-strip")];
    pause(&mut device);
    let id = put(&device, &path, "--quality original");
    let free = others.map(|other| put(&device, &other, "--quality conservative"));
    disk.fill();
    resume(&mut device);
    // They say no place.
    device.until_done(&free);
    let row = device.until_waits_for(&id, "backoff");
    assert!(
        row.detail["error"].to_string().contains("cannot be removed from it yet: the disk has no room for a copy"),
        "{row:?}"
    );
    assert_eq!(server.uploads().len(), 2);
    disk.free();
    device.call("Manager", "SyncNow", &("photo", none())).expect("asked");
    device.until_task(&id, "done");
    assert!(!says_a_place(&keep(&device, &finished(&server, &id).expect("it is there"))));
    assert_nothing_is_left(&device);
}

#[test]
fn a_copy_that_is_under_way_when_the_disk_fills_arrives_and_so_does_its_original() {
    let Some((server, mut device, disk)) = small("max_rate = \"200 KiB/s\"") else { return };
    let path = photo(&device, "a.jpg", "");
    let id = put(&device, &path, "--quality balanced --original later");
    until_more_than(&device, &server, 64 << 10);
    disk.fill();
    device.kill();
    disk.fill();
    device.configure(&config(&server, ""));
    device.switch_on();
    let task = device.until_task(&id, "done");
    assert_eq!(task["result"]["quality"], "balanced", "{}", device.log());
    let original = task["result"]["original_task"].as_str().expect("a task").to_owned();
    device.until_task(&original, "done");
    assert!(finished(&server, &original).expect("it is there").bytes == bytes(&path));
    let begun = |uploads: &[ferryd::demo::Upload]| uploads.iter().map(|upload| upload.again).sum::<u64>();
    assert_eq!((server.uploads().len(), begun(&server.uploads())), (2, 0), "{:?}", server.uploads());
    assert_nothing_is_left(&device);
}
