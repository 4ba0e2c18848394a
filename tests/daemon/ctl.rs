//! `ferryctl sync` and `ferryctl hold` with the built daemon: what goes, what waits, and until when.

use std::process::{Child, Command, Stdio};

use ferryd::demo::{Behaviour, Verdict};

use crate::device::Device;
use crate::servers::{METERED, config, config_with, serve};

/// `ferryctl hold -- COMMAND`, which runs.
fn holding(device: &Device<'_>, command: &[&str]) -> Child {
    let mut whole = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
    whole.args(["--address", device.bus.address(), "hold", "--"]).args(command);
    whole.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("ferryctl runs")
}

#[test]
fn a_backoff_is_brought_forward() {
    let server = serve(Behaviour::judged(|item| match item.attempt {
        1 => Verdict::Retry { after: Some(3600.0), reason: "later".to_owned() },
        _ => Verdict::Take,
    }));
    let mut device = Device::start(&config(&server));
    let id = device.enqueue_one();
    device.until_waits_for(&id, "backoff");
    assert_eq!(device.ctl("sync analytics"), (String::new(), 0));
    device.until_waits_for(&id, "backoff");
    assert_eq!(device.ctl("sync"), (String::new(), 0));
    device.until_done(&[id]);
}

#[test]
fn a_condition_is_overridden_for_what_waits() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config_with(&server, METERED));
    let id = device.enqueue_to("analytics", 1).remove(0);
    device.until_waits_for(&id, "metered");
    assert_eq!(device.ctl("sync analytics"), (String::new(), 0));
    device.until_waits_for(&id, "metered");
    let (words, code) = device.ctl("sync nothing --override metered");
    assert_eq!((words.as_str(), code), ("ferryctl: there is no strategy \"nothing\"\n", 3));
    assert_eq!(device.ctl("sync analytics --override metered --all"), (String::new(), 0));
    device.until_done(&[id]);
}

#[test]
fn nothing_starts_while_the_command_runs() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    // It ends with its standard input.
    let mut command = holding(&device, &["sh", "-c", "cat; exit 7"]);
    device.until_shown("Holds", 1);
    let id = device.enqueue_one();
    let row = device.until_waits_for(&id, "held");
    assert_eq!(row.detail["words"], "sh -c cat; exit 7");
    assert_eq!(server.received(), []);
    drop(command.stdin.take());
    assert_eq!(command.wait().expect("our child").code(), Some(7));
    device.until_done(&[id]);
}

#[test]
fn a_command_that_is_killed_holds_no_longer() {
    let server = serve(Behaviour::honest());
    let mut device = Device::start(&config(&server));
    let mut command = holding(&device, &["sleep", "600"]);
    device.until_shown("Holds", 1);
    let id = device.enqueue_one();
    device.until_waits_for(&id, "held");
    command.kill().expect("our child");
    command.wait().expect("our child");
    device.until_done(&[id]);
}

#[test]
fn beyond_four_holds_the_command_does_not_run() {
    let mut device = Device::start("");
    let mut commands: Vec<_> = (0..4).map(|_| holding(&device, &["cat"])).collect();
    device.until_shown("Holds", 4);
    let (words, code) = device.ctl("hold -- echo ran");
    assert!(words.starts_with("ferryctl: user ") && words.contains("holds 4 times already"), "{words}");
    assert_eq!(code, 6);
    for command in &mut commands {
        drop(command.stdin.take());
        assert_eq!(command.wait().expect("our child").code(), Some(0));
    }
    device.until_shown("Holds", 0);
    assert_eq!(device.ctl("hold -- echo ran"), ("ran\n".to_owned(), 0));
}
