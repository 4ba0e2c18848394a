//! A stand-in for polkit: says what it is told to, remembers what it was asked, and goes away at will.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures_core::Stream as _;
use tokio::sync::mpsc;
use zbus::message::{Message, Type};
use zbus::{Connection, MessageStream, Variant};

use crate::client::HANG;

const NAME: &str = "org.freedesktop.PolicyKit1";
const PATH: &str = "/org/freedesktop/PolicyKit1/Authority";
const INTERFACE: &str = "org.freedesktop.PolicyKit1.Authority";

/// What it answers at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Yes,
    No,
    /// Yes if a person may be asked, else that one should be.
    Challenge,
    /// This error.
    Error(&'static str),
    /// Nothing.
    Silent,
}

/// What reached it.
#[derive(Debug, Clone)]
pub(crate) enum Seen {
    Asked(Question),
    Cancelled(String),
}

/// A question.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    /// The unique name of the connection that it is about.
    pub(crate) client: String,
    /// The action, without `org.ferryd.ferry1.`.
    pub(crate) action: String,
    /// Whether a person may be asked.
    pub(crate) patient: bool,
    pub(crate) cancellation: String,
    message: Message,
}

/// Polkit.
pub(crate) struct Mock {
    connection: Connection,
    mood: Arc<Mutex<Mood>>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Mock {
    /// Takes polkit's name.
    pub(crate) async fn start(address: &str, mood: Mood) -> Self {
        let connection = zbus::connection::Builder::address(address).build().await.expect("a bus");
        let messages = MessageStream::from(&connection);
        connection.request_name(NAME).await.expect("root may");
        let (mood, (tell, seen)) = (Arc::new(Mutex::new(mood)), mpsc::unbounded_channel());
        tokio::spawn(serve(connection.clone(), messages, Arc::clone(&mood), tell));
        Self { connection, mood, seen }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.mood.lock().expect("no panic") = mood;
    }

    /// What reaches it next.
    pub(crate) async fn next(&mut self) -> Seen {
        tokio::time::timeout(HANG, self.seen.recv()).await.expect("it is asked in time").expect("it lives")
    }

    /// The next question.
    pub(crate) async fn question(&mut self) -> Question {
        match self.next().await {
            Seen::Asked(question) => question,
            Seen::Cancelled(name) => panic!("{name} is cancelled"),
        }
    }

    /// The questions that have come; whoever has an answer of the daemon has waited for them.
    pub(crate) fn questions(&mut self) -> Vec<Question> {
        std::iter::from_fn(|| self.seen.try_recv().ok())
            .map(|seen| match seen {
                Seen::Asked(question) => question,
                Seen::Cancelled(name) => panic!("{name} is cancelled"),
            })
            .collect()
    }

    /// Answers a question that was left open.
    pub(crate) async fn answer(&self, question: &Question, yes: bool) {
        reply(&self.connection, &question.message, yes, false).await;
    }

    /// Says that answers may differ from now on.
    pub(crate) async fn change(&self) {
        self.connection.emit_signal(None::<&str>, PATH, INTERFACE, "Changed", &()).await.expect("sent");
        self.has_said_all().await;
    }

    /// Returns when the bus has taken all that this has sent: what is sent to the daemon from now on comes behind it.
    pub(crate) async fn has_said_all(&self) {
        crate::calls::call_driver(&self.connection, "GetId").await;
    }

    /// Leaves the bus as if it had crashed.
    pub(crate) async fn die(self) {
        self.connection.close().await.expect("closed");
    }
}

async fn serve(
    connection: Connection,
    mut messages: MessageStream,
    mood: Arc<Mutex<Mood>>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    while let Some(Ok(message)) = poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await {
        if message.message_type() != Type::MethodCall {
            continue;
        }
        let header = message.header();
        assert_eq!(header.path().expect("a path").as_str(), PATH);
        assert_eq!(header.interface().expect("an interface").as_str(), INTERFACE);
        match header.member().expect("a member").as_str() {
            "CheckAuthorization" => {
                let question = read(&message);
                let patient = question.patient;
                // Whoever waits for the answer finds the question here.
                drop(tell.send(Seen::Asked(question)));
                let mood = *mood.lock().expect("no panic");
                match mood {
                    Mood::Yes => reply(&connection, &message, true, false).await,
                    Mood::No => reply(&connection, &message, false, false).await,
                    Mood::Challenge => reply(&connection, &message, patient, !patient).await,
                    Mood::Error(name) => connection.reply_error(&header, name, &("no",)).await.expect("sent"),
                    Mood::Silent => {}
                }
            }
            "CancelCheckAuthorization" => {
                drop(tell.send(Seen::Cancelled(message.body().deserialize().expect("a text"))));
            }
            other => panic!("polkit is asked for {other}"),
        }
    }
}

/// Takes a question apart, as strictly as polkit does.
fn read(message: &Message) -> Question {
    type Subject<'a> = (&'a str, HashMap<&'a str, Variant<'a>>);
    let body = message.body();
    assert_eq!(body.signature().to_string_no_parens(), "(sa{sv})sa{ss}us");
    let (subject, action, details, flags, cancellation): (Subject<'_>, &str, HashMap<&str, &str>, u32, String) =
        body.deserialize().expect("its types");
    assert_eq!((subject.0, details.len(), flags & !1), ("system-bus-name", 0, 0));
    Question {
        client: subject.1["name"].downcast_ref().expect("a text"),
        action: action.strip_prefix("org.ferryd.ferry1.").expect("an action of ours").to_owned(),
        patient: flags == 1,
        cancellation,
        message: message.clone(),
    }
}

async fn reply(connection: &Connection, question: &Message, yes: bool, challenge: bool) {
    let answer = ((yes, challenge, HashMap::<&str, &str>::new()),);
    // Who asked may have gone.
    drop(connection.reply(&question.header(), &answer).await);
}
