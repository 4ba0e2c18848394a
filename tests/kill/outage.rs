//! A server that is away, for real: it refuses connections, the daemon even dies meanwhile, it comes back, all arrives.

use std::net::{Ipv4Addr, TcpListener};

use ferryd::demo::{Behaviour, Server};

use super::bus::PrivateBus;
use super::caller::{Call, Reply, reasons};
use super::device::Device;
use super::in_time;

#[tokio::test]
async fn a_server_that_refuses_for_a_while_gets_everything_when_it_is_back() {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port").local_addr().expect("its address");
    let device = Device::new(PrivateBus::start(), address);
    let caller = device.connect().await;
    let ferryd = device.start(device.address());
    caller.until_owned().await;
    let calls: Vec<_> = (0..50).map(|number| Call::new("app", number, None)).collect();
    let replies = caller.enqueue(&calls).await;
    caller.until("Blocked", |blocked| reasons(blocked).iter().any(|reason| reason == "backend-down")).await;

    ferryd.kill();
    caller.until_free().await;
    let ferryd = device.start(device.address());
    caller.until_owned().await;
    caller.until("Blocked", |blocked| reasons(blocked).iter().any(|reason| reason == "backend-down")).await;
    assert_eq!(caller.list("state", "failed").await, []);

    let listener = TcpListener::bind(address).expect("the port is free");
    let server = Server::start(listener, Behaviour::default()).expect("a server");
    in_time("the tasks", server.until(|log| log.applied() == calls.len())).await;
    caller.until("Pending", |pending| u32::try_from(pending).is_ok_and(|pending| pending == 0)).await;
    caller.until("Running", |running| u32::try_from(running).is_ok_and(|running| running == 0)).await;
    assert_eq!(caller.list("state", "failed").await, []);
    let mut arrived: Vec<_> = server.received().into_iter().map(|item| (item.payload, Reply::Id(item.id))).collect();
    let mut handed_over: Vec<_> = calls.into_iter().map(|call| call.payload).zip(replies).collect();
    arrived.sort();
    handed_over.sort();
    assert_eq!(arrived, handed_over);
    assert!(ferryd.terminate().await.success());
}
