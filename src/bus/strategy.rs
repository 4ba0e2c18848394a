//! `org.ferryd.Ferry1.Strategy`: one object a strategy, `/org/ferryd/Ferry1/strategies/NAME`.

use std::collections::HashMap;

use zbus::Variant;

use super::call::{Call, Effect, Method, Outcome};
use super::desk::Desk;
use super::error::Refusal;
use super::options::Options;
use super::route::{Interface, Property, unknown_method};
use super::wire::{Dictionary, count, micros, words};
use crate::model::{Config, Status, StrategyName};

/// Its shape.
pub(super) const INTERFACE: Interface = Interface {
    name: "org.ferryd.Ferry1.Strategy",
    xml: include_str!("../../dbus/org.ferryd.Ferry1.Strategy.xml"),
    methods: &[
        Method { name: "Pause", takes: "a{sv}", gives: "", effect: Effect::None },
        Method { name: "Resume", takes: "a{sv}", gives: "", effect: Effect::None },
    ],
    properties: &[
        Property { name: "Name", signature: "s", emits: true },
        Property { name: "Priority", signature: "u", emits: true },
        Property { name: "Pending", signature: "u", emits: true },
        Property { name: "Running", signature: "u", emits: true },
        Property { name: "Failed", signature: "u", emits: true },
        Property { name: "Blocked", signature: "as", emits: true },
        Property { name: "NextAttempt", signature: "t", emits: false },
        Property { name: "Paused", signature: "b", emits: true },
        Property { name: "BudgetUsed", signature: "t", emits: true },
        Property { name: "BudgetLimit", signature: "t", emits: true },
    ],
};

/// The properties of a strategy now. One that the configuration has and the status does not yet, has nothing to do.
pub(super) fn properties(name: &StrategyName, config: &Config, status: &Status) -> Dictionary<'static> {
    let shown = status.strategies.get(name);
    let counts = shown.map(|strategy| strategy.counts).unwrap_or_default();
    let budget = shown.and_then(|strategy| strategy.budget);
    let priority = config.strategies.get(name).map_or(0, |strategy| strategy.priority);
    Dictionary::from([
        ("Name", name.to_string().into()),
        ("Priority", priority.into()),
        ("Pending", count(counts.pending).into()),
        ("Running", count(counts.running).into()),
        ("Failed", count(counts.failed).into()),
        ("Blocked", words(shown.map_or(&[], |strategy| &strategy.blocked)).into()),
        ("NextAttempt", micros(shown.and_then(|strategy| strategy.next_attempt)).into()),
        ("Paused", shown.is_some_and(|strategy| strategy.pause.is_some()).into()),
        ("BudgetUsed", budget.map_or(0, |(used, _)| used).into()),
        ("BudgetLimit", budget.map_or(0, |(_, limit)| limit).into()),
    ])
}

/// Carries out a call of `method`.
pub(super) fn call(desk: &Desk, name: StrategyName, call: &Call, method: &str) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let entries: HashMap<&str, Variant<'_>> = body.deserialize().map_err(Refusal::invalid)?;
    let options = Options::new("option", entries);
    match method {
        "Pause" => desk.pause(call, Some(name), options),
        "Resume" => Desk::resume(call, Some(name), options),
        _ => Err(unknown_method(INTERFACE.name, method)),
    }
}
