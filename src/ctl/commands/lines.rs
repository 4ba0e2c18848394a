//! Which lines of input were sent, acknowledged, refused or lost; pure. Lines are sent in order, a bounded number at once,
//! and reported in order. After a loss everything unacknowledged is sent again in order, so a later line never reaches
//! another daemon before an earlier one.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use crate::ctl::exit::Failure;

/// The most calls on their way at once.
pub(super) const WINDOW: usize = 64;

/// A line of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number, from 1.
    pub(super) number: usize,
    /// The payload.
    pub(super) payload: String,
}

/// How a line was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// On disk under this id.
    Acknowledged(String),
    /// Refused.
    Refused(Failure),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    Unsent,
    /// By the call of this number, to the daemon of this unique name.
    Sent {
        serial: NonZeroU32,
        to: String,
    },
    Answered(Answer),
}

/// The lines that are not reported yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: VecDeque<(Line, Progress)>,
}

impl Lines {
    /// Takes the next line of input.
    pub(super) fn push(&mut self, line: Line) {
        self.lines.push_back((line, Progress::Unsent));
    }

    /// Whether another line of input is wanted.
    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < WINDOW
    }

    /// Whether every line taken was reported.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line to send to this daemon now; none while an answer of an earlier daemon is outstanding.
    pub(super) fn to_send(&self, owner: &str) -> Option<&Line> {
        let elsewhere = |(_, progress): &(Line, Progress)| matches!(progress, Progress::Sent { to, .. } if to != owner);
        if self.lines.iter().any(elsewhere) {
            return None;
        }
        self.lines.iter().find(|(_, progress)| *progress == Progress::Unsent).map(|(line, _)| line)
    }

    /// This line was sent.
    pub(super) fn sent(&mut self, number: usize, serial: NonZeroU32, to: &str) {
        if let Some((_, progress)) = self.lines.iter_mut().find(|(line, _)| line.number == number) {
            *progress = Progress::Sent { serial, to: to.to_owned() };
        }
    }

    /// A call was answered; false if it was none of ours.
    pub(super) fn answered(&mut self, call: NonZeroU32, answer: Answer) -> bool {
        self.settle(call, Progress::Answered(answer)).is_some()
    }

    /// A line is answered without having been sent.
    pub(super) fn settled(&mut self, number: usize, answer: Answer) {
        if let Some((_, progress)) = self.lines.iter_mut().find(|(line, _)| line.number == number) {
            *progress = Progress::Answered(answer);
        }
    }

    /// A call got no answer because the daemon of the unique name given back went away; `None` if it was none of ours.
    pub(super) fn lost(&mut self, call: NonZeroU32) -> Option<String> {
        self.settle(call, Progress::Unsent)
    }

    fn settle(&mut self, call: NonZeroU32, after: Progress) -> Option<String> {
        let ours = |progress: &Progress| matches!(progress, Progress::Sent { serial, .. } if *serial == call);
        let (_, progress) = self.lines.iter_mut().find(|(_, progress)| ours(progress))?;
        match std::mem::replace(progress, after) {
            Progress::Sent { to, .. } => Some(to),
            Progress::Unsent | Progress::Answered(_) => None,
        }
    }

    /// Whether calls are on their way.
    pub(super) fn in_flight(&self) -> bool {
        self.lines.iter().any(|(_, progress)| matches!(progress, Progress::Sent { .. }))
    }

    /// The next line to report, once all before it are.
    pub(super) fn pop(&mut self) -> Option<(usize, Answer)> {
        if !matches!(self.lines.front(), Some((_, Progress::Answered(_)))) {
            return None;
        }
        match self.lines.pop_front() {
            Some((line, Progress::Answered(answer))) => Some((line.number, answer)),
            _ => None,
        }
    }

    /// Gives up: what was answered behind a line that was not, and the numbers of those that were not.
    pub(super) fn abandon(self) -> (Vec<(usize, Answer)>, Vec<usize>) {
        let (mut answered, mut open) = (Vec::new(), Vec::new());
        for (line, progress) in self.lines {
            match progress {
                Progress::Answered(answer) => answered.push((line.number, answer)),
                Progress::Unsent | Progress::Sent { .. } => open.push(line.number),
            }
        }
        (answered, open)
    }
}

/// `1-3, 5, 8-9`.
pub(super) fn ranges(numbers: &[usize]) -> String {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let show = |(first, last): &(usize, usize)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(show).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serial(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    fn with(count: usize) -> Lines {
        let mut lines = Lines::default();
        (1..=count).for_each(|number| lines.push(Line { number, payload: format!("{{\"n\":{number}}}") }));
        lines
    }

    /// Sends all that may go to `owner`; call n + `offset` carries line n.
    fn send(lines: &mut Lines, owner: &str, offset: u32) -> Vec<usize> {
        let mut sent = Vec::new();
        while let Some(number) = lines.to_send(owner).map(|line| line.number) {
            lines.sent(number, serial(u32::try_from(number).unwrap() + offset), owner);
            sent.push(number);
        }
        sent
    }

    fn acknowledged(id: &str) -> Answer {
        Answer::Acknowledged(id.to_owned())
    }

    #[test]
    fn lines_are_sent_and_reported_in_order() {
        let mut lines = with(3);
        assert_eq!(send(&mut lines, ":1.1", 0), [1, 2, 3]);
        assert!(lines.answered(serial(2), acknowledged("b")));
        assert_eq!(lines.pop(), None);
        assert!(lines.answered(serial(1), acknowledged("a")));
        assert_eq!(lines.pop(), Some((1, acknowledged("a"))));
        assert_eq!(lines.pop(), Some((2, acknowledged("b"))));
        assert_eq!(lines.pop(), None);
        assert!(!lines.is_empty());
        assert!(!lines.answered(serial(9), acknowledged("x")));
    }

    #[test]
    fn the_window_is_bounded() {
        assert!(with(WINDOW - 1).has_room());
        assert!(!with(WINDOW).has_room());
    }

    #[test]
    fn after_a_loss_all_that_is_open_goes_again_in_order_once_the_old_daemon_is_silent() {
        let mut lines = with(4);
        send(&mut lines, ":1.1", 0);
        lines.answered(serial(1), acknowledged("a"));
        assert_eq!(lines.lost(serial(2)), Some(":1.1".to_owned()));
        assert_eq!(lines.to_send(":1.2"), None, "3 and 4 may still be answered");
        lines.answered(serial(3), acknowledged("c"));
        lines.lost(serial(4));
        assert!(!lines.in_flight());
        assert_eq!(send(&mut lines, ":1.2", 100), [2, 4]);
        lines.answered(serial(102), acknowledged("b"));
        lines.answered(serial(104), acknowledged("d"));
        let reported: Vec<_> = std::iter::from_fn(|| lines.pop()).map(|(number, _)| number).collect();
        assert_eq!(reported, [1, 2, 3, 4]);
    }

    #[test]
    fn giving_up_tells_answered_from_open() {
        let mut lines = with(3);
        send(&mut lines, ":1.1", 0);
        let refused = || Answer::Refused(Failure::from_bus("org.ferryd.Ferry1.Error.QueueFull", "no"));
        lines.answered(serial(2), refused());
        assert_eq!(lines.abandon(), (vec![(2, refused())], vec![1, 3]));
    }

    #[test]
    fn ranges_are_short() {
        assert_eq!(ranges(&[1, 2, 3, 5, 8, 9]), "1-3, 5, 8-9");
        assert_eq!(ranges(&[]), "");
    }
}
