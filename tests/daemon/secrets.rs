//! The credential is sent to its server and shown nowhere: not in the log at its most talkative, not on D-Bus, not by
//! `ferryctl`, not even when the server says it back.

use std::fs;
use std::net::TcpListener;

use ferryd::demo::{Behaviour, Fault, Head};
use serde_json::json;
use zbus::Variant;

use crate::device::{Device, none, tell};
use crate::servers::{answering, serve, serve_tls};

const SECRET: &str = "s3cr3t-T0ken.~+/==";
/// Such as an API key in the URL.
const QUERY: &str = "an0ther-key";

/// A backend's section with the secret, in a header of this name (`Authorization` for a bearer token).
fn section(device: &Device<'_>, url: &str, header: Option<&str>, more: &str) -> String {
    let header = header.map_or_else(String::new, |name| format!("token_header = \"{name}\"\n"));
    let token = device.file("token");
    format!(
        "[backend.main]\nurl = \"{url}?key={QUERY}\"\ntoken_file = \"{}\"\n{header}{more}\n[limits]\nbackoff_cap = \"1 s\"\n",
        token.display()
    )
}

/// Says back all header fields, as endpoints for debugging do.
fn echo(status: u16) -> Behaviour {
    Behaviour::censored(move |head: &Head, _| {
        let fields: Vec<_> = head.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        Fault::Answer {
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: json!({ "you_sent": fields }).to_string().into_bytes(),
        }
    })
}

/// All that anybody is told of a task and of the daemon.
fn all_told(device: &mut Device<'_>, id: &str) -> String {
    let options = std::collections::BTreeMap::from([("history", Variant::from(true))]);
    let explained = format!("{:?}", device.call("Tasks", "Explain", &(id, options)));
    let listed = format!("{:?}", device.call("Tasks", "List", &(none(), "", 0u32)));
    let shown = ["Manager", "Network"].map(|interface| device.shown(interface).to_string()).join("");
    let strategy = device.strategy("metadata").to_string();
    let commands = [
        "status".to_owned(),
        "--json status".to_owned(),
        "list".to_owned(),
        "--json list".to_owned(),
        format!("show {id}"),
        format!("--json show {id}"),
        format!("explain {id} --history"),
        format!("--json explain {id} --history"),
    ];
    let said = commands.map(|command| device.ctl(&command).0).join("");
    [explained, listed, shown, strategy, said].join("\n")
}

fn assert_kept(device: &mut Device<'_>, id: &str, when: &str) {
    let told = all_told(device, id);
    for secret in [SECRET, QUERY] {
        for (place, text) in [("told", &told), ("logged", &device.log())] {
            let found = text.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "{secret} is {place} {when}");
        }
    }
}

#[test]
fn it_is_never_shown() {
    let mut device = Device::off(None, "");
    device.set("FERRYD_LOG", "trace");
    fs::write(device.file("token"), SECRET).expect("a file");
    let server = serve(Behaviour::honest());
    let url = format!("http://{}/sync", server.address());
    device.configure(&section(&device, &url, None, ""));
    device.switch_on();
    let id = device.enqueue_one();
    device.until_task(&id, "done");
    let sent = server.log(|log| log.heads().next_back().and_then(|head| head.headers.get("authorization").cloned()));
    assert_eq!(sent, Some(format!("Bearer {SECRET}")), "it is sent");
    assert_kept(&mut device, &id, "when all goes well");

    let away = serve(Behaviour::honest());
    let (secure, _authority) = serve_tls(Behaviour::honest());
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("an address");
    let secure = format!("https://127.0.0.1:{}/sync", secure.address().port());
    let redirect = Fault::redirect(307, &format!("http://{}/", away.address()));
    for (when, behaviour, url, more, reason) in [
        ("said back with a 401", echo(401), &url, "", "backend-auth"),
        ("said back with a 503", echo(503), &url, "", "backend-down"),
        ("said back with rubbish", echo(200), &url, "", "backend-down"),
        ("after a redirect", answering(redirect), &url, "", "backend-down"),
        (
            "with a proxy that is not there",
            echo(200),
            &url,
            &format!("proxy = \"http://{nobody}\"")[..],
            "backend-down",
        ),
        ("with a server that is not trusted", echo(200), &secure, "", "backend-tls"),
    ] {
        for header in [None, Some("X-Api-Key")] {
            server.behave(behaviour.clone());
            device.configure(&section(&device, url, header, more));
            device.call("Manager", "Reload", &()).expect("a good one");
            let id = device.enqueue_one();
            device.until_waits_for(&id, reason);
            assert_kept(&mut device, &id, when);
            device.call("Tasks", "Cancel", &vec![&id]).expect("cancelled");
        }
    }
    assert_eq!(away.log(|log| log.requests), 0, "it is sent nowhere else");

    server.behave(echo(400));
    device.configure(&section(&device, &url, Some("X-Api-Key"), ""));
    device.call("Manager", "Reload", &()).expect("a good one");
    let id = device.enqueue_one();
    let failed = device.until_task(&id, "failed");
    assert!(failed["error"].as_str().is_some_and(|words| words.contains("you_sent")), "{failed}");
    assert_kept(&mut device, &id, "said back with a 400");

    server.behave(echo(200));
    device.configure(&section(&device, &url, None, "answer = \"status\""));
    device.call("Manager", "Reload", &()).expect("a good one");
    let id = device.enqueue_one();
    let done = device.until_task(&id, "done");
    assert!(done["result"]["body"].as_str().is_some_and(|words| words.contains("you_sent")), "{done}");
    assert_kept(&mut device, &id, "said back to a task that is done");

    fs::write(device.file("token"), format!("{SECRET}\n{SECRET}\n")).expect("a file");
    let id = device.enqueue_one();
    let row = device.until_waits_for(&id, "backend-auth");
    assert!(row.detail["error"].to_string().contains("more than one line"), "{row:?}");
    assert_kept(&mut device, &id, "in a file that is no credential");

    device.switch_off();
    let log = device.log();
    tell(format_args!("{} lines of log at trace", log.lines().count()));
}

#[test]
fn one_that_is_written_into_the_configuration_by_mistake_is_not_repeated() {
    let mut device = Device::start("");
    for (line, key) in [
        (format!("url = \"http://user:{SECRET}@127.0.0.1/\""), "backend.main.url: "),
        (format!("url = \"http://h/\"\ncredential = \"{SECRET}\""), "backend.main.credential: "),
        (format!("url = \"http://h/\"\ntoken_file = \"{SECRET}\""), "backend.main.token_file: "),
        (
            format!("url = \"http://h/\"\ntoken_header = \"Authorization: Bearer {SECRET}\""),
            "backend.main.token_header: ",
        ),
        (format!("url = \"http://h/\"\ncredential = {SECRET}"), "ferryd.toml:3: "),
        (format!("url = \"http://h/\"\ncredential = \"{SECRET}"), "ferryd.toml:3: "),
        (format!("url = \"http://h/\"\ncredential = [\"{SECRET}\"]"), "backend.main.credential: "),
    ] {
        device.configure(&format!("[backend.main]\n{line}\n"));
        let refused = device.call("Manager", "Reload", &()).expect_err(&line);
        assert!(refused.message.contains(key), "{refused:?}");
        assert!(!refused.message.contains(SECRET) && !device.log().contains(SECRET), "{refused:?}");
    }
}
