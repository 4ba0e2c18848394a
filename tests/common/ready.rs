//! Waiting for the daemon to own its name, by the bus's own word.

use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream as _;
use zbus::{Message, MessageStream, connection};

const BUS: &str = "org.freedesktop.DBus";
const NAME: &str = "org.ferryd.Ferry1";

/// Waits until the name is owned on the bus at this address.
pub(crate) fn until_ready(address: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let connection = connection::Builder::address(address).build().await.expect("a bus");
        let mut signals = MessageStream::from(&connection);
        let rule = format!("type='signal',sender='{BUS}',member='NameOwnerChanged',arg0='{NAME}'");
        ask(&connection, "AddMatch", &rule).await;
        if ask(&connection, "NameHasOwner", NAME).await.body().deserialize().expect("a truth value") {
            return;
        }
        loop {
            let message = poll_fn(|context| Pin::new(&mut signals).poll_next(context)).await;
            let message = message.expect("the bus lives").expect("a message");
            let changed = message.header().member().is_some_and(|member| member.as_str() == "NameOwnerChanged");
            if changed && !message.body().deserialize::<(String, String, String)>().expect("three names").2.is_empty() {
                return;
            }
        }
    });
}

async fn ask(connection: &zbus::Connection, member: &str, argument: &str) -> Message {
    connection
        .call_method(Some(BUS), "/org/freedesktop/DBus", Some(BUS), member, &argument)
        .await
        .expect("the bus answers")
}
