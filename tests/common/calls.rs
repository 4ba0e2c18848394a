//! Calls of a client, and their results in a test's words.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use serde::Serialize;
use zbus::message::{Message, Type};
use zbus::{Connection, DynamicType, MessageStream, OwnedVariant, Variant};

pub(crate) const NAME: &str = "org.ferryd.Ferry1";
pub(crate) const ROOT: &str = "/org/ferryd/Ferry1";
pub(crate) const TASKS: &str = "org.ferryd.Ferry1.Tasks";
pub(crate) const MANAGER: &str = "org.ferryd.Ferry1.Manager";

pub(crate) type Dict = HashMap<String, OwnedVariant>;
pub(crate) type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// An `a{sv}`.
pub(crate) fn options<const N: usize>(entries: [(&'static str, Variant<'static>); N]) -> Options<'static> {
    entries.into_iter().collect()
}

/// Calls a method of an object; an error is its name and its message.
pub(crate) async fn call_at<B: Serialize + DynamicType>(
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

/// Calls a method of the root object.
pub(crate) async fn call<B: Serialize + DynamicType>(
    client: &Connection,
    interface: &str,
    method: &str,
    body: &B,
) -> Result<Message, (String, String)> {
    call_at(client, ROOT, interface, method, body).await
}

/// Hands over one task of `metadata`.
pub(crate) async fn enqueue(
    client: &Connection,
    payload: &str,
    options: Options<'_>,
) -> Result<String, (String, String)> {
    let reply = call(client, TASKS, "Enqueue", &("metadata", payload, options)).await?;
    Ok(reply.body().deserialize().expect("an id"))
}

/// One task.
pub(crate) async fn get(client: &Connection, id: &str) -> Dict {
    let reply = call(client, TASKS, "Get", &id).await.expect("a task");
    reply.body().deserialize().expect("a{sv}")
}

/// A page of tasks.
pub(crate) async fn list(client: &Connection, filter: Options<'_>, cursor: &str, limit: u32) -> (Vec<Dict>, String) {
    let reply = call(client, TASKS, "List", &(filter, cursor, limit)).await.expect("a page");
    reply.body().deserialize().expect("aa{sv}, s")
}

/// A string of a dictionary.
pub(crate) fn text(task: &Dict, key: &str) -> String {
    task.get(key).unwrap_or_else(|| panic!("no {key} in {task:?}")).downcast_ref().expect("a string")
}

/// A list of strings of a dictionary.
pub(crate) fn texts(task: &Dict, key: &str) -> Vec<String> {
    task[key].try_clone().expect("a copy").try_into().expect("strings")
}

/// A number of a dictionary.
pub(crate) fn number(task: &Dict, key: &str) -> u64 {
    let value = &*task[key];
    let wide = if let Variant::U64(number) = value { Some(*number) } else { None };
    let narrow = if let Variant::U32(number) = value { Some((*number).into()) } else { None };
    wide.or(narrow).unwrap_or_else(|| panic!("{key}: {value:?}"))
}

/// The next message of any kind.
pub(crate) async fn next(stream: &mut MessageStream) -> Message {
    let next = poll_fn(|context| Pin::new(&mut *stream).poll_next(context));
    let message = tokio::time::timeout(Duration::from_secs(20), next).await.expect("a message in time");
    message.expect("the connection lives").expect("a message")
}

/// The next signal of this name.
pub(crate) async fn signal(stream: &mut MessageStream, name: &str) -> Message {
    loop {
        let message = next(stream).await;
        if message.message_type() == Type::Signal && message.header().member().is_some_and(|member| member == name) {
            return message;
        }
    }
}

/// Owned strings.
pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Fails unless a call was refused with this error in these words.
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, (String, String)>, error: &str, words: &str) {
    let (name, message) = result.expect_err(words);
    assert_eq!(name, format!("org.ferryd.Ferry1.Error.{error}"), "{message}");
    assert!(message.contains(words), "{message:?} does not say {words:?}");
}

/// Calls the bus itself.
pub(crate) async fn call_driver(client: &Connection, method: &str) {
    let driver = Some("org.freedesktop.DBus");
    client.call_method(driver, "/org/freedesktop/DBus", driver, method, &()).await.expect("an answer");
}
