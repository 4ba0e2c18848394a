//! The README is true: its shell commands run as they stand, against the built programs, a real bus in the system bus's
//! place and the embedded server.

#[path = "common/bus.rs"]
mod bus;
#[path = "common/machine.rs"]
#[expect(dead_code, reason = "shared with tests/examples")]
mod machine;
#[path = "common/ready.rs"]
mod ready;

use std::fs;
use std::process::Command;

use bus::PrivateBus;
use ferryd::demo::{Upload, UploadState};
use machine::{FERRYD, LIMIT, Machine, PHOTO, root};
use tempfile::TempDir;

/// The shell blocks of the README, each under its heading.
fn shell_blocks() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("README.md")).expect("the README");
    let (mut heading, mut block, mut blocks) = (String::new(), None::<String>, Vec::new());
    for line in text.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (None, _) => {
                if let Some(title) = line.strip_prefix("## ") {
                    heading = title.to_owned();
                }
            }
            (Some(_), "```") => blocks.extend(block.take().map(|text| (heading.clone(), text))),
            (Some(text), line) => text.extend([line, "\n"]),
        }
    }
    blocks
}

/// The commands under a heading, a line that ends in a backslash joined with the next, without their remarks.
fn commands(heading: &str) -> Vec<String> {
    let blocks = shell_blocks().into_iter().filter(|(title, _)| title == heading);
    let lines = blocks.map(|(_, text)| text.replace("\\\n", " ")).collect::<String>();
    lines.lines().map(|line| line.split("  #").next().unwrap_or(line).trim().to_owned()).collect()
}

#[test]
fn every_shell_block_is_known_here() {
    let headings: Vec<String> = shell_blocks().into_iter().map(|(heading, _)| heading).collect();
    assert_eq!(headings, ["Two commands", "Handing work over", "Handing work over", "Running it"]);
}

#[test]
fn the_two_commands_are_what_ci_runs() {
    let ci = fs::read_to_string(root().join(".ci/run")).expect(".ci/run");
    let commands: Vec<String> =
        commands("Two commands").iter().map(|line| line.split('#').next().unwrap_or(line).trim().to_owned()).collect();
    assert_eq!(commands.len(), 2);
    for command in commands {
        assert!(ci.lines().any(|line| line.trim() == command), "CI does not run: {command}");
    }
}

#[test]
fn work_is_handed_over_as_the_readme_says() {
    let machine = Machine::start();
    let mut id = String::new();
    let photo = machine.path("harbour.jpg");
    for command in commands("Handing work over") {
        let said = match command.as_str() {
            // It ends only when it is told to.
            "ferryctl watch" => machine.shell("timeout 1 ferryctl watch || test $? -eq 124"),
            command => machine.shell(&command.replace("ID", &id).replace("harbour.jpg", &photo)),
        };
        if command.contains("enqueue") {
            id = said.trim().to_owned();
        }
    }
    assert!(machine.server.wait_until(|log| log.applied() == 2, LIMIT), "the server has both");
    let has_photo = |upload: &Upload| upload.state == UploadState::Finished && upload.bytes == PHOTO;
    assert!(machine.server.wait_until(|log| log.uploads().iter().any(has_photo), LIMIT), "and the photo");
}

#[test]
fn ferryd_starts_on_the_shipped_configuration() {
    let [command] = &commands("Running it")[..] else { panic!("one command") };
    let shipped = root().join("config/ferryd.toml");
    let command = command.replace("/etc/ferryd/ferryd.toml", &shipped.display().to_string());
    let (bus, folder) = (PrivateBus::start(), TempDir::with_prefix("ferry-readme-").expect("a folder"));
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "ferryd");
    let mut daemon = Command::new(FERRYD)
        .args(&words[1..])
        .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
        .env("STATE_DIRECTORY", folder.path().join("state"))
        .spawn()
        .expect("ferryd starts");
    ready::until_ready(bus.address());
    daemon.kill().expect("it ran");
    daemon.wait().expect("it ends");
}
