//! What the server has seen: the judge of what was lost and what came twice.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::misbehave::Item;
use super::uploads::{Upload, Uploads};

/// How many of the last requests' heads are kept.
const HEADS: usize = 1024;

/// One item, by its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The task's id.
    pub id: String,
    /// The JSON text, byte for byte.
    pub payload: String,
    /// The strategy of the request it first came in; empty for a bare payload.
    pub strategy: String,
    /// Who sent it first; empty for a bare payload.
    pub device: String,
    /// When it was enqueued, in µs since the epoch; 0 for a bare payload.
    pub created: u64,
    /// Its place in the order in which items first arrived, from 0.
    pub order: usize,
    /// Its place in the order in which items were applied, from 0; `None` if it was not.
    pub applied: Option<usize>,
    /// In how many requests it came.
    pub seen: u32,
    /// How many of those were answered whole.
    pub answered: u32,
    /// The `attempt` of the last of them.
    pub attempt: u32,
    /// It came again with another payload.
    pub changed: bool,
}

/// A request's first lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// Such as `POST`.
    pub method: String,
    /// As written in the request line.
    pub target: String,
    /// Header fields by lower-case name; of repeated ones the last.
    pub headers: BTreeMap<String, String>,
    /// The body's length on the wire.
    pub length: usize,
}

/// Everything that came.
#[derive(Debug, Clone, Default)]
pub struct Log {
    items: Vec<Received>,
    by_id: HashMap<String, usize>,
    applied: usize,
    heads: VecDeque<Head>,
    /// Files.
    pub(super) uploads: Uploads,
    /// The heads of requests that came to a stop which their behaviour asks for, in that order.
    pub stopped: Vec<Head>,
    /// Connections accepted.
    pub connections: usize,
    /// Connections open now.
    pub open: usize,
    /// Requests read whole, or a file's as far as its head.
    pub requests: usize,
    /// Those of them not yet answered, cut or misanswered.
    pub in_flight: usize,
    /// Requests whose honest answer was written whole.
    pub answered: usize,
}

impl Log {
    /// All items in the order in which they first arrived.
    pub fn items(&self) -> &[Received] {
        &self.items
    }

    /// The item of this id.
    pub fn item(&self, id: &str) -> Option<&Received> {
        self.by_id.get(id).map(|&index| &self.items[index])
    }

    /// How many items were applied.
    pub fn applied(&self) -> usize {
        self.applied
    }

    /// The heads of the last thousand requests, oldest first.
    pub fn heads(&self) -> impl DoubleEndedIterator<Item = &Head> {
        self.heads.iter()
    }

    /// Every upload, in the order of their creation.
    pub fn uploads(&self) -> &[Upload] {
        self.uploads.all()
    }

    pub(super) fn note_head(&mut self, head: Head) {
        self.requests += 1;
        self.in_flight += 1;
        if self.heads.len() == HEADS {
            self.heads.pop_front();
        }
        self.heads.push_back(head);
    }

    pub(super) fn note_item(&mut self, item: &Item) {
        match self.by_id.get(&item.id) {
            Some(&index) => {
                let known = &mut self.items[index];
                known.seen += 1;
                known.attempt = item.attempt;
                known.changed |= known.payload != item.payload;
            }
            None => {
                let order = self.items.len();
                self.by_id.insert(item.id.clone(), order);
                self.items.push(Received {
                    id: item.id.clone(),
                    payload: item.payload.clone(),
                    strategy: item.strategy.clone(),
                    device: item.device.clone(),
                    created: item.created,
                    order,
                    applied: None,
                    seen: 1,
                    answered: 0,
                    attempt: item.attempt,
                    changed: false,
                });
            }
        }
    }

    /// Notes that a request with these items was answered whole.
    pub(super) fn note_answer(&mut self, items: &[Item]) {
        self.answered += 1;
        for item in items {
            if let Some(&index) = self.by_id.get(&item.id) {
                self.items[index].answered += 1;
            }
        }
    }

    /// Applies an item that was noted; `false` if it was applied before.
    pub(super) fn apply(&mut self, id: &str) -> bool {
        let Some(&index) = self.by_id.get(id) else { return false };
        let known = &mut self.items[index];
        if known.applied.is_some() {
            return false;
        }
        known.applied = Some(self.applied);
        self.applied += 1;
        true
    }
}
