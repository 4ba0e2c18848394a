//! How the server behaves: as documented by default, and in every way that tests want it to fail.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::log::Head;

/// An item as it came, for a [`Verdict`] to judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// The task's id.
    pub id: String,
    /// The JSON text.
    pub payload: String,
    /// The request's strategy; empty for a bare payload.
    pub strategy: String,
    /// The request's device; empty for a bare payload.
    pub device: String,
    /// When it was enqueued, in µs since the epoch.
    pub created: u64,
    /// From 1.
    pub attempt: u32,
}

/// What the server says of one item.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Applied, or a duplicate.
    Take,
    /// Not now.
    Retry {
        /// Seconds.
        after: Option<f64>,
        /// Why.
        reason: String,
    },
    /// Never.
    Reject {
        /// Why.
        reason: String,
    },
    /// It holds something else.
    Conflict {
        /// Why.
        reason: String,
    },
}

/// A gate at which requests stop until it is opened. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(watch::Sender<bool>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Lets all go on, those to come as well.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    async fn passed(&self) {
        // The sender is ours: waiting cannot fail.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// A stop on the way.
#[derive(Debug, Clone, Default)]
pub enum Wait {
    /// None.
    #[default]
    No,
    /// As long as this.
    For(Duration),
    /// Until the gate is opened.
    Gate(Gate),
}

impl Wait {
    pub(super) async fn over(&self) {
        match self {
            Self::No => {}
            Self::For(time) => tokio::time::sleep(*time).await,
            Self::Gate(gate) => gate.passed().await,
        }
    }
}

/// Where a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// When its request has begun to arrive, unread.
    BeforeReading,
    /// When the request is read; nothing is applied.
    AfterReading,
    /// When its items are applied; nothing is answered.
    AfterApplying,
    /// When this many bytes of the honest answer are written.
    Byte(usize),
    /// When this many bytes of a file are applied that its request brings; if it brings fewer, nothing happens.
    Body(u64),
}

/// What comes instead of the honest answer. But for [`Fault::Close`] and [`Fault::Hang`] nothing is applied first.
#[derive(Debug, Clone, Default)]
pub enum Fault {
    /// Nothing does.
    #[default]
    No,
    /// The connection is closed.
    Close(At),
    /// This status, with these header fields and this body.
    Answer {
        /// The status code.
        status: u16,
        /// Fields beside `Content-Length`.
        headers: Vec<(String, String)>,
        /// The body.
        body: Vec<u8>,
    },
    /// These bytes, then the end.
    Raw(Vec<u8>),
    /// Header lines that never end.
    EndlessHeaders,
    /// A body that never ends, after a status line with this code.
    EndlessBody(u16),
    /// The items are applied, this many bytes of the honest answer written, then nothing on an open connection.
    Hang(usize),
    /// `100 Continue`, again and again.
    EndlessInterim,
}

impl Fault {
    /// A status with words.
    pub fn status(status: u16, words: &str) -> Self {
        Self::Answer { status, headers: Vec::new(), body: words.as_bytes().to_vec() }
    }

    /// A redirect.
    pub fn redirect(status: u16, to: &str) -> Self {
        Self::Answer { status, headers: vec![("Location".to_owned(), to.to_owned())], body: Vec::new() }
    }

    /// 200 with a page.
    pub fn html() -> Self {
        Self::Answer {
            status: 200,
            headers: vec![("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned())],
            body: b"<!DOCTYPE html><title>Welcome to the hotel</title>".to_vec(),
        }
    }

    /// 200 with a gzipped body of this many zeroes.
    pub fn gzip_bomb(size: usize) -> Self {
        Self::Answer {
            status: 200,
            headers: vec![("Content-Encoding".to_owned(), "gzip".to_owned())],
            body: super::wire::gzip(&vec![0; size]),
        }
    }

    /// What comes without anything being applied; `None` if it is applied.
    pub(super) fn refusal(&self) -> Option<Treated> {
        Some(match self {
            Self::No | Self::Close(At::AfterApplying | At::Byte(_) | At::Body(_)) | Self::Hang(_) => return None,
            Self::Close(At::BeforeReading | At::AfterReading) => Treated::Close,
            Self::Answer { status, headers, body } => {
                Treated::Answer(super::wire::answer(*status, headers, body), Then::Next)
            }
            Self::Raw(bytes) => Treated::Answer(bytes.clone(), Then::Close),
            Self::EndlessHeaders => {
                Treated::Answer(b"HTTP/1.1 200 Ferry\r\n".to_vec(), Then::Repeat(b"X-More: and more and more\r\n"))
            }
            Self::EndlessInterim => Treated::Answer(Vec::new(), Then::Repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
            Self::EndlessBody(status) => {
                let head = format!("HTTP/1.1 {status} Ferry\r\nContent-Type: text/plain\r\n\r\n");
                Treated::Answer(head.into_bytes(), Then::Repeat(&[b' '; 4096]))
            }
        })
    }

    /// What becomes of the honest answer to what was applied.
    pub(super) fn spoil(&self, mut answer: Vec<u8>) -> Treated {
        match self {
            Self::Close(At::Byte(cut)) => {
                answer.truncate(*cut);
                Treated::Answer(answer, Then::Close)
            }
            Self::Close(At::BeforeReading | At::AfterReading | At::AfterApplying) => Treated::Close,
            Self::Hang(cut) => {
                answer.truncate(*cut);
                Treated::Answer(answer, Then::Hold)
            }
            Self::No
            | Self::Close(At::Body(_))
            | Self::Answer { .. }
            | Self::Raw(_)
            | Self::EndlessHeaders
            | Self::EndlessInterim
            | Self::EndlessBody(_) => Treated::Answer(answer, Then::Next),
        }
    }
}

/// What is done with a request that was read.
pub(super) enum Treated {
    /// The connection is closed.
    Close,
    /// These bytes are written.
    Answer(Vec<u8>, Then),
}

/// What follows an answer's bytes.
pub(super) enum Then {
    /// The next request.
    Next,
    /// The end.
    Close,
    /// Nothing, until the client goes.
    Hold,
    /// This, again and again.
    Repeat(&'static [u8]),
}

/// Says what becomes of an item.
pub type Judge = Arc<dyn Fn(&Item) -> Verdict + Send + Sync>;

/// Says what comes instead of the honest answer to a request as a whole.
pub type Censor = Arc<dyn Fn(&Head, &[Item]) -> Fault + Send + Sync>;

/// How a request is treated.
#[derive(Clone, Default)]
pub struct Behaviour {
    /// Only requests with this method wait; all do without.
    pub waiting: Option<&'static str>,
    /// Between reading and applying; of a file's bytes none are read before.
    pub before_applying: Wait,
    /// When this many bytes of a file are applied that one request brings.
    pub amid: Option<(u64, Wait)>,
    /// Between applying and answering.
    pub before_answering: Wait,
    /// What comes instead of the honest answer.
    pub fault: Fault,
    /// More header fields of the honest answer.
    pub headers: Vec<(String, String)>,
    /// What is said of each item; all are taken without.
    pub judge: Option<Judge>,
    /// Says the fault by the request; it is `fault` without.
    pub censor: Option<Censor>,
}

impl Behaviour {
    /// As documented.
    pub fn honest() -> Self {
        Self::default()
    }

    /// With this fault.
    pub fn fault(fault: Fault) -> Self {
        Self { fault, ..Self::default() }
    }

    /// With a verdict on each item.
    pub fn judged(judge: impl Fn(&Item) -> Verdict + Send + Sync + 'static) -> Self {
        Self { judge: Some(Arc::new(judge)), ..Self::default() }
    }

    /// With a fault that depends on the request.
    pub fn censored(censor: impl Fn(&Head, &[Item]) -> Fault + Send + Sync + 'static) -> Self {
        Self { censor: Some(Arc::new(censor)), ..Self::default() }
    }

    /// These stops as a request with this method makes them.
    pub(super) fn for_method(mut self, method: &str) -> Self {
        if self.waiting.is_some_and(|waiting| waiting != method) {
            (self.before_applying, self.amid, self.before_answering) = (Wait::No, None, Wait::No);
        }
        self
    }

    pub(super) fn fault_of(&self, head: &Head, items: &[Item]) -> Fault {
        self.censor.as_ref().map_or_else(|| self.fault.clone(), |censor| censor(head, items))
    }

    pub(super) fn verdict(&self, item: &Item) -> Verdict {
        self.judge.as_ref().map_or(Verdict::Take, |judge| judge(item))
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour").field("fault", &self.fault).finish_non_exhaustive()
    }
}
