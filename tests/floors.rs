//! The house has floors (`src/lib.rs`): imports go down only, and no hand on floor 2 knows another.

use std::fs;
use std::path::{Path, PathBuf};

/// Every room and its floor. A module missing here fails the test, so that it gets a place.
const FLOORS: &[(&str, u32)] = &[
    ("model", 0),
    // Tests only: how targets are fed.
    ("fuzz", 0),
    ("schedule", 1),
    ("store", 2),
    ("config", 2),
    ("http", 2),
    ("backend", 2),
    ("sense", 2),
    ("bus", 3),
    ("daemon", 3),
    ("ctl", 4),
    ("demo", 4),
    ("sim", 4),
    ("bend", 4),
    ("bin", 4),
];

/// Neighbours on one floor that may be imported: the one HTTP client, the loop's faces, the CLI's tools, their scenarios.
const NEIGHBOURS: &[(&str, &str)] = &[
    ("backend", "http"),
    ("sense", "http"),
    ("daemon", "bus"),
    ("ctl", "demo"),
    ("demo", "ctl"),
    ("ctl", "bend"),
    ("ctl", "sim"),
    ("bend", "sim"),
];

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// Whether a file of room `from` may import from room `to`.
fn allowed(from: &str, to: &str) -> bool {
    match (floor(from), floor(to)) {
        (Some(above), Some(below)) => from == to || above > below || NEIGHBOURS.contains(&(from, to)),
        _ => false,
    }
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is readable").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            rust_files(&entry, found);
        } else if entry.extension().is_some_and(|ending| ending == "rs") {
            found.push(entry);
        }
    }
}

/// The rooms that a source text names by `crate::ROOM`, doc links aside.
fn imports(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>())
        .filter(|room| !room.is_empty())
        .collect()
}

#[test]
fn imports_go_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut breaches = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).expect("below src");
        if inside == Path::new("lib.rs") {
            continue;
        }
        let room = inside.iter().next().and_then(|part| part.to_str()).expect("a room").trim_end_matches(".rs");
        let text = fs::read_to_string(&file).expect("readable source");
        let reach = inside == Path::new("sense/reach.rs");
        for target in imports(&text) {
            if room == "sense" && target == "http" && !reach {
                breaches.push(format!("{}: of all senses only reach may import http", inside.display()));
            }
            if !allowed(room, &target) {
                breaches.push(format!("{}: {room} imports {target}", inside.display()));
            }
        }
    }
    assert!(breaches.is_empty(), "imports that do not go down:\n{}", breaches.join("\n"));
}

#[test]
fn the_rule_refuses_what_it_should() {
    assert!(allowed("daemon", "store") && allowed("backend", "http") && allowed("schedule", "model"));
    assert!(!allowed("schedule", "store"), "thought does not know hands");
    assert!(!allowed("store", "http"), "no hand knows another");
    assert!(!allowed("http", "backend"), "the one client does not know who uses it");
    assert!(!allowed("bus", "daemon"), "faces do not know the loop");
    assert!(!allowed("model", "attic") && !allowed("attic", "model"), "every room has a floor");
}
