//! What the faces show and tell, by the contract: introspection, properties, objects, signals, and how they come and go.
//! The daemon's loop is a stand-in (see `common/faces.rs`).

#[path = "common/bus.rs"]
mod bus;
#[path = "common/calls.rs"]
#[expect(dead_code, reason = "shared with tests/bus.rs")]
mod calls;
#[path = "common/faces.rs"]
#[expect(dead_code, reason = "shared with tests/bus.rs")]
mod faces;

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::PrivateBus;
use calls::{
    Dict, MANAGER, NAME, Options, ROOT, TASKS, call, call_at, call_driver, enqueue, next, number, options, refused,
    signal, strings, text,
};
use faces::{Faces, SILENT, STRENGTH};
use ferryd::bus::{Bus, BusAddress, BusError};
use ferryd::model::{Kind, ManagerState, StrategyName};
use futures_core::Stream;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, OwnedVariant};

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
    let file = std::fs::File::open("Cargo.toml").expect("a file");
    let answers = [
        ("Enqueue", call(&client, TASKS, "Enqueue", &("metadata", "1", none())).await),
        ("EnqueueBatch", call(&client, TASKS, "EnqueueBatch", &("metadata", vec!["1"], none())).await),
        ("EnqueueFile", call(&client, TASKS, "EnqueueFile", &("photo", zbus::Fd::from(&file), none())).await),
        ("Get", call(&client, TASKS, "Get", &id).await),
        ("List", call(&client, TASKS, "List", &(none(), "", 1u32)).await),
        ("Explain", call(&client, TASKS, "Explain", &(&id, none())).await),
        ("Retry", call(&client, TASKS, "Retry", &(Vec::<String>::new(),)).await),
        ("Cancel", call(&client, TASKS, "Cancel", &(vec![&id],)).await),
        ("Discard", call(&client, TASKS, "Discard", &(vec![&id],)).await),
        ("Pause", call(&client, MANAGER, "Pause", &(none(),)).await),
        ("Resume", call(&client, MANAGER, "Resume", &(none(),)).await),
        ("SyncNow", call(&client, MANAGER, "SyncNow", &("", none())).await),
        ("Hold", call(&client, MANAGER, "Hold", &"a reason").await),
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
    while !last.contains_key("State") {
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
    let (client, witness) = (faces.client().await, faces.client().await);
    let (mut stream, mut witnessed) = (MessageStream::from(&client), MessageStream::from(&witness));
    witnessed.set_max_queued(NonZeroUsize::new(2000).expect("not 0"));
    subscribe(&client, Options::new()).await.expect("subscribed");
    subscribe(&witness, Options::new()).await.expect("subscribed");
    for _ in 0..2 {
        call(&witness, TASKS, "EnqueueBatch", &("metadata", vec!["1"; 500], Options::new())).await.expect("taken");
    }
    // One that answers hears of all, one way or the other: after that all has been told to both.
    let mut heard = 0;
    while heard < 1000 {
        let message = next(&mut witnessed).await;
        match member(&message).as_str() {
            "StateChanged" => heard += 1,
            "Lagged" => heard += message.body().deserialize::<u64>().expect("a count"),
            "Ping" => witness.reply(&message.header(), &()).await.expect("answered"),
            _ => {}
        }
    }
    let (mut signals, mut ping) = (0, None);
    while signals < 256 {
        let message = next(&mut stream).await;
        match member(&message).as_str() {
            "StateChanged" => signals += 1,
            "Ping" => ping = Some(message.clone()),
            _ => {}
        }
    }
    // Nothing more comes before the answer: what a call is answered comes behind all that was sent before.
    call(&client, "org.freedesktop.DBus.Peer", "Ping", &()).await.expect("an answer");
    client.reply(&ping.expect("a ping").header(), &()).await.expect("answered");
    let message = next(&mut stream).await;
    let message = if message.message_type() == Type::MethodReturn { next(&mut stream).await } else { message };
    assert_eq!(member(&message), "Lagged");
    assert_eq!(message.body().deserialize::<u64>().expect("a count"), 1000 - 256);
    enqueue(&witness, "1", Options::new()).await.expect("taken");
    signal(&mut stream, "StateChanged").await;
}

fn member(message: &Message) -> String {
    message.header().member().map(|member| member.to_string()).unwrap_or_default()
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

/// A property of the interface Network.
async fn of_network(client: &Connection, name: &str) -> OwnedVariant {
    let of = ("org.ferryd.Ferry1.Network", name);
    let reply = call(client, "org.freedesktop.DBus.Properties", "Get", &of).await.expect("a value");
    reply.body().deserialize().expect("a variant")
}

fn enter_wifi(faces: &Faces, ssid: &str) {
    faces.status.send_modify(|status| {
        let network = &mut Arc::make_mut(status).network;
        (network.ssid, network.frequency, network.strength) = (ssid.to_owned(), 5180, 7);
    });
}

#[tokio::test]
async fn the_strength_of_a_signal_is_read_for_who_looks() {
    let faces = Faces::serve();
    let client = faces.client().await;
    assert_eq!(of_network(&client, "Strength").await, OwnedVariant::from(0_u32));
    enter_wifi(&faces, "Home");
    of_network(&client, "Ssid").await;
    assert!(faces.commands.lock().expect("no panic").is_empty(), "no Wi-Fi, or nothing that needs it");
    assert_eq!(of_network(&client, "Strength").await, OwnedVariant::from(STRENGTH));
    enter_wifi(&faces, "Home");
    let all = call(&client, "org.freedesktop.DBus.Properties", "GetAll", &"org.ferryd.Ferry1.Network").await;
    let all: Dict = all.expect("properties").body().deserialize().expect("a{sv}");
    assert_eq!(all["Strength"], OwnedVariant::from(STRENGTH));
    assert_eq!(*faces.commands.lock().expect("no panic"), ["read radios", "read radios"]);
}

#[tokio::test]
async fn a_radio_that_does_not_tell_holds_up_nobody_else_and_not_for_long() {
    let faces = Faces::serve();
    let client = faces.client().await;
    enter_wifi(&faces, SILENT);
    let looking = of_network(&client, "Strength");
    tokio::pin!(looking);
    tokio::select! {
        biased;
        _ = &mut looking => panic!("nobody has told"),
        _ = of_network(&client, "Ssid") => {}
    }
    assert_eq!(looking.await, OwnedVariant::from(7_u32), "what was known");
}
