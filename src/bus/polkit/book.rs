//! What polkit said of whom, and what it was asked and has not answered.
//!
//! Pure: times and answers come in. The rules:
//! - An answer that was given without asking a person is kept for [`KEPT`], and no longer than the client stays, polkit is
//!   the same process and it has not said that something changed. That a person agreed is not kept here: whether once
//!   counts for more is polkit's to say.
//! - Of one client and one action there is one open question, whoever waits for its answer; or two, one in which polkit may
//!   ask a person and one in which it may not.
//! - A question nobody waits for any more stays in the book until polkit has answered, since the bus counts it as long: one
//!   connection may have 128 open, and if all were polkit's, the bus could not tell us any more who calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::access::{Action, Interaction};

/// How long an answer is taken for true.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// The same of a question that polkit failed to answer.
pub(super) const FAILURE_KEPT: Duration = Duration::from_secs(10);
/// How long polkit has to answer on its own.
pub(super) const ALONE: Duration = Duration::from_secs(5);
/// How long a person has to answer; `ferryctl` waits ten seconds more.
pub(super) const PERSON: Duration = Duration::from_secs(110);
/// The most questions that are open.
pub(super) const OPEN: usize = 64;
/// The most of them about the connections of one user.
pub(super) const OPEN_OF_A_USER: usize = 16;

/// What polkit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Answer {
    /// It may.
    Yes,
    /// It may not.
    No {
        /// It might if a person proved who they are.
        challenge: bool,
    },
    /// There is no polkit on this bus.
    Absent,
    /// Polkit is there and did not say; why, as the end of a sentence.
    Failed(String),
}

/// About whom polkit is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Subject {
    /// The unique name of its connection.
    pub(in super::super) client: Arc<str>,
    /// Its user.
    pub(in super::super) uid: u32,
}

/// A question's name.
pub(super) type Number = u64;

/// What becomes of a wish to know.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<W> {
    /// The same is asked already; it waits for that answer.
    Joined,
    /// It waits for the answer to this question, which is now to be asked.
    New(Number),
    /// Too many questions are open.
    Full(W),
}

/// A question whose answer nobody awaits any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenUp<W> {
    pub(super) number: Number,
    pub(super) interaction: Interaction,
    /// Who waited.
    pub(super) by: Vec<W>,
}

/// The book. Each waiting call is a `W`.
#[derive(Debug)]
pub(super) struct Book<W> {
    known: BTreeMap<Arc<str>, BTreeMap<Action, (Answer, Instant)>>,
    open: BTreeMap<Number, Question<W>>,
    last: Number,
}

#[derive(Debug)]
struct Question<W> {
    subject: Subject,
    action: Action,
    interaction: Interaction,
    /// Whether nothing has changed since it was asked.
    is_fresh: bool,
    state: State<W>,
}

#[derive(Debug)]
enum State<W> {
    Awaited { by: Vec<W>, until: Instant },
    GivenUp,
}

impl<W> Default for Book<W> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), open: BTreeMap::new(), last: 0 }
    }
}

impl<W> Book<W> {
    /// What is known and needs no question. What polkit said without asking a person does not tell what a person would.
    pub(super) fn known(
        &self,
        client: &str,
        action: Action,
        interaction: Interaction,
        now: Instant,
    ) -> Option<&Answer> {
        let (answer, until) = self.known.get(client)?.get(&action)?;
        let tells = match answer {
            Answer::Yes | Answer::Absent => true,
            Answer::No { .. } | Answer::Failed(_) => interaction == Interaction::Forbidden,
        };
        (tells && now < *until).then_some(answer)
    }

    /// Somebody wishes to know.
    pub(super) fn ask(
        &mut self,
        subject: &Subject,
        action: Action,
        interaction: Interaction,
        waiter: W,
        now: Instant,
    ) -> Asked<W> {
        for question in self.open.values_mut() {
            if question.is(subject, action, interaction)
                && let State::Awaited { by, .. } = &mut question.state
            {
                by.push(waiter);
                return Asked::Joined;
            }
        }
        let of_this_user = self.open.values().filter(|question| question.subject.uid == subject.uid).count();
        if self.open.len() >= OPEN || of_this_user >= OPEN_OF_A_USER {
            return Asked::Full(waiter);
        }
        let state = State::Awaited { by: vec![waiter], until: now + patience(interaction) };
        let question = Question { subject: subject.clone(), action, interaction, is_fresh: true, state };
        self.last += 1;
        self.open.insert(self.last, question);
        Asked::New(self.last)
    }

    /// An answer came: who waited for it, in the order in which they asked. One that comes late is good to know all the same.
    pub(super) fn answered(&mut self, number: Number, answer: &Answer, now: Instant) -> Vec<W> {
        let Some(Question { subject, action, interaction, is_fresh, state }) = self.open.remove(&number) else {
            return Vec::new();
        };
        let is_failure = matches!(answer, Answer::Failed(_));
        let (by, is_late) = match state {
            State::Awaited { by, .. } => (by, false),
            State::GivenUp => (Vec::new(), true),
        };
        match interaction {
            Interaction::Forbidden if is_fresh && !(is_late && is_failure) => {
                self.keep(&subject.client, action, answer.clone(), now);
            }
            // Polkit may have been told to remember that: what it said before is no longer true.
            Interaction::Allowed if *answer == Answer::Yes => {
                if let Some(known) = self.known.get_mut(&subject.client) {
                    known.remove(&action);
                }
            }
            Interaction::Forbidden | Interaction::Allowed => {}
        }
        by
    }

    /// Something changed: what is known need not be true any more, nor what is being answered.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.open.values_mut().for_each(|question| question.is_fresh = false);
    }

    /// A client left.
    pub(super) fn left(&mut self, client: &str) -> Vec<GivenUp<W>> {
        self.known.remove(client);
        let about = |question: &Question<W>| *question.subject.client == *client;
        self.open.values_mut().filter(|question| about(question)).for_each(|question| question.is_fresh = false);
        self.give_up(|question, _| about(question))
    }

    /// When the first question is given up if no answer comes.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let until = |question: &Question<W>| match question.state {
            State::Awaited { until, .. } => Some(until),
            State::GivenUp => None,
        };
        self.open.values().filter_map(until).min()
    }

    /// Gives up the questions whose time has passed; who asks the same soon is told at once.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<GivenUp<W>> {
        let given_up = self.give_up(|_, until| until <= now);
        for GivenUp { number, interaction, .. } in &given_up {
            let Some(question) = self.open.get(number) else { continue };
            if question.is_fresh && *interaction == Interaction::Forbidden {
                let (client, action) = (question.subject.client.clone(), question.action);
                self.keep(&client, action, silence(*interaction), now);
            }
        }
        given_up
    }

    /// Gives up all questions.
    pub(super) fn close(&mut self) -> Vec<GivenUp<W>> {
        self.give_up(|_, _| true)
    }

    fn keep(&mut self, client: &Arc<str>, action: Action, answer: Answer, now: Instant) {
        let until = now + if matches!(answer, Answer::Failed(_)) { FAILURE_KEPT } else { KEPT };
        self.known.entry(client.clone()).or_default().insert(action, (answer, until));
    }

    fn give_up(&mut self, which: impl Fn(&Question<W>, Instant) -> bool) -> Vec<GivenUp<W>> {
        let mut given_up = Vec::new();
        for (number, question) in &mut self.open {
            let State::Awaited { until, .. } = question.state else { continue };
            if which(question, until)
                && let State::Awaited { by, .. } = std::mem::replace(&mut question.state, State::GivenUp)
            {
                given_up.push(GivenUp { number: *number, interaction: question.interaction, by });
            }
        }
        given_up
    }
}

impl<W> Question<W> {
    fn is(&self, subject: &Subject, action: Action, interaction: Interaction) -> bool {
        self.subject == *subject && self.action == action && self.interaction == interaction
    }
}

/// What is said of a question whose time has passed.
pub(super) fn silence(interaction: Interaction) -> Answer {
    Answer::Failed(format!("there was no answer within {} s", patience(interaction).as_secs()))
}

const fn patience(interaction: Interaction) -> Duration {
    match interaction {
        Interaction::Forbidden => ALONE,
        Interaction::Allowed => PERSON,
    }
}
