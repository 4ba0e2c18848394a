//! What a check found, and how to mend it.

use std::path::Path;

use crate::ctl::views::Verdict;

/// How to see what only root may.
const AS_ROOT: &str = "run it as root: sudo ferryctl doctor";

/// One thing that a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) verdict: Verdict,
    pub(super) words: String,
    pub(super) mend: Option<String>,
}

impl Finding {
    /// As it should be.
    pub(super) fn ok(words: impl Into<String>) -> Self {
        Self { verdict: Verdict::Ok, words: words.into(), mend: None }
    }

    /// Not all is as it should be.
    pub(super) fn warning(words: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warning, words: words.into(), mend: Some(mend.into()) }
    }

    /// Something does not work.
    pub(super) fn problem(words: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Problem, words: words.into(), mend: Some(mend.into()) }
    }

    /// Not to be seen before something else is mended.
    pub(super) fn unknown(words: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unknown, words: words.into(), mend: Some(mend.into()) }
    }

    /// Not to be seen by this user.
    pub(super) fn forbidden(words: impl Into<String>) -> Self {
        Self::unknown(words, AS_ROOT)
    }
}

/// A path as a shell reads it.
pub(super) fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_would_take_them_apart() {
        assert_eq!(shell(Path::new("/var/lib/ferryd-1.2")), "/var/lib/ferryd-1.2");
        assert_eq!(shell(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
