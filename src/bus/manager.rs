//! `org.ferryd.Ferry1.Manager`: the daemon as a whole.

use std::collections::HashMap;

use zbus::Variant;

use super::Command;
use super::access::Action;
use super::call::{Call, Effect, Method, Outcome};
use super::desk::Desk;
use super::error::Refusal;
use super::hold::hold;
use super::options::Options;
use super::route::{Interface, Property, unknown_method};
use super::subscribers::Subscribers;
use super::sync_now::sync_now;
use super::wire::{Dictionary, words};
use crate::model::Status;

/// Its shape.
pub(super) const INTERFACE: Interface = Interface {
    name: "org.ferryd.Ferry1.Manager",
    xml: include_str!("../../dbus/org.ferryd.Ferry1.Manager.xml"),
    methods: &[
        Method { name: "Pause", takes: "a{sv}", gives: "", effect: Effect::None },
        Method { name: "Resume", takes: "a{sv}", gives: "", effect: Effect::None },
        Method { name: "SyncNow", takes: "sa{sv}", gives: "", effect: Effect::Write },
        Method { name: "Reload", takes: "", gives: "", effect: Effect::None },
        Method { name: "Hold", takes: "s", gives: "h", effect: Effect::None },
        Method { name: "Subscribe", takes: "a{sv}", gives: "", effect: Effect::None },
        Method { name: "Unsubscribe", takes: "", gives: "", effect: Effect::None },
    ],
    properties: &[
        Property { name: "Version", signature: "s", emits: true },
        Property { name: "State", signature: "s", emits: true },
        Property { name: "Paused", signature: "b", emits: true },
        Property { name: "Blocked", signature: "as", emits: true },
        Property { name: "NextWake", signature: "(st)", emits: false },
        Property { name: "Holds", signature: "u", emits: true },
        Property { name: "Transfers", signature: "u", emits: true },
    ],
};

/// Its properties now.
pub(super) fn properties(status: &Status) -> Dictionary<'static> {
    let (wake, at) = status.next_wake.map_or(("", 0), |(name, time)| (name, time.as_micros()));
    Dictionary::from([
        ("Version", env!("CARGO_PKG_VERSION").into()),
        ("State", status.state.as_str().into()),
        ("Paused", status.pause.is_some().into()),
        ("Blocked", words(&status.blocked).into()),
        ("NextWake", Variant::new((wake, at))),
        ("Holds", status.holds.into()),
        ("Transfers", status.transfers.into()),
    ])
}

/// Carries out a call of `method`.
pub(super) fn call(desk: &Desk, subscribers: &mut Subscribers, call: &Call, method: &str) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let options = || -> Result<Options<'_>, Refusal> {
        let entries: HashMap<&str, Variant<'_>> = body.deserialize().map_err(Refusal::invalid)?;
        Ok(Options::new("option", entries))
    };
    match method {
        "Pause" => desk.pause(call, None, options()?),
        "Resume" => Desk::resume(call, None, options()?),
        "SyncNow" => sync_now(desk, call),
        "Hold" => hold(call),
        "Reload" => Ok(Desk::control(call, |reply| Command::Reload { reply })),
        "Subscribe" => {
            let mut options = options()?;
            let all = options.flag("all")?.unwrap_or(false);
            options.end()?;
            if all {
                return Ok(Outcome::if_allowed(Action::ManageAll, call, |desk, subscribers, call| {
                    subscribe(desk, subscribers, call, true)
                }));
            }
            subscribe(desk, subscribers, call, false)
        }
        "Unsubscribe" => {
            subscribers.unsubscribe(&call.sender());
            Ok(Outcome::Now(call.reply(&())))
        }
        _ => Err(unknown_method(INTERFACE.name, method)),
    }
}

/// Who may hear of all keeps that until it leaves or subscribes anew, whatever it may by then.
fn subscribe(desk: &Desk, subscribers: &mut Subscribers, call: &Call, all: bool) -> Result<Outcome, Refusal> {
    let most = desk.config().limits.quotas.subscribers;
    subscribers.subscribe(&call.sender(), call.caller.owner(), all, most)?;
    Ok(Outcome::Now(call.reply(&())))
}
