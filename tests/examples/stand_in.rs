//! A daemon that takes work and dies before it answers: the app that called does not know whether it was taken.

use std::collections::HashMap;
use std::fs;
use std::future::poll_fn;
use std::pin::Pin;

use futures_core::Stream as _;
use zbus::message::Type;
use zbus::{Message, MessageStream, Variant};

use crate::machine::LIMIT;

/// An Enqueue that was never answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unanswered {
    pub(crate) payload: String,
    pub(crate) request_id: String,
    pub(crate) key: String,
}

/// Takes the name of the daemon on the bus at this address, answers until somebody hands work over, and is gone.
pub(crate) fn die_at_enqueue(address: &str) -> Unanswered {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let life = async {
        let connection = zbus::connection::Builder::address(address).build().await.expect("a bus");
        let mut inbox = MessageStream::from(&connection);
        connection.request_name("org.ferryd.Ferry1").await.expect("the name is free");
        loop {
            let message = poll_fn(|context| Pin::new(&mut inbox).poll_next(context)).await;
            let message = message.expect("the bus lives").expect("a message");
            let header = message.header();
            if message.message_type() != Type::MethodCall {
                continue;
            }
            match header.member().map(|member| member.as_str()) {
                Some("Enqueue") => return unanswered(&message),
                Some("Introspect") => connection.reply(&header, &description()).await.expect("sent"),
                _ => connection.reply(&header, &()).await.expect("sent"),
            }
        }
    };
    runtime.block_on(async { tokio::time::timeout(LIMIT, life).await }).expect("somebody hands work over")
}

fn unanswered(message: &Message) -> Unanswered {
    let body = message.body();
    let (_, payload, options): (&str, &str, HashMap<&str, Variant<'_>>) = body.deserialize().expect("ssa{sv}");
    let option = |name: &str| match options.get(name) {
        Some(Variant::Str(text)) => text.as_str().to_owned(),
        other => panic!("{name}: {other:?}"),
    };
    Unanswered { payload: payload.to_owned(), request_id: option("request_id"), key: option("key") }
}

fn description() -> String {
    let interface = |name: &str| {
        let text = fs::read_to_string(format!("dbus/org.ferryd.Ferry1.{name}.xml")).expect("a file");
        text[text.find("<interface").expect("an interface")..].replace("</node>", "")
    };
    format!("<node>{}{}</node>", interface("Manager"), interface("Tasks"))
}
