//! The pages about D-Bus say all that there is: `docs/dbus-reference.md` is what `dbus/*.xml` declares, and `docs/dbus.md`
//! has every member, and every option that a method takes by the daemon's own word.

#[path = "common/bus.rs"]
mod bus;
#[path = "common/calls.rs"]
#[expect(dead_code, reason = "shared with tests/bus.rs")]
mod calls;
#[path = "common/faces.rs"]
#[expect(dead_code, reason = "shared with tests/bus.rs")]
mod faces;

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use calls::{Options, TASKS, call, call_at, enqueue, options};
use faces::Faces;
use roxmltree::{Document, Node};

const REFERENCE: &str = "docs/dbus-reference.md";
/// Set, the page is written instead of compared.
const UPDATE: &str = "FERRY_UPDATE_DOCS";
const HEAD: &str = "# The D-Bus interfaces, member by member

Generated from `dbus/*.xml`; `FERRY_UPDATE_DOCS=1 cargo test --test dbus_docs` writes it anew. What options, dictionaries, errors and
limits mean stands in [`dbus.md`](dbus.md).
";

/// The introspection documents, by name.
fn documents() -> Vec<String> {
    let entries = fs::read_dir("dbus").expect("dbus").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "xml")).collect();
    paths.sort();
    assert!(paths.len() >= 4, "{paths:?}");
    paths.iter().map(|path| fs::read_to_string(path).expect("readable")).collect()
}

fn parse(text: &str) -> Document<'_> {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    Document::parse_with_options(text, options).expect("XML")
}

fn interface<'d>(document: &'d Document<'_>) -> Node<'d, 'd> {
    document.descendants().find(|node| node.has_tag_name("interface")).expect("an interface")
}

fn name<'d>(node: &Node<'d, '_>) -> &'d str {
    node.attribute("name").expect("a name")
}

/// Members of a kind: `method`, `signal`, `property`.
fn members<'d>(interface: Node<'d, 'd>, kind: &'static str) -> impl Iterator<Item = Node<'d, 'd>> {
    interface.children().filter(move |node| node.has_tag_name(kind))
}

/// The comment before a member, on one line.
fn comment(node: Node<'_, '_>) -> String {
    let before = node.prev_siblings().skip(1).find(|node| !node.is_text());
    let text = before.filter(Node::is_comment).and_then(|node| node.text());
    let text = text.unwrap_or_else(|| panic!("{} has no comment", name(&node)));
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Arguments with their names, such as `s strategy, a{sv} options`.
fn arguments(member: Node<'_, '_>, direction: Option<&str>) -> String {
    let arguments = members_of(member).filter(|argument| argument.attribute("direction") == direction);
    let shown =
        arguments.map(|argument| format!("{} {}", argument.attribute("type").expect("a type"), name(&argument)));
    shown.collect::<Vec<_>>().join(", ")
}

fn members_of<'d>(member: Node<'d, 'd>) -> impl Iterator<Item = Node<'d, 'd>> {
    member.children().filter(|node| node.has_tag_name("arg"))
}

fn signature(member: Node<'_, '_>) -> String {
    let name = name(&member);
    match member.tag_name().name() {
        "method" => {
            let out = arguments(member, Some("out"));
            let gives = if out.is_empty() { String::new() } else { format!(" → {out}") };
            format!("{name}({}){gives}", arguments(member, Some("in")))
        }
        "signal" => format!("{name}({})", arguments(member, None)),
        _ => format!("{name} {}", member.attribute("type").expect("a type")),
    }
}

fn reference() -> String {
    let mut page = HEAD.to_owned();
    for text in documents() {
        let document = parse(&text);
        let interface = interface(&document);
        let about = interface.children().find(Node::is_comment).and_then(|node| node.text()).expect("what it is about");
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        let _ = write!(page, "\n## {}\n\n{about}\n", name(&interface));
        for kind in ["method", "signal", "property"] {
            let rows: Vec<_> = members(interface, kind).map(row).collect();
            if !rows.is_empty() {
                let _ = write!(page, "\n| {kind} | |\n| --- | --- |\n{}", rows.concat());
            }
        }
    }
    page
}

fn row(member: Node<'_, '_>) -> String {
    let quiet = member.children().any(|node| node.attribute("value") == Some("false"));
    let quiet = if quiet { " No signal tells that it changed." } else { "" };
    format!("| `{}` | {}{quiet} |\n", signature(member), comment(member))
}

#[test]
fn the_reference_is_what_dbus_declares() {
    let page = reference();
    if std::env::var_os(UPDATE).is_some() {
        fs::write(REFERENCE, &page).expect("written");
    }
    let kept = fs::read_to_string(REFERENCE).unwrap_or_default();
    assert!(kept == page, "{REFERENCE} is not what dbus/*.xml declares; {UPDATE}=1 writes it anew");
}

#[test]
fn every_member_stands_in_the_page() {
    let page = fs::read_to_string("docs/dbus.md").expect("the page");
    for text in documents() {
        let document = parse(&text);
        for member in interface(&document).children().filter(Node::is_element) {
            let name = name(&member);
            let shown = match member.tag_name().name() {
                "property" => format!("`{name} {}`", member.attribute("type").expect("a type")),
                _ => format!("`{name}("),
            };
            assert!(page.contains(&shown), "{shown} is not in docs/dbus.md");
        }
    }
}

/// What the page says of a method: the part under its heading, and its rows in tables.
fn said_of(page: &str, method: &str) -> String {
    let name = format!("`{method}(");
    let parts = page.split("\n#").filter(|part| part.lines().next().is_some_and(|heading| heading.contains(&name)));
    let rows = page.lines().filter(|line| line.starts_with(&format!("| {name}")));
    parts.chain(rows).collect::<Vec<_>>().join("\n")
}

/// The keys that a refusal of an unknown one names.
fn known(refusal: Result<zbus::Message, (String, String)>) -> Vec<String> {
    let (_, message) = refusal.expect_err("an unknown key is refused");
    let (_, keys) = message.split_once("known: ").unwrap_or_else(|| panic!("{message}"));
    keys.split(", ").filter(|key| *key != "none").map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn every_option_stands_with_its_method() {
    let page = fs::read_to_string("docs/dbus.md").expect("the page");
    let faces = Faces::serve();
    let client = faces.client().await;
    let id = enqueue(&client, "1", Options::new()).await.expect("taken");
    let file = fs::File::open("Cargo.toml").expect("a file");
    let odd = || options([("nonesuch", true.into())]);
    for text in documents() {
        let document = parse(&text);
        let interface = interface(&document);
        let face = name(&interface);
        let path = match face.ends_with(".Strategy") {
            true => "/org/ferryd/Ferry1/strategies/metadata",
            false => "/org/ferryd/Ferry1",
        };
        for method in members(interface, "method") {
            let (name, takes) = (name(&method), arguments(method, Some("in")));
            let refusal = match takes.as_str() {
                "a{sv} options" => call_at(&client, path, face, name, &(odd(),)).await,
                "a{sv} filter, s cursor, u limit" => call_at(&client, path, face, name, &(odd(), "", 1u32)).await,
                "s id, a{sv} options" => call_at(&client, path, face, name, &(&id, odd())).await,
                "s strategy, a{sv} options" => call_at(&client, path, face, name, &("metadata", odd())).await,
                "s strategy, s payload, a{sv} options" => {
                    call_at(&client, path, face, name, &("metadata", "1", odd())).await
                }
                "s strategy, as payloads, a{sv} options" => {
                    call_at(&client, path, face, name, &("metadata", vec!["1"], odd())).await
                }
                "s strategy, h file, a{sv} options" => {
                    call_at(&client, path, face, name, &("photo", zbus::Fd::from(&file), odd())).await
                }
                others => {
                    assert!(!others.contains("a{sv}"), "how is {name}({takes}) called?");
                    continue;
                }
            };
            let mut said = said_of(&page, name);
            assert!(!said.is_empty(), "docs/dbus.md says nothing of {name}");
            if said.contains("options of `Enqueue`") || said.contains("Options hold for each") {
                said += &said_of(&page, "Enqueue");
            }
            for key in known(refusal) {
                assert!(documented(&said, &key), "docs/dbus.md does not say that {name} takes {key}");
            }
        }
    }
}

#[tokio::test]
async fn every_assumption_stands_with_explain() {
    let page = fs::read_to_string("docs/dbus.md").expect("the page");
    let faces = Faces::serve();
    let client = faces.client().await;
    let id = enqueue(&client, "1", Options::new()).await.expect("taken");
    let assume = zbus::Variant::from(options([("nonesuch", true.into())]));
    let keys = known(call(&client, TASKS, "Explain", &(&id, options([("assume", assume)]))).await);
    assert!(keys.len() >= 8, "{keys:?}");
    for key in keys {
        assert!(documented(&said_of(&page, "Explain"), &key), "docs/dbus.md does not say that one may assume {key}");
    }
}

#[test]
fn every_event_of_a_history_stands_with_explain() {
    let page = fs::read_to_string("docs/dbus.md").expect("the page");
    let mut files = vec![PathBuf::from("src/store")];
    let mut events = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).expect("readable").map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).expect("readable");
            // The event is the first text among the arguments.
            let calls = text.split(".note_history(").skip(1);
            events.extend(calls.filter_map(|call| call.split('"').nth(1)).map(ToOwned::to_owned));
        }
    }
    assert!(events.len() >= 8, "{events:?}");
    for event in events {
        assert!(documented(&said_of(&page, "Explain"), &event), "docs/dbus.md does not say what {event} means");
    }
}

/// Whether a key stands as code, alone or with its type.
fn documented(text: &str, key: &str) -> bool {
    text.contains(&format!("`{key}`")) || text.contains(&format!("`{key} "))
}
