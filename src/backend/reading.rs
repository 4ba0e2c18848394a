//! What the backends read alike out of answers, and out of their absence.

use std::time::{Duration, SystemTime};

use crate::http::{Reply, SendError};
use crate::model::Answer;

/// The longest wait that a server may ask for.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// `Retry-After` (RFC 9110 §10.2.3). A date is taken against the answer's own `Date`, so that the device's clock does
/// not matter; without that it is not heeded.
pub(super) fn retry_after(reply: &Reply) -> Option<Duration> {
    let field = reply.header("retry-after")?.trim();
    if !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(field.parse().map_or(LONGEST_WAIT, Duration::from_secs).min(LONGEST_WAIT));
    }
    let date = |text: &str| -> Option<SystemTime> { httpdate::parse_http_date(text.trim()).ok() };
    let wait = date(field)?.duration_since(date(reply.header("date")?)?).unwrap_or_default();
    Some(wait.min(LONGEST_WAIT))
}

/// Whether this is a page for people: by its type, or by how it begins.
pub(super) fn is_html(content_type: Option<&str>, text: &str) -> bool {
    let kind = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let start = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |with: &str| start.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    matches!(kind.as_str(), "text/html" | "application/xhtml+xml") || begins("<!doctype html") || begins("<html")
}

/// No answer, as a fact about the attempt.
pub(super) fn unanswered(error: SendError) -> Answer {
    match error {
        SendError::Unreachable(words) | SendError::Broken(words) => Answer::Unreachable { words },
        SendError::Untrusted(words) => Answer::Untrusted { words },
        SendError::ProxyAuth(words) => Answer::Status { code: 407, words, retry_after: None },
        SendError::Redirect(words) | SendError::Coding(words) => Answer::Foreign { words },
        SendError::NoCredential(words) => Answer::NoCredential { words },
    }
}
