//! A link that flaps a hundred times in ten seconds while tasks wait: one calm edge, few wakeups, no storm of requests.

use std::thread::sleep;
use std::time::{Duration, Instant};

use ferryd::demo::Behaviour;

use crate::device::{Device, HANG, tell};
use crate::netns::{self, Pair};
use crate::rest::voluntary_switches;
use crate::servers::{config_with, hanging, serve_in};

const FLAPS: usize = 100;

/// Half of what a flap takes.
const HALF: Duration = Duration::from_millis(50);

/// How often the log says that there is a way again.
fn returns(device: &Device<'_>) -> usize {
    device.log().matches("the way to backend main is").count()
}

#[test]
fn a_link_that_flaps_is_one_calm_edge() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let server = serve_in(&pair.server, hanging());
    // Each loss cuts, so that each return makes a request.
    let mut device = Device::off(Some(&pair.device), &config_with(&server, "[network]\nlink_grace = \"0 s\""));
    device.set("FERRYD_LOG", "debug");
    device.switch_on();
    let ids = device.enqueue(40);
    assert!(server.wait_until(|log| log.in_flight > 0, HANG));
    let (requests, returned) = (server.log(|log| log.requests), returns(&device));
    let (before, begun) = (voluntary_switches(device.pid()), Instant::now());
    for _ in 0..FLAPS {
        pair.unplug();
        sleep(HALF);
        pair.plug();
        sleep(HALF);
    }
    let (took, after) = (begun.elapsed(), voluntary_switches(device.pid()));
    let woken: u64 = after.iter().map(|(thread, count)| count - before.get(thread).copied().unwrap_or_default()).sum();
    let requests = server.log(|log| log.requests) - requests;
    let returns = returns(&device) - returned;
    tell(format_args!(
        "{FLAPS} flaps in {took:?}: {returns} returns, {requests} requests, {woken} voluntary context switches"
    ));
    assert!(returns <= FLAPS / 10 && requests <= returns + 1);
    // If each were acted on, it would be ten a flap.
    assert!(woken <= 5 * FLAPS as u64, "{woken}");
    server.behave(Behaviour::honest());
    device.until_done(&ids);
    let received = server.received();
    assert_eq!(received.len(), ids.len());
    assert!(received.iter().all(|item| item.applied.is_some() && item.attempt == 1), "nothing was counted");
    assert!(device.log().contains("asleep until link-settles"), "the wake has a name");
}
