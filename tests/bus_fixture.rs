//! The private bus that other tests stand on.

#[path = "common/bus.rs"]
mod bus;

use bus::PrivateBus;
use zbus::Connection;
use zbus::connection::Builder;

async fn connect(bus: &PrivateBus) -> zbus::Result<Connection> {
    Builder::address(bus.address()).build().await
}

/// Whether the bus says that somebody owns the name.
async fn owned(connection: &Connection, name: &str) -> zbus::Result<bool> {
    let bus = "org.freedesktop.DBus";
    connection
        .call_method(Some(bus), "/org/freedesktop/DBus", Some(bus), "NameHasOwner", &name)
        .await?
        .body()
        .deserialize()
}

#[tokio::test]
async fn it_carries_calls_until_it_is_killed() {
    let mut bus = PrivateBus::start();
    let connection = connect(&bus).await.unwrap();
    assert!(owned(&connection, "org.freedesktop.DBus").await.unwrap());
    bus.kill();
    assert!(owned(&connection, "org.freedesktop.DBus").await.is_err());
    assert!(connect(&bus).await.is_err());
}

#[tokio::test]
async fn its_limits_hold() {
    let bus = PrivateBus::with_limits(&[("max_completed_connections", 1)]);
    let first = connect(&bus).await.unwrap();
    assert!(connect(&bus).await.is_err());
    drop(first);
}

#[tokio::test]
async fn two_are_strangers() {
    let (one, other) = (PrivateBus::start(), PrivateBus::start());
    let (here, elsewhere) = (connect(&one).await.unwrap(), connect(&other).await.unwrap());
    let name = here.unique_name().unwrap().as_str();
    let own = elsewhere.unique_name().unwrap().as_str();
    assert_eq!(name, own, "each counts from the same number");
    let third = connect(&one).await.unwrap();
    let name = third.unique_name().unwrap().as_str();
    assert!(owned(&here, name).await.unwrap());
    assert!(!owned(&elsewhere, name).await.unwrap());
}
