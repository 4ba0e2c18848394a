//! `ferryctl doctor` with the built daemon: all is well, then each thing is broken by itself.

mod polkit;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ferryd::demo::{Behaviour, Server};
use rustix::process::Signal;
use serde_json::Value;

use self::polkit::Polkit;
use crate::bus::PrivateBus;
use crate::device::{Device, NAME, ended, tell};
use crate::netns::{self, Pair};
use crate::servers::{serve, serve_tls};

const CHECKS: [&str; 9] = ["config", "bus", "policy", "polkit", "state", "disk", "clock", "server", "credentials"];

/// What the tests give as a secret.
const SECRET: &str = "s3cret-of-the-device";

/// The doctor's lines.
struct Report {
    lines: Vec<Value>,
    code: i32,
}

impl Report {
    /// Of the daemon on this bus. The system bus is this one too: no test asks the machine's.
    fn of(bus: &PrivateBus, arguments: &[&str]) -> Self {
        Self::by(&mut ferryctl(bus), &["--address", bus.address()], arguments)
    }

    fn by(command: &mut Command, bus: &[&str], arguments: &[&str]) -> Self {
        let output = command.args(bus).args(["--json", "doctor"]).args(arguments).output().expect("ferryctl runs");
        let (out, err) = (String::from_utf8(output.stdout).expect("UTF-8"), output.stderr);
        assert_eq!(String::from_utf8(err).expect("UTF-8"), "", "{out}");
        assert!(!out.contains(SECRET), "a secret is told: {out}");
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let mut checks: Vec<_> = lines.iter().map(|line| line["check"].as_str().expect("a name")).collect();
        checks.dedup();
        assert_eq!(checks, CHECKS);
        Self { lines, code: output.status.code().expect("no signal") }
    }

    /// What is not as it should be: check, verdict, words and mend of each.
    fn ills(&self) -> Vec<[&str; 4]> {
        let ill = |line: &&Value| line["verdict"] != "ok";
        self.lines
            .iter()
            .filter(ill)
            .map(|line| ["check", "verdict", "words", "mend"].map(|key| key_of(line, key)))
            .collect()
    }
}

fn key_of<'a>(line: &'a Value, key: &str) -> &'a str {
    line[key].as_str().unwrap_or_default()
}

fn ferryctl(bus: &PrivateBus) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferryctl"));
    command.env("DBUS_SYSTEM_BUS_ADDRESS", bus.address()).env_remove("STATE_DIRECTORY").stdin(Stdio::null());
    command
}

/// A device with all that it needs: a server that takes items and files, a secret for it, and polkit on its bus.
struct Well {
    device: Device<'static>,
    server: Server,
    _polkit: Polkit,
}

impl Well {
    fn start() -> Self {
        let server = serve(Behaviour::honest());
        let mut device = Device::off(None, "");
        write_secret(&device.file("token"), SECRET, 0o600);
        device.configure(&config(&format!("http://{}", server.address()), &device.file("token")));
        let polkit = Polkit::start(&device.bus, &polkit::ACTIONS);
        device.switch_on();
        Self { device, server, _polkit: polkit }
    }

    /// Has the doctor look; only this check may find something, once.
    fn only(&self, check: &str, arguments: &[&str]) -> [String; 3] {
        let report = Report::of(&self.device.bus, arguments);
        let ills = report.ills();
        let [[found, verdict, words, mend]] = ills[..] else { panic!("{check}: {ills:?}") };
        assert_eq!((found, report.code), (check, i32::from(verdict == "problem")), "{ills:?}");
        [verdict, words, mend].map(str::to_owned)
    }

    /// The same with another configuration, which the daemon does not know.
    fn only_with(&self, check: &str, config: &str) -> [String; 3] {
        let file = self.device.file("other.toml");
        fs::write(&file, config).expect("a file");
        self.only(check, &["--config", file.to_str().expect("UTF-8")])
    }
}

fn config(server: &str, token: &Path) -> String {
    format!(
        "[backend.main]\nurl = \"{server}/sync\"\ntoken_file = {token:?}\n\
         [backend.files]\nkind = \"tus\"\nurl = \"{server}/files/\"\ntoken_file = {token:?}\n\
         [limits.quota]\nbytes = \"64 KiB\"\n[store]\nreserve = \"256 KiB\"\n"
    )
}

/// Without a secret, and for items alone.
fn config_of(url: &str, more: &str) -> String {
    let strategy = "[strategy.photo]\nkind = \"json\"\n[limits.quota]\nbytes = \"64 KiB\"\n";
    format!("[backend.main]\nurl = \"{url}\"\n{more}\n{strategy}")
}

fn write_secret(file: &Path, secret: &str, mode: u32) {
    fs::write(file, secret).expect("a file");
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("our file");
}

#[test]
fn all_is_well_where_the_daemon_says_that_its_things_are() {
    let well = Well::start();
    let report = Report::of(&well.device.bus, &[]);
    assert_eq!((report.ills(), report.code), (Vec::new(), 0));
    let told: Vec<_> = report.lines.iter().map(|line| key_of(line, "words")).collect();
    let contains = |text: &str| told.iter().any(|words| words.contains(text));
    for place in [well.device.config(), well.device.state(), well.device.file("token")] {
        assert!(contains(&place.display().to_string()), "{told:?}");
    }
    assert!(contains(&format!("backend.files: http://{} answers", well.server.address())), "{told:?}");
    let secret = |head: &ferryd::demo::Head| head.headers.contains_key("authorization");
    let asked: Vec<_> = well.server.log(|log| log.heads().map(|head| (head.method.clone(), secret(head))).collect());
    assert_eq!(asked, [("OPTIONS".to_owned(), false), ("OPTIONS".to_owned(), false)]);
    let mut for_people = ferryctl(&well.device.bus);
    let output = for_people.args(["--address", well.device.bus.address(), "doctor"]).output().expect("ferryctl runs");
    assert!(output.stdout.starts_with(b"ok       config      ") && output.status.success());
}

#[test]
fn a_bad_line_of_the_configuration_is_named() {
    let well = Well::start();
    well.device.configure("[device]\nname = 7\n");
    let report = Report::of(&well.device.bus, &[]);
    let file = well.device.config();
    let ills = report.ills();
    assert_eq!(ills[0][..2], ["config", "problem"]);
    assert!(ills[0][2].starts_with(&format!("{}:2: device.name: ", file.display())), "{ills:?}");
    assert_eq!(ills[0][3], format!("correct line 2 of {}; then: ferryctl reload", file.display()));
    let blind: Vec<_> = ills[1..].iter().map(|ill| (ill[0], ill[1], ill[3])).collect();
    assert_eq!(blind, [("server", "unknown", "see config"), ("credentials", "unknown", "see config")]);
    assert_eq!(report.code, 1);
}

#[test]
fn a_daemon_that_is_not_there_is_missed() {
    let device = Device::off(None, &config_of("http://127.0.0.1:1/", ""));
    let (config, state) = (device.config().display().to_string(), device.state().display().to_string());
    let report = Report::of(&device.bus, &["--config", &config, "--state-dir", &state]);
    let ills: Vec<_> = report.ills().into_iter().map(|[check, verdict, words, _]| (check, verdict, words)).collect();
    assert_eq!(ills[0], ("bus", "problem", "ferryd is not on this bus, and cannot be started by it"));
    assert!(ills.contains(&("state", "warning", &format!("{state} is not there yet: ferryd makes it at its start"))));
    assert_eq!(report.code, 1);
    let nowhere = Report::by(&mut ferryctl(&device.bus), &["--address", "unix:path=/nowhere/at/all"], &[]);
    assert!(nowhere.ills().iter().any(|ill| ill[..2] == ["bus", "problem"]), "{:?}", nowhere.ills());
}

#[test]
fn a_daemon_that_stands_still_is_told_and_holds_up_nothing() {
    let well = Well::start();
    well.device.signal(Signal::STOP);
    let [verdict, words, _] = well.only("bus", &[]);
    assert_eq!(
        (verdict.as_str(), words.as_str()),
        ("problem", "ferryd is on this bus, but gives no answer within 5 s")
    );
    well.device.signal(Signal::CONT);
}

#[test]
fn a_state_directory_that_is_not_the_daemons_alone_is_told() {
    let well = Well::start();
    let state = well.device.state();
    let mode = |mode| fs::set_permissions(&state, fs::Permissions::from_mode(mode)).expect("ours");
    let name = state.display();
    mode(0o755);
    let found = well.only("state", &[]);
    assert_eq!(found[0], "problem");
    assert_eq!(found[1], format!("{name} has mode 0755: it is open to others than ferryd"));
    assert_eq!(found[2], format!("sudo chmod 0700 {name}"));
    let mended = Command::new("chmod").arg("0700").arg(&state).status().expect("chmod runs");
    assert!(mended.success());
    assert_eq!(Report::of(&well.device.bus, &[]).code, 0, "mended as it was said");
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&state, Some(1), None).expect("root may");
        let [_, words, mend] = well.only("state", &[]);
        assert_eq!(words, format!("{name} is user 1's, but ferryd runs as user 0"));
        assert_eq!(mend, format!("sudo chown -R 0 {name}"));
    }
    let [verdict, words, _] = well.only("state", &["--state-dir", "/nowhere/at/all"]);
    assert_eq!((verdict.as_str(), words.contains("/nowhere/at/all")), ("problem", true), "{words}");
}

#[test]
fn a_server_that_is_not_reached_or_not_trusted_is_told() {
    let well = Well::start();
    let free = TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    let [verdict, words, mend] =
        well.only_with("server", &config_of(&format!("http://{free}/sync?token={SECRET}"), ""));
    assert_eq!((verdict.as_str(), words), ("problem", format!("backend.main: http://{free} refuses connections")));
    assert!(mend.contains("backend.main.url"), "{mend}");

    let [verdict, words, _] = well.only_with("server", &config_of("https://no-such-host.invalid/sync", ""));
    assert_eq!(verdict, "problem");
    assert!(words.starts_with("backend.main: the name no-such-host.invalid is not resolved"), "{words}");

    let (tls, authority) = serve_tls(Behaviour::honest());
    let url = format!("https://{}/sync", tls.address());
    let [verdict, words, mend] = well.only_with("server", &config_of(&url, ""));
    assert_eq!(verdict, "problem");
    assert!(words.contains("is not trusted: ") && words.contains("UnknownIssuer"), "{words}");
    assert!(mend.starts_with("backend.main.ca_file = "), "{mend}");
    let roots = well.device.file("roots.pem");
    let trusting = config_of(&url, &format!("ca_file = {roots:?}"));
    let [_, words, _] = well.only_with("server", &trusting);
    assert!(words.starts_with(&format!("backend.main.ca_file: {}: ", roots.display())), "{words}");
    fs::write(&roots, authority).expect("a file");
    let other = well.device.file("other.toml");
    assert_eq!(Report::of(&well.device.bus, &["--config", other.to_str().expect("UTF-8")]).code, 0);

    let hanging = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let url = format!("http://{}/", hanging.local_addr().expect("an address"));
    let [verdict, words, _] = well.only_with("server", &config_of(&url, ""));
    assert!(verdict == "problem" && words.contains(" cannot be reached: "), "{words}");
}

#[test]
fn a_name_server_that_never_answers_does_not_hold_up_the_end() {
    if !netns::require() {
        return;
    }
    let pair = Pair::new();
    pair.default_route();
    let _silent = pair.server.inside(|| UdpSocket::bind((Pair::SERVER, 53)).expect("a socket"));
    let device = Device::off(None, &config_of("http://sync.example/", ""));
    // All in all longer than this test waits for anything.
    let resolver = format!("nameserver {}\noptions timeout:30 attempts:5\n", Pair::SERVER);
    fs::write(device.file("resolv.conf"), resolver).expect("a file");
    let mut command = Command::new("unshare");
    command.args(["--mount", "--", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""]);
    command.arg(device.file("resolv.conf")).args([env!("CARGO_BIN_EXE_ferryctl"), "--address", device.bus.address()]);
    command.arg("doctor").arg("--config").arg(device.config()).env("DBUS_SYSTEM_BUS_ADDRESS", device.bus.address());
    let report = device.file("report");
    command.stdin(Stdio::null()).stdout(fs::File::create(&report).expect("a file"));
    let child = pair.device.spawn(&mut command).expect("it runs");
    let text = || fs::read_to_string(&report).expect("UTF-8");
    let (status, took) = ended(child, text);
    tell(format_args!("the doctor with a name server that is silent: {took:?}"));
    assert!(text().contains("backend.main: the name sync.example is not resolved: "), "{}", text());
    assert_eq!(status.code(), Some(1));
}

#[test]
fn what_the_daemon_says_of_a_server_is_told_too() {
    let mut well = Well::start();
    well.server.behave(Behaviour::fault(ferryd::demo::Fault::status(401, "who are you")));
    let id = well.device.enqueue_one();
    well.device.until_waits_for(&id, "backend-auth");
    let [verdict, words, _] = well.only("credentials", &[]);
    assert_eq!(verdict, "problem");
    assert!(words.starts_with("backend.main: ") && words.contains("backend-auth"), "{words}");
}

#[test]
fn a_secret_that_cannot_be_sent_or_is_open_to_all_is_told() {
    let well = Well::start();
    let token = well.device.file("token");
    let name = token.display();
    for (secret, mode, expected) in [
        (SECRET.to_owned(), 0o644, format!("{name} has mode 0644: the secret is open to all users")),
        (String::new(), 0o600, format!("the credential in {name}: it is empty")),
        (
            format!("{SECRET}\n{SECRET}"),
            0o600,
            format!("the credential in {name}: it holds more than one line of printable ASCII"),
        ),
    ] {
        write_secret(&token, &secret, mode);
        let [verdict, words, _] = well.only("credentials", &[]);
        assert_eq!((verdict.as_str(), words), ("problem", format!("backend.files, backend.main: {expected}")));
    }
    fs::remove_file(&token).expect("it was there");
    let [verdict, words, mend] = well.only("credentials", &[]);
    assert_eq!(verdict, "problem");
    assert_eq!(words, format!("backend.files, backend.main: token_file {name} is not there"));
    assert!(mend.ends_with(&format!(" /dev/stdin {name}")), "{mend}");
}

#[test]
fn polkit_is_missed_and_so_are_the_actions_that_it_does_not_know() {
    let server = serve(Behaviour::honest());
    let device = Device::start(&config_of(&format!("http://{}/sync", server.address()), ""));
    let absent = Report::of(&device.bus, &[]);
    assert!(matches!(absent.ills()[..], [["polkit", "warning", ..]]), "{:?}", absent.ills());
    assert_eq!(absent.code, 0, "a warning is no problem");
    let _polkit = Polkit::start(&device.bus, &["org.example.other", "org.ferryd.ferry1.hold"]);
    let lacking = Report::of(&device.bus, &[]);
    let ills = lacking.ills();
    assert!(matches!(ills[..], [["polkit", "problem", ..]]) && lacking.code == 1, "{ills:?}");
    assert!(ills[0][2].contains("org.ferryd.ferry1.manage-all") && !ills[0][2].contains("ferry1.hold"), "{ills:?}");
}

#[test]
fn a_bus_that_passes_no_call_on_is_told_with_what_is_missing() {
    let configuration = |socket: &str| {
        format!(
            r#"<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <deny send_destination="org.ferryd.Ferry1"/>
  </policy>
</busconfig>
"#
        )
    };
    let bus = PrivateBus::with_configuration(configuration);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let owner = runtime.block_on(async {
        let owner = zbus::connection::Builder::address(bus.address()).build().await.expect("a bus");
        owner.request_name(NAME).await.expect("a free name");
        owner
    });
    let report = Report::by(&mut ferryctl(&bus), &["--system"], &[]);
    let found = |check: &str| report.ills().into_iter().find(|ill| ill[0] == check).expect("an ill").map(str::to_owned);
    assert_eq!(found("policy")[1], "problem");
    assert!(found("policy")[2].contains("passes no call on"), "{:?}", found("policy"));
    assert_eq!(found("bus")[1..], ["unknown", "the system bus passes no call on to ferryd", "see policy"]);
    drop(owner);
}

#[test]
fn what_only_root_may_see_is_unknown_to_others() {
    if !rustix::process::geteuid().is_root() {
        tell(format_args!("NOT RUN: the doctor as another user: not root"));
        return;
    }
    let well = Well::start();
    let folder = well.device.folder.path();
    let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("ours");
    open(folder, 0o711);
    open(&well.device.config(), 0o644);
    let copy = folder.join("ferryctl");
    fs::copy(env!("CARGO_BIN_EXE_ferryctl"), &copy).expect("a copy");
    let config = well.device.config().display().to_string();
    let state = well.device.state().display().to_string();
    let look = || {
        let mut other = Command::new(&copy);
        other.env("DBUS_SYSTEM_BUS_ADDRESS", well.device.bus.address()).uid(65_534).gid(65_534).current_dir("/");
        let bus = ["--address", well.device.bus.address()];
        Report::by(other.stdin(Stdio::null()), &bus, &["--config", &config, "--state-dir", &state])
    };
    let report = look();
    let ills = report.ills();
    assert!(matches!(ills[..], [["credentials", "unknown", _, "run it as root: sudo ferryctl doctor"]]), "{ills:?}");
    assert_eq!(report.code, 0);
    open(&well.device.config(), 0o600);
    let report = look();
    assert_eq!(report.ills()[0][..2], ["config", "unknown"], "{:?}", report.ills());
}
