//! Questions that were asked and not answered yet. It sends nothing.

use std::collections::HashMap;
use std::num::NonZeroU32;

use tokio::sync::oneshot;
use zbus::Message;

use super::line::Service;

/// A service that owes so many answers is asked nothing more until it gives one: the bus lets us have 128 questions open,
/// and others are to be asked too.
const MOST_OWED: usize = 8;

/// A question that was asked: who waits, if anybody still does, and of whom.
#[derive(Debug)]
struct Asked {
    waits: oneshot::Sender<Message>,
    of: &'static Service,
}

/// The questions without an answer, by the serial numbers of their messages.
#[derive(Debug, Default)]
pub(super) struct Questions(HashMap<NonZeroU32, Asked>);

impl Questions {
    /// One more; `None` if its service owes too many answers that nobody waits for any more.
    pub(super) fn ask(&mut self, serial: NonZeroU32, of: &'static Service) -> Option<oneshot::Receiver<Message>> {
        let owes = |asked: &&Asked| std::ptr::eq(asked.of, of) && asked.waits.is_closed();
        if self.0.values().filter(owes).count() >= MOST_OWED {
            return None;
        }
        let (waits, answer) = oneshot::channel();
        self.0.insert(serial, Asked { waits, of });
        Some(answer)
    }

    /// Hands an answer over. If nobody waits for it any more, its service has found its voice again: which that is.
    pub(super) fn answered(&mut self, answer: Message) -> Option<&'static Service> {
        let serial = answer.header().reply_serial()?;
        let Asked { waits, of } = self.0.remove(&serial)?;
        waits.send(answer).is_err().then_some(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ONE: Service = Service { names: &["org.example.One"], paths: &["/org/example/One"], hints: &[] };
    static TWO: Service = Service { names: &["org.example.Two"], paths: &["/org/example/Two"], hints: &[] };

    fn question() -> Message {
        Message::method_call("/", "Get").sender(":1.1").build(&()).unwrap()
    }

    fn ask(questions: &mut Questions, of: &'static Service) -> (Message, Option<oneshot::Receiver<Message>>) {
        let question = question();
        let answer = questions.ask(question.primary_header().serial_num(), of);
        (question, answer)
    }

    fn answer(question: &Message) -> Message {
        Message::method_return(&question.header()).build(&()).unwrap()
    }

    #[test]
    fn one_that_owes_many_answers_is_asked_no_more_until_it_gives_one() {
        let mut questions = Questions::default();
        let given_up: Vec<Message> = (0..MOST_OWED).map(|_| ask(&mut questions, &ONE).0).collect();
        assert!(ask(&mut questions, &ONE).1.is_none());
        let (other, mut answered) = ask(&mut questions, &TWO);
        assert!(questions.answered(answer(&other)).is_none(), "somebody waits for that");
        assert!(answered.as_mut().unwrap().try_recv().is_ok());
        assert!(questions.answered(answer(&other)).is_none(), "nor is an answer given twice");
        let late = questions.answered(answer(&given_up[3])).unwrap();
        assert!(std::ptr::eq(late, &ONE));
        assert!(ask(&mut questions, &ONE).1.is_some());
    }
}
