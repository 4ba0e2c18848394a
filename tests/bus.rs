//! The D-Bus contract, kept: the real faces on a private bus over a real store, called by zbus and by `busctl`. The
//! daemon's loop is a stand-in (see `common/faces.rs`): nothing is sent anywhere, so tasks stay where calls put them.

#[path = "common/bus.rs"]
mod bus;
#[path = "common/faces.rs"]
mod faces;

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::PrivateBus;
use faces::Faces;
use ferryd::bus::{Bus, BusAddress, BusError};
use ferryd::model::{Kind, ManagerState, StrategyName};
use futures_core::Stream;
use serde::Serialize;
use zbus::message::{Message, Type};
use zbus::{Connection, DynamicType, MessageStream, OwnedVariant, Variant};

const NAME: &str = "org.ferryd.Ferry1";
const ROOT: &str = "/org/ferryd/Ferry1";
const TASKS: &str = "org.ferryd.Ferry1.Tasks";
const MANAGER: &str = "org.ferryd.Ferry1.Manager";

type Dict = HashMap<String, OwnedVariant>;
type Options<'a> = HashMap<&'a str, Variant<'a>>;

fn options<const N: usize>(entries: [(&'static str, Variant<'static>); N]) -> Options<'static> {
    entries.into_iter().collect()
}

async fn call_at<B: Serialize + DynamicType>(
    client: &Connection,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> Result<Message, (String, String)> {
    match client.call_method(Some(NAME), path, Some(interface), method, body).await {
        Ok(reply) => Ok(reply),
        Err(zbus::Error::MethodError(name, message, _)) => Err((name.to_string(), message.unwrap_or_default())),
        Err(zbus::Error::FDO(error)) => Err((zbus::DBusError::name(&*error).to_string(), error.to_string())),
        Err(other) => panic!("{method}: {other}"),
    }
}

async fn call<B: Serialize + DynamicType>(
    client: &Connection,
    interface: &str,
    method: &str,
    body: &B,
) -> Result<Message, (String, String)> {
    call_at(client, ROOT, interface, method, body).await
}

async fn enqueue(client: &Connection, payload: &str, options: Options<'_>) -> Result<String, (String, String)> {
    let reply = call(client, TASKS, "Enqueue", &("metadata", payload, options)).await?;
    Ok(reply.body().deserialize().expect("an id"))
}

async fn get(client: &Connection, id: &str) -> Dict {
    let reply = call(client, TASKS, "Get", &id).await.expect("a task");
    reply.body().deserialize().expect("a{sv}")
}

async fn list(client: &Connection, filter: Options<'_>, cursor: &str, limit: u32) -> (Vec<Dict>, String) {
    let reply = call(client, TASKS, "List", &(filter, cursor, limit)).await.expect("a page");
    reply.body().deserialize().expect("aa{sv}, s")
}

fn text(task: &Dict, key: &str) -> String {
    task.get(key).unwrap_or_else(|| panic!("no {key} in {task:?}")).downcast_ref().expect("a string")
}

fn texts(task: &Dict, key: &str) -> Vec<String> {
    task[key].try_clone().expect("a copy").try_into().expect("strings")
}

fn number(task: &Dict, key: &str) -> u64 {
    match &*task[key] {
        Variant::U32(number) => (*number).into(),
        Variant::U64(number) => *number,
        other => panic!("{key}: {other:?}"),
    }
}

async fn next(stream: &mut MessageStream) -> Message {
    let next = poll_fn(|context| Pin::new(&mut *stream).poll_next(context));
    let message = tokio::time::timeout(Duration::from_secs(20), next).await.expect("a message in time");
    message.expect("the connection lives").expect("a message")
}

/// The next signal of this name.
async fn signal(stream: &mut MessageStream, name: &str) -> Message {
    loop {
        let message = next(stream).await;
        if message.message_type() == Type::Signal && message.header().member().is_some_and(|member| member == name) {
            return message;
        }
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn refused<T: std::fmt::Debug>(result: Result<T, (String, String)>, error: &str, words: &str) {
    let (name, message) = result.expect_err(words);
    assert_eq!(name, format!("org.ferryd.Ferry1.Error.{error}"), "{message}");
    assert!(message.contains(words), "{message:?} does not say {words:?}");
}

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
    assert_eq!(all.iter().map(|task| text(task, "id")).collect::<Vec<_>>(), [good.clone()]);
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

/// The facts of an introspection document, one a line: `interface/member kind signature…`.
fn facts(xml: &str, interface: &str) -> Vec<String> {
    let start = xml.find(&format!("<interface name=\"{interface}\">")).unwrap_or_else(|| panic!("no {interface}"));
    let xml = &xml[start..start + xml[start..].find("</interface>").expect("an end")];
    let (mut facts, mut member) = (Vec::new(), String::new());
    for tag in xml.split('<').skip(2).filter(|tag| !tag.starts_with(['!', '/'])) {
        let attribute = |name: &str| {
            let after = tag.split_once(&format!(" {name}=\"")).map(|(_, rest)| rest)?;
            after.split_once('"').map(|(value, _)| value)
        };
        let said: Vec<_> = ["type", "direction", "access", "value"].into_iter().filter_map(attribute).collect();
        let kind = tag.split([' ', '/', '>']).next().unwrap_or_default();
        match kind {
            "method" | "signal" | "property" => {
                member = attribute("name").expect("a name").to_owned();
                facts.push(format!("{kind} {member} {}", said.join(" ")));
            }
            _ => facts.push(format!("{member}: {kind} {} {}", attribute("name").unwrap_or_default(), said.join(" "))),
        }
    }
    facts
}

#[tokio::test]
async fn what_is_introspected_is_what_dbus_documents_and_what_is_served() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let id = enqueue(&client, "1", Options::new()).await.expect("taken");
    let strategy = "/org/ferryd/Ferry1/strategies/metadata";
    for (short, path) in [("Manager", ROOT), ("Tasks", ROOT), ("Network", ROOT), ("Strategy", strategy)] {
        let interface = format!("org.ferryd.Ferry1.{short}");
        let file = std::fs::read_to_string(format!("dbus/{interface}.xml")).expect("a file");
        let live = faces::said(&faces.busctl(&["introspect", "--xml-interface", NAME, path])).expect("a document");
        let documented = facts(&file, &interface);
        assert_eq!(facts(&live, &interface), documented);

        let reply = call_at(&client, path, "org.freedesktop.DBus.Properties", "GetAll", &interface).await;
        let values: Dict = reply.expect("properties").body().deserialize().expect("a{sv}");
        let mut served: Vec<_> =
            values.iter().map(|(name, value)| format!("property {name} {} read", value.value_signature())).collect();
        let mut declared: Vec<_> = documented.iter().filter(|fact| fact.starts_with("property ")).cloned().collect();
        served.sort();
        declared.sort();
        assert_eq!(served, declared);
    }

    // Every method answers with the types that its document promises, and takes no others.
    let none = Options::new;
    let answers = [
        ("Enqueue", call(&client, TASKS, "Enqueue", &("metadata", "1", none())).await),
        ("EnqueueBatch", call(&client, TASKS, "EnqueueBatch", &("metadata", vec!["1"], none())).await),
        ("Get", call(&client, TASKS, "Get", &id).await),
        ("List", call(&client, TASKS, "List", &(none(), "", 1u32)).await),
        ("Explain", call(&client, TASKS, "Explain", &(&id, none())).await),
        ("Retry", call(&client, TASKS, "Retry", &(Vec::<String>::new(),)).await),
        ("Cancel", call(&client, TASKS, "Cancel", &(vec![&id],)).await),
        ("Discard", call(&client, TASKS, "Discard", &(vec![&id],)).await),
        ("Pause", call(&client, MANAGER, "Pause", &(none(),)).await),
        ("Resume", call(&client, MANAGER, "Resume", &(none(),)).await),
        ("Subscribe", call(&client, MANAGER, "Subscribe", &(none(),)).await),
        ("Unsubscribe", call(&client, MANAGER, "Unsubscribe", &()).await),
    ];
    let mut methods = BTreeMap::new();
    for short in ["Tasks", "Manager"] {
        let file = std::fs::read_to_string(format!("dbus/org.ferryd.Ferry1.{short}.xml")).expect("a file");
        for fact in facts(&file, &format!("org.ferryd.Ferry1.{short}")) {
            let words: Vec<_> = fact.split_whitespace().collect();
            match words[..] {
                ["method", name] => _ = methods.entry(name.to_owned()).or_insert_with(String::new),
                [member, "arg", _, signature, "out"] => {
                    methods.entry(member.trim_end_matches(':').to_owned()).or_default().push_str(signature);
                }
                _ => {}
            }
        }
    }
    assert_eq!(methods.remove("Reload"), Some(String::new()), "the loop of this test refuses it");
    assert_eq!(methods.len(), answers.len());
    for (name, answer) in answers {
        let answer = answer.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let body = answer.body();
        assert_eq!(body.signature().to_string_no_parens(), methods[name], "{name}");
    }
}

#[tokio::test]
async fn strategies_are_managed_objects_and_follow_the_configuration() {
    type Managed = HashMap<zbus::OwnedObjectPath, HashMap<String, Dict>>;
    let faces = Faces::serve();
    let client = faces.client().await;
    let rule = "type='signal',sender='org.ferryd.Ferry1',interface='org.freedesktop.DBus.ObjectManager'";
    let mut signals = MessageStream::for_match_rule(rule, &client, None).await.expect("a match");
    let manager = "org.freedesktop.DBus.ObjectManager";
    let managed = || async {
        let reply = call(&client, manager, "GetManagedObjects", &()).await.expect("objects");
        let objects: Managed = reply.body().deserialize().expect("a{oa{sa{sv}}}");
        let mut names: Vec<_> = objects.keys().map(|path| path.rsplit('/').next().unwrap_or("").to_owned()).collect();
        names.sort();
        (names, objects)
    };
    let (names, objects) = managed().await;
    assert_eq!(names, ["analytics", "metadata", "photo"]);
    let path = zbus::OwnedObjectPath::try_from("/org/ferryd/Ferry1/strategies/metadata").expect("a path");
    assert_eq!(text(&objects[&path]["org.ferryd.Ferry1.Strategy"], "Name"), "metadata");

    let mut config = faces::config();
    config.strategies.remove(&StrategyName::new("photo").expect("a name"));
    config.strategies.extend([faces::strategy("extra", Kind::Json, 9)]);
    faces.config.send_replace(Arc::new(config));
    let removed = signal(&mut signals, "InterfacesRemoved").await;
    let (gone, interfaces): (zbus::OwnedObjectPath, Vec<String>) = removed.body().deserialize().expect("oas");
    assert_eq!(
        (gone.as_str(), interfaces),
        ("/org/ferryd/Ferry1/strategies/photo", strings(&["org.ferryd.Ferry1.Strategy"]))
    );
    let added = signal(&mut signals, "InterfacesAdded").await;
    let (new, interfaces): (zbus::OwnedObjectPath, HashMap<String, Dict>) =
        added.body().deserialize().expect("oa{sa{sv}}");
    assert_eq!(new.as_str(), "/org/ferryd/Ferry1/strategies/extra");
    assert_eq!(number(&interfaces["org.ferryd.Ferry1.Strategy"], "Priority"), 9);
    assert_eq!(managed().await.0, ["analytics", "extra", "metadata"]);
    call(&client, TASKS, "Enqueue", &("extra", "1", Options::new())).await.expect("the new one is known");
}

#[tokio::test]
async fn changes_of_properties_are_gathered() {
    let faces = Faces::serve();
    let client = faces.client().await;
    let rule = "type='signal',sender='org.ferryd.Ferry1',member='PropertiesChanged'";
    let mut signals = MessageStream::for_match_rule(rule, &client, None).await.expect("a match");
    let start = Instant::now();
    for transfers in 1..=500 {
        faces.show(|status| {
            status.transfers = transfers;
            status.next_wake = Some(("task-due", ferryd::model::WallTime::from_micros(u64::from(transfers))));
        });
        tokio::task::yield_now().await;
    }
    faces.show(|status| status.state = ManagerState::Syncing);
    let (mut count, mut last) = (0u32, Dict::new());
    while last.get("State").is_none() {
        let message = next(&mut signals).await;
        let (interface, changed, _): (String, Dict, Vec<String>) = message.body().deserialize().expect("sa{sv}as");
        assert_eq!((interface.as_str(), message.header().path().expect("a path").as_str()), (MANAGER, ROOT));
        assert!(!changed.contains_key("NextWake"), "{changed:?}");
        last = changed;
        count += 1;
    }
    assert_eq!(text(&last, "State"), "syncing");
    let most = 1 + start.elapsed().as_millis() / 500;
    assert!(u128::from(count) <= most, "{count} signals in {:?}", start.elapsed());

    // What changed and changed back is no news, nor is what nobody is told of: the next signal is about the network.
    faces.show(|status| status.next_wake = None);
    faces.show(|status| status.network.connected = true);
    let message = next(&mut signals).await;
    let (interface, changed, _): (String, Dict, Vec<String>) = message.body().deserialize().expect("sa{sv}as");
    assert_eq!(interface, "org.ferryd.Ferry1.Network");
    assert!(changed.contains_key("Connected") && !changed.contains_key("Ssid"), "{changed:?}");
}

async fn subscribe(client: &Connection, options: Options<'_>) -> Result<(), (String, String)> {
    call(client, MANAGER, "Subscribe", &(options,)).await.map(|_| ())
}

#[tokio::test]
async fn subscribers_hear_of_their_tasks_and_nobody_else_does() {
    let faces = Faces::serve();
    let (client, other) = (faces.client().await, faces.client().await);
    let mut heard = MessageStream::from(&client);
    let mut overheard = MessageStream::from(&other);
    subscribe(&client, Options::new()).await.expect("subscribed");
    let id = enqueue(&other, "1", Options::new()).await.expect("taken");
    let message = signal(&mut heard, "StateChanged").await;
    assert_eq!(
        message.header().destination().expect("unicast").as_str(),
        client.unique_name().expect("a name").as_str()
    );
    let (changed, strategy, state, details): (String, String, String, Dict) =
        message.body().deserialize().expect("sssa{sv}");
    assert_eq!((changed, strategy.as_str(), state.as_str()), (id.clone(), "metadata", "pending"));
    assert_eq!(text(&details, "from"), "");
    assert_eq!(number(&details, "owner"), u64::from(rustix::process::geteuid().as_raw()));
    call(&other, TASKS, "Cancel", &(vec![&id],)).await.expect("cancelled");
    let message = signal(&mut heard, "StateChanged").await;
    let (_, _, state, details): (String, String, String, Dict) = message.body().deserialize().expect("sssa{sv}");
    assert_eq!((state.as_str(), text(&details, "from").as_str()), ("cancelled", "pending"));

    call(&client, MANAGER, "Unsubscribe", &()).await.expect("unsubscribed");
    enqueue(&other, "1", Options::new()).await.expect("taken");
    call(&client, "org.freedesktop.DBus.Peer", "Ping", &()).await.expect("an answer, behind any signal");
    for stream in [&mut heard, &mut overheard] {
        while let Some(message) = poll_fn(|context| match Pin::new(&mut *stream).poll_next(context) {
            std::task::Poll::Ready(message) => std::task::Poll::Ready(message),
            std::task::Poll::Pending => std::task::Poll::Ready(None),
        })
        .await
        {
            let message = message.expect("a message");
            assert!(message.header().member().is_none_or(|member| member != "StateChanged"), "{message:?}");
        }
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_answer_pings_lags_and_is_told_when_it_does() {
    let faces = Faces::serve();
    let (client, other) = (faces.client().await, faces.client().await);
    let mut stream = MessageStream::from(&client);
    subscribe(&client, Options::new()).await.expect("subscribed");
    // A task to go last, whose signal marks the end.
    for _ in 0..2 {
        call(&other, TASKS, "EnqueueBatch", &("metadata", vec!["1"; 500], Options::new())).await.expect("taken");
    }
    let (mut signals, mut ping) = (0, None);
    while signals < 256 {
        let message = next(&mut stream).await;
        match message.header().member().map(|member| member.as_str().to_owned()).as_deref() {
            Some("StateChanged") => signals += 1,
            Some("Ping") => ping = Some(message.clone()),
            _ => {}
        }
    }
    // Nothing more comes before the answer: what a call is answered comes behind all that was sent before.
    call(&client, "org.freedesktop.DBus.Peer", "Ping", &()).await.expect("an answer");
    client.reply(&ping.expect("a ping").header(), &()).await.expect("answered");
    let message = next(&mut stream).await;
    let message = if message.message_type() == Type::MethodReturn { next(&mut stream).await } else { message };
    assert_eq!(message.header().member().expect("a signal").as_str(), "Lagged");
    assert_eq!(message.body().deserialize::<u64>().expect("a count"), 1000 - 256);
    enqueue(&other, "1", Options::new()).await.expect("taken");
    signal(&mut stream, "StateChanged").await;
}

#[tokio::test]
async fn a_user_subscribes_with_sixteen_connections_until_one_leaves() {
    let faces = Faces::serve();
    let mut clients = Vec::new();
    for _ in 0..16 {
        let client = faces.client().await;
        subscribe(&client, Options::new()).await.expect("subscribed");
        clients.push(client);
    }
    let late = faces.client().await;
    refused(subscribe(&late, Options::new()).await, "LimitExceeded", "no more than 16");
    subscribe(&clients[0], options([("all", true.into())])).await.expect("again is no more");
    clients.pop().expect("one").close().await.expect("closed");
    let start = Instant::now();
    while subscribe(&late, Options::new()).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "the place of who left is not free");
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

#[tokio::test]
async fn a_second_daemon_is_told_that_the_name_is_taken() {
    let bus = PrivateBus::start();
    let address = bus.address().to_owned();
    let first = Faces::serve_on(bus);
    let ports = first.other_ports();
    let error = Bus::serve(BusAddress::At(address), ports).await.expect_err("taken");
    assert!(matches!(&error, BusError::NameTaken { owner } if owner.starts_with(':')), "{error}");
    assert!(error.to_string().contains("another ferryd"), "{error}");
    let gone = Bus::serve(BusAddress::At("unix:path=/nowhere/at/all".into()), first.other_ports()).await;
    let error = gone.expect_err("no bus").to_string();
    assert!(error.starts_with("connecting to the bus at unix:path=/nowhere/at/all: "), "{error}");
}

#[tokio::test]
async fn a_lost_bus_is_noticed() {
    let mut faces = Faces::serve();
    faces.bus.kill();
    // The thread that serves ends only when `lost` resolves.
    faces.join();
}

#[tokio::test]
async fn closing_answers_what_was_begun() {
    let mut faces = Faces::serve();
    let client = faces.client().await;
    enqueue(&client, "1", Options::new()).await.expect("taken");
    let mut stream = MessageStream::from(&client);
    for _ in 0..50 {
        let call = Message::method_call(ROOT, "Enqueue").destination(NAME).interface(TASKS);
        client.send(&call.build(&("metadata", "1", Options::new())).expect("a call")).await.expect("sent");
    }
    // The bus has routed all of them when it answers this.
    call_driver(&client, "GetId").await;
    faces.close();
    let (mut taken, mut refused) = (0, 0);
    while taken + refused < 50 {
        match next(&mut stream).await.message_type() {
            Type::MethodReturn => taken += 1,
            Type::Error => refused += 1,
            Type::Signal | Type::MethodCall => {}
        }
    }
    let stored = faces.store.list(ferryd::model::Filter::default(), None, 1000).await.expect("a page").tasks.len();
    assert!(stored > taken, "{taken} were told that they are stored, {stored} are (one of them before)");
    let (name, _) = call(&client, TASKS, "Get", &"x").await.expect_err("gone");
    assert!(name.ends_with("ServiceUnknown") || name.ends_with("NameHasNoOwner"), "{name}");
}

async fn call_driver(client: &Connection, method: &str) {
    let driver = Some("org.freedesktop.DBus");
    client.call_method(driver, "/org/freedesktop/DBus", driver, method, &()).await.expect("an answer");
}
