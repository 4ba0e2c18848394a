//! The connections that call us: what waits of each, in which order it begins, and how much of it at once.
//!
//! Pure: messages go in and come out again in the order in which they may begin. The rules:
//! - Calls of one connection begin in the order sent. Writes do not wait for each other's commit; a read waits until
//!   what its connection wrote before is on disk, and lets later writes pass.
//! - A file is copied before its task is written, and that takes a while: while a file of a connection is begun and not
//!   answered, its later writes and files wait, and with them all that was sent behind them; reads between them wait as
//!   they do behind a write. What was written before the file goes on, and no other connection is touched.
//! - Nothing begins before the bus has said who calls.
//! - At most [`IN_FLIGHT`] calls of a connection are begun and their answers not written, and few
//!   ([`IN_FLIGHT_AMONG_OTHERS`]) while others call too, who would wait behind them; one that uses that up and has more
//!   gets its share anew only after a [`REST`], so that a flood does not take all of the processor. What comes beyond
//!   waits, up to [`WAITING_CALLS`] calls, [`WAITING_BYTES`] bytes and [`WAITING_FDS`] descriptors; what comes beyond that
//!   is refused as busy.
//! - At most [`READS_IN_FLIGHT`] of them are reads, whose answers may be large.
//! - A call that must ask whether its caller may is not in flight meanwhile and nothing waits for it: what stands behind it
//!   begins, until [`ASKING`] calls of the connection ask.
//! - Nothing begins for a connection that does not read its answers ([`Flow`]).
//! - Connections take turns, one call each.

mod client;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zbus::message::Message;

use super::access::Caller;
use super::call::{Call, Effect};
use super::flow::Flow;
use client::{Client, Next};

/// The most calls of one connection that are begun and their answers not written.
pub(super) const IN_FLIGHT: usize = 128;
/// The same while others call too.
pub(super) const IN_FLIGHT_AMONG_OTHERS: usize = 32;
/// How long one that uses up that share waits for it to come back.
const REST: Duration = Duration::from_millis(10);
/// Who called within this time counts as calling.
const RECENTLY: Duration = Duration::from_secs(1);
/// The most reads among them.
pub(super) const READS_IN_FLIGHT: usize = 8;
/// The most calls of one connection that were begun and wait until it is known whether their caller may.
pub(super) const ASKING: usize = 128;
/// The most calls of one connection that wait to begin.
pub(super) const WAITING_CALLS: usize = 4096;
/// The most bytes of one connection that wait to begin; one call always may.
pub(super) const WAITING_BYTES: usize = 16 << 20;
/// The most bytes of all connections that wait to begin.
pub(super) const WAITING_BYTES_OF_ALL: usize = 64 << 20;

/// The most descriptors of one connection that wait with their calls; one call always may.
pub(super) const WAITING_FDS: usize = 128;
/// The most descriptors of all connections that wait, far below what a process may have open.
pub(super) const WAITING_FDS_OF_ALL: usize = 512;

/// Names a call that was begun: whose, and its place in the order of that connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ticket {
    /// The connection's unique name.
    pub(super) client: Arc<str>,
    number: u64,
    effect: Effect,
}

/// A message to a connection, and the call whose answer it is.
pub(super) type Outgoing = (Message, Option<Ticket>);

/// What to do about a call that came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The connection is new: ask the bus who it is.
    Ask,
    /// It waits for its turn.
    Queued,
    /// Too much of this connection waits: refuse it.
    Busy,
    /// Too much of this connection waits, and it does not even read refusals.
    Deaf,
}

/// All connections that called and have not left.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: BTreeMap<Arc<str>, Client>,
    /// Who may have something to begin.
    turns: VecDeque<Arc<str>>,
    waiting_bytes: usize,
    waiting_fds: usize,
    /// Whose flow has something to ask or a deadline.
    unsure: BTreeSet<Arc<str>>,
    /// The last two different connections that called, and when, the later first.
    latest: [Option<(Arc<str>, Instant)>; 2],
    /// Whose share comes back after a rest, and when.
    resting: BTreeSet<Arc<str>>,
    rest_ends: Option<Instant>,
}

impl Clients {
    /// A call came in.
    pub(super) fn arrived(&mut self, client: &str, message: Message, effect: Effect, now: Instant) -> Arrival {
        let (size, fds) = (message.data().len(), message.data().fds().len());
        let is_new = !self.known.contains_key(client);
        let name: Arc<str> = match self.known.get_key_value(client) {
            Some((name, _)) => name.clone(),
            None => client.into(),
        };
        self.note(&name, now);
        let state = self.known.entry(name.clone()).or_default();
        let full = state.waiting.len() >= WAITING_CALLS
            || state.waiting_bytes + size > WAITING_BYTES
            || self.waiting_bytes + size > WAITING_BYTES_OF_ALL
            || fds > 0 && state.waiting_fds + fds > WAITING_FDS
            || fds > 0 && self.waiting_fds + fds > WAITING_FDS_OF_ALL;
        if full && !state.waiting.is_empty() {
            return if state.flow.is_open() { Arrival::Busy } else { Arrival::Deaf };
        }
        state.waiting.push_back((message, effect));
        state.waiting_bytes += size;
        self.waiting_bytes += size;
        state.waiting_fds += fds;
        self.waiting_fds += fds;
        self.give_turn(&name);
        if is_new { Arrival::Ask } else { Arrival::Queued }
    }

    /// The bus said who a connection is.
    pub(super) fn identified(&mut self, client: &str, caller: Caller) {
        let Some((name, _)) = self.known.get_key_value(client) else { return };
        let name = name.clone();
        if let Some(state) = self.known.get_mut(&name) {
            state.caller = Some(Arc::new(caller));
        }
        self.give_turn(&name);
    }

    /// A connection left, or cannot be identified: what waits of it is given back unanswered.
    pub(super) fn left(&mut self, client: &str) -> Vec<Message> {
        let Some(state) = self.known.remove(client) else { return Vec::new() };
        self.waiting_bytes -= state.waiting_bytes;
        self.waiting_fds -= state.waiting_fds;
        self.unsure.remove(client);
        let parked = state.parked.into_iter().map(|(_, message)| message);
        parked.chain(state.waiting.into_iter().map(|(message, _)| message)).collect()
    }

    /// The next call to begin, taking turns.
    pub(super) fn next(&mut self) -> Option<(Ticket, Call)> {
        let share = self.share();
        while let Some(name) = self.turns.pop_front() {
            let Some(state) = self.known.get_mut(&name) else { continue };
            state.has_turn = false;
            let (bytes, fds) = (state.waiting_bytes, state.waiting_fds);
            let next = state.next(share);
            self.waiting_bytes -= bytes - state.waiting_bytes;
            self.waiting_fds -= fds - state.waiting_fds;
            let Some(Next { number, message, effect }) = next else { continue };
            let Some(caller) = state.caller.clone() else { continue };
            self.give_turn(&name);
            return Some((Ticket { client: name, number, effect }, Call { message, caller, manages_all: false }));
        }
        None
    }

    /// A call that was begun has its answer: reads that waited for it need not any more.
    pub(super) fn answered(&mut self, ticket: &Ticket) {
        let Some(state) = self.known.get_mut(&ticket.client) else { return };
        state.writing.remove(&ticket.number);
        if state.copying == Some(ticket.number) {
            state.copying = None;
        }
        self.give_turn(&ticket.client);
    }

    /// A call that was begun waits until it is known whether its caller may: nothing waits for it meanwhile.
    pub(super) fn asks(&mut self, ticket: &Ticket) {
        let Some(state) = self.known.get_mut(&ticket.client) else { return };
        state.writing.remove(&ticket.number);
        state.in_flight -= 1;
        state.reads_in_flight -= usize::from(ticket.effect == Effect::Read);
        state.asking += 1;
        self.give_turn(&ticket.client);
    }

    /// It is known; the call goes on.
    pub(super) fn goes_on(&mut self, ticket: &Ticket) {
        let Some(state) = self.known.get_mut(&ticket.client) else { return };
        if ticket.effect == Effect::Write {
            state.writing.insert(ticket.number);
        }
        state.in_flight += 1;
        state.reads_in_flight += usize::from(ticket.effect == Effect::Read);
        state.asking -= 1;
        self.give_turn(&ticket.client);
    }

    /// The answer is written, or there is none to write.
    pub(super) fn written(&mut self, ticket: &Ticket, now: Instant) {
        let share = self.share();
        let Some(state) = self.known.get_mut(&ticket.client) else { return };
        state.reads_in_flight -= usize::from(ticket.effect == Effect::Read);
        if share < IN_FLIGHT && state.in_flight >= share && !state.waiting.is_empty() {
            state.resting += 1;
            self.resting.insert(ticket.client.clone());
            self.rest_ends.get_or_insert(now + REST);
            return;
        }
        state.in_flight -= 1;
        self.give_turn(&ticket.client);
    }

    fn end_rest(&mut self) {
        self.rest_ends = None;
        for name in std::mem::take(&mut self.resting) {
            let Some(state) = self.known.get_mut(&name) else { continue };
            state.in_flight -= std::mem::take(&mut state.resting);
            self.give_turn(&name);
        }
    }

    /// A message for a connection: given back if it may be sent now; held if much of what was sent is not read; gone if
    /// the connection is.
    pub(super) fn outgoing(&mut self, client: &str, message: Outgoing) -> Option<Outgoing> {
        let (name, _) = self.known.get_key_value(client)?;
        let name = name.clone();
        let state = self.known.get_mut(&name)?;
        let now = state.flow.offer(message);
        if state.flow.wants_to_ask() {
            self.unsure.insert(name);
        }
        now
    }

    /// The connections about which it should be asked how much they have not read. They count as asked.
    pub(super) fn ask_about(&mut self, by_ping: bool, now: Instant) -> Vec<Arc<str>> {
        let mut asked = Vec::new();
        for name in &self.unsure {
            let Some(state) = self.known.get_mut(name) else { continue };
            if state.flow.wants_to_ask() {
                state.flow.asked(by_ping, now);
                asked.push(name.clone());
            }
        }
        asked
    }

    /// How much a connection had not read when it was asked; what may be sent now comes back.
    pub(super) fn told(&mut self, client: &str, unread: usize, now: Instant) -> Vec<Outgoing> {
        self.with_flow(client, |flow| flow.told(unread, now))
    }

    /// When a connection that does not read is looked at again, or a rest ends.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let flows = self.unsure.iter().filter_map(|name| self.known.get(name)?.flow.deadline());
        flows.chain(self.rest_ends).min()
    }

    /// That time may have come; what may be sent now comes back.
    pub(super) fn on_deadline(&mut self, now: Instant) -> Vec<Outgoing> {
        if self.rest_ends.is_some_and(|end| end <= now) {
            self.end_rest();
        }
        let names: Vec<_> = self.unsure.iter().cloned().collect();
        names.iter().flat_map(|name| self.with_flow(name, |flow| flow.on_deadline(now))).collect()
    }

    fn with_flow(&mut self, client: &str, change: impl FnOnce(&mut Flow<Ticket>) -> Vec<Outgoing>) -> Vec<Outgoing> {
        let Some((name, _)) = self.known.get_key_value(client) else {
            self.unsure.remove(client);
            return Vec::new();
        };
        let name = name.clone();
        let Some(state) = self.known.get_mut(&name) else { return Vec::new() };
        let released = change(&mut state.flow);
        if state.flow.is_certain() {
            self.unsure.remove(&name);
        }
        self.give_turn(&name);
        released
    }

    /// How many calls are begun and their answers not written.
    pub(super) fn in_flight(&self) -> usize {
        self.known.values().map(|state| state.in_flight - state.resting).sum()
    }

    /// All calls that have come in and are not begun, of everybody: they are given back unanswered.
    pub(super) fn unbegun(&mut self) -> Vec<Message> {
        let mut calls = Vec::new();
        for state in self.known.values_mut() {
            state.in_flight -= state.parked.len();
            state.reads_in_flight -= state.parked.len();
            self.waiting_bytes -= std::mem::take(&mut state.waiting_bytes);
            self.waiting_fds -= std::mem::take(&mut state.waiting_fds);
            calls.extend(state.parked.drain(..).map(|(_, message)| message));
            calls.extend(state.waiting.drain(..).map(|(message, _)| message));
        }
        calls
    }

    /// Whether somebody may have something to begin.
    pub(super) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// Whether a connection is known.
    pub(super) fn has(&self, client: &str) -> bool {
        self.known.contains_key(client)
    }

    /// How many connections are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Connections of which nothing waits and nothing is in flight: they can be forgotten without harm.
    pub(super) fn idle(&self) -> impl Iterator<Item = &Arc<str>> {
        let is_idle = |state: &Client| {
            state.in_flight == 0
                && state.asking == 0
                && state.waiting.is_empty()
                && state.caller.is_some()
                && state.flow.is_open()
        };
        self.known.iter().filter(move |(_, state)| is_idle(state)).map(|(name, _)| name)
    }

    fn note(&mut self, name: &Arc<str>, now: Instant) {
        let [latest, before] = &mut self.latest;
        if latest.as_ref().is_some_and(|(latest, _)| latest != name) {
            std::mem::swap(latest, before);
        }
        *latest = Some((name.clone(), now));
    }

    /// How many calls of a connection may be in flight now.
    fn share(&self) -> usize {
        match &self.latest {
            [Some((_, latest)), Some((_, before))] if latest.duration_since(*before) < RECENTLY => {
                IN_FLIGHT_AMONG_OTHERS
            }
            _ => IN_FLIGHT,
        }
    }

    fn give_turn(&mut self, name: &Arc<str>) {
        let share = self.share();
        let Some(state) = self.known.get_mut(name) else { return };
        if !state.has_turn && state.may_begin(share) {
            state.has_turn = true;
            self.turns.push_back(name.clone());
        }
    }
}
