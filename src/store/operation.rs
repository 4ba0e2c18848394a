//! An operation on the queue, from the caller to the writer and back.

use std::future::Future;

use tokio::sync::oneshot;

use super::error::StoreError;
use super::work::Work;

/// Why an operation did not happen.
#[derive(Debug)]
pub(super) enum Fault<R> {
    /// What was asked cannot be; the caller is told why, and others of the group are not concerned.
    Refused(R),
    /// The database failed; the transaction must be undone.
    Broken(rusqlite::Error),
}

impl<R> From<rusqlite::Error> for Fault<R> {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error)
    }
}

/// Something to be done to the queue in a transaction. It may be run again if that transaction is undone.
pub(super) trait Operation: Send + 'static {
    /// What the caller is told.
    type Answer: Send + 'static;
    /// What the caller is told if it cannot be.
    type Refusal: From<StoreError> + Send + 'static;

    /// What it does, as the beginning of an error's text.
    const DOING: &'static str;
    /// Whether it only adds work. On a full disk such an operation is refused, so that others can end what there is.
    const ADDS: bool = false;

    /// Whether its effect must outlive a power cut before the caller is answered.
    const DURABLE: bool = true;

    /// Whether it may be refused after it has written something: then it is run in a savepoint.
    fn needs_savepoint(&self) -> bool {
        false
    }

    /// About how many bytes it writes; 0 for little.
    fn weight(&self) -> usize {
        0
    }

    /// Does it.
    fn run(&self, work: &mut Work<'_>) -> Result<Self::Answer, Fault<Self::Refusal>>;
}

/// How an operation went within its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Went {
    /// It took effect.
    Through,
    /// It was refused.
    Refused,
}

/// An operation that waits for its turn or for the commit, whatever its kind.
pub(super) trait Job: Send {
    /// Runs it and keeps what it gave.
    fn run(&mut self, work: &mut Work<'_>) -> rusqlite::Result<Went>;
    /// See [`Operation::needs_savepoint`].
    fn needs_savepoint(&self) -> bool;
    /// See [`Operation::weight`].
    fn weight(&self) -> usize;
    /// See [`Operation::ADDS`].
    fn adds(&self) -> bool;
    /// See [`Operation::DURABLE`].
    fn durable(&self) -> bool;
    /// See [`Operation::DOING`].
    fn doing(&self) -> &'static str;
    /// Whatever it gave, this is the answer.
    fn refuse(&mut self, error: StoreError);
    /// Tells the caller, if it still listens.
    fn answer(self: Box<Self>);
}

/// What the caller of an operation gets.
type Outcome<O> = Result<<O as Operation>::Answer, <O as Operation>::Refusal>;

struct Asked<O: Operation> {
    operation: O,
    outcome: Option<Outcome<O>>,
    reply: oneshot::Sender<Outcome<O>>,
}

impl<O: Operation> Job for Asked<O> {
    fn run(&mut self, work: &mut Work<'_>) -> rusqlite::Result<Went> {
        let (outcome, went) = match self.operation.run(work) {
            Ok(answer) => (Ok(answer), Went::Through),
            Err(Fault::Refused(refusal)) => (Err(refusal), Went::Refused),
            Err(Fault::Broken(error)) => return Err(error),
        };
        self.outcome = Some(outcome);
        Ok(went)
    }

    fn needs_savepoint(&self) -> bool {
        self.operation.needs_savepoint()
    }

    fn weight(&self) -> usize {
        self.operation.weight()
    }

    fn adds(&self) -> bool {
        O::ADDS
    }

    fn durable(&self) -> bool {
        O::DURABLE
    }

    fn doing(&self) -> &'static str {
        O::DOING
    }

    fn refuse(&mut self, error: StoreError) {
        self.outcome = Some(Err(error.into()));
    }

    fn answer(self: Box<Self>) {
        if let Some(outcome) = self.outcome {
            // A caller that stopped listening loses only the answer.
            let _ = self.reply.send(outcome);
        }
    }
}

/// Makes a job of the operation, and the channel of its answer.
pub(super) fn job<O: Operation>(operation: O) -> (Box<dyn Job>, oneshot::Receiver<Outcome<O>>) {
    let (reply, answer) = oneshot::channel();
    (Box::new(Asked { operation, outcome: None, reply }), answer)
}

/// Makes a job of the operation, and the future of its answer.
pub(super) fn ask<O: Operation>(operation: O) -> (Box<dyn Job>, impl Future<Output = Outcome<O>> + Send + 'static) {
    let (job, answer) = job(operation);
    let answer = async move {
        // The thread went away with the job.
        answer.await.unwrap_or_else(|_| Err(StoreError::Stopped { doing: O::DOING }.into()))
    };
    (job, answer)
}
