//! One connection that called: what waits of it, what is begun, and which of it may begin now.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use zbus::message::Message;

use super::super::access::Caller;
use super::super::call::Effect;
use super::super::flow::Flow;
use super::{ASKING, READS_IN_FLIGHT, Ticket};

/// A connection.
#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) caller: Option<Arc<Caller>>,
    pub(super) waiting: VecDeque<(Message, Effect)>,
    pub(super) waiting_bytes: usize,
    pub(super) waiting_fds: usize,
    /// Reads that wait for the writes with smaller numbers.
    pub(super) parked: VecDeque<(u64, Message)>,
    /// Writes and files that are begun and not answered.
    pub(super) writing: BTreeSet<u64>,
    /// The file among them, behind which no other of them begins.
    pub(super) copying: Option<u64>,
    pub(super) in_flight: usize,
    /// Those among them that only wait for the rest to end.
    pub(super) resting: usize,
    pub(super) reads_in_flight: usize,
    /// Calls that were begun and wait until it is known whether their caller may; not in flight.
    pub(super) asking: usize,
    pub(super) flow: Flow<Ticket>,
    pub(super) last: u64,
    pub(super) has_turn: bool,
}

/// A call that begins.
pub(super) struct Next {
    pub(super) number: u64,
    pub(super) message: Message,
    pub(super) effect: Effect,
}

impl Client {
    /// Whether something of it may begin now.
    pub(super) fn may_begin(&self, share: usize) -> bool {
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
        its_turn && self.in_flight < share && self.asking < ASKING
    }

    /// What begins next, if anything may.
    pub(super) fn next(&mut self, share: usize) -> Option<Next> {
        if !self.flow.is_open() {
            return None;
        }
        if self.a_parked_read_is_due() {
            return self.parked.pop_front().map(|(number, message)| Next { number, message, effect: Effect::Read });
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
            return Some(Next { number, message, effect });
        }
        None
    }
}
