//! Hours, time zones, budgets of metered bytes and rates, with real clocks, sockets and links.
//!
//! No test sets this machine's clock: what follows from a clock that is not set, or is set otherwise, is tested in
//! `src/schedule/tests/dates.rs`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use ferryd::demo::Behaviour;
use jiff::Timestamp;

use crate::device::{Device, tell};
use crate::netns;
use crate::servers::{config_with, serve};

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
    let server = serve(Behaviour::honest());
    let mut device = Device::off(None, &config_with(&server, "[strategy.metadata]\nwindow = [\"00:00-12:00\"]"));
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

    let before = switches(device.pid());
    for file in ["hosts.new", "motd.new", "adjtime.new"] {
        fs::write(etc.join(file), "x").expect("a file");
        fs::rename(etc.join(file), etc.join(file.trim_end_matches(".new"))).expect("in its place");
    }
    assert_eq!(switches(device.pid()), before, "it slept on");

    move_to(&zone_where_it_is(6));
    device.until_done(&[id]);
}

/// How often a process has gone to sleep.
fn switches(pid: u32) -> Vec<String> {
    let tasks = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("task")).expect("threads");
    let mut lines: Vec<String> = tasks
        .flatten()
        .map(|task| fs::read_to_string(task.path().join("status")).unwrap_or_default())
        .flat_map(|status| {
            status.lines().filter(|line| line.starts_with("voluntary")).map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    lines.sort();
    lines
}
