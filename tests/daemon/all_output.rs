//! One run with every kind of secret that the configuration knows, going well and going wrong, and then all that the daemon
//! has let out: both outputs, the journal, the service manager's ear, and every message on the bus.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use ferryd::demo::{Behaviour, Fault, Head};
use rustix::process::Signal;
use serde_json::json;
use zbus::Variant;

use crate::device::{Device, none, tell};
use crate::journal::Journal;
use crate::manager::Manager;
use crate::netns;
use crate::servers::{serve, serve_tls};
use crate::uploads::files::{file, put};

/// Each kind, by words that stand nowhere else.
const TOKEN_FILE: &str = "t0ken-of-a-file.~+/==";
const HEADER: &str = "t0ken-of-a-header";
const CREDENTIAL: &str = "t0ken-of-systemd";
const QUERY: &str = "t0ken-of-a-query";
const PROXY: &str = "t0ken-of-a-proxy";
/// All of them.
const ALL: [&str; 5] = [TOKEN_FILE, HEADER, CREDENTIAL, QUERY, PROXY];

/// Everything on the bus, written down by `busctl monitor`.
struct Monitor(Child);

impl Monitor {
    fn start(device: &Device<'_>) -> Self {
        let address = format!("--address={}", device.bus.address());
        let file = File::create(device.file("monitored")).expect("a file");
        let monitor = Command::new("busctl")
            .args([&address, "--json=off", "monitor"])
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(File::create(device.file("monitor-said")).expect("a file"))
            .spawn()
            .expect("busctl (Debian package systemd) must be installed");
        while !fs::read_to_string(device.file("monitor-said")).unwrap_or_default().contains("Monitoring") {
            std::thread::yield_now();
        }
        Self(monitor)
    }

    /// Ends it; all that was said until then.
    fn stop(mut self, device: &mut Device<'_>) -> String {
        // The last of all: when it is written down, so is what came before.
        let last = "the.last.of.all";
        let refused = device.call("Tasks", "Get", &last);
        assert!(refused.is_err());
        while !fs::read_to_string(device.file("monitored")).unwrap_or_default().contains(last) {
            std::thread::yield_now();
        }
        drop(self.0.kill());
        drop(self.0.wait());
        fs::read_to_string(device.file("monitored")).expect("UTF-8")
    }
}

/// Says back all header fields, as endpoints for debugging do.
fn echo(status: u16) -> Behaviour {
    Behaviour::censored(move |head: &Head, _| {
        let fields: Vec<_> = head.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        Fault::Answer {
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: json!({ "you_asked": head.target, "you_sent": fields }).to_string().into_bytes(),
        }
    })
}

/// A backend for each kind of secret, all at `url`, and a strategy for each backend.
fn configuration(device: &Device<'_>, url: &str, more: &str) -> String {
    let path = |name: &str| device.file(name).display().to_string();
    format!(
        "[backend.main]\nurl = \"{url}?key={QUERY}\"\ntoken_file = \"{}\"\n{more}\n\
         [backend.header]\nurl = \"{url}\"\ntoken_file = \"{}\"\ntoken_header = \"X-Api-Key\"\n{more}\n\
         [backend.credential]\nurl = \"{url}\"\n{more}\n\
         [backend.files]\nkind = \"tus\"\nurl = \"{}\"\n\
         [strategy.metadata]\nbackend = \"main\"\n[strategy.analytics]\nbackend = \"header\"\n\
         [strategy.other]\nbackend = \"credential\"\n[strategy.photo]\nbackend = \"files\"\nnetwork = \"any\"\n\
         [limits]\nbackoff_cap = \"1 s\"\n",
        path("token_file"),
        path("header"),
        url.replace("/sync", "/files/"),
    )
}

const STRATEGIES: [(&str, &str); 3] = [("metadata", TOKEN_FILE), ("analytics", HEADER), ("other", CREDENTIAL)];

/// A device with its secrets in place, all its output kept.
fn device() -> Device<'static> {
    let mut device = Device::off(None, "");
    for (name, secret) in [("token_file", TOKEN_FILE), ("header", HEADER)] {
        fs::write(device.file(name), secret).expect("a file");
    }
    fs::create_dir(device.file("credentials")).expect("a folder");
    fs::write(device.file("credentials/ferryd.token"), CREDENTIAL).expect("a file");
    device.set("CREDENTIALS_DIRECTORY", device.file("credentials").display().to_string());
    device.set("FERRYD_LOG", "trace");
    device
}

/// Work that goes well and work that goes wrong, for each secret.
fn run(device: &mut Device<'_>, monitor: &Monitor) {
    assert!(monitor.0.id() > 0);
    let server = serve(Behaviour::honest());
    let url = format!("http://{}/sync", server.address());
    device.configure(&configuration(device, &url, ""));
    device.call("Manager", "Reload", &()).expect("a good one");
    for (strategy, secret) in STRATEGIES {
        let ids = device.enqueue_to(strategy, 1);
        device.until_done(&ids);
        let sent = server.log(|log| log.heads().any(|head| head.headers.values().any(|value| value.contains(secret))));
        assert!(sent, "{secret} is sent");
    }
    let (path, _) = file(device, "photo.jpg", 100_000);
    let photo = put(device, &[path]).remove(0);
    device.until_task(&photo, "done");

    let (secure, _authority) = serve_tls(Behaviour::honest());
    let secure = format!("https://127.0.0.1:{}/sync", secure.address().port());
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    let proxy = format!("proxy = \"http://{nobody}\"");
    for (status, url, more, reason) in [
        (401, &url, "", "backend-auth"),
        (503, &url, "", "backend-down"),
        (200, &url, "", "backend-down"),
        (200, &url, &proxy[..], "backend-down"),
        (200, &secure, "", "backend-tls"),
    ] {
        server.behave(echo(status));
        device.configure(&configuration(device, url, more));
        device.call("Manager", "Reload", &()).expect("a good one");
        for (strategy, _) in STRATEGIES {
            let id = device.enqueue_to(strategy, 1).remove(0);
            device.until_waits_for(&id, reason);
            device.call("Tasks", "Cancel", &vec![&id]).expect("cancelled");
        }
    }
    server.behave(echo(400));
    device.configure(&configuration(device, &url, ""));
    device.call("Manager", "Reload", &()).expect("a good one");
    for (strategy, _) in STRATEGIES {
        let id = device.enqueue_to(strategy, 1).remove(0);
        let failed = device.until_task(&id, "failed");
        assert!(failed["error"].as_str().is_some_and(|words| words.contains("you_sent")), "{failed}");
        device.history(&id);
    }
}

/// Mistakes that put a secret where none belongs.
fn mistakes(device: &mut Device<'_>) {
    for line in [
        format!("proxy = \"http://user:{PROXY}@127.0.0.1:3128\""),
        format!("credential = \"{CREDENTIAL}/\""),
        format!("token_header = \"X-Api-Key: {HEADER}\""),
        format!("token_file = \"{TOKEN_FILE}\""),
    ] {
        device.configure(&format!("[backend.main]\nurl = \"http://h/\"\n{line}\n"));
        device.call("Manager", "Reload", &()).expect_err(&line);
        device.signal(Signal::HUP);
    }
}

/// What anybody can ask for, so that it is on the bus.
fn ask_for_all(device: &mut Device<'_>) {
    let paths = ["/", "/org/ferryd/Ferry1", "/org/ferryd/Ferry1/strategies/metadata"];
    for path in paths {
        let busctl = |arguments: &[&str]| {
            let address = format!("--address={}", device.bus.address());
            let output = Command::new("busctl").arg(address).args(arguments).output().expect("busctl runs");
            assert!(output.status.success() || path == "/", "{arguments:?}: {output:?}");
        };
        busctl(&["introspect", "--xml-interface", "org.ferryd.Ferry1", path]);
        busctl(&["introspect", "org.ferryd.Ferry1", path]);
    }
    device.strategies();
    device.call("Tasks", "List", &(none(), "", 0u32)).expect("a list");
    let nonsense = std::collections::BTreeMap::from([("nonsense", Variant::from(1u32))]);
    device.call("Tasks", "List", &(nonsense, "", 0u32)).expect_err("an unknown option");
}

fn assert_kept(place: &str, text: &str) {
    tell(format_args!("{place}: {} lines", text.lines().count()));
    assert!(!text.is_empty() || place == "standard output", "{place} is empty: nothing was looked at");
    for secret in ALL {
        let found = text.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret} is in {place}");
    }
}

#[test]
fn no_secret_is_in_anything_that_is_let_out() {
    let mut device = device();
    let mut manager = Manager::of(&mut device);
    let monitor = Monitor::start(&device);
    let mut command = device.command();
    command.stdout(File::create(device.file("stdout")).expect("a file"));
    device.switch_on_by(command);
    run(&mut device, &monitor);
    mistakes(&mut device);
    ask_for_all(&mut device);
    let on_the_bus = monitor.stop(&mut device);
    device.switch_off();
    manager.until("STATUS=stopping");
    assert!(on_the_bus.contains("org.ferryd.Ferry1.Error.InvalidArgument") && on_the_bus.contains("you_sent"));
    assert_kept("bus", &on_the_bus);
    assert_kept("standard error", &device.log());
    assert_kept("standard output", &fs::read_to_string(device.file("stdout")).expect("a file"));
    assert_kept("the service manager's ear", &manager.heard.join("\n"));
}

#[test]
fn no_secret_is_in_the_journal_and_every_entry_can_be_searched() {
    if !netns::require() {
        return;
    }
    let mut device = device();
    let mut journal = Journal::switch_on(&mut device);
    let monitor = Monitor::start(&device);
    run(&mut device, &monitor);
    mistakes(&mut device);
    drop(monitor.stop(&mut device));
    device.switch_off();
    journal.until("it stops", |entry| entry["MESSAGE"].starts_with("stopping"));
    let text: Vec<_> = journal.seen.iter().map(|entry| format!("{entry:?}")).collect();
    assert_kept("journal", &text.join("\n"));
    for entry in &journal.seen {
        assert!(["3", "4", "6", "7"].contains(&entry["PRIORITY"].as_str()), "{entry:?}");
    }
    for field in ["TASK", "STRATEGY", "BACKEND", "REASON", "ATTEMPT"] {
        assert!(journal.seen.iter().any(|entry| entry.contains_key(field)), "{field} is in no entry");
    }
}
