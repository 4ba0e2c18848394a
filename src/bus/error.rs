//! Why a call is refused: the names of `org.ferryd.Ferry1.Error.*` and the sentences that go with them.

use std::fmt::Display;

use crate::store::{EnqueueError, IdsError, ReadError, SpoolError, StoreError};

/// A call that is not carried out, and the error reply that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The error's full D-Bus name.
    pub(super) name: &'static str,
    /// A sentence for whoever reads the log of the caller.
    pub(super) message: String,
}

macro_rules! refusals {
    ($($(#[$doc:meta])* $constructor:ident = $name:literal,)+) => {
        impl Refusal {
            $($(#[$doc])* pub(super) fn $constructor(message: impl Display) -> Self {
                Self { name: $name, message: message.to_string() }
            })+

            /// Every error name that a call can be answered with.
            #[cfg(test)]
            pub(super) const NAMES: &'static [&'static str] = &[$($name,)+];
        }
    };
}

refusals! {
    /// An argument or option is not what it must be.
    invalid = "org.ferryd.Ferry1.Error.InvalidArgument",
    /// No strategy has this name.
    unknown_strategy = "org.ferryd.Ferry1.Error.UnknownStrategy",
    /// No such task, or not the caller's.
    not_found = "org.ferryd.Ferry1.Error.NotFound",
    /// The caller may not.
    not_authorized = "org.ferryd.Ferry1.Error.NotAuthorized",
    /// The caller's quota is used up.
    queue_full = "org.ferryd.Ferry1.Error.QueueFull",
    /// A payload, or a batch of them, is too large.
    payload_too_large = "org.ferryd.Ferry1.Error.PayloadTooLarge",
    /// The disk is full.
    no_space = "org.ferryd.Ferry1.Error.NoSpace",
    /// A limit other than the quota.
    limit_exceeded = "org.ferryd.Ferry1.Error.LimitExceeded",
    /// Too many calls of this connection, or files of this user, wait for their turn.
    busy = "org.ferryd.Ferry1.Error.Busy",
    /// The `request_id` stands for something else.
    conflict = "org.ferryd.Ferry1.Error.Conflict",
    /// The daemon is on its way out, or a part of it does not answer.
    unavailable = "org.ferryd.Ferry1.Error.Unavailable",
    /// Our own fault.
    internal = "org.ferryd.Ferry1.Error.Internal",
    /// D-Bus' own: no object at this path.
    unknown_object = "org.freedesktop.DBus.Error.UnknownObject",
    /// D-Bus' own: the object has no such interface.
    unknown_interface = "org.freedesktop.DBus.Error.UnknownInterface",
    /// D-Bus' own: the interface has no such method.
    unknown_method = "org.freedesktop.DBus.Error.UnknownMethod",
    /// D-Bus' own: the interface has no such property.
    unknown_property = "org.freedesktop.DBus.Error.UnknownProperty",
    /// D-Bus' own: no property of Ferry can be written.
    read_only = "org.freedesktop.DBus.Error.PropertyReadOnly",
}

impl Refusal {
    /// Whether it says that something named is not there.
    pub(super) fn is_not_found(&self) -> bool {
        self.name == Self::not_found("").name
    }
}

/// Text of unknown origin, as it may stand in a message or a log line: quoted, escaped, cut after 64 characters.
pub(super) fn quoted(text: &str) -> String {
    let cut = text.char_indices().nth(64).map_or(text, |(end, _)| &text[..end]);
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stopped { .. } => Self::unavailable(error),
            StoreError::NoSpace { .. } => Self::no_space(error),
            StoreError::Damaged { .. } | StoreError::Sqlite { .. } => {
                tracing::error!("a call failed in the store: {error}");
                Self::internal(error)
            }
        }
    }
}

impl From<EnqueueError> for Refusal {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::QueueFull { .. } => Self::queue_full(error),
            EnqueueError::NoSpace => Self::no_space(error),
            EnqueueError::RequestConflict { .. } => Self::conflict(error),
            EnqueueError::UnknownAfter { .. } => Self::not_found(error),
            EnqueueError::Store(error) => error.into(),
        }
    }
}

impl From<SpoolError> for Refusal {
    fn from(error: SpoolError) -> Self {
        match error {
            SpoolError::NotRegular { .. }
            | SpoolError::NotReadable { .. }
            | SpoolError::Changed { .. }
            | SpoolError::Unreadable { .. } => Self::invalid(error),
            SpoolError::Busy { .. } => Self::busy(error),
            SpoolError::Spool { .. } => {
                tracing::error!("a file cannot be taken: {error}");
                Self::internal(error)
            }
            SpoolError::Refused(error) => error.into(),
        }
    }
}

impl From<IdsError> for Refusal {
    fn from(error: IdsError) -> Self {
        match error {
            IdsError::NotFound(_) => Self::not_found(error),
            IdsError::Store(error) => error.into(),
        }
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::NotFound(_) => Self::not_found(error),
            ReadError::BadCursor => Self::invalid("the cursor is not one that List returned for this filter"),
            ReadError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_unknown_origin_is_escaped_and_cut() {
        assert_eq!(quoted("a\n\u{1b}[31m"), r#""a\n\u{1b}[31m""#);
        assert_eq!(quoted(&"ä".repeat(65)), format!("\"{}\"…", "ä".repeat(64)));
        assert_eq!(quoted(&"ä".repeat(64)), format!("\"{}\"", "ä".repeat(64)));
    }

    #[test]
    fn the_contract_has_twelve_errors_of_its_own() {
        let own: Vec<_> = Refusal::NAMES.iter().filter(|name| name.starts_with("org.ferryd.Ferry1.Error.")).collect();
        assert_eq!(own.len(), 12);
    }
}
