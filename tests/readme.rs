//! The README is true: its shell commands run as they stand, and so do the examples, against the built programs, a real
//! bus in the system bus's place and the embedded server.

#[path = "common/bus.rs"]
mod bus;
#[path = "common/ready.rs"]
mod ready;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bus::PrivateBus;
use ferryd::demo::{Behaviour, Server, Upload, UploadState};
use tempfile::TempDir;

/// Longer than this and something hangs.
const LIMIT: Duration = Duration::from_secs(60);
const FERRYD: &str = env!("CARGO_BIN_EXE_ferryd");

/// The machine that the README speaks of: Ferry runs on its system bus, and a server answers.
struct Machine {
    daemon: Child,
    bus: PrivateBus,
    server: Server,
    folder: TempDir,
}

impl Machine {
    fn start() -> Self {
        let (bus, folder) = (PrivateBus::start(), TempDir::with_prefix("ferry-readme-").expect("a folder"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let server = Server::start(listener, Behaviour::honest()).expect("a server");
        let address = server.address();
        let config = format!(
            "[backend.main]\nurl = \"http://{address}/ferry\"\n[backend.photos]\nkind = \"tus\"\n\
             url = \"http://{address}/files/\"\n[strategy.photo]\nnetwork = \"any\"\n"
        );
        fs::write(folder.path().join("ferryd.toml"), config).expect("a file");
        fs::write(folder.path().join("harbour.jpg"), [7; 9000]).expect("a file");
        let daemon = Command::new(FERRYD)
            .env("DBUS_SYSTEM_BUS_ADDRESS", bus.address())
            .args(["--system", "--config", "ferryd.toml", "--state-dir", "state"])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("ferryd starts");
        let machine = Self { daemon, bus, server, folder };
        ready::until_ready(machine.bus.address());
        machine
    }

    /// Runs shell text as a person would paste it, with the built programs on the PATH.
    fn shell(&self, text: &str) -> String {
        let built = Path::new(FERRYD).parent().expect("a folder").display();
        let path = format!("{built}:{}", std::env::var("PATH").unwrap_or_default());
        let output = Command::new("sh")
            .args(["-euc", text])
            .env("PATH", path)
            .env("DBUS_SYSTEM_BUS_ADDRESS", self.bus.address())
            .current_dir(root())
            .stdin(Stdio::null())
            .output()
            .expect("sh runs");
        let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{text}\n{}\n{said}{complained}", output.status);
        said.into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

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
    let photo = machine.folder.path().join("harbour.jpg").display().to_string();
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
    let has_photo = |upload: &Upload| upload.state == UploadState::Finished && upload.bytes == [7; 9000];
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
fn the_shell_example_hands_a_task_over() {
    let machine = Machine::start();
    let said = machine.shell(r#"examples/enqueue.sh '{"photo": 7}'"#);
    let id = said.lines().next().expect("the id").to_owned();
    assert!(machine.server.wait_until(|log| log.item(&id).is_some(), LIMIT), "{said}");
}

#[test]
fn the_python_example_hands_a_task_over_and_sees_it_done() {
    let machine = Machine::start();
    let said = machine.shell(r#"/usr/bin/python3 examples/enqueue.py '{"photo": 8}'"#);
    let id = said.lines().next().expect("the id").to_owned();
    assert_eq!(said.lines().last().map(str::trim), Some("done"), "{said}");
    assert!(machine.server.log(|log| log.item(&id).is_some_and(|item| item.payload == r#"{"photo": 8}"#)));
}
