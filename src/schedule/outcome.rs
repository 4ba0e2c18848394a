//! What an answer means: DESIGN section 5 as one total table. It decides; the scheduler applies.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{Answer, Cut, Failure, ItemOutcome, ItemResult, TaskError, TaskId, TaskResult};

/// Whether the URL has proved to be the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// It gave the documented answer since the configuration was loaded.
    Proven,
    /// It has not yet.
    Unproven,
}

/// What an answer means for tasks, backend and batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// One decision a task, in the order of the attempt.
    pub(super) tasks: Vec<(TaskId, Decision)>,
    pub(super) backend: Verdict,
    pub(super) batch: Blame,
}

/// What becomes of a task.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    /// The server has it.
    Done(TaskResult),
    /// The server answered about it and wants it again: an attempt is counted.
    Retry { after: Option<Duration>, error: String },
    /// The server has more of it than before, and wants the rest later: nothing is counted, and the count is 0 again.
    Advance { after: Option<Duration>, error: String },
    /// The device was not ready for it: nothing is counted.
    Postpone { after: Duration, error: String },
    /// The server will never take it.
    Fail(TaskError),
    /// Nothing is counted; `cause` goes to its history unless empty.
    Release { cause: String },
}

/// What is known of the backend now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It speaks the documented protocol: up, and the URL is proven.
    Proven,
    /// It answers.
    Up,
    /// It does not work; an outage began or goes on.
    Ill { ill: Ill, words: String, retry_after: Option<Duration> },
    /// Nothing was learnt.
    Unchanged,
}

/// What ails a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ill {
    /// No answer, or none that makes sense: `backend-down`.
    Down,
    /// It wants another credential: `backend-auth`.
    Auth,
    /// Its certificate is not trusted: `backend-tls`.
    Tls,
    /// Nothing of ours lives at this URL: `backend-config`.
    Config,
}

/// What is known about the batch as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// The server spoke about each of its tasks.
    Spoken,
    /// One of several tasks must be to blame, nobody knows which.
    Someone,
    /// The only task is to blame.
    Lone,
    /// It says nothing about the tasks.
    Nobody,
}

/// Judges what came back for an attempt that carried `batch` (at least one task).
pub(super) fn judge(answer: Answer, batch: &[TaskId], endpoint: Endpoint) -> Outcome {
    match answer {
        // The server took the request apart and spoke about every task of it.
        Answer::Results(results) if speaks_of_each(&results, batch) => {
            Outcome { tasks: in_order(results, batch), backend: Verdict::Proven, batch: Blame::Spoken }
        }
        // It spoke about other tasks than those we sent: whatever this is, it is not our protocol.
        Answer::Results(_) => ill(batch, Ill::Down, "the answer names other tasks than the request".to_owned(), None),
        // The server, or something before it, answered with a bare status.
        Answer::Status { code, words, retry_after } => judge_status(code, &words, retry_after, batch, endpoint),
        // Somebody else answered: a portal, a proxy, a load balancer's error page. The task never arrived.
        Answer::Foreign { words } => ill(batch, Ill::Down, words, None),
        // The server is away, or the way to it is broken.
        Answer::Unreachable { words } => ill(batch, Ill::Down, words, None),
        // Somebody else holds this address, or the trusted roots are the wrong ones; nothing was sent.
        Answer::Untrusted { words } => ill(batch, Ill::Tls, words, None),
        // The token is missing from this device; nothing was sent.
        Answer::NoCredential { words } => ill(batch, Ill::Auth, words, None),
        // The server knows its keys, and not ours, or not any more.
        Answer::Unauthorized { words } => ill(batch, Ill::Auth, words, None),
        // The right server, and no place of ours there: no task is to blame.
        Answer::Misplaced { words } => ill(batch, Ill::Config, words, None),
        // No server was asked. Others may be: what they carry needs nothing made of it.
        Answer::Unready { words, after } => unsent(batch, &Decision::Postpone { after, error: words }),
        Answer::Withheld { words } => unsent(batch, &Decision::Fail(TaskError { failure: Failure::Rejected, words })),
        // More of the file arrived than before; then that.
        Answer::Advanced(end) => advanced(judge(*end, batch, endpoint)),
        // We hung up; what the server did until then, its duplicate check will tell us.
        Answer::Cut(cut) => {
            Outcome { tasks: release(batch, cause_of(cut)), backend: Verdict::Unchanged, batch: Blame::Nobody }
        }
    }
}

/// A status as section 5 groups them.
enum Class {
    /// 401, 403, 407.
    Credential,
    /// 404, 405, 410: nothing lives there, or the task's target is gone.
    Absent,
    /// 501: nothing lives there that could do this, or not with this task.
    NotImplemented,
    /// 409, 412.
    Conflict,
    /// 500, 505, 507.
    Stumbled,
    /// 408, 425, 429, 502, 503, 504, and 5xx that no standard knows of a server.
    Outage,
    /// Any other 4xx.
    Refused,
    /// No status of an error.
    Nonsense,
}

fn class_of(code: u16) -> Class {
    match code {
        401 | 403 | 407 => Class::Credential,
        404 | 405 | 410 => Class::Absent,
        501 => Class::NotImplemented,
        409 | 412 => Class::Conflict,
        500 | 505 | 507 => Class::Stumbled,
        408 | 425 | 429 | 502..=504 | 506 | 508..=510 | 512..=599 => Class::Outage,
        400 | 402 | 406 | 411 | 413..=424 | 426..=428 | 430..=499 => Class::Refused,
        // 511 is a captive portal's own (RFC 6585, section 6).
        0..=399 | 511 | 600..=u16::MAX => Class::Nonsense,
    }
}

fn judge_status(
    code: u16,
    words: &str,
    retry_after: Option<Duration>,
    batch: &[TaskId],
    endpoint: Endpoint,
) -> Outcome {
    let said = if words.is_empty() { format!("status {code}") } else { format!("status {code}: {words}") };
    let retry = Decision::Retry { after: retry_after, error: said.clone() };
    let fail = |failure| Decision::Fail(TaskError { failure, words: said.clone() });
    match (class_of(code), endpoint) {
        // The whole request was turned away at the door: our credential is to blame, no task is.
        (Class::Credential, Endpoint::Proven | Endpoint::Unproven) => ill(batch, Ill::Auth, said, None),
        // Nothing has ever worked here: most likely the URL is wrong.
        (Class::Absent | Class::NotImplemented, Endpoint::Unproven) => ill(batch, Ill::Config, said, None),
        // The endpoint is right, so it is what this task asks for that does not exist.
        (Class::Absent, Endpoint::Proven) => item_level(batch, fail(Failure::Rejected), said),
        // The endpoint is right, and cannot do this with this task today.
        (Class::NotImplemented, Endpoint::Proven) => item_level(batch, retry, said),
        // The server holds something else under the task's name.
        (Class::Conflict, Endpoint::Proven | Endpoint::Unproven) => item_level(batch, fail(Failure::Conflict), said),
        // The server stumbled over something in the request; it answers others.
        (Class::Stumbled, Endpoint::Proven | Endpoint::Unproven) => item_level(batch, retry, said),
        // The server, or a proxy before it, is overloaded or away: nobody looked at the task.
        (Class::Outage, Endpoint::Proven | Endpoint::Unproven) => ill(batch, Ill::Down, said, retry_after),
        // The server read the request and will not have it.
        (Class::Refused, Endpoint::Proven | Endpoint::Unproven) => item_level(batch, fail(Failure::Rejected), said),
        // No server of ours says this.
        (Class::Nonsense, Endpoint::Proven | Endpoint::Unproven) => ill(batch, Ill::Down, said, None),
    }
}

/// A status that speaks about what was sent: a lone task takes it as its own, several are not told apart.
fn item_level(batch: &[TaskId], lone: Decision, said: String) -> Outcome {
    match batch {
        [task] => Outcome { tasks: vec![(*task, lone)], backend: Verdict::Up, batch: Blame::Lone },
        several => Outcome {
            tasks: release(several, format!("{said} (for {} tasks together)", several.len())),
            backend: Verdict::Up,
            batch: Blame::Someone,
        },
    }
}

fn ill(batch: &[TaskId], ill: Ill, words: String, retry_after: Option<Duration>) -> Outcome {
    Outcome {
        tasks: release(batch, words.clone()),
        backend: Verdict::Ill { ill, words, retry_after },
        batch: Blame::Nobody,
    }
}

fn unsent(batch: &[TaskId], decision: &Decision) -> Outcome {
    let tasks = batch.iter().map(|task| (*task, decision.clone())).collect();
    Outcome { tasks, backend: Verdict::Unchanged, batch: Blame::Nobody }
}

/// An upload that has come further: what the server says of the task counts nothing, and it starts counting anew.
fn advanced(mut outcome: Outcome) -> Outcome {
    for (_, decision) in &mut outcome.tasks {
        if let Decision::Retry { after, error } = decision {
            *decision = Decision::Advance { after: *after, error: std::mem::take(error) };
        }
    }
    outcome
}

fn release(batch: &[TaskId], cause: String) -> Vec<(TaskId, Decision)> {
    batch.iter().map(|task| (*task, Decision::Release { cause: cause.clone() })).collect()
}

fn cause_of(cut: Cut) -> String {
    match cut {
        Cut::Link => "the link went, or became another",
        Cut::Condition => "a condition went missing",
        Cut::Unreached => "the network does not reach the server",
        Cut::Paused => "paused",
        // Its owner knows.
        Cut::Withdrawn => "",
        Cut::Shutdown => "the daemon stopped",
    }
    .to_owned()
}

fn speaks_of_each(results: &[ItemResult], batch: &[TaskId]) -> bool {
    let told: BTreeSet<TaskId> = results.iter().map(|result| result.id).collect();
    results.len() == batch.len() && batch.iter().all(|task| told.contains(task))
}

fn in_order(results: Vec<ItemResult>, batch: &[TaskId]) -> Vec<(TaskId, Decision)> {
    let mut tasks: Vec<_> = results.into_iter().map(|result| (result.id, decide(result.outcome))).collect();
    tasks.sort_by_key(|(id, _)| batch.iter().position(|task| task == id));
    tasks
}

fn decide(outcome: ItemOutcome) -> Decision {
    match outcome {
        // It arrived.
        ItemOutcome::Ok(result) => Decision::Done(result),
        // It arrived earlier, and we did not hear so.
        ItemOutcome::Duplicate => {
            Decision::Done(TaskResult { status: 200, duplicate: true, body: String::new(), upload: None })
        }
        // The server looked at it and could not take it now.
        ItemOutcome::Retry { after, reason } => Decision::Retry { after, error: reason },
        // The server looked at it and never will.
        ItemOutcome::Rejected { reason } => Decision::Fail(TaskError { failure: Failure::Rejected, words: reason }),
        // The server looked at it and holds something else.
        ItemOutcome::Conflict { reason } => Decision::Fail(TaskError { failure: Failure::Conflict, words: reason }),
    }
}
