//! A client of any user, which need not wait for one answer before it sends the next call.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_core::Stream as _;
use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::Serialize;
use zbus::message::{Flags, Message, Type};
use zbus::{Connection, DynamicType, MessageStream, connection};

use crate::calls::{NAME, ROOT};

/// An error reply: its name and its message.
pub(crate) type Refused = (String, String);

/// Only ends a test that would wait for ever.
pub(crate) const HANG: Duration = Duration::from_secs(120);

/// A connection to the bus.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    inbox: MessageStream,
    answers: BTreeMap<NonZeroU32, Message>,
}

impl Client {
    /// Connects as this user, whose only group has the same number.
    pub(crate) async fn connect(address: &str, uid: u32) -> Self {
        let path =
            address.strip_prefix("unix:path=").and_then(|rest| rest.split(',').next()).expect("a path").to_owned();
        // Credentials belong to a thread, and the bus asks the kernel who it was that connected.
        let connect = thread::spawn(move || {
            let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
            set_thread_groups(&[group]).expect("root may");
            set_thread_res_gid(group, group, group).expect("root may");
            set_thread_res_uid(user, user, user).expect("root may");
            UnixStream::connect(path).expect("the bus takes everybody")
        });
        let stream = connect.join().expect("a connection");
        let connection = connection::Builder::unix_stream(stream).user_id(uid).build().await.expect("a bus");
        let inbox = MessageStream::from(&connection);
        Self { connection, inbox, answers: BTreeMap::new() }
    }

    /// Sends a call to an object of the daemon; its number.
    pub(crate) async fn post_to<B>(&self, path: &str, flags: Flags, face: &str, method: &str, body: &B) -> NonZeroU32
    where
        B: Serialize + DynamicType,
    {
        let call = Message::method_call(path, method).destination(NAME).interface(face).with_flags(flags);
        let call = call.build(body).expect("a call");
        self.connection.send(&call).await.expect("sent");
        call.primary_header().serial_num()
    }

    /// Sends a call that must not ask a person.
    pub(crate) async fn post<B: Serialize + DynamicType>(&self, face: &str, method: &str, body: &B) -> NonZeroU32 {
        self.post_to(ROOT, Flags::empty(), face, method, body).await
    }

    /// Sends a call that may ask a person.
    pub(crate) async fn post_patiently<B>(&self, face: &str, method: &str, body: &B) -> NonZeroU32
    where
        B: Serialize + DynamicType,
    {
        self.post_to(ROOT, Flags::ALLOW_INTERACTIVE_AUTH, face, method, body).await
    }

    /// The answer to a call that was sent.
    pub(crate) async fn answer(&mut self, call: NonZeroU32) -> Result<Message, Refused> {
        while !self.answers.contains_key(&call) {
            let next = poll_fn(|context| Pin::new(&mut self.inbox).poll_next(context));
            let message = tokio::time::timeout(HANG, next).await.expect("an answer in time");
            self.take(message.expect("the connection lives").expect("a message"));
        }
        let answer = self.answers.remove(&call).expect("it came");
        if answer.message_type() == Type::MethodReturn {
            return Ok(answer);
        }
        let name = answer.header().error_name().expect("a name").to_string();
        Err((name, answer.body().deserialize().unwrap_or_default()))
    }

    /// Whether the answer to a call has come already.
    pub(crate) async fn is_answered(&mut self, call: NonZeroU32) -> bool {
        poll_fn(|context| {
            while let Poll::Ready(Some(Ok(message))) = Pin::new(&mut self.inbox).poll_next(context) {
                self.take(message);
            }
            Poll::Ready(())
        })
        .await;
        self.answers.contains_key(&call)
    }

    /// Calls without asking a person.
    pub(crate) async fn call<B>(&mut self, face: &str, method: &str, body: &B) -> Result<Message, Refused>
    where
        B: Serialize + DynamicType,
    {
        let call = self.post(face, method, body).await;
        self.answer(call).await
    }

    /// Calls and lets a person be asked.
    pub(crate) async fn call_patiently<B>(&mut self, face: &str, method: &str, body: &B) -> Result<Message, Refused>
    where
        B: Serialize + DynamicType,
    {
        let call = self.post_patiently(face, method, body).await;
        self.answer(call).await
    }

    fn take(&mut self, message: Message) {
        if let Some(call) = message.header().reply_serial() {
            self.answers.insert(call, message);
        }
    }
}
