//! The loop: messages of the connection, answers of the store and the daemon, changes to tell, and the few deadlines.

mod asking;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream};

use super::access::{self, Caller};
use super::call::{Call, Outcome, Reply, answer, sender};
use super::clients::{Arrival, Clients, Outgoing, Ticket};
use super::desk::{Desk, stopping};
use super::error::Refusal;
use super::outbox::Outbox;
use super::polkit::Polkit;
use super::publish::Publisher;
use super::route;
use super::signals;
use super::subscribers::{Delivery, Subscribers};
use crate::model::TaskNews;
use asking::Waiter;

/// Messages or calls taken up before the others get their turn.
const AT_ONCE: usize = 64;
/// Calls begun before the others get their turn.
const BEGIN_AT_ONCE: usize = 16;
/// Times in a row that reading goes first.
const READ_ON: u32 = 16;
/// Connections that are remembered though they do nothing; the bus lets us watch a few hundred.
const REMEMBERED: usize = 256;
/// How long closing waits for calls that were begun.
const CLOSING: Duration = Duration::from_secs(2);

/// What became of something begun earlier.
enum Done {
    /// The bus said who a connection is.
    Caller(String, Result<Caller, zbus::Error>),
    /// A call goes on.
    Call(Ticket, Call, Outcome),
    /// The bus has taken a call's answer.
    Written(Ticket),
    /// The bus said how much waits there for a connection, or that it does not tell.
    Unread(Arc<str>, Result<usize, zbus::Error>),
}

/// Why a client is pinged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its subscription's window is half used.
    Signals,
    /// Much of what it was answered may be unread, and the bus does not tell.
    Answers,
}

struct Faces {
    bus: Connection,
    desk: Desk,
    clients: Clients,
    subscribers: Subscribers,
    publisher: Publisher,
    /// Pings that are on their way, by serial number.
    pings: BTreeMap<NonZeroU32, (String, Why)>,
    /// Whether the bus tells how much waits for a client.
    bus_tells: bool,
    polkit: Polkit<Waiter>,
    /// Whether nothing more is begun.
    is_closing: bool,
    outbox: Outbox,
    done: mpsc::UnboundedSender<Done>,
}

/// Serves until told to close or the connection is gone.
pub(super) async fn serve(
    bus: Connection,
    mut messages: MessageStream,
    desk: Desk,
    mut changes: mpsc::UnboundedReceiver<TaskNews>,
    mut closing: oneshot::Receiver<()>,
) {
    let (done, mut results) = mpsc::unbounded_channel();
    let written = done.clone();
    let (outbox, writing) = Outbox::open(bus.clone(), move |ticket| {
        let _ = written.send(Done::Written(ticket));
    });
    let (mut status, mut config) = (desk.status.clone(), desk.config.clone());
    let publisher = Publisher::new(&desk.config(), &desk.status(), Instant::now());
    let mut faces = Faces {
        bus,
        desk,
        clients: Clients::default(),
        subscribers: Subscribers::default(),
        publisher,
        pings: BTreeMap::new(),
        bus_tells: true,
        polkit: Polkit::default(),
        is_closing: false,
        outbox,
        done,
    };
    let (mut incoming, mut finished, mut changed) = (Vec::new(), Vec::new(), Vec::new());
    let mut read_on = 0u32;
    loop {
        let deadline = faces.deadline();
        tokio::select! {
            biased;
            _ = &mut closing => break,
            Ok(()) = status.changed() => faces.publish(),
            Ok(()) = config.changed() => faces.publish(),
            () = sleep_until(deadline) => faces.on_deadline(),
            more = receive(&mut messages, &mut incoming) => if !more { return },
            _ = results.recv_many(&mut finished, AT_ONCE) => {}
            _ = changes.recv_many(&mut changed, AT_ONCE), if !changes.is_closed() => {}
            () = tokio::task::yield_now(), if faces.clients.has_turns() => {}
        }
        // The rare arms stand first, and whatever woke us, everybody who is ready gets a turn: none starves another.
        while finished.len() < AT_ONCE
            && let Ok(result) = results.try_recv()
        {
            finished.push(result);
        }
        while changed.len() < AT_ONCE
            && let Ok(change) = changes.try_recv()
        {
            changed.push(change);
        }
        let more_to_read = incoming.len() == AT_ONCE;
        faces.on_messages(&mut incoming);
        finished.drain(..).for_each(|result| faces.on_done(result));
        changed.drain(..).for_each(|change| faces.tell(&change));
        faces.ask_what_is_unread();
        // All that waits is read before more is begun, so that nobody's call stands behind a flood of another's.
        read_on = if more_to_read { read_on + 1 } else { 0 };
        if read_on.is_multiple_of(READ_ON) {
            faces.begin_calls();
        }
    }
    while drain(&mut messages, &mut incoming).await {
        faces.on_messages(&mut incoming);
    }
    faces.close(&mut results).await;
    drop(faces);
    let _ = tokio::time::timeout(CLOSING, writing).await;
}

/// Moves what has come in to `into`; `false` when the connection is gone.
async fn receive(messages: &mut MessageStream, into: &mut Vec<Message>) -> bool {
    poll_fn(|context| {
        while into.len() < AT_ONCE {
            match Pin::new(&mut *messages).poll_next(context) {
                Poll::Ready(Some(Ok(message))) => into.push(message),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(false),
                Poll::Pending if into.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(true)
    })
    .await
}

/// Moves what has come in already to `into`, without waiting for more; `false` if that is nothing.
async fn drain(messages: &mut MessageStream, into: &mut Vec<Message>) -> bool {
    let mut receiving = std::pin::pin!(receive(messages, into));
    poll_fn(|context| Poll::Ready(receiving.as_mut().poll(context) == Poll::Ready(true))).await
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

impl Faces {
    fn on_messages(&mut self, incoming: &mut Vec<Message>) {
        incoming.iter().for_each(|message| self.on_message(message));
        let_go(incoming.drain(..));
    }

    fn on_message(&mut self, message: &Message) {
        match message.message_type() {
            Type::MethodCall => self.on_call(message),
            Type::Signal => self.on_signal(message),
            Type::MethodReturn | Type::Error => self.on_reply(message),
        }
    }

    fn on_call(&mut self, message: &Message) {
        let client = sender(message);
        match self.clients.arrived(&client, message.clone(), route::effect(message), Instant::now()) {
            Arrival::Ask => self.ask(client),
            Arrival::Queued => {}
            Arrival::Busy => {
                let busy = Refusal::busy("too many calls of this connection wait; await some answers first");
                self.reply(&client, message, Err(busy), None);
            }
            Arrival::Deaf => tracing::debug!("a call of {client} is left unanswered: it reads no answers"),
        }
    }

    fn ask(&mut self, client: String) {
        self.forget_one_if_many();
        let (bus, done) = (self.bus.clone(), self.done.clone());
        tokio::spawn(async move {
            let caller = access::ask(bus, client.clone()).await;
            let _ = done.send(Done::Caller(client, caller));
        });
    }

    /// The bus tells when somebody whom we know leaves.
    fn on_signal(&mut self, message: &Message) {
        if self.polkit.on_signal(message) {
            return;
        }
        let header = message.header();
        let is_from_the_bus = header.sender().is_some_and(|name| name.as_str() == "org.freedesktop.DBus");
        if !is_from_the_bus || header.member().is_none_or(|member| member.as_str() != "NameOwnerChanged") {
            return;
        }
        let body = message.body();
        if let Ok((name, _, "")) = body.deserialize::<(&str, &str, &str)>() {
            self.forget(name);
        }
    }

    /// Any answer to a ping will do, an error too: it was read.
    fn on_reply(&mut self, message: &Message) {
        if let Some(due) = self.polkit.on_reply(message, Instant::now()) {
            return self.act(due);
        }
        let header = message.header();
        let Some(serial) = header.reply_serial() else { return };
        let is_from = |client: &str| header.sender().is_some_and(|name| name.as_str() == client);
        if !self.pings.get(&serial).is_some_and(|(client, _)| is_from(client)) {
            return;
        }
        let Some((client, why)) = self.pings.remove(&serial) else { return };
        match why {
            Why::Answers => self.release(|clients| clients.told(&client, 0, Instant::now())),
            Why::Signals => {
                if let Some(count) = self.subscribers.answered(&client) {
                    self.send(logged(signals::lagged(&client, count)));
                }
            }
        }
    }

    fn on_done(&mut self, result: Done) {
        match result {
            Done::Caller(client, Ok(caller)) => self.clients.identified(&client, caller),
            Done::Caller(client, Err(error)) => {
                tracing::debug!("the caller {client} cannot be identified: {error}");
                let refusal = Refusal::unavailable("the bus does not say who calls");
                let calls = self.clients.left(&client);
                calls.iter().for_each(|call| self.send(answer(call, Err(refusal.clone()))));
                let_go(calls);
                self.forget(&client);
            }
            Done::Call(ticket, call, outcome) => self.carry_on(ticket, call, outcome),
            Done::Written(ticket) => self.clients.written(&ticket, Instant::now()),
            Done::Unread(client, Ok(bytes)) => self.release(|clients| clients.told(&client, bytes, Instant::now())),
            Done::Unread(client, Err(error)) => {
                if !matches!(&error, zbus::Error::MethodError(name, ..) if name.ends_with("NameHasNoOwner")) {
                    tracing::info!("the bus does not tell what clients have read; they are pinged instead: {error}");
                    self.bus_tells = false;
                }
                self.release(|clients| clients.told(&client, 0, Instant::now()));
            }
        }
    }

    /// Answers a call, now or when its sender has read more of what it was sent.
    fn reply(&mut self, client: &str, call: &Message, reply: Reply, ticket: Option<Ticket>) {
        match answer(call, reply) {
            Some(message) => {
                let outgoing = self.clients.outgoing(client, (message, ticket));
                self.release(|_| outgoing.into_iter().collect());
            }
            // It asked for no answer.
            None => ticket.iter().for_each(|ticket| self.clients.written(ticket, Instant::now())),
        }
    }

    fn release(&mut self, change: impl FnOnce(&mut Clients) -> Vec<Outgoing>) {
        for outgoing in change(&mut self.clients) {
            match outgoing {
                (message, Some(ticket)) => self.outbox.answer(message, ticket),
                (message, None) => self.outbox.send(message),
            }
        }
    }

    fn ask_what_is_unread(&mut self) {
        for client in self.clients.ask_about(!self.bus_tells, Instant::now()) {
            if !self.bus_tells {
                self.ping(client.to_string(), Why::Answers);
                continue;
            }
            let (bus, done) = (self.bus.clone(), self.done.clone());
            tokio::spawn(async move {
                let unread = access::unread(bus, &client).await;
                let _ = done.send(Done::Unread(client, unread));
            });
        }
    }

    fn begin_calls(&mut self) {
        for _ in 0..BEGIN_AT_ONCE {
            let Some((ticket, mut call)) = self.clients.next() else { return };
            call.manages_all = self.manages_all(&call, &ticket.client);
            let outcome = route::begin(&self.desk, &mut self.subscribers, &call);
            self.carry_on(ticket, call, outcome);
        }
    }

    /// Goes on with a call that was begun.
    fn carry_on(&mut self, ticket: Ticket, call: Call, outcome: Outcome) {
        match outcome {
            Outcome::Now(reply) => {
                self.clients.answered(&ticket);
                self.reply(&ticket.client.clone(), &call.message, reply, Some(ticket));
                let_go([call.message]);
            }
            Outcome::Later(outcome) => {
                let done = self.done.clone();
                tokio::spawn(async move {
                    let outcome = outcome.await;
                    let _ = done.send(Done::Call(ticket, call, outcome));
                });
            }
            Outcome::Ask(ask) => self.ask_whether(ticket, call, ask),
        }
    }

    /// Tells subscribers what became of a task.
    fn tell(&mut self, news: &TaskNews) {
        let owner = match news {
            TaskNews::Changed(change) => change.owner,
            TaskNews::Progress(progress) => progress.owner,
        };
        for (client, delivery) in self.subscribers.deliver(owner, Instant::now()) {
            if delivery == Delivery::Leave {
                continue;
            }
            self.send(logged(signals::of_task(&client, news)));
            if delivery == Delivery::SendAndPing {
                self.ping(client, Why::Signals);
            }
        }
    }

    fn ping(&mut self, client: String, why: Why) {
        if let Some(message) = logged(signals::ping(&client)) {
            self.pings.insert(message.primary_header().serial_num(), (client, why));
            self.outbox.send(message);
        }
    }

    fn publish(&mut self) {
        let (config, status) = (self.desk.config(), self.desk.status());
        for announcement in self.publisher.update(&config, &status, Instant::now()) {
            self.send(logged(signals::announcement(&self.desk, announcement)));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let deadlines =
            [self.subscribers.deadline(), self.publisher.deadline(), self.clients.deadline(), self.polkit.deadline()];
        deadlines.into_iter().flatten().min()
    }

    fn on_deadline(&mut self) {
        for client in self.subscribers.drop_silent(Instant::now()) {
            tracing::info!("the subscriber {client} was silent for too long and is dropped");
            self.pings.retain(|_, (pinged, _)| *pinged != client);
        }
        self.release(|clients| clients.on_deadline(Instant::now()));
        let due = self.polkit.on_deadline(Instant::now());
        self.act(due);
        self.publish();
    }

    fn forget_one_if_many(&mut self) {
        if self.clients.len() <= REMEMBERED {
            return;
        }
        let unneeded = self.clients.idle().find(|client| !self.subscribers.has(client)).cloned();
        if let Some(client) = unneeded {
            self.forget(&client);
        }
    }

    fn forget(&mut self, client: &str) {
        let_go(self.clients.left(client));
        self.stop_asking_about(client);
        self.subscribers.unsubscribe(client);
        self.pings.retain(|_, (pinged, _)| pinged != client);
        self.send(logged(access::watch(client, false)));
    }

    /// Refuses what is not begun and answers what is.
    async fn close(&mut self, results: &mut mpsc::UnboundedReceiver<Done>) {
        self.is_closing = true;
        let due = self.polkit.close();
        self.act(due);
        let calls = self.clients.unbegun();
        calls.iter().for_each(|call| self.send(answer(call, Err(stopping()))));
        let_go(calls);
        let answers = async {
            while self.clients.in_flight() > 0 {
                let Some(result) = results.recv().await else { return };
                self.on_done(result);
            }
        };
        if tokio::time::timeout(CLOSING, answers).await.is_err() {
            tracing::warn!("leaving the bus before every call was answered");
        }
    }

    fn send(&self, message: Option<Message>) {
        if let Some(message) = message {
            self.outbox.send(message);
        }
    }
}

/// Lets messages go. Closing a descriptor may wait for its file system, which may hang: those that came with any go on a
/// thread of their own.
fn let_go(messages: impl IntoIterator<Item = Message>) {
    let with_files: Vec<_> = messages.into_iter().filter(|message| !message.data().fds().is_empty()).collect();
    if with_files.is_empty() {
        return;
    }
    if let Err(error) = thread::Builder::new().name("bus-close".to_owned()).spawn(move || drop(with_files)) {
        tracing::error!("starting a thread that closes files: {error}");
    }
}

fn logged(message: zbus::Result<Message>) -> Option<Message> {
    message.inspect_err(|error| tracing::error!("a message cannot be written: {error}")).ok()
}
