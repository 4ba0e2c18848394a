//! What pictures take of memory: a process of their own, for as long as one is worked on, and of the daemon nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use super::hostile::{until_worker, worker};
use super::pictures::{device, finished, landscape, photo, put, run, text};
use crate::device::{Device, HANG, tell};

/// Bytes that the process takes for 12 megapixels beside the program's own pages: three a pixel, the file, and once more
/// what is taken apart of it.
const PICTURE: u64 = 46_000_000;
/// Bytes that the daemon may have kept after ten of them.
const GROWTH: u64 = 2 << 20;

/// A photo of 12 megapixels, as these arguments of ImageMagick make it.
fn twelve(device: &Device<'_>, name: &str, arguments: &[&str]) -> PathBuf {
    let (from, to) = (landscape(), device.file(name));
    let usual = ["-resize", "4000x3000!", "-quality", "92", "-sampling-factor", "4:2:0"];
    run("convert", &[&[text(&from)], &usual[..], arguments, &[text(&to)]].concat());
    to
}

/// A line of `/proc/PID/status` in bytes; `None` if the process is gone.
fn status(pid: u32, line: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().expect("a number") * 1024)
}

/// Sends a photo, and looks at the process that works on it until it is gone: the most that it held beside what it has of
/// files.
fn peak(device: &mut Device<'_>, path: &Path, options: &str) -> (String, u64) {
    let id = put(device, path, options);
    let pid = until_worker(device);
    let number = pid.as_raw_nonzero().get().unsigned_abs();
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("it works");
    // What it took most of comes long before its end, and is remembered until then.
    let (mut most, begun) = (0, Instant::now());
    loop {
        let (peak, of_files) = (status(number, "VmHWM"), status(number, "RssFile"));
        most = most.max(peak.zip(of_files).map_or(0, |(peak, of_files)| peak.saturating_sub(of_files)));
        assert!(begun.elapsed() < HANG, "{}", device.log());
        let between_looks = Timespec { tv_sec: 0, tv_nsec: 5_000_000 };
        if poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&between_looks)).expect("a look") > 0 {
            break;
        }
    }
    (id, most)
}

#[test]
fn a_photo_takes_what_is_documented_and_the_daemon_has_it_back() {
    let (server, mut device) = device("");
    let baseline = twelve(&device, "baseline.jpg", &[]);
    let progressive = twelve(&device, "progressive.jpg", &["-interlace", "JPEG"]);
    let small = photo(&device, "small.jpg", "");
    let mut look = |device: &mut Device<'_>, path: &Path| {
        let (id, peak) = peak(device, path, "--quality conservative");
        let task = device.until_task(&id, "done");
        assert_eq!(task["result"]["quality"], "conservative", "{}", device.log());
        assert!(finished(&server, &id).is_some());
        assert_eq!(worker(device), None, "it is gone when nothing is to be made");
        tell(format_args!("{}: {peak} bytes", path.display()));
        (peak, status(device.pid(), "RssAnon").expect("it runs"))
    };
    let large = |look: &mut dyn FnMut(&mut Device<'_>, &Path) -> (u64, u64), device: &mut Device<'_>| {
        let [(one, _), (other, after)] = [&baseline, &progressive].map(|path| look(device, path));
        assert!(one > 30_000_000 && other > 30_000_000, "they were looked at: {one} and {other}");
        assert!(one < PICTURE && other < PICTURE, "{one} and {other}");
        after
    };
    let before = large(&mut look, &mut device);
    for _ in 0..8 {
        look(&mut device, &small);
    }
    let after = large(&mut look, &mut device);
    tell(format_args!("the daemon: {before} bytes, after ten more {after}"));
    assert!(after < before + GROWTH, "{before} bytes before, {after} after");
}
