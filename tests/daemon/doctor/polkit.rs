//! A stand-in for polkit that tells which actions it knows.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread;

use futures_core::Stream as _;
use tokio::sync::oneshot;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream};

use crate::bus::PrivateBus;

/// The daemon's.
pub(crate) const ACTIONS: [&str; 4] = [
    "org.ferryd.ferry1.hold",
    "org.ferryd.ferry1.override",
    "org.ferryd.ferry1.control",
    "org.ferryd.ferry1.manage-all",
];

/// An action as polkit describes it: id, description, message, vendor, its URL, icon, three implicit answers, annotations.
type Action = (String, String, String, String, String, String, u32, u32, u32, HashMap<String, String>);

/// Polkit, until dropped.
pub(crate) struct Polkit {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Polkit {
    /// Takes its name on this bus.
    pub(crate) fn start(bus: &PrivateBus, actions: &[&str]) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (ready, is_ready) = mpsc::channel();
        let (address, actions) = (bus.address().to_owned(), actions.iter().map(|id| action(id)).collect());
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let connection = zbus::connection::Builder::address(address.as_str()).build().await.expect("a bus");
                let inbox = MessageStream::from(&connection);
                connection.request_name("org.freedesktop.PolicyKit1").await.expect("a free name");
                ready.send(()).expect("the test waits");
                tokio::select! {
                    _ = stopped => {}
                    () = serve(connection, inbox, actions) => {}
                }
            });
        });
        is_ready.recv().expect("it has its name");
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Polkit {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn action(id: &str) -> Action {
    let text = || String::from("words");
    (id.to_owned(), text(), text(), text(), text(), text(), 2, 2, 5, HashMap::from([(text(), text())]))
}

async fn serve(connection: Connection, mut inbox: MessageStream, actions: Vec<Action>) {
    while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut inbox).poll_next(context)).await {
        if message.message_type() == Type::MethodCall {
            answer(&connection, &message, &actions).await;
        }
    }
}

async fn answer(connection: &Connection, call: &Message, actions: &[Action]) {
    let header = call.header();
    let member = header.member().map(|member| member.to_string()).unwrap_or_default();
    if member == "EnumerateActions" {
        connection.reply(&header, &actions).await.expect("the bus lives");
    } else {
        let unknown = "org.freedesktop.DBus.Error.UnknownMethod";
        connection.reply_error(&header, unknown, &member).await.expect("the bus lives");
    }
}
