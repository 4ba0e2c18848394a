//! An app's connection: calls are sent in order without waiting for replies, and the daemon's name is watched.

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_core::Stream;
use tokio::sync::{oneshot, watch};
use zbus::message::Type;
use zbus::{Connection, DynamicType, Message, MessageStream, OwnedVariant, Variant};

use super::device::HANG;

const SERVICE: &str = "org.ferryd.Ferry1";
const ROOT: &str = "/org/ferryd/Ferry1";
const TASKS: &str = "org.ferryd.Ferry1.Tasks";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// A task as an app hands it over, with a name of its own by which the call can be repeated and the task found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The `request_id`, and the task's tag.
    pub(crate) name: String,
    /// Its place among the calls of its app.
    pub(crate) number: usize,
    /// Its key.
    pub(crate) key: Option<String>,
    /// JSON text.
    pub(crate) payload: String,
}

impl Call {
    /// The `number`th call of an app.
    pub(crate) fn new(app: &str, number: usize, key: Option<&str>) -> Self {
        let payload = format!(r#"{{"app":"{app}","n":{number}}}"#);
        Self { name: format!("{app}-{number}"), number, key: key.map(str::to_owned), payload }
    }

    fn message(&self) -> Message {
        let mut options = BTreeMap::from([
            ("request_id", Variant::from(self.name.as_str())),
            ("tags", Variant::from(vec![self.name.as_str()])),
        ]);
        if let Some(key) = &self.key {
            options.insert("key", Variant::from(key.as_str()));
        }
        message(ROOT, TASKS, "Enqueue", &("metadata", self.payload.as_str(), options))
    }
}

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reply {
    /// The task's id.
    Id(String),
    /// The daemon had the call, and died before its reply.
    Unanswered,
    /// The daemon was gone before it had the call.
    Undelivered,
}

/// A connection.
pub(crate) struct Caller {
    connection: Connection,
    waiting: Waiting,
    owner: watch::Receiver<Option<String>>,
    changed: watch::Receiver<()>,
}

type Waiting = Arc<Mutex<HashMap<NonZeroU32, oneshot::Sender<Message>>>>;

impl Caller {
    /// Takes a connection over: from now on nobody else reads its messages.
    pub(crate) async fn new(connection: Connection) -> Self {
        let waiting = Waiting::default();
        let ((owns, owner), (changes, changed)) = (watch::channel(None), watch::channel(()));
        tokio::spawn(read(MessageStream::from(&connection), Arc::clone(&waiting), owns, changes));
        let caller = Self { connection, waiting, owner, changed };
        caller.listen(&format!("type='signal',member='NameOwnerChanged',arg0='{SERVICE}'")).await;
        caller.listen(&format!("type='signal',interface='{PROPERTIES}',path_namespace='{ROOT}'")).await;
        caller
    }

    async fn listen(&self, rule: &str) {
        let call = Message::method_call("/org/freedesktop/DBus", "AddMatch").destination("org.freedesktop.DBus");
        let call = call.interface("org.freedesktop.DBus").build(&rule).expect("a message");
        self.send_one(call).await;
    }

    /// Waits until the daemon has its name.
    pub(crate) async fn until_owned(&self) {
        let mut owner = self.owner.clone();
        let owned = owner.wait_for(Option::is_some);
        tokio::time::timeout(HANG, owned).await.expect("ferryd takes its name").expect("the bus lives");
    }

    /// Waits until nobody has the daemon's name.
    pub(crate) async fn until_free(&self) {
        let mut owner = self.owner.clone();
        let free = owner.wait_for(Option::is_none);
        tokio::time::timeout(HANG, free).await.expect("the name goes").expect("the bus lives");
    }

    /// Sends messages in this order; each one's reply comes from its receiver.
    pub(crate) async fn send(&self, messages: &[Message]) -> Vec<oneshot::Receiver<Message>> {
        let expect = |message: &Message| {
            let (sender, receiver) = oneshot::channel();
            let serial = message.primary_header().serial_num();
            self.waiting.lock().expect("no panic").insert(serial, sender);
            receiver
        };
        let replies = messages.iter().map(expect).collect();
        self.connection.send_all(messages).await.expect("the bus takes them");
        replies
    }

    /// Hands tasks over without waiting in between; what came of each, in order.
    pub(crate) async fn enqueue(&self, calls: &[Call]) -> Vec<Reply> {
        let messages: Vec<_> = calls.iter().map(Call::message).collect();
        let mut replies = Vec::new();
        for reply in self.send(&messages).await {
            replies.push(understand(&reply.await.expect("every call is answered, by the bus if need be")));
        }
        replies
    }

    /// The tasks that match one filter, as the daemon shows them.
    pub(crate) async fn list(&self, filter: &str, value: &str) -> Vec<Shown> {
        let (mut tasks, mut cursor) = (Vec::new(), String::new());
        loop {
            let filter = BTreeMap::from([(filter, Variant::from(value))]);
            let reply = self.tasks("List", &(filter, cursor.as_str(), 1000_u32)).await;
            let (page, next): (Vec<Shown>, String) = reply.body().deserialize().expect("a page");
            tasks.extend(page);
            cursor = next;
            if cursor.is_empty() {
                return tasks;
            }
        }
    }

    /// Calls a method of `Tasks`, which must succeed.
    pub(crate) async fn tasks<B: serde::Serialize + DynamicType>(&self, member: &str, body: &B) -> Message {
        self.send_one(message(ROOT, TASKS, member, body)).await
    }

    /// Waits until a property of strategy `metadata` is as wanted.
    pub(crate) async fn until(&self, property: &str, wanted: impl Fn(&Variant<'_>) -> bool) {
        let path = format!("{ROOT}/strategies/metadata");
        let mut changed = self.changed.clone();
        let seen = async {
            loop {
                let get = message(&path, PROPERTIES, "Get", &("org.ferryd.Ferry1.Strategy", property));
                let reply = self.send_one(get).await;
                if wanted(&reply.body().deserialize().expect("a value")) {
                    return;
                }
                changed.changed().await.expect("the bus lives");
            }
        };
        let words = format!("{property} never was as wanted");
        tokio::time::timeout(HANG, seen).await.expect(&words);
    }

    async fn send_one(&self, message: Message) -> Message {
        let reply = self.send(&[message]).await.remove(0).await.expect("a reply");
        assert_eq!(reply.message_type(), Type::MethodReturn, "{reply:?}");
        reply
    }
}

/// A task as the daemon shows it.
pub(crate) type Shown = HashMap<String, OwnedVariant>;

/// A field of a shown task that is text.
pub(crate) fn text(task: &Shown, field: &str) -> String {
    let value = task.get(field).unwrap_or_else(|| panic!("no {field} in {task:?}"));
    value.downcast_ref::<&str>().expect("text").to_owned()
}

/// A property that is a list of reasons.
pub(crate) fn reasons(value: &Variant<'_>) -> Vec<String> {
    Vec::<String>::try_from(value.try_clone().expect("no file descriptor")).expect("reasons")
}

fn message<B: serde::Serialize + DynamicType>(path: &str, interface: &str, member: &str, body: &B) -> Message {
    let call = Message::method_call(path, member).destination(SERVICE).interface(interface);
    call.build(body).expect("a message")
}

/// What a reply to Enqueue says. The bus itself answers for a daemon that is gone.
fn understand(reply: &Message) -> Reply {
    if reply.message_type() == Type::MethodReturn {
        return Reply::Id(reply.body().deserialize().expect("an id"));
    }
    let header = reply.header();
    let error = header.error_name().expect("an error has a name");
    match error.as_str() {
        "org.freedesktop.DBus.Error.NoReply" => Reply::Unanswered,
        "org.freedesktop.DBus.Error.ServiceUnknown" | "org.freedesktop.DBus.Error.NameHasNoOwner" => Reply::Undelivered,
        _ => panic!("an Enqueue was refused: {reply:?}"),
    }
}

/// Sorts what comes in until the connection ends.
async fn read(
    mut messages: MessageStream,
    waiting: Waiting,
    owner: watch::Sender<Option<String>>,
    changed: watch::Sender<()>,
) {
    while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await {
        let header = message.header();
        if let Some(serial) = header.reply_serial() {
            if let Some(waiting) = waiting.lock().expect("no panic").remove(&serial) {
                // Whoever asked may have stopped waiting.
                waiting.send(message.clone()).ok();
            }
        } else if header.member().is_some_and(|member| member == "NameOwnerChanged") {
            let (_, _, new): (String, String, String) = message.body().deserialize().expect("three names");
            owner.send_replace((!new.is_empty()).then_some(new));
        } else if header.member().is_some_and(|member| member == "PropertiesChanged") {
            changed.send_replace(());
        }
    }
}
