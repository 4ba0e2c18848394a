//! What an answer speaks of: DESIGN section 5 once more, in few words.

use crate::model::{Answer, ItemOutcome, TaskId};

/// The server's word about one of so many tasks; `None`: it spoke of none alone.
pub(super) fn word_about(answer: &Answer, id: TaskId, batch: usize) -> Option<ItemOutcome> {
    let reason = String::new();
    if let Answer::Results(results) = plain(answer) {
        return results.iter().find(|result| result.id == id).map(|result| result.outcome.clone());
    }
    let Answer::Status { code, .. } = plain(answer) else { return None };
    match code {
        _ if batch > 1 => None,
        500 | 501 | 505 | 507 => Some(ItemOutcome::Retry { after: None, reason }),
        409 | 412 => Some(ItemOutcome::Conflict { reason }),
        code => speaks_of_tasks(*code).then_some(ItemOutcome::Rejected { reason }),
    }
}

fn plain(answer: &Answer) -> &Answer {
    if let Answer::Advanced(end) = answer { plain(end) } else { answer }
}

/// What an answer speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// Each task for itself.
    EachTask,
    /// What was sent, as a whole.
    Request,
    /// The server, the way to it, or our credential.
    Server,
    /// We hung up.
    Nothing,
}

pub(super) fn subject(answer: &Answer) -> Subject {
    match answer {
        Answer::Results(_) => Subject::EachTask,
        Answer::Status { code, .. } if speaks_of_tasks(*code) => Subject::Request,
        Answer::Status { .. }
        | Answer::Foreign { .. }
        | Answer::Unreachable { .. }
        | Answer::Untrusted { .. }
        | Answer::NoCredential { .. }
        | Answer::Unauthorized { .. }
        | Answer::Misplaced { .. } => Subject::Server,
        Answer::Cut(_) | Answer::Unready { .. } | Answer::Withheld { .. } => Subject::Nothing,
        Answer::Advanced(end) => subject(end),
    }
}

/// Whether a status says something about what was sent, and not about the server, the way to it or the credential.
fn speaks_of_tasks(code: u16) -> bool {
    let of_server = [401, 403, 404, 405, 407, 408, 410, 425, 429, 502, 503, 504];
    (400..=507).contains(&code) && !of_server.contains(&code)
}
