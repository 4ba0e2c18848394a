//! The README is true: its shell commands run as they stand, against the built programs, a real bus in the system bus's
//! place and the embedded server.

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
use std::process::Command;

use bus::PrivateBus;
use ferryd::demo::{Upload, UploadState};
use machine::{FERRYD, LIMIT, Machine, PHOTO, root};
use page::{Block, blocks};
use tempfile::TempDir;

/// The shell blocks of the README.
fn shell_blocks() -> impl Iterator<Item = Block> {
    blocks("README.md").into_iter().filter(|block| block.language == "sh")
}

/// The commands under a heading.
fn commands(heading: &str) -> Vec<String> {
    shell_blocks().filter(|block| block.heading == heading).flat_map(|block| block.commands()).collect()
}

#[test]
fn every_shell_block_is_known_here() {
    let headings: Vec<String> = shell_blocks().map(|block| block.heading).collect();
    assert_eq!(
        headings,
        ["Two commands", "Handing work over", "Handing work over", "Running it", "Beside the spec's queue"]
    );
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

#[test]
fn the_configuration_is_taken() {
    let folder = TempDir::with_prefix("ferry-readme-").expect("a folder");
    let file = folder.path().join("ferryd.toml");
    let [block] = &blocks("README.md").into_iter().filter(|block| block.language == "toml").collect::<Vec<_>>()[..]
    else {
        panic!("one configuration")
    };
    fs::write(&file, &block.text).expect("a file");
    let config = ferryd::config::load(Some(&file)).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(config.backends.len(), 2);
}

/// What stands below its command is what that prints. After a change: FERRY_UPDATE_DOCS=1 cargo test --test readme
#[test]
fn the_comparison_is_what_the_program_prints() {
    let heading = "Beside the spec's queue";
    let [command] = &commands(heading)[..] else { panic!("one command") };
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "ferryctl");
    let output = Command::new(env!("CARGO_BIN_EXE_ferryctl")).args(&words[1..]).output().expect("it runs");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let shown = blocks("README.md").into_iter().find(|block| block.heading == heading && block.language == "text");
    let shown = shown.expect("what it prints").text;
    if std::env::var_os("FERRY_UPDATE_DOCS").is_some() {
        let page = root().join("README.md");
        let text = fs::read_to_string(&page).expect("a page").replace(&shown, &printed);
        return fs::write(page, text).expect("a page");
    }
    assert_eq!(shown, printed, "{}", String::from_utf8_lossy(&output.stderr));
}

/// The targets of a page's links, but for those to other sites.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).filter(|target| !target.contains("://"))
}

/// The anchors that headings have: lower case, spaces as dashes, without other signs.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| line.starts_with('#')).map(|line| {
        let kept = line.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    })
}

#[test]
fn every_link_leads_somewhere() {
    let pages = fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    for page in pages.chain([root().join("README.md")]).filter(|path| path.extension().is_some_and(|end| end == "md")) {
        let text = fs::read_to_string(&page).expect("a page");
        for link in links(&text) {
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(target.exists(), "{}: {link}", page.display());
            if let Some(anchor) = anchor {
                let text = fs::read_to_string(&target).expect("a page");
                assert!(anchors(&text).any(|known| known == anchor), "{}: {link}", page.display());
            }
        }
    }
}
