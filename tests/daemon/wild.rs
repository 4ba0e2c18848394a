//! Apps that call anything with anything: every method of `dbus/*.xml`, and some that are none, with arguments of the right
//! shape and of any other. The bus passes all of that on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use zbus::wire::StructureBuilder;
use zbus::{Connection, ObjectPath, Structure, Variant};

use crate::device::{Device, HANG, NAME, ROOT, none, tell};

/// How many calls: 2,000, or what `FERRYD_TEST_CALLS` says.
fn calls() -> u64 {
    std::env::var("FERRYD_TEST_CALLS").ok().and_then(|calls| calls.parse().ok()).unwrap_or(2_000)
}

/// Errors that a caller may be given.
const ERRORS: [&str; 2] = ["org.ferryd.Ferry1.Error.", "org.freedesktop.DBus.Error."];

/// Texts that mean something somewhere, and some that should not.
const TEXTS: &[&str] = &[
    "",
    "metadata",
    "photo",
    "analytics",
    "nothing",
    "{}",
    "[1,2",
    "{\"a\":[[[]]]}",
    "request_id",
    "key",
    "on_existing",
    "keep",
    "after",
    "tags",
    "expires",
    "network",
    "wifi",
    "min_battery",
    "state",
    "pending",
    "owner",
    "history",
    "assume",
    "connected",
    "all",
    "override",
    "metered",
    "until",
    "4d-00000000",
    "00000000-0000-7000-8000-000000000000",
    "\u{1b}[31m",
    "\u{202e}",
    "船",
    "org.ferryd.Ferry1.Tasks",
    "*",
];

/// Interface, member and the signature of its arguments, of every method that is documented.
fn methods() -> Vec<(String, String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("dbus");
    let mut methods = Vec::new();
    for entry in fs::read_dir(folder).expect("the interfaces").map(|entry| entry.expect("an entry").path()) {
        if entry.extension().is_none_or(|ending| ending != "xml") {
            continue;
        }
        let text = fs::read_to_string(entry).expect("readable");
        let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
        let page = roxmltree::Document::parse_with_options(&text, options).expect("XML");
        for method in page.descendants().filter(|node| node.has_tag_name("method")) {
            let name = |node: roxmltree::Node<'_, '_>| node.attribute("name").expect("a name").to_owned();
            let taken = method.children().filter(|node| node.attribute("direction") == Some("in"));
            let takes: String = taken.filter_map(|argument| argument.attribute("type")).collect();
            methods.push((name(method.parent().expect("an interface")), name(method), takes));
        }
    }
    assert!(methods.len() > 15, "{methods:?}");
    methods
}

/// Draws what is called, and with what.
struct Wild(fastrand::Rng);

impl Wild {
    fn one<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.0.usize(0..texts.len())]
    }

    /// Any value, nested up to `depth`.
    fn value(&mut self, depth: u8) -> Variant<'static> {
        match self.0.u8(0..if depth == 0 { 9 } else { 14 }) {
            0 => self.0.bool().into(),
            1 => self.0.u8(..).into(),
            2 => self.0.i32(..).into(),
            3 => self.0.u64(..).into(),
            4 => (self.0.u32(..) % 100).into(),
            5 => f64::from_bits(self.0.u64(..)).into(),
            6 => ObjectPath::try_from("/a/b").expect("a path").into(),
            7 | 8 => self.one(TEXTS).to_owned().into(),
            9 => Variant::Variant(Box::new(self.value(depth - 1))),
            10 => (0..self.0.usize(0..80)).map(|_| self.one(TEXTS).to_owned()).collect::<Vec<_>>().into(),
            11 => (0..self.0.usize(0..4)).map(|_| self.value(depth - 1)).collect::<Vec<_>>().into(),
            12 => (self.value(depth - 1), self.0.u32(..)).into(),
            _ => self.dictionary(depth - 1).into(),
        }
    }

    fn dictionary(&mut self, depth: u8) -> BTreeMap<String, Variant<'static>> {
        (0..self.0.usize(0..5)).map(|_| (self.one(TEXTS).to_owned(), self.value(depth))).collect()
    }

    /// Arguments of this signature, as far as it is one of ours; now and then others.
    fn arguments(&mut self, takes: &str) -> Option<Structure<'static>> {
        let (mut builder, mut rest, mut count) = (StructureBuilder::new(), takes, 0);
        if self.0.u8(0..3) == 0 {
            count = self.0.usize(0..4);
            for _ in 0..count {
                builder = builder.append_field(self.value(3));
            }
            rest = "";
        }
        while !rest.is_empty() {
            let (value, used): (Variant<'static>, usize) = match rest {
                _ if rest.starts_with("a{sv}") => (self.dictionary(3).into(), 5),
                _ if rest.starts_with("as") => {
                    ((0..self.0.usize(0..6)).map(|_| self.one(TEXTS).to_owned()).collect::<Vec<_>>().into(), 2)
                }
                _ if rest.starts_with('s') => (self.one(TEXTS).to_owned().into(), 1),
                _ if rest.starts_with('u') => (self.0.u32(..).into(), 1),
                _ if rest.starts_with('t') => (self.0.u64(..).into(), 1),
                // A descriptor is for those who have one.
                _ => (self.value(0), 1),
            };
            builder = builder.append_field(value);
            rest = &rest[used..];
            count += 1;
        }
        (count > 0).then(|| builder.build().expect("fields"))
    }
}

/// The name of the error, if it is one.
async fn call(client: &Connection, path: &str, interface: &str, member: &str, with: Option<Structure<'_>>) -> String {
    let call = async {
        match &with {
            Some(with) => client.call_method(Some(NAME), path, Some(interface), member, with).await,
            None => client.call_method(Some(NAME), path, Some(interface), member, &()).await,
        }
    };
    match tokio::time::timeout(HANG, call).await.expect("it is answered") {
        Ok(_) => String::new(),
        Err(zbus::Error::MethodError(name, message, _)) => {
            let message = message.unwrap_or_default();
            assert!(message.len() < 2048, "{interface}.{member}: {name}: {message}");
            name.to_string()
        }
        Err(zbus::Error::FDO(error)) => zbus::DBusError::name(&*error).to_string(),
        Err(other) => panic!("{interface}.{member}({with:?}): {other}"),
    }
}

#[test]
fn whatever_is_called_with_whatever_is_answered_and_the_daemon_goes_on() {
    let mut device = Device::start("");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (methods, mut wild, mut ends) = (methods(), Wild(fastrand::Rng::with_seed(6)), BTreeMap::new());
    runtime.block_on(async {
        let client = zbus::connection::Builder::address(device.bus.address()).build().await.expect("a bus");
        for _ in 0..calls() {
            let (interface, member, takes) = &methods[wild.0.usize(0..methods.len())];
            let strategy = format!("{ROOT}/strategies/{}", wild.one(&["metadata", "photo", "nothing"]));
            let of_strategy = interface.ends_with(".Strategy") != (wild.0.u8(0..8) == 0);
            let path = if of_strategy { strategy.as_str() } else { ROOT };
            let member = if wild.0.u8(0..20) == 0 { "Nothing" } else { member };
            let arguments = wild.arguments(takes);
            let end = call(&client, path, interface, member, arguments).await;
            assert!(end.is_empty() || ERRORS.iter().any(|known| end.starts_with(known)), "{interface}.{member}: {end}");
            assert!(!end.ends_with("Error.Internal") && !end.ends_with("NoReply"), "{interface}.{member}: {end}");
            *ends.entry(end).or_insert(0u32) += 1;
        }
    });
    tell(format_args!("{} calls: {ends:?}", calls()));
    assert!(ends.len() > 4 && ends.contains_key(""), "some are taken, and not all refused alike: {ends:?}");
    device.call("Manager", "Resume", &none()).expect("the daemon lives");
    device.enqueue_one();
    assert!(!device.log().contains("panicked"), "{}", device.log());
    device.switch_off();
}
