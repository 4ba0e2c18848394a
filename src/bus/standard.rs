//! The interfaces that D-Bus itself defines: Peer, Introspectable, Properties, ObjectManager
//! (D-Bus specification, "Standard Interfaces").

use std::collections::BTreeMap;
use std::fmt::Write;

use zbus::{ObjectPath, Variant};

use super::call::{Call, Effect, Method, Outcome};
use super::desk::Desk;
use super::error::{Refusal, quoted};
use super::network;
use super::route::{Object, children, interfaces, path_of, properties, unknown_method};
use super::wire::Dictionary;

const PEER: &str = "org.freedesktop.DBus.Peer";
const INTROSPECTABLE: &str = "org.freedesktop.DBus.Introspectable";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
pub(super) const OBJECT_MANAGER: &str = "org.freedesktop.DBus.ObjectManager";

const METHODS: &[(&str, &[Method])] = &[
    (
        PEER,
        &[
            Method { name: "Ping", takes: "", gives: "", effect: Effect::None },
            Method { name: "GetMachineId", takes: "", gives: "s", effect: Effect::None },
        ],
    ),
    (INTROSPECTABLE, &[Method { name: "Introspect", takes: "", gives: "s", effect: Effect::None }]),
    (
        PROPERTIES,
        &[
            Method { name: "Get", takes: "ss", gives: "v", effect: Effect::None },
            Method { name: "Set", takes: "ssv", gives: "", effect: Effect::None },
            Method { name: "GetAll", takes: "s", gives: "a{sv}", effect: Effect::None },
        ],
    ),
    (OBJECT_MANAGER, &[Method { name: "GetManagedObjects", takes: "", gives: "a{oa{sa{sv}}}", effect: Effect::None }]),
];

/// The standard method that a call names. A call without an interface means one of ours where names collide (`Get`).
pub(super) fn method(interface: Option<&str>, name: &str) -> Option<(&'static str, &'static Method)> {
    let (interface, methods) = METHODS.iter().find(|(known, _)| Some(*known) == interface)?;
    Some((interface, methods.iter().find(|method| method.name == name)?))
}

/// Carries out a standard method.
pub(super) fn call(
    desk: &Desk,
    object: Option<&Object>,
    call: &Call,
    interface: &str,
    method: &str,
) -> Result<Outcome, Refusal> {
    let reply = match (interface, method) {
        (PEER, "Ping") => call.reply(&()),
        (PEER, "GetMachineId") => call.reply(&machine_id()?),
        _ => {
            let header = call.message.header();
            let path = header.path().map(|path| path.as_str()).unwrap_or_default();
            let object = object.ok_or_else(|| Refusal::unknown_object(format!("no object at {}", quoted(path))))?;
            match (interface, method) {
                (INTROSPECTABLE, _) => call.reply(&introspect(desk, path, object)),
                (PROPERTIES, "Get" | "GetAll") => return properties_of(desk, object, call, method),
                (PROPERTIES, _) => Err(Refusal::read_only("no property of Ferry can be set; see its methods")),
                (OBJECT_MANAGER, _) if *object == Object::Root => call.reply(&managed(desk)),
                _ => Err(unknown_method(interface, method)),
            }
        }
    };
    Ok(Outcome::Now(reply))
}

fn machine_id() -> Result<String, Refusal> {
    let read =
        ["/etc/machine-id", "/var/lib/dbus/machine-id"].iter().find_map(|path| std::fs::read_to_string(path).ok());
    read.map(|id| id.trim().to_owned()).ok_or_else(|| Refusal::unavailable("this machine has no id"))
}

/// Answers Get and GetAll: at once, but for the signal of a radio.
fn properties_of(desk: &Desk, object: &Object, call: &Call, method: &str) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let (interface, property): (&str, Option<&str>) = match method {
        "Get" => body.deserialize().map(|(interface, name)| (interface, Some(name))).map_err(Refusal::invalid)?,
        _ => (body.deserialize().map_err(Refusal::invalid)?, None),
    };
    if *object != Object::Root || !network::needs_radios(&desk.status().network, interface, property) {
        return Ok(Outcome::Now(read(desk, object, call, interface, property)));
    }
    let (desk, call, object, radios) = (desk.clone(), call.clone(), object.clone(), desk.read_radios());
    let (interface, property) = (interface.to_owned(), property.map(str::to_owned));
    Ok(Outcome::later(async move {
        radios.await;
        read(&desk, &object, &call, &interface, property.as_deref())
    }))
}

fn read(desk: &Desk, object: &Object, call: &Call, interface: &str, property: Option<&str>) -> super::call::Reply {
    let mut all = all_of(desk, object, interface)?;
    let Some(name) = property else { return call.reply(&all) };
    match all.remove(name) {
        Some(value) => call.reply(&value),
        None => Err(Refusal::unknown_property(format!("{interface} has no property {}", quoted(name)))),
    }
}

/// The properties of an interface of an object; an empty name stands for all its interfaces.
fn all_of(desk: &Desk, object: &Object, name: &str) -> Result<Dictionary<'static>, Refusal> {
    let (config, status) = (desk.config(), desk.status());
    let mut chosen = interfaces(object).iter().filter(|interface| name.is_empty() || interface.name == name).peekable();
    if chosen.peek().is_none() && !name.is_empty() && !METHODS.iter().any(|(standard, _)| *standard == name) {
        return Err(Refusal::unknown_interface(format!("this object has no interface {}", quoted(name))));
    }
    Ok(chosen.flat_map(|interface| properties(object, interface, &config, &status)).collect())
}

type Interfaces = BTreeMap<&'static str, BTreeMap<&'static str, Variant<'static>>>;

/// The interfaces of an object with their properties, as ObjectManager tells of them.
pub(super) fn described(desk: &Desk, object: &Object) -> Interfaces {
    let (config, status) = (desk.config(), desk.status());
    let of = |interface: &super::route::Interface| properties(object, interface, &config, &status);
    interfaces(object).iter().map(|interface| (interface.name, of(interface))).collect()
}

fn managed(desk: &Desk) -> BTreeMap<ObjectPath<'static>, Interfaces> {
    let config = desk.config();
    let entry = |name: &crate::model::StrategyName| {
        let path = ObjectPath::try_from(path_of(name)).ok()?;
        Some((path, described(desk, &Object::Strategy(name.clone()))))
    };
    config.strategies.keys().filter_map(entry).collect()
}

const DOCTYPE: &str = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
                       \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n";

fn introspect(desk: &Desk, path: &str, object: &Object) -> String {
    let mut xml = format!("{DOCTYPE}<node>\n");
    for interface in interfaces(object) {
        let start = interface.xml.find("  <interface").unwrap_or_default();
        let end = interface.xml.rfind("</node>").unwrap_or(interface.xml.len());
        xml.push_str(&interface.xml[start..end]);
    }
    let has = |name: &str| match name {
        PROPERTIES => *object != Object::Branch,
        OBJECT_MANAGER => *object == Object::Root,
        _ => true,
    };
    for (name, methods) in METHODS.iter().filter(|(name, _)| has(name)) {
        let _ = writeln!(xml, "  <interface name=\"{name}\">");
        for method in *methods {
            let _ = writeln!(xml, "    <method name=\"{}\">", method.name);
            for (direction, signature) in [("in", method.takes), ("out", method.gives)] {
                for argument in single_types(signature) {
                    let _ = writeln!(xml, "      <arg type=\"{argument}\" direction=\"{direction}\"/>");
                }
            }
            xml.push_str("    </method>\n");
        }
        xml.push_str(signals(name));
        xml.push_str("  </interface>\n");
    }
    for child in children(path, &desk.config()) {
        let _ = writeln!(xml, "  <node name=\"{child}\"/>");
    }
    xml.push_str("</node>\n");
    xml
}

fn signals(interface: &str) -> &'static str {
    match interface {
        PROPERTIES => {
            "    <signal name=\"PropertiesChanged\">\n      <arg name=\"interface\" type=\"s\"/>\n      \
             <arg name=\"changed\" type=\"a{sv}\"/>\n      <arg name=\"invalidated\" type=\"as\"/>\n    </signal>\n"
        }
        OBJECT_MANAGER => {
            "    <signal name=\"InterfacesAdded\">\n      <arg name=\"object\" type=\"o\"/>\n      \
             <arg name=\"interfaces\" type=\"a{sa{sv}}\"/>\n    </signal>\n    \
             <signal name=\"InterfacesRemoved\">\n      <arg name=\"object\" type=\"o\"/>\n      \
             <arg name=\"interfaces\" type=\"as\"/>\n    </signal>\n"
        }
        _ => "",
    }
}

/// The complete types of which a signature is made.
pub(super) fn single_types(signature: &str) -> Vec<&str> {
    let mut types = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    for (place, byte) in signature.bytes().enumerate() {
        match byte {
            b'(' | b'{' => depth += 1,
            b')' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 && byte != b'a' {
            types.push(&signature[start..=place]);
            start = place + 1;
        }
    }
    types
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_falls_into_its_complete_types() {
        assert_eq!(single_types("ssa{sv}"), ["s", "s", "a{sv}"]);
        assert_eq!(single_types("aa{sv}s"), ["aa{sv}", "s"]);
        assert_eq!(single_types("a(stsa{sv})(st)u"), ["a(stsa{sv})", "(st)", "u"]);
        assert_eq!(single_types(""), [""; 0]);
    }
}
