//! Calls, by the contract: the real faces on a private bus over a real store, called by zbus and by `busctl`. The
//! daemon's loop is a stand-in (see `common/faces.rs`): nothing is sent anywhere, so tasks stay where calls put them.

#[path = "common/bus.rs"]
mod bus;
#[path = "common/calls.rs"]
#[expect(dead_code, reason = "shared with tests/bus_faces.rs")]
mod calls;
#[path = "common/faces.rs"]
#[expect(dead_code, reason = "shared with tests/bus_faces.rs")]
mod faces;

use std::num::NonZeroUsize;
use std::sync::Arc;

use calls::{
    Dict, MANAGER, NAME, Options, ROOT, TASKS, call, call_at, enqueue, get, list, next, number, options, refused,
    strings, text, texts,
};
use faces::Faces;
use zbus::message::{Message, Type};
use zbus::{MessageStream, Variant};

#[tokio::test]
async fn a_task_is_handed_over_looked_at_and_taken_back() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let before = faces::now().wall.as_micros();
    let first = enqueue(&client, "{\"n\": 1}", Options::new()).await.expect("taken");
    let set = options([
        ("key", "album".into()),
        ("tags", vec!["a", "b"].into()),
        ("app", "camera".into()),
        ("after", vec![first.clone()].into()),
        ("expires", (before + 3_600_000_000).into()),
        ("network", "wifi".into()),
        ("charging", true.into()),
        ("min_battery", 30u8.into()),
    ]);
    let second = enqueue(&client, "[]", set).await.expect("taken");

    let task = get(&client, &first).await;
    assert_eq!((text(&task, "id"), text(&task, "state")), (first.clone(), "pending".into()));
    assert_eq!((text(&task, "strategy"), number(&task, "size")), ("metadata".into(), 8));
    assert_eq!(number(&task, "owner"), u64::from(rustix::process::geteuid().as_raw()));
    assert!(number(&task, "created") >= before);
    assert!(!text(&task, "app").is_empty());
    assert_eq!(texts(&task, "reasons"), ["offline"]);
    assert!(!task.contains_key("network") && !task.contains_key("started"), "{task:?}");

    let task = get(&client, &second).await;
    assert_eq!((text(&task, "key"), text(&task, "app")), ("album".into(), "camera".into()));
    assert_eq!((texts(&task, "tags"), texts(&task, "after")), (strings(&["a", "b"]), vec![first.clone()]));
    assert_eq!(number(&task, "expires"), before + 3_600_000_000);
    assert_eq!((text(&task, "network"), number(&task, "min_battery")), ("wifi".into(), 30));

    let reply = call(&client, TASKS, "Cancel", &(vec![&second, &second],)).await.expect("cancelled");
    assert_eq!(reply.body().deserialize::<u32>().expect("a count"), 1);
    let task = get(&client, &second).await;
    assert_eq!(text(&task, "state"), "cancelled");
    assert!(number(&task, "finished") >= before);
    let reply = call(&client, TASKS, "Discard", &(vec![&second],)).await.expect("discarded");
    assert_eq!(reply.body().deserialize::<u32>().expect("a count"), 1);
    refused(call(&client, TASKS, "Get", &second).await, "NotFound", &second);
}

#[tokio::test]
async fn a_thousand_pipelined_enqueues_with_one_key_are_stored_in_the_order_sent() {
    let faces = Faces::serve();
    // A fresh connection: the first calls arrive before the bus has said who sends them.
    let client = faces.client().await;
    let mut stream = MessageStream::from(&client);
    // Room for all answers: this test reads them last.
    stream.set_max_queued(NonZeroUsize::new(2000).expect("not 0"));
    for n in 0..1000u32 {
        let tags: Variant<'_> = vec![format!("n{n}")].into();
        let set = options([("key", "one".into()), ("tags", tags)]);
        let call = Message::method_call(ROOT, "Enqueue").destination(NAME).interface(TASKS);
        client.send(&call.build(&("metadata", "1", set)).expect("a call")).await.expect("sent");
    }
    // Not awaited either: a read sees what its connection wrote before it.
    let filter = options([("key", "one".into())]);
    let (mut seen, mut cursor) = list(&client, filter, "", 1000).await;
    assert_eq!(seen.len(), 1000, "the List came back before the Enqueues were stored");
    assert!(cursor.is_empty());
    let expected: Vec<_> = (0..1000).map(|n| vec![format!("n{n}")]).collect();
    assert_eq!(seen.iter().map(|task| texts(task, "tags")).collect::<Vec<_>>(), expected);

    for _ in 0..1000 {
        let reply = loop {
            let message = next(&mut stream).await;
            if message.message_type() != Type::Signal {
                break message;
            }
        };
        assert_eq!(reply.message_type(), Type::MethodReturn);
    }

    // The same by pages.
    let mut paged = Vec::new();
    cursor = String::new();
    loop {
        (seen, cursor) = list(&client, options([("key", vec!["one"].into())]), &cursor, 0).await;
        assert!(seen.len() <= 100);
        paged.extend(seen.iter().map(|task| texts(task, "tags")));
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(paged, expected);
}

#[tokio::test]
async fn a_limit_of_four_billion_is_a_thousand_and_of_nought_a_hundred() {
    let faces = Faces::serve();
    let client = faces.client().await;
    for _ in 0..3 {
        let batch = ("metadata", vec!["1"; 400], Options::new());
        call(&client, TASKS, "EnqueueBatch", &batch).await.expect("taken");
    }
    assert_eq!(list(&client, Options::new(), "", u32::MAX).await.0.len(), 1000);
    assert_eq!(list(&client, Options::new(), "", 0).await.0.len(), 100);
    let (page, cursor) = list(&client, Options::new(), "", 1000).await;
    assert_eq!(page.len(), 1000);
    assert_eq!(
        list(&client, Options::new(), &cursor, 1000).await,
        (list(&client, Options::new(), &cursor, 200).await.0, String::new())
    );
}

#[tokio::test]
async fn bad_input_gets_a_named_error_and_nothing_is_stored() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let good = enqueue(&client, "1", options([("request_id", "r".into())])).await.expect("taken");

    let strategy = |name: &'static str| (name, "1", Options::new());
    refused(call(&client, TASKS, "Enqueue", &strategy("nope")).await, "UnknownStrategy", "\"nope\"");
    refused(call(&client, TASKS, "Enqueue", &strategy("")).await, "UnknownStrategy", "\"\"");
    refused(call(&client, TASKS, "Enqueue", &strategy("photo")).await, "InvalidArgument", "photo carries files");
    refused(call(&client, TASKS, "Enqueue", &strategy("photo_upload")).await, "InvalidArgument", "photo carries files");

    refused(enqueue(&client, "{nope}", Options::new()).await, "InvalidArgument", "line 1 column 2");
    refused(enqueue(&client, &"[".repeat(60_000), Options::new()).await, "InvalidArgument", "nested deeper than 64");
    let large = format!("\"{}\"", "a".repeat(65_536));
    refused(enqueue(&client, &large, Options::new()).await, "PayloadTooLarge", "65538 bytes, at most 65536");

    let cases: [(&str, Variant<'static>, &str); 12] = [
        ("colour", "red".into(), "unknown option \"colour\"; known: request_id, key"),
        ("key", 7u32.into(), "option key: a string is wanted, not a whole number (u)"),
        ("key", "".into(), "option key: an empty string"),
        ("on_existing", "merge".into(), "\"merge\" is not one of append, keep, replace"),
        ("after", vec!["x"].into(), "option after: \"x\" is not a task id"),
        ("tags", vec!["t"; 33].into(), "option tags: 33 entries, at most 32"),
        ("expires", 1u64.into(), "option expires: 1 lies in the past"),
        ("expires", u64::MAX.into(), "option expires: 18446744073709551615 is out of range"),
        ("network", "satellite".into(), "\"satellite\" is not one of any, unmetered, wifi"),
        ("charging", 1u32.into(), "option charging: a boolean is wanted"),
        ("min_battery", 31u32.into(), "option min_battery: 31 is not one of 0, 15, 30, 50, 80"),
        ("min_battery", (-1i32).into(), "option min_battery: -1 is out of range"),
    ];
    for (key, value, words) in cases {
        refused(enqueue(&client, "1", options([(key, value)])).await, "InvalidArgument", words);
    }
    let other = "0190163d-8694-739b-aea5-966c26f8ad91";
    refused(enqueue(&client, "1", options([("after", vec![other].into())])).await, "NotFound", other);
    refused(enqueue(&client, "2", options([("request_id", "r".into())])).await, "Conflict", &good);
    assert_eq!(enqueue(&client, "1", options([("request_id", "r".into())])).await, Ok(good.clone()));

    let batch = |payloads: Vec<&'static str>| ("metadata", payloads, Options::new());
    refused(call(&client, TASKS, "EnqueueBatch", &batch(vec!["1", "2", "x"])).await, "InvalidArgument", "payloads[2]");
    refused(
        call(&client, TASKS, "EnqueueBatch", &batch(vec!["1"; 501])).await,
        "LimitExceeded",
        "501 items, at most 500",
    );
    let heavy = format!("\"{}\"", "a".repeat(60_000));
    let heavy: Vec<&str> = vec![&heavy; 140];
    refused(
        call(&client, TASKS, "EnqueueBatch", &("metadata", heavy, Options::new())).await,
        "PayloadTooLarge",
        "at most 8388608",
    );
    let none = call(&client, TASKS, "EnqueueBatch", &batch(vec![])).await.expect("nothing to do");
    assert_eq!(none.body().deserialize::<Vec<String>>().expect("ids"), [""; 0]);

    refused(call(&client, TASKS, "Get", &"nope").await, "InvalidArgument", "\"nope\" is not a task id");
    refused(call(&client, TASKS, "Get", &other).await, "NotFound", other);
    for method in ["Cancel", "Retry", "Discard"] {
        refused(call(&client, TASKS, method, &(vec![good.as_str(), other],)).await, "NotFound", other);
        refused(call(&client, TASKS, method, &(vec![good.as_str(), "x"],)).await, "InvalidArgument", "ids[1]: \"x\"");
    }
    refused(call(&client, TASKS, "List", &(Options::new(), "made-up", 0u32)).await, "InvalidArgument", "cursor");
    let filter = |key, value| (options([(key, value)]), "", 0u32);
    refused(
        call(&client, TASKS, "List", &filter("state", "lost".into())).await,
        "InvalidArgument",
        "\"lost\" is not one of",
    );
    refused(
        call(&client, TASKS, "List", &filter("size", 1u32.into())).await,
        "InvalidArgument",
        "unknown filter \"size\"",
    );
    refused(call(&client, TASKS, "List", &filter("strategy", "No!".into())).await, "UnknownStrategy", "\"No!\"");
    refused(call(&client, TASKS, "Enqueue", &"one").await, "InvalidArgument", "takes (ssa{sv}), not (s)");
    refused(call(&client, TASKS, "Get", &()).await, "InvalidArgument", "takes (s), not no arguments");
    let assume = options([("type", "pigeon".into())]);
    let explain = (&good, options([("assume", Variant::from(assume))]));
    refused(call(&client, TASKS, "Explain", &explain).await, "InvalidArgument", "assumption type: \"pigeon\"");

    let (all, _) = list(&client, Options::new(), "", 0).await;
    assert_eq!(all.iter().map(|task| text(task, "id")).collect::<Vec<_>>(), [good]);
    assert_eq!(text(&all[0], "state"), "pending");
}

#[tokio::test]
async fn paths_interfaces_members_and_properties_that_do_not_exist_get_the_errors_of_d_bus() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let properties = "org.freedesktop.DBus.Properties";
    let cases = [
        (call_at(&client, "/nowhere", TASKS, "Get", &"x").await, "UnknownObject"),
        (call_at(&client, "/org/ferryd/Ferry1/strategies/nope", properties, "GetAll", &"").await, "UnknownObject"),
        (call(&client, "org.ferryd.Ferry1.Nope", "Get", &"x").await, "UnknownInterface"),
        (call(&client, TASKS, "Nope", &()).await, "UnknownMethod"),
        (call(&client, properties, "Get", &(MANAGER, "Nope")).await, "UnknownProperty"),
        (call(&client, properties, "Get", &("org.nope", "Nope")).await, "UnknownInterface"),
        (call(&client, properties, "Set", &(MANAGER, "Paused", Variant::from(true))).await, "PropertyReadOnly"),
    ];
    for (result, error) in cases {
        assert_eq!(result.expect_err(error).0, format!("org.freedesktop.DBus.Error.{error}"));
    }
}

#[tokio::test]
async fn a_batch_is_all_or_nothing_and_repeats_harmlessly() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let set = || options([("request_id", "upload-7".into()), ("tags", vec!["batch"].into())]);
    let batch = ("metadata_update", vec!["1", "2", "3"], set());
    let ids = |reply: Message| reply.body().deserialize::<Vec<String>>().expect("ids");
    let first = ids(call(&client, TASKS, "EnqueueBatch", &batch).await.expect("taken"));
    assert_eq!(first.len(), 3);
    let again = ids(call(&client, TASKS, "EnqueueBatch", &batch).await.expect("taken"));
    assert_eq!(again, first);
    let other = ("metadata", vec!["1", "4", "3"], set());
    refused(call(&client, TASKS, "EnqueueBatch", &other).await, "Conflict", &first[1]);
    let (all, _) = list(&client, options([("tag", "batch".into())]), "", 0).await;
    assert_eq!(all.iter().map(|task| text(task, "id")).collect::<Vec<_>>(), first);
    assert!(all.iter().all(|task| text(task, "strategy") == "metadata"));
}

#[tokio::test]
async fn a_list_is_filtered_by_every_key() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let a = enqueue(&client, "1", options([("key", "k1".into()), ("app", "x".into())])).await.expect("taken");
    let b = enqueue(&client, "1", options([("tags", vec!["t"].into()), ("app", "y".into())])).await.expect("taken");
    let reply =
        call(&client, TASKS, "Enqueue", &("analytics", "1", options([("app", "y".into())]))).await.expect("taken");
    let c: String = reply.body().deserialize().expect("an id");
    call(&client, TASKS, "Cancel", &(vec![&c],)).await.expect("cancelled");
    let cases: [(&'static str, Variant<'static>, Vec<&String>); 9] = [
        ("state", "pending".into(), vec![&a, &b]),
        ("state", vec!["cancelled", "failed"].into(), vec![&c]),
        ("strategy", "metadata_update".into(), vec![&a, &b]),
        ("strategy", vec!["analytics", "gone_from_config"].into(), vec![&c]),
        ("key", "k1".into(), vec![&a]),
        ("tag", vec!["t"].into(), vec![&b]),
        ("app", vec!["x", "y"].into(), vec![&a, &b, &c]),
        ("owner", rustix::process::geteuid().as_raw().into(), vec![&a, &b, &c]),
        ("owner", 4_000_000_000u32.into(), vec![]),
    ];
    for (key, value, expected) in cases {
        let shown = format!("{key} {value:?}");
        let (tasks, _) = list(&client, options([(key, value)]), "", 0).await;
        assert_eq!(
            tasks.iter().map(|task| text(task, "id")).collect::<Vec<_>>(),
            expected.into_iter().cloned().collect::<Vec<_>>(),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_wait_is_explained_with_history_and_under_assumptions() {
    type Row = (String, u64, String, Dict);
    let faces = Faces::serve();
    let client = faces.client().await;
    let id = enqueue(&client, "1", Options::new()).await.expect("taken");
    let rows = |reply: Message| reply.body().deserialize::<Vec<Row>>().expect("a(stsa{sv})");
    let explained = rows(call(&client, TASKS, "Explain", &(&id, Options::new())).await.expect("explained"));
    let (reason, since, clears, detail) = &explained[0];
    assert_eq!((reason.as_str(), *since, clears.as_str()), ("offline", 1_000_000, "a route to the backend"));
    assert_eq!(text(detail, "interface"), "wlan0");

    let assume = options([
        ("connected", true.into()),
        ("type", "wifi".into()),
        ("metered", "guess-no".into()),
        ("roaming", false.into()),
        ("connectivity", "full".into()),
        ("external_power", true.into()),
        ("battery_percent", 80u8.into()),
        ("power_save", false.into()),
    ]);
    let set = options([("assume", Variant::from(assume)), ("history", true.into())]);
    let explained = rows(call(&client, TASKS, "Explain", &(&id, set)).await.expect("explained"));
    assert!(explained.iter().all(|(reason, ..)| reason == "history"), "{explained:?}");
    let told = faces.commands.lock().expect("no panic").last().cloned().expect("a command");
    for words in ["connected: Some(true)", "Some(Wifi)", "Some(GuessNo)", "Some(Full)", "Some(80.0)"] {
        assert!(told.contains(words), "{told}");
    }

    // The scheduler, not the strategy's status, says why a task with its own conditions waits.
    let id = enqueue(&client, "1", options([("network", "wifi".into())])).await.expect("taken");
    faces.show(|status| status.strategies.values_mut().for_each(|strategy| strategy.blocked.clear()));
    assert_eq!(texts(&get(&client, &id).await, "reasons"), ["offline"]);
    assert!(faces.commands.lock().expect("no panic").last().expect("a command").contains(&id));
}

#[tokio::test]
async fn an_admin_does_everything_with_busctl() {
    let faces = Faces::serve();
    let id = faces.call(
        "Tasks",
        &["Enqueue", "ssa{sv}", "metadata", "{\"a\":1}", "2", "key", "s", "k", "min_battery", "i", "15"],
    );
    let id = id.expect("taken").trim_start_matches("s ").trim_matches('"').to_owned();
    let batch = faces.call("Tasks", &["EnqueueBatch", "sasa{sv}", "analytics", "2", "1", "2", "0"]).expect("taken");
    assert!(batch.starts_with("as 2 "), "{batch}");
    let task = faces.call("Tasks", &["Get", "s", &id]).expect("a task");
    assert!(task.starts_with("a{sv} ") && task.contains("\"state\" s \"pending\""), "{task}");
    let page = faces.call("Tasks", &["List", "a{sv}su", "1", "strategy", "s", "analytics", "", "1"]).expect("a page");
    assert!(page.starts_with("aa{sv}s 1 "), "{page}");
    let rows = faces.call("Tasks", &["Explain", "sa{sv}", &id, "1", "history", "b", "true"]).expect("rows");
    assert!(rows.starts_with("a(stsa{sv}) 1 \"offline\" 1000000 "), "{rows}");
    let rows = faces.call("Tasks", &["Explain", "sa{sv}", &id, "1", "assume", "a{sv}", "1", "connected", "b", "true"]);
    assert_eq!(rows, Ok("a(stsa{sv}) 0".into()));
    assert_eq!(faces.call("Tasks", &["Cancel", "as", "1", &id]), Ok("u 1".into()));
    assert_eq!(faces.call("Tasks", &["Retry", "as", "0"]), Ok("u 0".into()));
    assert_eq!(faces.call("Tasks", &["Discard", "as", "1", &id]), Ok("u 1".into()));

    assert_eq!(faces.call("Manager", &["Pause", "a{sv}", "0"]), Ok(String::new()));
    assert_eq!(faces.call("Manager", &["Pause", "a{sv}", "1", "until", "x", "4102444800000000"]), Ok(String::new()));
    assert_eq!(faces.call("Manager", &["Resume", "a{sv}", "0"]), Ok(String::new()));
    let past = faces.call("Manager", &["Pause", "a{sv}", "1", "until", "x", "1"]).expect_err("past");
    assert!(past.contains("option until: lies in the past"), "{past}");
    let reload = faces.call("Manager", &["Reload"]).expect_err("the loop refuses");
    assert!(reload.contains("ferryd.toml:3: limits.payload: 7 is too small"), "{reload}");
    assert_eq!(faces.call("Manager", &["Subscribe", "a{sv}", "1", "all", "b", "true"]), Ok(String::new()));
    assert_eq!(faces.call("Manager", &["Unsubscribe"]), Ok(String::new()));
    let photo = ["call", NAME, "/org/ferryd/Ferry1/strategies/photo", "org.ferryd.Ferry1.Strategy"];
    assert_eq!(faces::said(&faces.busctl(&[&photo[..], &["Pause", "a{sv}", "0"]].concat())), Ok(String::new()));
    assert_eq!(faces::said(&faces.busctl(&[&photo[..], &["Resume", "a{sv}", "0"]].concat())), Ok(String::new()));
    let commands = faces.commands.lock().expect("no panic").clone();
    for command in [
        "pause None Indefinite",
        "pause None Until",
        "resume None",
        "pause Some(photo)",
        "resume Some(photo)",
        "reload",
    ] {
        assert!(commands.iter().any(|taken| taken.starts_with(command)), "{command} is not in {commands:?}");
    }

    let property = |interface: &str, name: &str| {
        let interface = format!("org.ferryd.Ferry1.{interface}");
        faces::said(&faces.busctl(&["get-property", NAME, ROOT, &interface, name])).expect("a property")
    };
    assert_eq!(property("Manager", "Version"), format!("s \"{}\"", env!("CARGO_PKG_VERSION")));
    assert_eq!(property("Manager", "NextWake"), "(st) \"task-due\" 7");
    assert_eq!(property("Manager", "Blocked"), "as 1 \"offline\"");
    assert_eq!(property("Network", "Type"), "s \"none\"");
    let tree = faces::said(&faces.busctl(&["tree", "--list", NAME])).expect("a tree");
    for path in [ROOT, "/org/ferryd/Ferry1/strategies/metadata", "/org/ferryd/Ferry1/strategies/photo"] {
        assert!(tree.lines().any(|line| line == path), "{path} is not in {tree}");
    }
}

/// Runs `busctl` as another user (1 and 2 are `daemon` and `bin`, which the bus knows); `None` where this test may not become one.
fn as_user(faces: &Faces, uid: u32, interface: &str, arguments: &[&str]) -> Option<Result<String, String>> {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("not root: what other users may is not tested here");
        return None;
    }
    let interface = format!("org.ferryd.Ferry1.{interface}");
    let mut command = faces::busctl(faces.bus.address());
    command.args(["call", NAME, ROOT, &interface]).args(arguments).uid(uid).gid(uid);
    Some(faces::said(&command.output().expect("busctl")))
}

#[tokio::test]
async fn the_uid_is_the_border() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let roots = enqueue(&client, "1", Options::new()).await.expect("taken");
    let enqueued = |uid| as_user(&faces, uid, "Tasks", &["Enqueue", "ssa{sv}", "metadata", "1", "0"]);
    let Some(own) = enqueued(1) else { return };
    let own = own.expect("taken").trim_start_matches("s ").trim_matches('"').to_owned();
    enqueued(2).expect("root").expect("taken");
    let ask = |arguments: &[&str]| as_user(&faces, 1, "Tasks", arguments).expect("root");
    let page = ask(&["List", "a{sv}su", "0", "", "0"]).expect("a page");
    assert!(page.starts_with("aa{sv}s 1 ") && page.contains(&own), "{page}");
    let others = ask(&["List", "a{sv}su", "1", "owner", "u", "2", "", "0"]).expect_err("not one's own");
    assert!(others.contains("user 1 is no admin"), "{others}");
    for call in [&["Get", "s", &roots][..], &["Cancel", "as", "2", &own, &roots], &["Explain", "sa{sv}", &roots, "0"]] {
        let refused = ask(call).expect_err("not one's own");
        assert!(refused.contains(&format!("no task {roots}")), "{refused}");
    }
    let manage = |arguments: &[&str]| as_user(&faces, 1, "Manager", arguments).expect("root");
    for call in [
        &["Pause", "a{sv}", "0"][..],
        &["Resume", "a{sv}", "0"],
        &["Reload"],
        &["Subscribe", "a{sv}", "1", "all", "b", "true"],
    ] {
        let refused = manage(call).expect_err("no admin");
        assert!(refused.contains("user 1 is no admin"), "{refused}");
    }
    assert_eq!(manage(&["Subscribe", "a{sv}", "0"]), Ok(String::new()));
    assert!(faces.commands.lock().expect("no panic").is_empty());

    // An admin sees all, and becomes one by configuration.
    let (all, _) = list(&client, Options::new(), "", 0).await;
    assert_eq!(all.len(), 3);
    let mut config = faces::config();
    config.access.admin_uids.insert(1);
    faces.config.send_replace(Arc::new(config));
    let page = ask(&["List", "a{sv}su", "0", "", "0"]).expect("a page");
    assert!(page.starts_with("aa{sv}s 3 "), "{page}");
    assert_eq!(manage(&["Pause", "a{sv}", "0"]), Ok(String::new()));
}

#[tokio::test]
async fn quotas_are_the_owners() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let mut config = faces::config();
    config.limits.quotas.tasks = 4;
    let options = ferryd::store::Options {
        quotas: config.limits.quotas,
        keep_done: config.store.keep_done,
        reserve: config.store.reserve,
        backoff_cap: config.limits.backoff_cap,
    };
    faces.store.configure(options).await.expect("configured");
    // Half of it for one app.
    enqueue(&client, "1", Options::new()).await.expect("taken");
    enqueue(&client, "1", Options::new()).await.expect("taken");
    let full = enqueue(&client, "1", Options::new()).await;
    assert_eq!(full.expect_err("full").0, "org.ferryd.Ferry1.Error.QueueFull");
}
