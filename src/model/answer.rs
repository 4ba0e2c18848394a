//! What came back from one attempt: facts only; `schedule::outcome` decides what they mean.

use std::time::Duration;

use super::{TaskId, TaskResult};

/// What one attempt brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// 2xx with the documented body: one result for each task of the attempt, each id once.
    Results(Vec<ItemResult>),
    /// Another status than 2xx and 3xx.
    Status {
        /// The status code.
        code: u16,
        /// The body's text, at most 4 KiB, control characters escaped.
        words: String,
        /// What `Retry-After` asked for.
        retry_after: Option<Duration>,
    },
    /// 2xx with another body, wrong ids, HTML; a redirect that was not followed.
    Foreign {
        /// What was wrong with it.
        words: String,
    },
    /// No answer: timeout, refused, reset, DNS failure, cut off, endless.
    Unreachable {
        /// What happened.
        words: String,
    },
    /// The server's certificate is not trusted.
    Untrusted {
        /// What the TLS library said.
        words: String,
    },
    /// The credential that config names cannot be read; nothing was sent.
    NoCredential {
        /// Which, and why.
        words: String,
    },
    /// The server will not have the credential, and says so in another way than by 401, 403 or 407.
    Unauthorized {
        /// What it said.
        words: String,
    },
    /// The server has not what config names at it: a bucket, a region.
    Misplaced {
        /// What it said.
        words: String,
    },
    /// Nothing was sent: this device could not make ready what is to go, such as for want of space.
    Unready {
        /// What stood in the way.
        words: String,
        /// When to look again.
        after: Duration,
    },
    /// Nothing was sent: what is to go may not.
    Withheld {
        /// Why.
        words: String,
    },
    /// The server has more of the file than it had before; what ended the attempt all the same.
    Advanced(Box<Answer>),
    /// We ended it ourselves.
    Cut(Cut),
}

/// Why we ended an attempt ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The link went, or became another.
    Link,
    /// A condition went missing.
    Condition,
    /// The network does not reach the server: a portal answered, or nobody.
    Unreached,
    /// An admin paused it.
    Paused,
    /// All its tasks were cancelled.
    Withdrawn,
    /// The daemon stops.
    Shutdown,
}

/// What an upload is to do where a chunk of its file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtChunk {
    /// Begin the next.
    #[default]
    GoOn,
    /// Begin none until told.
    Wait,
    /// End, as cut for this.
    End(Cut),
}

/// The server's word about one task.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemResult {
    /// Which task.
    pub id: TaskId,
    /// The word.
    pub outcome: ItemOutcome,
}

/// The server's word.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemOutcome {
    /// Taken.
    Ok(TaskResult),
    /// Taken before.
    Duplicate,
    /// Try again.
    Retry {
        /// Not before.
        after: Option<Duration>,
        /// Why.
        reason: String,
    },
    /// Never.
    Rejected {
        /// Why.
        reason: String,
    },
    /// It holds something else.
    Conflict {
        /// Why.
        reason: String,
    },
}
