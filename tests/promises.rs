//! `docs/promises.md` names the tests that hold Ferry to its promises: each of them must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// How many promises there are.
const PROMISES: usize = 8;

/// The tests that a line names, each with its file.
fn named(line: &str) -> impl Iterator<Item = (&str, &str)> {
    line.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::"))
}

/// Whether the source has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    let Some((before, _)) = source.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.lines().rev().skip(usize::from(!before.ends_with('\n')));
    attributes.take_while(|line| line.trim_start().starts_with("#[")).any(|line| line.contains("test"))
}

#[test]
fn every_test_that_is_named_is_there_and_every_fault_has_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let promises = fs::read_to_string(root.join("docs/promises.md")).expect("a document");
    let mut missing = BTreeSet::new();
    let mut sections = 0;
    for line in promises.lines() {
        sections += usize::from(line.starts_with("## "));
        if line.starts_with("| ") && !line.starts_with("| fault |") && !line.starts_with("| --- |") {
            assert!(named(line).next().is_some(), "no test: {line}");
        }
        for (file, name) in named(line).filter(|(file, _)| *file != "file") {
            let source = fs::read_to_string(root.join(file).with_extension("rs")).unwrap_or_default();
            if !has_test(&source, name) {
                missing.insert(format!("{file}.rs::{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "named in docs/promises.md and not there: {missing:#?}");
    assert_eq!(sections, PROMISES);
}

#[test]
fn a_test_that_is_none_is_found_out() {
    let source = "#[test]\nfn one() {}\n#[tokio::test]\nasync fn two() {}\nfn three() {}\n";
    let found = ["one", "two", "three", "four"].map(|name| has_test(source, name));
    assert_eq!(found, [true, true, false, false]);
    assert_eq!(named("| a | `x.rs::one`, `y/z.rs::two` and `three` |").count(), 2);
}
