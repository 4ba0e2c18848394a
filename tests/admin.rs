//! The admin's page is true: its commands run as they stand, but for those of blocks marked `device`, which need root or a
//! service manager; its configurations are taken, its polkit rule decides what it says, and no block reason is missing.

#[path = "common/bus.rs"]
mod bus;
#[path = "common/machine.rs"]
#[expect(dead_code, reason = "shared with tests/examples")]
mod machine;
#[path = "common/page.rs"]
mod page;
#[path = "common/ready.rs"]
mod ready;

use std::fs;
use std::process::{Command, Output};

use ferryd::config;
use ferryd::demo::{Behaviour, Verdict};
use ferryd::model::Reason;
use machine::{Machine, root};
use page::{Block, blocks};
use tempfile::TempDir;

const PAGE: &str = "docs/admin.md";

/// The page's blocks in this language.
fn in_language(language: &str) -> Vec<Block> {
    let found: Vec<_> = blocks(PAGE).into_iter().filter(|block| block.language == language).collect();
    assert!(!found.is_empty(), "{language}");
    found
}

#[test]
fn every_block_is_of_a_kind_that_is_tested_or_marked() {
    for block in blocks(PAGE) {
        assert!(["sh", "sh device", "toml", "ini", "js"].contains(&block.language.as_str()), "{block:?}");
    }
}

#[test]
fn commands_run_as_they_stand() {
    let machine = Machine::start();
    machine.server.behave(Behaviour::judged(|_| Verdict::Reject { reason: "no such album".into() }));
    let commands: Vec<_> = in_language("sh").iter().flat_map(Block::commands).collect();
    assert!(commands.len() >= 25, "{commands:#?}");
    for command in commands {
        match command.as_str() {
            // It ends only when it is told to.
            "ferryctl watch" => _ = machine.shell("timeout 1 ferryctl watch || test $? -eq 124"),
            // This bus is no system bus, and the doctor says so.
            "ferryctl doctor" => {
                let said = machine.shell("ferryctl doctor || test $? -eq 1");
                for check in ["config", "bus", "policy", "polkit", "state", "disk", "clock", "server", "credentials"] {
                    assert!(said.lines().any(|line| line.contains(check)), "{check}: {said}");
                }
            }
            command if command.contains(" ID") => {
                let id = dead_letter(&machine);
                let said = machine.shell(&command.replace(" ID", &format!(" {id}")));
                assert!(!command.contains("--history") || said.contains("no such album"), "{said}");
            }
            command => _ = machine.shell(command),
        }
    }
    assert_eq!(machine.shell("ferryctl list --state failed --json").matches("\"id\"").count(), 0, "all were discarded");
}

/// A task that the server refused.
fn dead_letter(machine: &Machine) -> String {
    let text = "ferryctl enqueue metadata '{}' --wait --json || test $? -eq 7";
    let said = machine.shell(text);
    let line = said.lines().next().expect("an answer");
    let answer: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {said}"));
    answer["id"].as_str().unwrap_or_else(|| panic!("no id: {said}")).to_owned()
}

/// What cannot run here can at least be read by the shell, and `ferryctl` knows its words.
#[test]
fn commands_for_the_device_are_well_formed() {
    let built = env!("CARGO_BIN_EXE_ferryctl");
    let mut known = 0;
    for command in in_language("sh device").iter().flat_map(Block::commands) {
        let output = Command::new("sh").args(["-nc", &command]).output().expect("sh runs");
        assert!(output.status.success(), "{command}");
        let words: Vec<_> = command.trim_start_matches("sudo ").split_whitespace().collect();
        if words[0] == "ferryctl" {
            let output = Command::new(built).args(&words[1..]).arg("--help").output().expect("ferryctl runs");
            assert!(output.status.success(), "{command}: {output:?}");
            known += 1;
        }
    }
    assert!(known >= 2);
}

/// The first is a whole one, and the others are laid over it.
#[test]
fn configurations_are_taken() {
    let blocks = in_language("toml");
    let folder = TempDir::with_prefix("ferry-admin-").expect("a folder");
    let (main, drop_in) = (folder.path().join("ferryd.toml"), folder.path().join("conf.d/50.toml"));
    fs::write(&main, &blocks[0].text).expect("a file");
    fs::create_dir(folder.path().join("conf.d")).expect("a folder");
    for Block { heading, text, .. } in &blocks {
        fs::write(&drop_in, text).expect("a file");
        if let Err(error) = config::load(Some(&main)) {
            panic!("under {heading}: {error}\n{text}");
        }
    }
}

#[test]
fn the_polkit_rule_decides_what_it_says() {
    let [rule] = &in_language("js")[..] else { panic!("one rule") };
    let cases = [
        ("hold", "kiosk", "", "yes"),
        ("hold", "alice", "", "undefined"),
        ("control", "kiosk", "", "undefined"),
        ("manage-all", "alice", "ferry-admins", "yes"),
        ("control", "alice", "users", "undefined"),
    ];
    for (action, user, group, decided) in cases {
        let program = format!(
            "let rule; const polkit = {{ Result: {{ YES: 'yes' }}, addRule(given) {{ rule = given; }} }};\n{}\n\
             console.log(rule({{ id: 'org.ferryd.ferry1.{action}' }}, \
             {{ user: '{user}', isInGroup: (name) => name === '{group}' }}));",
            rule.text
        );
        let Output { stdout, status, .. } = Command::new("node").args(["-e", &program]).output().expect("node runs");
        assert!(status.success(), "{program}");
        assert_eq!(String::from_utf8_lossy(&stdout).trim(), decided, "{action} {user} {group}");
    }
}

#[test]
fn every_block_reason_is_explained() {
    let page = fs::read_to_string(root().join(PAGE)).expect("the page");
    let (_, part) = page.split_once("### Why something waits").expect("the part about reasons");
    let part = part.split("\n#").next().unwrap_or_default();
    for reason in Reason::ALL {
        assert!(part.contains(&format!("`{}`", reason.as_str())), "{reason} is not explained");
    }
}

#[test]
fn every_section_of_the_configuration_is_named() {
    let page = fs::read_to_string(root().join(PAGE)).expect("the page");
    let sections =
        config::SAMPLE.lines().filter_map(|line| line.strip_prefix("#[")).filter(|line| !line.starts_with('['));
    let names: Vec<_> = sections.filter_map(|line| line.split_once(']')).map(|(name, _)| name).collect();
    assert!(names.len() >= 8, "{names:?}");
    for name in names {
        let shown = match name.split_once('.') {
            Some((kind @ ("backend" | "strategy"), _)) => format!("`[{kind}.NAME]`"),
            _ => format!("`[{name}]`"),
        };
        assert!(page.contains(&shown), "{PAGE} does not say what {shown} decides");
    }
}
