//! A client that speaks D-Bus by hand, so that it can write without ever reading, and write what no library would.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use zbus::Variant;
use zbus::message::Message;

pub(crate) const NAME: &str = "org.ferryd.Ferry1";
pub(crate) const ROOT: &str = "/org/ferryd/Ferry1";
pub(crate) const TASKS: &str = "org.ferryd.Ferry1.Tasks";
pub(crate) const MANAGER: &str = "org.ferryd.Ferry1.Manager";

pub(crate) type Options<'a> = HashMap<&'a str, Variant<'a>>;

/// A client that speaks D-Bus by hand, so that it can write without ever reading.
pub(crate) struct Raw(pub(crate) UnixStream);

impl Raw {
    pub(crate) fn connect(address: &str) -> Self {
        let path = address.split(',').find_map(|part| part.strip_prefix("unix:path=")).expect("a path");
        let mut stream = UnixStream::connect(path).expect("connected");
        let uid: String =
            rustix::process::geteuid().as_raw().to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {uid}\r\n").as_bytes()).expect("sent");
        let mut line = String::new();
        BufReader::with_capacity(1, &stream).read_line(&mut line).expect("an answer");
        assert!(line.starts_with("OK "), "{line}");
        stream.write_all(b"BEGIN\r\n").expect("sent");
        let mut raw = Self(stream);
        raw.write(&to("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", &()));
        raw
    }

    pub(crate) fn write(&mut self, message: &Message) {
        self.0.write_all(message.data()).expect("written");
    }
}

pub(crate) fn to<B: serde::Serialize + zbus::DynamicType>(
    name: &str,
    path: &str,
    interface: &str,
    method: &str,
    body: &B,
) -> Message {
    Message::method_call(path, method).destination(name).interface(interface).build(body).expect("a call")
}

pub(crate) fn ferry<B: serde::Serialize + zbus::DynamicType>(interface: &str, method: &str, body: &B) -> Message {
    to(NAME, ROOT, interface, method, body)
}

pub(crate) fn enqueue() -> Message {
    ferry(TASKS, "Enqueue", &("metadata", "{\"n\": 1}", Options::new()))
}

/// An Enqueue that adds nothing after the first: quotas are not what a flood is to meet here.
pub(crate) fn keep() -> Message {
    let options = Options::from([("key", "one".into()), ("on_existing", "keep".into())]);
    ferry(TASKS, "Enqueue", &("metadata", "1", options))
}

/// The length of the first message in `bytes`, if it is complete (D-Bus specification, "Message Format").
pub(crate) fn message_length(bytes: &[u8]) -> Option<usize> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    let length = 16 + number(12)?.next_multiple_of(8) + number(4)?;
    (bytes.len() >= length).then_some(length)
}
