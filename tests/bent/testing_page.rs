//! `docs/testing.md` is true: its commands run as they stand, but for ports and folder, against the embedded server.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use ferryd::demo::{Behaviour, Server};
use tempfile::TempDir;

use crate::bent::FERRYCTL;
use crate::page::blocks;

const PAGE: &str = "docs/testing.md";

/// The commands under a heading.
fn shell(heading: &str) -> String {
    let mut blocks = blocks(PAGE).into_iter().filter(|block| block.language == "sh" && block.heading == heading);
    let block = blocks.next().unwrap_or_else(|| panic!("no commands under {heading}"));
    assert!(blocks.next().is_none(), "one block under {heading}");
    block.text
}

/// Runs them, with what they leave running ended, and the ports that they name replaced; how many requests came.
fn run(commands: &str) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let server = Server::start(listener, Behaviour::honest()).expect("a server");
    let mut text = commands.replace("8080", &server.address().port().to_string());
    for named in ["8081", "8082", "8083"] {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
        text = text.replace(named, &free.port().to_string());
    }
    let folder = TempDir::with_prefix("ferry-page-").expect("a folder");
    let built = Path::new(FERRYCTL).parent().expect("a folder").display();
    let output = Command::new("bash")
        .args(["-euc", &format!("trap 'kill $(jobs -p) || true' EXIT\n{text}")])
        .env("PATH", format!("{built}:{}", std::env::var("PATH").unwrap_or_default()))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{text}\n{}\n{}", output.status, String::from_utf8_lossy(&said));
    server.log(|log| log.requests)
}

#[test]
fn every_shell_block_is_run_here() {
    let headings = blocks(PAGE).into_iter().filter(|block| block.language == "sh").map(|block| block.heading);
    assert_eq!(headings.collect::<Vec<_>>(), ["Under an app", "By hand", "A way to work"]);
}

#[test]
fn an_app_gets_through_a_slow_network() {
    assert!(run(&shell("Under an app")) >= 1);
}

#[test]
fn orders_change_the_weather() {
    assert_eq!(run(&shell("By hand")), 2, "before the cut and after it");
}

#[test]
fn a_day_begins() {
    // It ends only when it is told to.
    let command = shell("A way to work");
    assert_eq!(run(&format!("timeout 1 {} || test $? -eq 124", command.trim())), 0);
}

#[test]
fn ferry_takes_the_configuration() {
    let block = blocks(PAGE).into_iter().find(|block| block.language == "toml").expect("a configuration");
    let folder = TempDir::with_prefix("ferry-page-").expect("a folder");
    let file = folder.path().join("ferryd.toml");
    std::fs::write(&file, block.text).expect("a file");
    assert_eq!(ferryd::config::load(Some(&file)).expect("taken").backends.len(), 1);
}
