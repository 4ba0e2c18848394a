//! The limit of an enqueue over D-Bus: zbus, one writer thread with group commit on bare SQLite, and nothing else.
//! The bench starts itself again as this.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use uuid::Uuid;
use zbus::message::Type;
use zbus::{Connection, Message, MessageStream, Variant, connection};

use crate::client::next;
use crate::raw::Raw;
use crate::tasks::wall_now;
use crate::{Failed, bus::Bus};

/// The word that makes the bench this daemon; then follow the bus address and the state directory.
pub(crate) const ARGUMENT: &str = "limit-daemon";
/// Its name on the bus.
pub(crate) const NAME: &str = "org.ferryd.Limit";

/// A child process; killed when it is dropped.
pub(crate) struct LimitDaemon(Child);

impl LimitDaemon {
    /// Starts it.
    pub(crate) fn start(bus: &Bus, dir: &Path) -> Result<Self, Failed> {
        Ok(Self(Command::new(std::env::current_exe()?).arg(ARGUMENT).arg(&bus.address).arg(dir).spawn()?))
    }
}

impl Drop for LimitDaemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A call, and the reply it gets once it is written.
struct Call {
    id: Uuid,
    payload: String,
    reply: Message,
}

impl Call {
    fn read(message: &Message) -> Result<Self, Failed> {
        let body = message.body();
        let (_strategy, payload, _options): (&str, String, HashMap<&str, Variant<'_>>) = body.deserialize()?;
        let id = Uuid::now_v7();
        let reply = Message::method_return(&message.header()).build(&id.hyphenated().to_string())?;
        Ok(Self { id, payload, reply })
    }
}

/// Serves until the bus is gone.
pub(crate) fn run(address: &str, dir: &Path) -> Result<(), Failed> {
    let raw = Raw::create(dir)?;
    let (to_writer, writes) = channel();
    let (to_bus, replies) = unbounded_channel();
    std::thread::spawn(move || {
        if let Err(error) = write(raw, &writes, &to_bus) {
            eprintln!("limit daemon: {error}");
            std::process::abort();
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(address, to_writer, replies))
}

async fn serve(address: &str, to_writer: Sender<Call>, replies: UnboundedReceiver<Message>) -> Result<(), Failed> {
    let connection = connection::Builder::address(address).build().await?;
    let mut calls = MessageStream::from(&connection);
    tokio::spawn(answer(connection.clone(), replies));
    connection.request_name(NAME).await?;
    while let Ok(message) = next(&mut calls).await {
        if message.message_type() == Type::MethodCall {
            to_writer.send(Call::read(&message)?)?;
        }
    }
    Ok(())
}

async fn answer(connection: Connection, mut replies: UnboundedReceiver<Message>) {
    let mut batch = Vec::new();
    while replies.recv_many(&mut batch, 64).await > 0 {
        if connection.send_all(&batch).await.is_err() {
            return;
        }
        batch.clear();
    }
}

/// Takes all calls that wait, writes them in one transaction, then answers them.
fn write(mut raw: Raw, calls: &Receiver<Call>, to_bus: &UnboundedSender<Message>) -> Result<(), Failed> {
    while let Ok(first) = calls.recv() {
        let now = i64::try_from(wall_now().as_micros())?;
        let mut replies = Vec::new();
        let transaction = raw.begin()?;
        for call in std::iter::once(first).chain(calls.try_iter()) {
            transaction.enqueue(call.id.as_bytes(), &call.payload, now)?;
            replies.push(call.reply);
        }
        transaction.commit()?;
        for reply in replies {
            to_bus.send(reply)?;
        }
    }
    Ok(())
}
