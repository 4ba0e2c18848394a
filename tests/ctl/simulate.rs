//! The built `ferryctl simulate`: each option does what it says, and what makes no sense is refused before anything is lived.

use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::said;

fn simulate(line: &str) -> (String, String, i32) {
    let words = line.split_whitespace();
    said(&Command::new(env!("CARGO_BIN_EXE_ferryctl")).arg("simulate").args(words).output().expect("ferryctl runs"))
}

fn json(line: &str) -> Value {
    let (out, err, code) = simulate(&format!("{line} --json"));
    assert_eq!((err.as_str(), code), ("", 0));
    serde_json::from_str(&out).expect("one document")
}

const SMALL: &str = "--scenario wifi --days 1 --devices 3 --tasks-per-day 30";

#[test]
fn figures_are_of_what_was_asked_for() {
    let view = json(&format!("{SMALL} --seed 5 --baseline patient --baseline fifo"));
    let asked = ["scenario", "days", "devices", "tasks_per_day", "seed"].map(|key| view[key].to_string());
    assert_eq!(asked, ["\"wifi\"", "1", "3", "30", "5"]);
    let queues = view["queues"].as_array().expect("queues");
    let names: Vec<&Value> = queues.iter().map(|queue| &queue["queue"]).collect();
    assert_eq!(names, ["ferry", "fifo", "patient"]);
    assert!(queues.iter().all(|queue| queue["requests"].as_u64() > Some(0) && queue["wakes"].is_object()));
    assert_eq!(view, json(&format!("{SMALL} --seed 5 --baseline fifo --baseline patient")), "one seed, one result");
    assert_ne!(view["queues"][0], json(&format!("{SMALL} --seed 6"))["queues"][0]);
}

#[test]
fn the_configuration_is_that_of_the_file() {
    let folder = TempDir::with_prefix("ferry-simulate-").expect("a folder");
    let file = folder.path().join("ferryd.toml");
    let lived = |text: &str| {
        std::fs::write(&file, text).expect("a file");
        simulate(&format!("{SMALL} --json --config {}", file.display()))
    };
    let (out, _, code) =
        lived("[backend.main]\nurl = \"https://sync.example/\"\n[strategy.survey]\nkind = \"json\"\npriority = 4\n");
    assert!(code == 0 && out.contains("\"survey\""), "{out}");
    let (_, err, code) = lived("[device]\nname = \"a\"\n");
    assert_eq!((err.as_str(), code), ("ferryctl: the configuration names no backend: nothing could be sent\n", 1));
    let (_, err, code) = lived("[backend.main]\nurl = 7\n");
    assert!(code == 1 && err.contains("backend.main.url"), "{err}");
}

#[test]
fn a_picture_is_drawn_and_a_place_that_cannot_be_written_is_told() {
    let folder = TempDir::with_prefix("ferry-simulate-").expect("a folder");
    let file = folder.path().join("a.svg");
    let (out, err, code) = simulate(&format!("{SMALL} --baseline fifo --plot {}", file.display()));
    assert!(code == 0 && err.is_empty() && out.starts_with("wifi: 3 devices, 1 days"), "{out}{err}");
    assert!(std::fs::read_to_string(&file).expect("a picture").ends_with("</svg>\n"));
    let (out, err, code) = simulate(&format!("{SMALL} --plot {}/none/a.svg", folder.path().display()));
    assert!(out.is_empty() && code == 1 && err.contains("none/a.svg: No such file"), "{err}");
}

#[test]
fn what_makes_no_sense_is_refused_and_said() {
    for (line, says) in [
        ("--scenario dial_up", "captive_portal"),
        ("--days 0", "not in 1..=3650"),
        ("--days week", "--days"),
        ("--devices 0", "not in 1..=1000000"),
        ("--tasks-per-day 0", "not in 1..=100000"),
        ("--tasks-per-day 1.5", "--tasks-per-day"),
        ("--seed one", "--seed"),
        ("--baseline lifo", "fifo, patient"),
        ("--compare --scenario wifi", "cannot be used with"),
        ("--compare --plot a.svg", "cannot be used with"),
    ] {
        let (out, err, code) = simulate(line);
        assert!(out.is_empty() && code == 2 && err.contains(says), "{line}: {code} {err}");
    }
    let (_, err, code) = simulate("--config /nowhere/ferryd.toml");
    assert!(code == 1 && err.contains("/nowhere/ferryd.toml"), "{err}");
}
