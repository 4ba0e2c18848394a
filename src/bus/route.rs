//! From a message to the interface that takes it: the tree of objects, what each has, and who begins a call.

use std::collections::BTreeMap;

use zbus::Signature;
use zbus::message::Message;

use super::call::{Call, Effect, Method, Outcome};
use super::desk::Desk;
use super::error::{Refusal, quoted};
use super::subscribers::Subscribers;
use super::wire::Dictionary;
use super::{bandwidth, manager, network, power, standard, strategy, tasks};
use crate::model::{Config, Status, StrategyName};

/// The object that stands for the daemon.
pub(super) const ROOT: &str = "/org/ferryd/Ferry1";
/// The branch on which strategies sit.
const STRATEGIES: &str = "/org/ferryd/Ferry1/strategies";

/// An interface's shape, as `dbus/*.xml` documents it.
#[derive(Debug)]
pub(super) struct Interface {
    /// Its full name.
    pub(super) name: &'static str,
    /// Its introspection document.
    pub(super) xml: &'static str,
    /// Its methods.
    pub(super) methods: &'static [Method],
    /// Its properties, all read-only.
    pub(super) properties: &'static [Property],
}

/// A property as an interface declares it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Property {
    /// Its name.
    pub(super) name: &'static str,
    /// Its signature.
    pub(super) signature: &'static str,
    /// Whether `PropertiesChanged` tells of it.
    pub(super) emits: bool,
}

/// An object of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    /// The daemon.
    Root,
    /// A strategy.
    Strategy(StrategyName),
    /// A path that only leads to others.
    Branch,
}

/// The object at `path`, if there is one.
pub(super) fn object(path: &str, config: &Config) -> Option<Object> {
    if path == ROOT {
        return Some(Object::Root);
    }
    if let Some(name) = path.strip_prefix(STRATEGIES).and_then(|rest| rest.strip_prefix('/')) {
        let name = StrategyName::new(name).ok()?;
        return config.strategies.contains_key(&name).then_some(Object::Strategy(name));
    }
    let leads_on =
        path == "/" || STRATEGIES.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    leads_on.then_some(Object::Branch)
}

/// The path of a strategy's object.
pub(super) fn path_of(strategy: &StrategyName) -> String {
    format!("{STRATEGIES}/{strategy}")
}

/// The names of the nodes right below `path`.
pub(super) fn children(path: &str, config: &Config) -> Vec<String> {
    if path == STRATEGIES {
        return config.strategies.keys().map(ToString::to_string).collect();
    }
    next_node(path).map(ToOwned::to_owned).into_iter().collect()
}

/// The next node on the way from `path` to the strategies.
fn next_node(path: &str) -> Option<&'static str> {
    let below =
        if path == "/" { STRATEGIES.strip_prefix('/') } else { STRATEGIES.strip_prefix(path)?.strip_prefix('/') };
    below?.split('/').next()
}

/// Ferry's own interfaces of an object.
pub(super) fn interfaces(object: &Object) -> &'static [&'static Interface] {
    match object {
        Object::Root => {
            &[&manager::INTERFACE, &tasks::INTERFACE, &network::INTERFACE, &power::INTERFACE, &bandwidth::INTERFACE]
        }
        Object::Strategy(_) => &[&strategy::INTERFACE],
        Object::Branch => &[],
    }
}

/// The properties of one of Ferry's interfaces of an object, as they are now.
pub(super) fn properties(
    object: &Object,
    interface: &Interface,
    config: &Config,
    status: &Status,
) -> Dictionary<'static> {
    match object {
        Object::Strategy(name) => strategy::properties(name, config, status),
        Object::Root if interface.name == manager::INTERFACE.name => manager::properties(status),
        Object::Root if interface.name == network::INTERFACE.name => network::properties(&status.network),
        Object::Root if interface.name == power::INTERFACE.name => power::properties(&status.power),
        Object::Root if interface.name == bandwidth::INTERFACE.name => bandwidth::properties(&status.bandwidth),
        Object::Root | Object::Branch => BTreeMap::new(),
    }
}

/// What a call does to the order of its connection's calls.
pub(super) fn effect(message: &Message) -> Effect {
    let header = message.header();
    let Some(member) = header.member() else { return Effect::None };
    let named = header.interface();
    interfaces(&Object::Root)
        .iter()
        .filter(|interface| named.as_ref().is_none_or(|named| named.as_str() == interface.name))
        .find_map(|interface| method(interface, member))
        .map_or(Effect::None, |method| method.effect)
}

/// Begins a call: what it changes is submitted when this returns.
pub(super) fn begin(desk: &Desk, subscribers: &mut Subscribers, call: &Call) -> Outcome {
    try_begin(desk, subscribers, call).unwrap_or_else(|refusal| refusal.into())
}

fn try_begin(desk: &Desk, subscribers: &mut Subscribers, call: &Call) -> Result<Outcome, Refusal> {
    let header = call.message.header();
    let (Some(path), Some(member)) = (header.path(), header.member()) else {
        return Err(Refusal::unknown_method("a call needs a path and a member"));
    };
    let named = header.interface().map(|interface| interface.as_str());
    let config = desk.config();
    let object = object(path, &config);
    if let Some((interface, method)) = standard::method(named, member) {
        check_arguments(interface, method, &call.message)?;
        return standard::call(desk, object.as_ref(), call, interface, member);
    }
    let object = object.ok_or_else(|| Refusal::unknown_object(format!("no object at {}", quoted(path))))?;
    let served = interfaces(&object);
    if let Some(name) = named.filter(|name| !served.iter().any(|interface| interface.name == *name)) {
        return Err(Refusal::unknown_interface(format!("{path} has no interface {}", quoted(name))));
    }
    let mut candidates = served.iter().filter(|interface| named.is_none_or(|name| interface.name == name));
    let found = candidates.find_map(|interface| method(interface, member).map(|method| (interface, method)));
    let (interface, method) = found.ok_or_else(|| unknown_method(named.unwrap_or(path), member))?;
    check_arguments(interface.name, method, &call.message)?;
    match object {
        Object::Strategy(name) => strategy::call(desk, name, call, member),
        Object::Root if interface.name == tasks::INTERFACE.name => tasks::call(desk, call, member),
        Object::Root if interface.name == bandwidth::INTERFACE.name => bandwidth::call(desk, call, member),
        Object::Root | Object::Branch => manager::call(desk, subscribers, call, member),
    }
}

/// The method of this name.
fn method(interface: &Interface, name: &str) -> Option<&'static Method> {
    interface.methods.iter().find(|method| method.name == name)
}

/// The refusal of a method that is not there.
pub(super) fn unknown_method(interface: &str, method: &str) -> Refusal {
    Refusal::unknown_method(format!("{interface} has no method {}", quoted(method)))
}

/// Refuses a call whose arguments have other types than the method takes.
fn check_arguments(interface: &str, method: &Method, message: &Message) -> Result<(), Refusal> {
    let body = message.body();
    let given = signature(body.signature());
    if given == method.takes {
        return Ok(());
    }
    let said = |signature: &str| if signature.is_empty() { "no arguments".into() } else { format!("({signature})") };
    Err(Refusal::invalid(format!("{interface}.{} takes {}, not {}", method.name, said(method.takes), said(&given))))
}

fn signature(signature: &Signature) -> String {
    if *signature == Signature::Unit { String::new() } else { signature.to_string_no_parens() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_leads_to_the_next() {
        assert_eq!(path_of(&StrategyName::new("photo").expect("a name")), "/org/ferryd/Ferry1/strategies/photo");
        for (path, child) in [("/", "org"), ("/org", "ferryd"), ("/org/ferryd", "Ferry1"), (ROOT, "strategies")] {
            assert_eq!(next_node(path), Some(child), "{path}");
        }
        assert_eq!((next_node(STRATEGIES), next_node("/elsewhere"), next_node("/or")), (None, None, None));
    }
}
