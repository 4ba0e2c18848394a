//! A wall clock that is set, and what the built `ferryd` makes of it. The kernel's word is real: the test sets the machine's
//! clock to what it shows, which is a setting like any other to who listens, and moves nobody's time. What the daemon then
//! reads is another time by libfaketime (Debian package faketime), for no test may set the clock of the machine that it runs
//! on. The boot clock, by which the daemon waits, is real.

#[path = "../common/bus.rs"]
mod bus;
#[path = "../daemon/device.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod device;
#[path = "../common/netns.rs"]
mod netns;
#[path = "../daemon/servers.rs"]
#[expect(dead_code, reason = "shared with other tests")]
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use ferryd::demo::{Behaviour, Verdict};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime, clock_settime};
use zbus::Variant;

use crate::device::{Device, none};
use crate::servers::{METERED, config_with, serve};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-06-15, a Monday, 00:00 UTC.
const MONDAY: i64 = 1_781_481_600;
/// 2020-01-01: no clock that is set shows it.
const LONG_AGO: i64 = 1_577_836_800;

/// A device in UTC with a clock of its own.
struct Clocked {
    device: Device<'static>,
}

impl Clocked {
    /// Switched on at this second after the epoch. `None` if nobody may set a clock here.
    fn at(second: i64, config: &str) -> Option<Self> {
        if let Err(error) = set_the_machines_clock_to_itself() {
            netns::not_run(&format!("setting the clock of this machine: {error}; be root"));
            return None;
        }
        let library = ["x86_64", "aarch64"]
            .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
            .into_iter()
            .find(|path| fs::exists(path).is_ok_and(|exists| exists))
            .expect("libfaketime (Debian package faketime)");
        let mut device = Device::off(None, config);
        let ahead = device.file("ahead").display().to_string();
        for (name, value) in [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &ahead),
            // The file is read whenever a clock is.
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
            ("TZ", ""),
        ] {
            device.set(name, value);
        }
        let mut clocked = Self { device };
        clocked.show(second);
        clocked.device.switch_on();
        Some(clocked)
    }

    /// Somebody sets its clock; returns when the daemon has heard.
    fn set(&mut self, second: i64) {
        let heard = |device: &Device<'_>| device.log().matches("the wall clock was set").count();
        let before = heard(&self.device);
        self.show(second);
        set_the_machines_clock_to_itself().expect("allowed, as before");
        self.device.until("the setting is heard of", |device| {
            // A jump that changes nothing for anybody is told in no signal: any call lets the watch look again.
            device.shown("Manager");
            (heard(device) > before).then_some(())
        });
    }

    fn show(&self, second: i64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set").as_secs();
        let (file, new) = (self.device.file("ahead"), self.device.file("ahead.new"));
        fs::write(&new, format!("{:+}\n", second - now.cast_signed())).expect("a file");
        fs::rename(new, file).expect("in its place");
    }
}

/// For who listens the clock was set; it moves by a microsecond or so.
fn set_the_machines_clock_to_itself() -> Result<(), Errno> {
    clock_settime(ClockId::Realtime, clock_gettime(ClockId::Realtime))
}

const HOURS: &str = "[strategy.metadata]\nwindow = \"12:00-13:00\"";

#[test]
fn a_jump_into_the_hours_opens_them_and_one_out_of_them_closes_them() {
    let server = serve(Behaviour::honest());
    let Some(mut clocked) = Clocked::at(MONDAY + 10 * HOUR, &config_with(&server, HOURS)) else { return };
    for (into, out) in [(MONDAY + 12 * HOUR, MONDAY + 14 * HOUR), (MONDAY - DAY + 12 * HOUR, MONDAY + 9 * HOUR)] {
        let id = clocked.device.enqueue_one();
        let row = clocked.device.until_waits_for(&id, "window");
        assert!(row.clears.starts_with("the hours of strategy metadata begin at 12:00, in "), "{}", row.clears);
        clocked.set(into + MINUTE);
        clocked.device.until_done(&[id]);
        clocked.set(out);
    }
    let id = clocked.device.enqueue_one();
    clocked.device.until_waits_for(&id, "window");
}

#[test]
fn a_clock_older_than_the_program_is_no_clock_until_it_is_set() {
    let server = serve(Behaviour::honest());
    let Some(mut clocked) = Clocked::at(LONG_AGO + 12 * HOUR, &config_with(&server, HOURS)) else { return };
    let id = clocked.device.enqueue_one();
    let row = clocked.device.until_waits_for(&id, "clock");
    assert_eq!(row.detail["depends"], "window");
    clocked.set(LONG_AGO + 12 * HOUR + DAY);
    clocked.device.until_waits_for(&id, "clock");
    clocked.set(MONDAY + 12 * HOUR + MINUTE);
    clocked.device.until_done(&[id]);
    clocked.set(LONG_AGO + 12 * HOUR);
    let id = clocked.device.enqueue_one();
    clocked.device.until_waits_for(&id, "clock");
}

#[test]
fn a_jump_to_the_next_day_brings_a_new_budget_and_one_back_none() {
    let server = serve(Behaviour::honest());
    let config = config_with(&server, &format!("{METERED}\n[strategy.metadata]\nmetered_bytes_per_day = \"1 B\""));
    let Some(mut clocked) = Clocked::at(MONDAY + 10 * HOUR, &config) else { return };
    let id = clocked.device.enqueue_one();
    clocked.device.until_done(&[id]);
    let waiting = clocked.device.enqueue_one();
    clocked.device.until_waits_for(&waiting, "budget");
    clocked.set(MONDAY - DAY + 10 * HOUR);
    let row = clocked.device.until_waits_for(&waiting, "budget");
    assert_eq!(row.detail["until"], ((MONDAY + DAY) * 1_000_000).to_string(), "what was spent is Monday's");
    clocked.set(MONDAY + DAY);
    clocked.device.until_done(&[waiting]);
}

#[test]
fn a_backoff_ends_with_a_jump_beyond_it_and_is_drawn_anew_after_one_back() {
    let retry = |after| Behaviour::judged(move |_| Verdict::Retry { after: Some(after), reason: "not now".to_owned() });
    let server = serve(Behaviour::honest());
    let config = config_with(&server, "[limits]\nbackoff_cap = \"20 s\"");
    let Some(mut clocked) = Clocked::at(MONDAY, &config) else { return };
    for (jump, after) in [(DAY, 19.0), (-DAY, 5.0)] {
        server.behave_once(retry(after));
        let id = clocked.device.enqueue_one();
        let before: u64 = until(&clocked.device.until_waits_for(&id, "backoff").detail);
        let now = i64::try_from(before / 1_000_000).expect("a time") + jump;
        clocked.set(now);
        // Forward, it is overdue; back, it would be due in a day.
        let done = clocked.device.until_task(&id, "done");
        let finished = done["finished"].as_u64().expect("a time");
        let latest = u64::try_from(now + 2 * MINUTE).expect("a time") * 1_000_000;
        assert!(finished < latest, "{finished} is long after {latest}");
    }
}

#[test]
fn a_jump_ends_pauses_and_tasks_whose_time_it_passes() {
    let server = serve(Behaviour::honest());
    let Some(mut clocked) = Clocked::at(MONDAY, &config_with(&server, "")) else { return };
    let micros = |second: i64| u64::try_from(second).expect("a time") * 1_000_000;
    let until = |second| BTreeMap::from([("until", Variant::from(micros(second)))]);
    clocked.device.call("Manager", "Pause", &(until(MONDAY + DAY),)).expect("paused");
    let expires = BTreeMap::from([("expires", Variant::from(micros(MONDAY + HOUR)))]);
    let stale = clocked.device.call("Tasks", "Enqueue", &("metadata", "{}", expires)).expect("taken").remove(0);
    let fresh = clocked.device.enqueue_one();
    clocked.set(MONDAY - DAY);
    clocked.device.until_waits_for(&fresh, "paused");
    clocked.set(MONDAY + DAY + MINUTE);
    clocked.device.until_done(&[fresh]);
    let failed = clocked.device.until_task(stale.as_str().expect("an id"), "failed");
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("expired")), "{failed}");
    assert_eq!(server.log(|log| log.applied()), 1);
    clocked.device.call("Manager", "Resume", &(none(),)).expect("nothing to resume");
}

fn until(detail: &serde_json::Value) -> u64 {
    detail["until"].as_str().and_then(|until| until.parse().ok()).expect("a time")
}
