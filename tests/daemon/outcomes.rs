//! What servers answer, and what becomes of tasks: DESIGN section 5 through the built daemon. Explain tells the true
//! reason each time, on D-Bus and in `ferryctl`.

use std::fs;
use std::net::TcpListener;

use ferryd::demo::{Behaviour, Fault, Item, Server, Verdict};
use serde_json::json;

use crate::device::{Device, HANG, Row, none, tell};
use crate::servers::{answering, config, config_with, serve};

/// Backoffs short enough for a test; the shortest cap that the configuration takes.
const HASTE: &str = "[limits]\nbackoff_cap = \"1 s\"\n";

fn is_number(item: &Item, number: usize) -> bool {
    item.payload == format!("{{\"n\":{number}}}")
}

/// What `ferryctl explain` says.
fn told(device: &Device<'_>, id: &str) -> String {
    let (said, code) = device.ctl(&format!("explain {id}"));
    assert_eq!(code, 0, "{said}");
    said
}

/// Waits until a task waits for this reason, and checks that `ferryctl` says the same and no task suffers. A pause keeps the
/// next probe from starting while it is looked at.
fn waits(device: &mut Device<'_>, id: &str, reason: &str) -> Row {
    let row = device.until_waits_for(id, reason);
    device.call("Manager", "Pause", &none()).expect("paused");
    device.until_shown("Transfers", 0);
    let said = told(device, id);
    assert!(said.contains(reason), "{said}");
    let task = device.task(id);
    assert_eq!((task["state"].as_str(), task["attempts"].as_u64()), (Some("pending"), Some(0)), "nothing is counted");
    assert_eq!(device.strategy("metadata")["Failed"], 0);
    resume(device);
    row
}

/// A daemon whose tasks wait until [`Device::call`] of `Resume`.
fn paused(config: &str) -> Device<'static> {
    let mut device = Device::start(config);
    device.call("Manager", "Pause", &none()).expect("paused");
    device
}

fn resume(device: &mut Device<'_>) {
    device.call("Manager", "Resume", &none()).expect("resumed");
}

#[test]
fn one_poisoned_item_of_fifty_fails_alone() {
    let server = serve(Behaviour::censored(|_, items| match items.iter().any(|item| is_number(item, 17)) {
        true => Fault::status(422, "n must not be 17"),
        false => Fault::No,
    }));
    let mut device = paused(&config_with(&server, "gzip = false"));
    let ids = device.enqueue(50);
    resume(&mut device);
    let poisoned = device.until_task(&ids[17], "failed");
    assert_eq!(poisoned["error"], "rejected: status 422: n must not be 17");
    for (n, id) in ids.iter().enumerate().filter(|(n, _)| *n != 17) {
        let task = device.until_task(id, "done");
        assert_eq!(task["attempts"], 0, "task {n} was not to blame");
    }
    let (done, requests) = server.log(|log| (log.applied(), log.requests));
    tell(format_args!("one of 50 to blame: found in {requests} requests"));
    assert_eq!(done, 49);
    assert!(server.received().iter().all(|item| item.seen <= 8), "halving, not one by one");
    let (said, _) = device.ctl(&format!("show {}", ids[17]));
    assert!(said.contains("n must not be 17"), "{said}");
}

#[test]
fn a_server_that_stumbles_over_a_task_gets_it_again_until_its_attempts_are_used_up() {
    let server = serve(answering(Fault::status(500, "stack overflow")));
    let mut device = Device::start(&config_with(&server, HASTE));
    let id = device.enqueue_one();
    let row = device.until_waits_for(&id, "backoff");
    assert!(row.clears.starts_with("its wait is over, in "), "{row:?}");
    assert_eq!(
        (&row.detail["error"], &row.detail["max_attempts"]),
        (&json!("status 500: stack overflow"), &json!("5"))
    );
    let task = device.until_task(&id, "failed");
    assert_eq!(task["error"], "exhausted: status 500: stack overflow");
    assert_eq!((server.log(|log| log.requests), task["attempts"].as_u64()), (5, Some(5)));
    server.behave(Behaviour::honest());
    assert_eq!(device.call("Tasks", "Retry", &vec![&id]), Ok(vec![json!(1)]));
    assert_eq!(device.until_task(&id, "done")["attempts"], 0);
}

#[test]
fn an_item_that_the_server_wants_again_later_comes_then() {
    let server = serve(Behaviour::judged(|item| match (is_number(item, 1), item.attempt) {
        (true, 1) => Verdict::Retry { after: Some(1.5), reason: "the album is locked".into() },
        (true, _) | (false, _) => Verdict::Take,
    }));
    let mut device = paused(&config_with(&server, HASTE));
    let ids = device.enqueue(3);
    resume(&mut device);
    let row = device.until_waits_for(&ids[1], "backoff");
    assert_eq!((&row.detail["error"], &row.detail["attempts"]), (&json!("the album is locked"), &json!("1")));
    let task = device.task(&ids[1]);
    let until = task["due"].as_u64().expect("a time");
    let said = told(&device, &ids[1]);
    assert!(said.contains("backoff") && said.contains("the album is locked"), "{said}");
    device.until_done(&ids);
    assert!(device.task(&ids[1])["finished"].as_u64() >= Some(until));
    let seen: Vec<_> = server.received().iter().map(|item| (item.seen, item.attempt)).collect();
    assert_eq!(seen, [(1, 1), (2, 2), (1, 1)]);
}

#[test]
fn what_the_server_refuses_or_holds_otherwise_fails_with_its_words() {
    let server = serve(Behaviour::judged(|item| match item.payload.as_str() {
        "{\"n\":0}" => Verdict::Conflict { reason: "edited elsewhere".into() },
        "{\"n\":1}" => Verdict::Reject { reason: "bad\u{1b}[31m \u{7}words".into() },
        _ => Verdict::Take,
    }));
    let mut device = paused(&config(&server));
    let ids = device.enqueue(3);
    resume(&mut device);
    assert_eq!(device.until_task(&ids[0], "failed")["error"], "conflict: edited elsewhere");
    let rejected = device.until_task(&ids[1], "failed")["error"].to_string();
    assert!(rejected.starts_with("\"rejected: bad") && rejected.ends_with("words\""), "{rejected}");
    assert!(!rejected.contains("\\u001b") && !rejected.contains("\\u0007"), "control characters: {rejected}");
    device.until_task(&ids[2], "done");
    assert_eq!(device.strategy("metadata")["Failed"], 2);
    assert_eq!(server.log(|log| log.requests), 1, "no second try");

    server.behave(answering(Fault::status(412, "stale")));
    let id = device.enqueue_one();
    assert_eq!(device.until_task(&id, "failed")["error"], "conflict: status 412: stale");
}

#[test]
fn a_credential_that_is_refused_counts_nothing_and_is_read_anew() {
    let server = serve(Behaviour::censored(|head, _| match head.headers.get("authorization").map(String::as_str) {
        Some("Bearer good-token") => Fault::No,
        _ => Fault::status(401, "who are you?"),
    }));
    let mut device = Device::off(None, "");
    let file = device.file("token");
    fs::write(&file, "bad-token\n").expect("a file");
    device.configure(&config_with(&server, &format!("token_file = \"{}\"", file.display())));
    device.switch_on();
    let id = device.enqueue_one();
    let row = waits(&mut device, &id, "backend-auth");
    let expected = format!("backend main takes the credential (file {}): renew it, then reload; ", file.display());
    assert!(row.clears.starts_with(&expected), "{row:?}");
    assert_eq!(row.detail["error"], "status 401: who are you?");
    assert!(!format!("{row:?}").contains("bad-token"));
    // It is gone; nothing is sent then.
    fs::remove_file(&file).expect("it was there");
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until("the file is missed", |device| {
        device.explain(&id).iter().any(|row| row.detail["error"].to_string().contains("No such file")).then_some(())
    });
    let requests = server.log(|log| log.requests);
    fs::write(&file, "good-token\n").expect("a file");
    let mended = std::time::Instant::now();
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until_done(std::slice::from_ref(&id));
    tell(format_args!("the credential mended and reloaded: done after {:?}", mended.elapsed()));
    assert_eq!(server.log(|log| log.requests), requests + 1);
    assert_eq!(device.explain(&id), []);
}

#[test]
fn a_credential_mended_without_a_reload_is_found_at_the_next_look() {
    let server = serve(Behaviour::censored(|head, _| match head.headers.get("x-key").map(String::as_str) {
        Some("good-token") => Fault::No,
        _ => Fault::status(403, "no"),
    }));
    let mut device = Device::off(None, "");
    let file = device.file("token");
    fs::write(&file, "bad-token").expect("a file");
    let section = format!("token_file = \"{}\"\ntoken_header = \"X-Key\"\n{HASTE}", file.display());
    device.configure(&config_with(&server, &section));
    device.switch_on();
    let id = device.enqueue_one();
    waits(&mut device, &id, "backend-auth");
    assert_eq!(device.shown("Manager")["Blocked"], json!(["backend-auth"]));
    fs::write(&file, "good-token").expect("a file");
    device.until_done(&[id]);
    device.until_shown("Blocked", json!([]));
}

#[test]
fn an_endpoint_that_never_took_anything_is_a_mistake_in_the_configuration() {
    for status in [404, 405, 410, 501] {
        let server = serve(Behaviour::censored(move |head, _| match head.target.as_str() {
            "/sync" => Fault::status(status, "nothing here"),
            _ => Fault::No,
        }));
        let mut device = Device::start(&config(&server));
        let id = device.enqueue_one();
        let row = waits(&mut device, &id, "backend-config");
        assert!(
            row.clears.starts_with("backend.main.url names an endpoint that exists: correct it and reload; "),
            "{row:?}"
        );
        assert_eq!(row.detail["url"], format!("http://{}/sync", server.address()));
        assert_eq!(row.detail["error"], format!("status {status}: nothing here"));
        device.until("its next look is shown", |device| {
            (device.shown("Manager")["NextWake"][0] == "backend-probe").then_some(())
        });
        device.configure(&config(&server).replace("/sync", "/items"));
        device.call("Manager", "Reload", &()).expect("a good one");
        device.until_done(std::slice::from_ref(&id));
        // Now that it has proved right, the same answer is about the task.
        server.behave(answering(Fault::status(404, "no such album")));
        let id = device.enqueue_one();
        assert_eq!(device.until_task(&id, "failed")["error"], "rejected: status 404: no such album");
    }
}

#[test]
fn what_is_not_the_servers_answer_is_never_done() {
    let elsewhere = serve(Behaviour::honest());
    let away = format!("http://{}/sync", elsewhere.address());
    for (fault, words) in [
        (Fault::html(), "status 200 with an HTML page, as a captive portal or a proxy gives"),
        (Fault::redirect(302, &away), "status 302 redirects to http://127.0.0.1:"),
        (Fault::redirect(307, &away), "status 307 redirects to http://127.0.0.1:"),
        (Fault::redirect(301, "/other"), "status 301 redirects in a way that changes the request"),
        (Fault::status(200, "{\"results\":[]}"), "status 200 with no result for "),
        (Fault::status(200, "thanks"), "status 200 with not the documented body"),
        (Fault::status(204, ""), "status 204 with not the documented body"),
        (Fault::EndlessBody(200), "over 1 MiB"),
    ] {
        let server = serve(answering(fault));
        let mut device = Device::start(&config_with(&server, HASTE));
        let id = device.enqueue_one();
        let row = waits(&mut device, &id, "backend-down");
        let error = row.detail["error"].as_str().expect("words");
        assert!(error.contains(words), "{words:?} is not in {error:?}");
        server.behave(Behaviour::honest());
        device.until_done(&[id]);
    }
    assert_eq!(elsewhere.received(), []);
}

#[test]
fn a_server_that_asks_for_silence_gets_it() {
    let server = serve(Behaviour::honest());
    let silence =
        Fault::Answer { status: 503, headers: vec![("Retry-After".into(), "2".into())], body: b"later".to_vec() };
    server.behave_once(answering(silence));
    let mut device = Device::start(&config_with(&server, HASTE));
    let id = device.enqueue_one();
    let row = waits(&mut device, &id, "backend-down");
    assert!(row.clears.starts_with("backend main answers again; asked again in "), "{row:?}");
    assert_eq!((&row.detail["error"], &row.detail["failures"]), (&json!("status 503: later"), &json!("1")));
    let until: u64 = row.detail["until"].as_str().expect("text").parse().expect("a time");
    assert!(until >= row.since + 2_000_000, "{row:?}");
    // A reload is no reason to break the silence.
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until_done(std::slice::from_ref(&id));
    assert!(device.task(&id)["finished"].as_u64() >= Some(until));
    assert_eq!(server.log(|log| log.requests), 2);
}

#[test]
fn an_outage_fails_nothing_however_long() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let config = format!("[backend.main]\nurl = \"http://{address}/\"\n{HASTE}");
    let mut device = Device::start(&config);
    let ids = device.enqueue(120);
    let row = waits(&mut device, &ids[0], "backend-down");
    assert!(row.detail["error"].as_str().is_some_and(|words| words.contains("refused")), "{row:?}");
    // More looks than any task has attempts.
    let failures = |row: &Row| row.detail["failures"].as_str().expect("text").parse::<u32>().expect("a number");
    device.until("it looked often", |device| {
        device.explain(&ids[0]).iter().any(|row| row.reason == "backend-down" && failures(row) > 8).then_some(())
    });
    let server = Server::start(TcpListener::bind(address).expect("the same"), Behaviour::honest()).expect("a server");
    device.until_done(&ids);
    assert_eq!(device.strategy("metadata")["Failed"], 0);
    assert!(server.received().iter().all(|item| item.attempt == 1 && item.seen == 1), "nothing was counted");
    device.until_shown("State", "idle");
}

#[test]
fn a_certificate_that_is_not_trusted_is_told() {
    let (server, authority) = crate::servers::serve_tls(Behaviour::honest());
    let mut device = Device::off(None, "");
    let url = format!("https://127.0.0.1:{}/sync", server.address().port());
    device.configure(&format!("[backend.main]\nurl = \"{url}\"\n{HASTE}"));
    device.switch_on();
    let id = device.enqueue_one();
    let row = waits(&mut device, &id, "backend-tls");
    assert!(row.clears.contains("set backend.main.ca_file and reload"), "{row:?}");
    fs::write(device.file("ca.pem"), authority).expect("a file");
    device.configure(&format!("[backend.main]\nurl = \"{url}\"\nca_file = \"{}\"", device.file("ca.pem").display()));
    device.call("Manager", "Reload", &()).expect("a good one");
    device.until_done(&[id]);
}

#[test]
fn a_server_that_hangs_is_down_after_its_time_and_its_tasks_go_later() {
    let server = serve(crate::servers::hanging());
    let section = format!("connect_timeout = \"200 ms\"\nread_timeout = \"200 ms\"\n{HASTE}");
    let mut device = Device::start(&config_with(&server, &section));
    let ids = device.enqueue(3);
    let row = waits(&mut device, &ids[0], "backend-down");
    assert!(row.detail["error"].as_str().is_some_and(|words| words.contains("no answer within")), "{row:?}");
    server.behave(Behaviour::honest());
    device.until_done(&ids);
    assert!(server.wait_until(|log| log.applied() == 3, HANG));
}
