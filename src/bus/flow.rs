//! How much may be on its way to one client that has not read it.
//!
//! `dbus-daemon` counts a message against its *sender* until the receiver has taken it, and stops reading from a sender
//! that has too much on its way (`max_incoming_bytes`). So one client that calls and never reads would in the end stop the
//! daemon for all. What goes to a client is therefore counted, and from time to time the bus is asked how much of it still
//! waits there (`org.freedesktop.DBus.Debug.Stats.GetConnectionStats`); beyond a window, replies are held back and no more
//! of its calls begin. Where the bus does not tell, a ping is asked instead; and a client that answers no pings, as
//! simple ones do not, is let have a window's worth at intervals.
//!
//! Pure: messages and times come in, messages to send come out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use zbus::message::Message;

/// Bytes that may be on their way to a client; a single reply always may.
pub(super) const WINDOW: usize = 128 << 10;
/// The first pause between two questions about a client that does not read.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// The longest.
const ASK_AGAIN_CAP: Duration = Duration::from_secs(5);
/// How long an answer to a ping is awaited where the bus does not tell.
const PING_PATIENCE: Duration = Duration::from_millis(250);

/// One client's share. Each message carries a mark of the caller's with it.
#[derive(Debug)]
pub(super) struct Flow<T> {
    /// Bytes sent since it was last known what was read.
    unread: usize,
    /// Those of them that were sent after the question that is open.
    since_asked: usize,
    state: Asking,
    /// What waits to be sent.
    held: VecDeque<(Message, Option<T>)>,
    pause: Duration,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// Nobody needs to.
    #[default]
    No,
    /// Somebody should.
    Due,
    /// The question is open; with a time if the answer may never come.
    Open(Option<Instant>),
    /// The client did not read; the question is asked again then.
    Later(Instant),
}

impl<T> Default for Flow<T> {
    fn default() -> Self {
        Self { unread: 0, since_asked: 0, state: Asking::No, held: VecDeque::new(), pause: Duration::ZERO }
    }
}

impl<T> Flow<T> {
    /// A message for the client: given back if it may go now, else held.
    pub(super) fn offer(&mut self, message: (Message, Option<T>)) -> Option<(Message, Option<T>)> {
        if self.held.is_empty() && self.has_room(&message.0) {
            self.count(&message.0);
            return Some(message);
        }
        self.held.push_back(message);
        self.ask_if_needed();
        None
    }

    /// Whether more may be begun for the client.
    pub(super) fn is_open(&self) -> bool {
        self.held.is_empty() && self.unread < WINDOW
    }

    /// Whether the question how much waits should be asked now; then [`asked`](Self::asked) is to be called.
    pub(super) fn wants_to_ask(&self) -> bool {
        self.state == Asking::Due
    }

    /// Whether nothing is to be asked or awaited.
    pub(super) fn is_certain(&self) -> bool {
        self.state == Asking::No
    }

    /// The question was put; `to_client` if by a ping that may never be answered.
    pub(super) fn asked(&mut self, to_client: bool, now: Instant) {
        self.since_asked = 0;
        self.state = Asking::Open(to_client.then(|| now + PING_PATIENCE));
    }

    /// The answer: so many bytes had not been read when the question was put. What may go now comes back.
    pub(super) fn told(&mut self, unread: usize, now: Instant) -> Vec<(Message, Option<T>)> {
        let Asking::Open(_) = self.state else { return Vec::new() };
        self.unread = unread + self.since_asked;
        if unread > WINDOW / 2 {
            self.pause = (self.pause * 2).clamp(ASK_AGAIN, ASK_AGAIN_CAP);
            self.state = Asking::Later(now + self.pause);
        } else {
            self.pause = Duration::ZERO;
            self.state = Asking::No;
        }
        let mut released = Vec::new();
        while self.held.front().is_some_and(|(message, _)| self.has_room(message)) {
            released.extend(self.held.pop_front().inspect(|(message, _)| self.count(message)));
        }
        self.ask_if_needed();
        released
    }

    /// When something is to be done if nothing happens before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            Asking::Open(Some(at)) | Asking::Later(at) => Some(at),
            Asking::No | Asking::Due | Asking::Open(None) => None,
        }
    }

    /// The deadline may have come: what may go now comes back.
    pub(super) fn on_deadline(&mut self, now: Instant) -> Vec<(Message, Option<T>)> {
        match self.state {
            // Nobody can tell whether it reads: it is let have another window.
            Asking::Open(Some(at)) if at <= now => self.told(0, now),
            Asking::Later(at) if at <= now => {
                self.state = Asking::Due;
                Vec::new()
            }
            Asking::No | Asking::Due | Asking::Open(_) | Asking::Later(_) => Vec::new(),
        }
    }

    fn has_room(&self, message: &Message) -> bool {
        self.unread == 0 || self.unread + message.data().len() <= WINDOW
    }

    fn count(&mut self, message: &Message) {
        let size = message.data().len();
        self.unread += size;
        self.since_asked += size;
        self.ask_if_needed();
    }

    fn ask_if_needed(&mut self) {
        let is_needed = !self.held.is_empty() || self.unread > WINDOW / 2;
        if is_needed && self.state == Asking::No {
            self.state = Asking::Due;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        Message::signal("/", "a.b", "C").build(&("x".repeat(bytes),)).expect("a message")
    }

    fn sent(flow: &mut Flow<()>, bytes: usize, times: usize) -> usize {
        let message = message(bytes);
        (0..times).filter_map(|_| flow.offer((message.clone(), None))).count()
    }

    #[test]
    fn a_client_that_reads_is_asked_about_in_time_and_never_held_up() {
        let (mut flow, now) = (Flow::<()>::default(), Instant::now());
        for _ in 0..10_000 {
            assert_eq!(sent(&mut flow, 1000, 1), 1);
            if flow.wants_to_ask() {
                assert!(flow.is_open());
                flow.asked(false, now);
                assert!(!flow.wants_to_ask());
                assert!(flow.told(500, now).is_empty());
            }
        }
        assert!(flow.unread < WINDOW);
    }

    #[test]
    fn a_client_that_does_not_read_gets_a_window_and_the_rest_when_it_does() {
        let (mut flow, now) = (Flow::<()>::default(), Instant::now());
        let went = sent(&mut flow, 1000, 200);
        assert!((100..128).contains(&went), "{went}");
        assert!(!flow.is_open() && flow.wants_to_ask());
        flow.asked(false, now);
        assert_eq!(flow.deadline(), None, "the bus will answer");
        assert!(flow.told(WINDOW, now).is_empty());
        // Asked again and again, ever less often.
        let (mut at, mut pauses) = (now, Vec::new());
        for _ in 0..12 {
            let next = flow.deadline().expect("a time");
            pauses.push(next - at);
            at = next;
            flow.on_deadline(at);
            assert!(flow.wants_to_ask());
            flow.asked(false, at);
            assert!(flow.told(WINDOW, at).is_empty());
        }
        assert_eq!((pauses[0], pauses[1], pauses[11]), (ASK_AGAIN, ASK_AGAIN * 2, ASK_AGAIN_CAP));
        flow.on_deadline(at + ASK_AGAIN_CAP);
        flow.asked(false, at);
        assert_eq!(flow.told(0, at).len(), 200 - went);
        assert!(flow.is_open());
    }

    #[test]
    fn what_was_sent_after_the_question_counts_as_unread() {
        let (mut flow, now) = (Flow::<()>::default(), Instant::now());
        sent(&mut flow, 1000, 70);
        flow.asked(false, now);
        let after = sent(&mut flow, 1000, 200);
        flow.told(0, now);
        assert!(after < 70 && flow.unread >= after * 1000);
        flow.asked(false, now);
        flow.told(WINDOW - 1, now);
        assert!(flow.deadline().is_some(), "it is asked again although nothing more can be sent");
    }

    #[test]
    fn a_single_message_of_any_size_goes() {
        let (mut flow, now) = (Flow::<()>::default(), Instant::now());
        assert_eq!(sent(&mut flow, 10 * WINDOW, 2), 1);
        assert!(flow.wants_to_ask());
        flow.asked(false, now);
        assert_eq!(flow.told(0, now).len(), 1);
    }

    #[test]
    fn what_is_held_behind_little_is_asked_for_too() {
        let (mut flow, now) = (Flow::<()>::default(), Instant::now());
        assert_eq!(sent(&mut flow, 100, 1), 1);
        assert_eq!(sent(&mut flow, WINDOW, 1), 0);
        assert!(flow.wants_to_ask());
        flow.asked(false, now);
        assert_eq!(flow.told(0, now).len(), 1);
    }

    #[test]
    fn one_that_answers_no_pings_gets_a_window_at_intervals() {
        let (mut flow, now) = (Flow::<()>::default(), Instant::now());
        let went = sent(&mut flow, 1000, 300);
        flow.asked(true, now);
        assert_eq!(flow.deadline(), Some(now + PING_PATIENCE));
        assert!(flow.on_deadline(now).is_empty());
        assert_eq!(flow.on_deadline(now + PING_PATIENCE).len(), went);
        assert!(!flow.is_open() && flow.wants_to_ask());
    }
}
