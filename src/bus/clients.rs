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
//! - Nothing begins for a connection that does not read its answers ([`Flow`]).
//! - Connections take turns, one call each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use zbus::message::Message;

use super::access::Caller;
use super::call::{Call, Effect};
use super::flow::Flow;

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
    is_read: bool,
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

#[derive(Debug, Default)]
struct Client {
    caller: Option<Arc<Caller>>,
    waiting: VecDeque<(Message, Effect)>,
    waiting_bytes: usize,
    waiting_fds: usize,
    /// Reads that wait for the writes with smaller numbers.
    parked: VecDeque<(u64, Message)>,
    /// Writes and files that are begun and not answered.
    writing: BTreeSet<u64>,
    /// The file among them, behind which no other of them begins.
    copying: Option<u64>,
    in_flight: usize,
    /// Those among them that only wait for the rest to end.
    resting: usize,
    reads_in_flight: usize,
    flow: Flow<Ticket>,
    last: u64,
    has_turn: bool,
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
            let Some(Next { number, message, is_read }) = next else { continue };
            let Some(caller) = state.caller.clone() else { continue };
            self.give_turn(&name);
            return Some((Ticket { client: name, number, is_read }, Call { message, caller }));
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

    /// The answer is written, or there is none to write.
    pub(super) fn written(&mut self, ticket: &Ticket, now: Instant) {
        let share = self.share();
        let Some(state) = self.known.get_mut(&ticket.client) else { return };
        state.reads_in_flight -= usize::from(ticket.is_read);
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

    /// How many connections are known.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Connections of which nothing waits and nothing is in flight: they can be forgotten without harm.
    pub(super) fn idle(&self) -> impl Iterator<Item = &Arc<str>> {
        let is_idle = |state: &Client| {
            state.in_flight == 0 && state.waiting.is_empty() && state.caller.is_some() && state.flow.is_open()
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

/// A call that begins.
struct Next {
    number: u64,
    message: Message,
    is_read: bool,
}

impl Client {
    fn may_begin(&self, share: usize) -> bool {
        self.caller.is_some() && self.flow.is_open() && (self.a_parked_read_is_due() || self.the_first_may_begin(share))
    }

    fn a_parked_read_is_due(&self) -> bool {
        let Some((number, _)) = self.parked.front() else { return false };
        self.writing.first().is_none_or(|write| write > number)
    }

    fn the_first_may_begin(&self, share: usize) -> bool {
        let Some((_, effect)) = self.waiting.front() else { return false };
        let its_turn = match effect {
            Effect::Read => self.reads_in_flight < READS_IN_FLIGHT,
            Effect::Write | Effect::File => self.copying.is_none(),
            Effect::None => true,
        };
        its_turn && self.in_flight < share
    }

    fn next(&mut self, share: usize) -> Option<Next> {
        if !self.flow.is_open() {
            return None;
        }
        if self.a_parked_read_is_due() {
            return self.parked.pop_front().map(|(number, message)| Next { number, message, is_read: true });
        }
        while self.the_first_may_begin(share) {
            let (message, effect) = self.waiting.pop_front()?;
            self.waiting_bytes -= message.data().len();
            self.waiting_fds -= message.data().fds().len();
            self.in_flight += 1;
            self.last += 1;
            let (number, is_read) = (self.last, effect == Effect::Read);
            self.reads_in_flight += usize::from(is_read);
            if is_read && !self.writing.is_empty() {
                self.parked.push_back((number, message));
                continue;
            }
            if matches!(effect, Effect::Write | Effect::File) {
                self.writing.insert(number);
            }
            if effect == Effect::File {
                self.copying = Some(number);
            }
            return Some(Next { number, message, is_read });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, bytes: usize) -> Message {
        Message::method_call("/", name).build(&("x".repeat(bytes),)).expect("a message")
    }

    fn now() -> Instant {
        Instant::now()
    }

    fn done(clients: &mut Clients, ticket: &Ticket) {
        clients.answered(ticket);
        clients.written(ticket, now());
    }

    fn caller() -> Caller {
        Caller { uid: 1, gids: vec![], app: "app".into() }
    }

    fn name_of(call: &Call) -> String {
        call.message.header().member().expect("a member").to_string()
    }

    fn begun(clients: &mut Clients) -> Vec<(String, Ticket)> {
        std::iter::from_fn(|| clients.next()).map(|(ticket, call)| (name_of(&call), ticket)).collect()
    }

    fn names(begun: &[(String, Ticket)]) -> Vec<&str> {
        begun.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn known(names: &[&str]) -> Clients {
        let mut clients = Clients::default();
        for name in names {
            assert_eq!(clients.arrived(name, message("Hello", 1), Effect::None, now()), Arrival::Ask);
            clients.identified(name, caller());
            let hello = begun(&mut clients);
            done(&mut clients, &hello[0].1);
        }
        clients
    }

    #[test]
    fn nothing_begins_before_the_bus_has_said_who_calls_and_then_all_in_order() {
        let mut clients = Clients::default();
        assert_eq!(clients.arrived(":1.1", message("A", 1), Effect::Write, now()), Arrival::Ask);
        assert_eq!(clients.arrived(":1.1", message("B", 1), Effect::None, now()), Arrival::Queued);
        assert_eq!(clients.arrived(":1.1", message("C", 1), Effect::Write, now()), Arrival::Queued);
        assert!(clients.next().is_none());
        clients.identified(":1.1", caller());
        assert_eq!(names(&begun(&mut clients)), ["A", "B", "C"]);
    }

    #[test]
    fn a_read_waits_for_earlier_writes_only_and_holds_up_nothing() {
        let mut clients = known(&[":1.1"]);
        for (name, effect) in [
            ("W1", Effect::Write),
            ("R1", Effect::Read),
            ("W2", Effect::Write),
            ("R2", Effect::Read),
            ("N", Effect::None),
        ] {
            clients.arrived(":1.1", message(name, 1), effect, now());
        }
        let first = begun(&mut clients);
        assert_eq!(names(&first), ["W1", "W2", "N"]);
        done(&mut clients, &first[1].1);
        assert_eq!(names(&begun(&mut clients)), [""; 0], "W1 is not on disk");
        done(&mut clients, &first[0].1);
        assert_eq!(names(&begun(&mut clients)), ["R1", "R2"]);
    }

    #[test]
    fn behind_a_file_its_connections_writes_and_files_wait_and_nobody_elses() {
        let mut clients = known(&[":1.1", ":1.2"]);
        for (name, effect) in [
            ("W1", Effect::Write),
            ("F1", Effect::File),
            ("R1", Effect::Read),
            ("N1", Effect::None),
            ("F2", Effect::File),
            ("W2", Effect::Write),
            ("R2", Effect::Read),
        ] {
            clients.arrived(":1.1", message(name, 1), effect, now());
        }
        clients.arrived(":1.2", message("W", 1), Effect::Write, now());
        clients.arrived(":1.2", message("F", 1), Effect::File, now());
        let first = begun(&mut clients);
        assert_eq!(names(&first), ["W1", "W", "F1", "F", "N1"]);
        done(&mut clients, &first[0].1);
        assert_eq!(names(&begun(&mut clients)), [""; 0], "F1 is being copied");
        done(&mut clients, &first[2].1);
        let second = begun(&mut clients);
        assert_eq!(names(&second), ["R1", "F2"]);
        done(&mut clients, &second[1].1);
        let third = begun(&mut clients);
        assert_eq!(names(&third), ["W2"]);
        done(&mut clients, &third[0].1);
        assert_eq!(names(&begun(&mut clients)), ["R2"]);
    }

    #[test]
    fn descriptors_are_bounded_but_one_call_always_fits() {
        let file = std::fs::File::open("/dev/null").expect("a file");
        let with_file = || Message::method_call("/", "F").build(&(zbus::Fd::from(&file),)).expect("a message");
        let mut clients = Clients::default();
        assert_eq!(clients.arrived(":1.1", with_file(), Effect::File, now()), Arrival::Ask);
        for _ in 1..WAITING_FDS {
            assert_eq!(clients.arrived(":1.1", with_file(), Effect::File, now()), Arrival::Queued);
        }
        assert_eq!(clients.arrived(":1.1", with_file(), Effect::File, now()), Arrival::Busy);
        assert_eq!(clients.arrived(":1.1", message("W", 1), Effect::Write, now()), Arrival::Queued);
        clients.identified(":1.1", caller());
        assert_eq!(begun(&mut clients).len(), 1);
        assert_eq!(clients.arrived(":1.1", with_file(), Effect::File, now()), Arrival::Queued);
        assert_eq!(clients.arrived(":1.2", with_file(), Effect::File, now()), Arrival::Ask);
        assert_eq!(clients.waiting_fds, WAITING_FDS + 1);
        clients.left(":1.1");
        assert_eq!(clients.waiting_fds, 1);
    }

    #[test]
    fn connections_take_turns() {
        let mut clients = known(&[":1.1", ":1.2"]);
        for name in ["A1", "A2", "A3"] {
            clients.arrived(":1.1", message(name, 1), Effect::None, now());
        }
        clients.arrived(":1.2", message("B1", 1), Effect::None, now());
        assert_eq!(names(&begun(&mut clients)), ["A1", "B1", "A2", "A3"]);
    }

    #[test]
    fn a_flood_waits_then_is_refused_and_goes_on_as_answers_go_out() {
        let mut clients = known(&[":1.1"]);
        let one = message("W", 1);
        for _ in 0..IN_FLIGHT {
            clients.arrived(":1.1", one.clone(), Effect::Write, now());
        }
        let tickets = begun(&mut clients);
        assert_eq!(tickets.len(), IN_FLIGHT);
        for _ in 0..WAITING_CALLS {
            assert_eq!(clients.arrived(":1.1", one.clone(), Effect::Write, now()), Arrival::Queued);
        }
        assert_eq!(clients.arrived(":1.1", one.clone(), Effect::Write, now()), Arrival::Busy);
        assert!(clients.next().is_none());
        done(&mut clients, &tickets[0].1);
        assert_eq!(begun(&mut clients).len(), 1);
        assert_eq!(clients.arrived(":1.1", one, Effect::Write, now()), Arrival::Queued);
        assert_eq!(clients.in_flight(), IN_FLIGHT);
    }

    #[test]
    fn one_among_others_has_a_smaller_share_for_as_long_as_they_call() {
        let start = now();
        let mut clients = known(&[":1.1"]);
        let flood = |clients: &mut Clients, at: Instant| {
            for _ in 0..2 * IN_FLIGHT {
                clients.arrived(":1.1", message("W", 1), Effect::Write, at);
            }
            begun(clients).len()
        };
        clients.arrived(":1.2", message("A", 1), Effect::None, start);
        assert_eq!(flood(&mut clients, start), IN_FLIGHT_AMONG_OTHERS);
        let later = start + RECENTLY * 2;
        assert_eq!(flood(&mut clients, later), IN_FLIGHT - IN_FLIGHT_AMONG_OTHERS);
        assert_eq!(clients.in_flight(), IN_FLIGHT);
    }

    #[test]
    fn one_that_uses_up_its_share_among_others_rests() {
        let start = now();
        let mut clients = known(&[":1.1", ":1.2"]);
        for _ in 0..2 * IN_FLIGHT_AMONG_OTHERS {
            clients.arrived(":1.1", message("W", 1), Effect::None, start);
        }
        clients.arrived(":1.2", message("A", 1), Effect::None, start);
        let first = begun(&mut clients);
        assert_eq!(first.len(), IN_FLIGHT_AMONG_OTHERS + 1);
        for (_, ticket) in &first {
            clients.answered(ticket);
            clients.written(ticket, start);
        }
        assert_eq!((clients.in_flight(), begun(&mut clients).len()), (0, 0));
        clients.arrived(":1.2", message("A", 1), Effect::None, start);
        assert_eq!(names(&begun(&mut clients)), ["A"], "who is modest does not rest");
        assert_eq!(clients.deadline(), Some(start + REST));
        assert!(clients.on_deadline(start + REST).is_empty());
        assert_eq!(begun(&mut clients).len(), IN_FLIGHT_AMONG_OTHERS);
        assert_eq!(clients.deadline(), None);
    }

    #[test]
    fn an_answer_is_in_flight_until_it_is_written_but_reads_need_not_wait_for_that() {
        let mut clients = known(&[":1.1"]);
        clients.arrived(":1.1", message("W", 1), Effect::Write, now());
        clients.arrived(":1.1", message("R", 1), Effect::Read, now());
        let write = begun(&mut clients);
        clients.answered(&write[0].1);
        assert_eq!(names(&begun(&mut clients)), ["R"]);
        assert_eq!(clients.in_flight(), 2);
        clients.written(&write[0].1, now());
        assert_eq!(clients.in_flight(), 1);
    }

    #[test]
    fn few_reads_are_in_flight_and_what_comes_behind_them_waits() {
        let mut clients = known(&[":1.1"]);
        for _ in 0..=READS_IN_FLIGHT {
            clients.arrived(":1.1", message("R", 1), Effect::Read, now());
        }
        clients.arrived(":1.1", message("W", 1), Effect::Write, now());
        let reads = begun(&mut clients);
        assert_eq!(reads.len(), READS_IN_FLIGHT);
        done(&mut clients, &reads[0].1);
        assert_eq!(names(&begun(&mut clients)), ["R", "W"]);
    }

    #[test]
    fn nothing_begins_for_one_that_does_not_read_until_it_does() {
        let start = now();
        let mut clients = known(&[":1.1"]);
        let large = message("Answer", super::super::flow::WINDOW);
        assert!(clients.outgoing(":1.1", (large.clone(), None)).is_some());
        assert!(clients.outgoing(":1.1", (large, None)).is_none());
        clients.arrived(":1.1", message("A", 1), Effect::None, now());
        assert!(clients.next().is_none());
        for _ in 1..WAITING_CALLS {
            assert_eq!(clients.arrived(":1.1", message("A", 1), Effect::None, now()), Arrival::Queued);
        }
        assert_eq!(clients.arrived(":1.1", message("A", 1), Effect::None, now()), Arrival::Deaf);
        assert_eq!(clients.idle().count(), 0, "it must not be forgotten and begin anew");
        assert_eq!(clients.ask_about(false, start).len(), 1);
        assert_eq!(clients.ask_about(false, start).len(), 0);
        assert_eq!(clients.told(":1.1", 0, start).len(), 1);
        clients.ask_about(false, start);
        assert_eq!(clients.told(":1.1", 0, start).len(), 0);
        assert!(clients.next().is_some());
        assert!(clients.unsure.is_empty() && clients.deadline().is_none());
    }

    #[test]
    fn what_is_not_begun_is_given_back_and_what_is_begun_stays() {
        let mut clients = Clients::default();
        clients.arrived(":1.2", message("Stranger", 0), Effect::Write, now());
        clients.arrived(":1.1", message("Write", 0), Effect::Write, now());
        clients.identified(":1.1", caller());
        clients.arrived(":1.1", message("Parked", 0), Effect::Read, now());
        let tickets = begun(&mut clients);
        clients.arrived(":1.1", message("Late", 0), Effect::Write, now());
        let name = |call: &Message| call.header().member().expect("a member").to_string();
        let mut names: Vec<_> = clients.unbegun().iter().map(name).collect();
        names.sort_unstable();
        assert_eq!(names, ["Late", "Parked", "Stranger"]);
        assert_eq!((tickets.len(), clients.in_flight()), (1, 1));
    }

    #[test]
    fn bytes_are_bounded_but_one_call_always_fits() {
        let mut clients = Clients::default();
        let large = message("W", WAITING_BYTES);
        assert_eq!(clients.arrived(":1.1", large.clone(), Effect::Write, now()), Arrival::Ask);
        assert_eq!(clients.arrived(":1.1", message("W", 1), Effect::Write, now()), Arrival::Busy);
        for other in [":1.2", ":1.3", ":1.4", ":1.5"] {
            assert_eq!(clients.arrived(other, large.clone(), Effect::Write, now()), Arrival::Ask);
        }
        assert_eq!(clients.left(":1.1").len(), 1);
        assert_eq!(clients.waiting_bytes, 4 * large.data().len());
    }

    #[test]
    fn who_left_is_forgotten_with_what_waited() {
        let mut clients = known(&[":1.1"]);
        clients.arrived(":1.1", message("A", 1), Effect::None, now());
        let begun_before = begun(&mut clients);
        clients.arrived(":1.1", message("B", 1), Effect::None, now());
        assert_eq!(clients.left(":1.1").len(), 1);
        done(&mut clients, &begun_before[0].1);
        assert!(clients.next().is_none());
        assert_eq!((clients.len(), clients.waiting_bytes), (0, 0));
    }
}
