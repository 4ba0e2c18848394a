//! Names and numbers by which things are known.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;

/// A task's identity: a UUID version 7 (RFC 9562), also its idempotency key on the server.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Uuid);

impl TaskId {
    /// A new id from the wall clock and the system's randomness; ids of one process ascend.
    pub fn mint() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id of these 128 bits, as read back from the store.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The 16 bytes that the store keeps.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Reads the 36 characters that [`Display`](fmt::Display) writes; no other spelling of a UUID is taken.
    pub fn parse(text: &str) -> Result<Self, NotAnId> {
        Uuid::try_parse(text)
            .ok()
            .filter(|uuid| uuid.hyphenated().to_string() == text)
            .map(Self)
            .ok_or_else(|| NotAnId(text.chars().take(64).collect()))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not a task id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a task id")]
pub struct NotAnId(pub String);

/// The UID that owns a task: the security border.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner(pub u32);

/// A lane: a strategy plus the conditions that tasks override. The number is the store's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub i64);

/// One claim and the attempt made of it, numbered by the scheduler from 1 in each run of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub u64);

/// The text is no name of a strategy or backend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name ([a-z][a-z0-9_]{{0,31}})")]
pub struct NotAName(pub String);

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// Takes `[a-z][a-z0-9_]{0,31}`, so that the name can stand in a D-Bus path and in a config key.
            pub fn new(name: &str) -> Result<Self, NotAName> {
                if is_name(name) { Ok(Self(name.into())) } else { Err(NotAName(name.chars().take(64).collect())) }
            }

            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// A strategy's name, the last part of its object path.
    StrategyName
);
name!(
    /// A backend's name, as in `[backend.NAME]`.
    BackendName
);

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && text.len() <= 32
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_and_other_spellings_do_not() {
        let id = TaskId::mint();
        assert_eq!(TaskId::parse(&id.to_string()), Ok(id));
        assert!(TaskId::parse(&id.to_string().to_uppercase()).is_err());
        assert!(TaskId::parse(&id.to_string().replace('-', "")).is_err());
        assert!(TaskId::parse("").is_err());
    }

    #[test]
    fn names_are_lower_case_and_at_most_32_characters() {
        for good in ["a", "metadata", "photo_2", &"a".repeat(32)] {
            assert!(StrategyName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "2a", "_a", "Photo", "a-b", "a/b", "ä", &"a".repeat(33)] {
            assert!(StrategyName::new(bad).is_err(), "{bad}");
        }
    }
}
