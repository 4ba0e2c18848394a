//! kill -9 at any moment, against the built `ferryd` on a private bus. The judge is the server's log.

#[path = "../common/bus.rs"]
mod bus;
mod caller;
mod device;
mod load;
mod outage;
mod relay;
mod tally;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::PrivateBus;
use caller::{Call, Reply, text};
use device::{Device, HANG};
use ferryd::demo::{Behaviour, Gate, Log, Server, Wait};
use load::{Load, Until};
use relay::Relay;
use tally::{Tally, differences};

const SEED: u64 = 20_260_731;
const KILLS: usize = 100;

/// A kill comes after one of so many requests of a round was read,
const REQUESTS: usize = 6;
/// and at most so many microseconds later: longer than a request takes with its settlement.
const WINDOW: u64 = 20_000;

fn serve(behaviour: Behaviour) -> Arc<Server> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    Arc::new(Server::start(listener, behaviour).expect("a server"))
}

async fn in_time<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, wait).await.unwrap_or_else(|_| panic!("{what}: nothing for a minute"))
}

/// A server that takes a few milliseconds for each request.
fn slow(rng: &mut fastrand::Rng) -> Behaviour {
    let mut wait = |most| Wait::For(Duration::from_micros(rng.u64(0..most)));
    Behaviour { before_applying: wait(5_000), before_answering: wait(10_000), ..Behaviour::default() }
}

#[tokio::test]
async fn a_hundred_kills_lose_and_double_nothing() {
    let began = Instant::now();
    let mut rng = fastrand::Rng::with_seed(SEED);
    let server = serve(Behaviour::default());
    let device = Device::new(PrivateBus::start(), server.address());
    let caller = Arc::new(device.connect().await);
    let (mut load, mut tally) = (Load::new(&caller, &server, 6, 2), Tally::default());

    let mut ferryd = device.start(device.address());
    caller.until_owned().await;
    for _ in 0..KILLS {
        server.behave(slow(&mut rng));
        let before = server.log(|log| log.requests);
        let running = load.start(Until::Death);
        let wanted = before + rng.usize(1..=REQUESTS);
        in_time("a request", server.until(|log| log.requests >= wanted)).await;
        tokio::time::sleep(Duration::from_micros(rng.u64(..WINDOW))).await;
        ferryd.kill();
        caller.until_free().await;
        in_time("the end of its connections", server.until(|log| log.open == 0)).await;
        load.join(running).await;
        tally.killed(&server);

        ferryd = device.start(device.address());
        caller.until_owned().await;
        tally.restarted(&caller, &load).await;
    }

    server.behave(Behaviour::default());
    let running = load.start(Until::Repeated);
    load.join(running).await;
    assert_eq!(load.left(), 0, "a call remained unanswered by a daemon that lives");
    let acknowledged: Vec<_> = load.acknowledged().cloned().collect();
    let is_applied = |log: &Log, id| log.item(id).is_some_and(|item| item.applied.is_some());
    let arrived = server.until(|log| acknowledged.iter().all(|(_, id)| is_applied(log, id)));
    let arrived = tokio::time::timeout(HANG, arrived).await.is_ok();
    let found = differences(&acknowledged, &server, tally.crashed());
    assert!(arrived && found.is_empty(), "the server does not hold what was handed over:\n{}", found.join("\n"));
    caller.until("Pending", |pending| u32::try_from(pending).is_ok_and(|pending| pending == 0)).await;
    caller.until("Running", |running| u32::try_from(running).is_ok_and(|running| running == 0)).await;
    assert!(ferryd.terminate().await.success());

    tally.look_back(&server);
    println!("{KILLS} kills (seed {SEED}, {:.1} s): {}", began.elapsed().as_secs_f64(), tally.line(&server));
    assert_eq!(tally.missed(), [""; 0], "no kill hit these");
}

/// The judge finds what is lost, changed, doubled, out of order, and what nobody handed over.
#[tokio::test]
async fn the_judge_finds_every_difference() {
    let server = serve(Behaviour::default());
    let call = |number| Call::new("app", number, Some("one"));
    let arrived = |id: &str, number| (id.to_owned(), call(number).payload);
    let items = [arrived("c", 3), arrived("b", 2), arrived("d", 9), arrived("c2", 3)];
    send(&server, &items);
    in_time("the items", server.until(|log| log.applied() == items.len())).await;
    let acknowledged = [(call(1), "a"), (call(2), "b"), (call(3), "c"), (call(4), "d")];
    let found = differences(&acknowledged.map(|(call, id)| (call, id.to_owned())), &server, &BTreeSet::new());
    let expected = [
        "lost: app-1 as a",
        "app-3 overtook app-2",
        r#"app-4: arrived as {"app":"app","n":9}"#,
        r#"never acknowledged, or twice: c2 {"app":"app","n":3}"#,
    ];
    assert_eq!(found, expected);
}

/// Sends items as the daemon would.
fn send(server: &Server, items: &[(String, String)]) {
    let item =
        |(id, payload): &(String, String)| format!(r#"{{"id":"{id}","created":1,"attempt":1,"payload":{payload}}}"#);
    let items: Vec<_> = items.iter().map(item).collect();
    let body = format!(r#"{{"device":"test","strategy":"metadata","items":[{}]}}"#, items.join(","));
    let head = format!("POST /sync HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = TcpStream::connect(server.address()).expect("a connection");
    stream.write_all((head + &body).as_bytes()).expect("it is sent");
    stream.read_exact(&mut [0; 12]).expect("an answer");
}

/// The reply is on its way, the task is committed, and the daemon dies: the app knows nothing. It calls again.
#[tokio::test]
async fn a_call_repeated_after_a_kill_between_commit_and_reply_adds_nothing() {
    let gate = Gate::closed();
    let server = serve(Behaviour { before_applying: Wait::Gate(gate.clone()), ..Behaviour::default() });
    let device = Device::new(PrivateBus::start(), server.address());
    let caller = device.connect().await;
    let relay = Relay::new(&device.path("relay"), device.address());
    let ferryd = device.start(relay.address());
    caller.until_owned().await;

    relay.withhold(true);
    let call = Call::new("app", 1, None);
    let kill = async {
        // A task is claimed only when it is committed: its request shows that it is.
        in_time("the request", server.until(|log| log.requests == 1)).await;
        ferryd.kill();
    };
    let (replies, ()) = tokio::join!(caller.enqueue(std::slice::from_ref(&call)), kill);
    assert_eq!(replies, [Reply::Unanswered]);
    caller.until_free().await;

    relay.withhold(false);
    let ferryd = device.start(relay.address());
    caller.until_owned().await;
    let before: Vec<_> = caller.list("tag", &call.name).await.iter().map(|task| text(task, "id")).collect();
    assert_eq!(before.len(), 1, "it was committed");
    let replies = caller.enqueue(&[call.clone(), call.clone()]).await;
    assert_eq!(replies, [Reply::Id(before[0].clone()), Reply::Id(before[0].clone())]);
    assert_eq!(caller.list("strategy", "metadata").await.len(), 1, "and it is the only one");
    gate.open();
    in_time("the task", server.until(|log| log.applied() == 1)).await;
    caller.until("Running", |running| u32::try_from(running).is_ok_and(|running| running == 0)).await;
    assert!(ferryd.terminate().await.success());
    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].id.as_str(), received[0].payload.as_str()), (before[0].as_str(), call.payload.as_str()));
}

/// What `/usr/share/dbus-1/session.conf` allows: without it, the bus lets a connection wait for 128 replies.
const SESSION: [(&str, u64); 1] = [("max_replies_per_connection", 50_000)];

#[tokio::test]
async fn a_thousand_pipelined_calls_with_one_key_arrive_in_order() {
    let began = Instant::now();
    let server = serve(Behaviour::default());
    let device = Device::new(PrivateBus::with_limits(&SESSION), server.address());
    let caller = device.connect().await;
    let ferryd = device.start(device.address());
    caller.until_owned().await;
    let calls: Vec<_> = (0..1000).map(|number| Call::new("app", number, Some("one"))).collect();
    let replies = caller.enqueue(&calls).await;
    let answered = began.elapsed();
    in_time("the tasks", server.until(|log| log.applied() == 1000)).await;
    let mut received = server.received();
    received.sort_by_key(|item| item.applied);
    let arrived: Vec<_> = received.into_iter().map(|item| (item.payload, Reply::Id(item.id))).collect();
    let handed_over: Vec<_> = calls.into_iter().map(|call| call.payload).zip(replies).collect();
    assert_eq!(arrived, handed_over);
    assert!(ferryd.terminate().await.success());
    println!("1000 pipelined calls answered in {answered:.1?}, arrived in order in {:.1?}", began.elapsed());
}
