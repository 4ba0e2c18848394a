//! The kinds of events. What each does is one or two words to the stage.

use std::time::Duration;

use super::Clear::{By, InTime, Rested};
use super::Kind;
use super::Known::{Looking, Trying};
use super::stage::Stage;
use super::zone::{EVENING, NOON};
use crate::Failed;
use crate::standins::{HOME, NO, ROAMING, YES};

fn nothing(_: &mut Stage) -> Result<(), Failed> {
    Ok(())
}

pub(super) const KINDS: [Kind; 22] = [
    Kind {
        name: "an interface comes up",
        strategy: "metadata",
        reason: "offline",
        known: Looking,
        block: |stage| stage.cut("link set uplink down"),
        clear: By(|stage| stage.ip("link set uplink up")),
    },
    Kind {
        name: "an address comes",
        strategy: "metadata",
        reason: "offline",
        known: Looking,
        block: |stage| stage.cut("address flush dev uplink"),
        clear: By(|stage| stage.ip("address add 10.77.0.2/24 dev uplink")),
    },
    Kind {
        name: "NetworkManager says that the network costs nothing",
        strategy: "frugal",
        reason: "metered",
        known: Looking,
        block: |stage| stage.rest().metered(YES),
        clear: By(|stage| stage.metered(NO)),
    },
    Kind {
        name: "ModemManager says that roaming has ended",
        strategy: "homely",
        reason: "roaming",
        known: Looking,
        block: |stage| stage.rest().registered(ROAMING),
        clear: By(|stage| stage.registered(HOME)),
    },
    Kind {
        name: "NetworkManager says that a portal has gone",
        strategy: "metadata",
        reason: "captive-portal",
        known: Trying,
        block: |stage| stage.portal(true),
        clear: By(|stage| stage.no_portal()),
    },
    Kind {
        name: "SyncNow, and the probe finds that a portal has gone",
        strategy: "metadata",
        reason: "captive-portal",
        known: Trying,
        block: |stage| stage.portal(false),
        clear: Rested(|stage| {
            stage.no_portal()?;
            stage.sync_now("", &[])
        }),
    },
    Kind {
        name: "Reload, by which the link is wifi",
        strategy: "wifi",
        reason: "not-wifi",
        known: Looking,
        block: |stage| stage.link_is("cellular"),
        clear: By(|stage| stage.link_is("wifi")),
    },
    Kind {
        name: "Reload, after the credential was renewed",
        strategy: "vault",
        reason: "backend-auth",
        known: Trying,
        block: Stage::another_secret,
        clear: By(Stage::renew_the_secret),
    },
    Kind {
        name: "SyncNow that waives a reason",
        strategy: "frugal",
        reason: "metered",
        known: Looking,
        block: |stage| stage.rest().metered(YES),
        clear: By(|stage| stage.sync_now("frugal", &["metered"])),
    },
    Kind {
        name: "a charger is plugged in",
        strategy: "charging",
        reason: "not-charging",
        known: Looking,
        block: |stage| stage.supply("AC/online", "0"),
        clear: By(|stage| stage.supply("AC/online", "1")),
    },
    Kind {
        name: "a battery is charged",
        strategy: "battery",
        reason: "low-battery",
        known: Looking,
        block: |stage| {
            stage.supply("AC/online", "0")?;
            stage.supply("BAT0/capacity", "20")
        },
        clear: By(|stage| stage.supply("BAT0/capacity", "60")),
    },
    Kind {
        name: "power-save mode is left",
        strategy: "saving",
        reason: "power-save",
        known: Looking,
        block: |stage| stage.rest().profile("power-saver"),
        clear: By(|stage| stage.profile("balanced")),
    },
    Kind {
        name: "the device has slept",
        strategy: "metadata",
        reason: "suspending",
        known: Looking,
        block: |stage| stage.rest().sleeps(true),
        clear: By(|stage| stage.sleeps(false)),
    },
    Kind {
        name: "another time zone, where the hours have begun",
        strategy: "hours",
        reason: "window",
        known: Looking,
        block: |stage| stage.live_where_it_is(EVENING),
        clear: By(|stage| stage.go_where_it_is(NOON)),
    },
    Kind {
        name: "the hours begin",
        strategy: "hours",
        reason: "window",
        known: Looking,
        block: |stage| stage.live_where_it_soon_is(NOON),
        clear: InTime(nothing),
    },
    Kind {
        name: "a new day of a budget begins",
        strategy: "daily",
        reason: "budget",
        known: Looking,
        block: Stage::spend_the_budget,
        clear: InTime(Stage::live_where_midnight_is_soon),
    },
    Kind {
        name: "a pause ends by Resume",
        strategy: "metadata",
        reason: "paused",
        known: Looking,
        block: |stage| stage.pause(None),
        clear: By(Stage::resume),
    },
    Kind {
        name: "a pause ends by its time",
        strategy: "metadata",
        reason: "paused",
        known: Looking,
        block: |stage| stage.pause(Some(Duration::from_millis(300))),
        clear: InTime(nothing),
    },
    Kind {
        name: "a hold is let go",
        strategy: "metadata",
        reason: "held",
        known: Looking,
        block: Stage::hold,
        clear: By(Stage::let_go),
    },
    Kind {
        name: "the task that it waits for is done",
        strategy: "metadata",
        reason: "order",
        known: Trying,
        block: Stage::another_first,
        clear: By(Stage::answer_the_first),
    },
    Kind {
        name: "a task's next try is due",
        strategy: "metadata",
        reason: "backoff",
        known: Trying,
        block: Stage::answer_once_with_retry,
        clear: InTime(nothing),
    },
    Kind {
        name: "a server's next try is due, and it is back",
        strategy: "metadata",
        reason: "backend-down",
        known: Trying,
        block: Stage::answer_once_with_unavailable,
        clear: InTime(nothing),
    },
];
