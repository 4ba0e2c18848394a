//! How `ferryctl` ends: documented codes, and the failures that lead to them.

use std::io;

macro_rules! exits {
    ($($(#[doc = $doc:literal])* $Variant:ident = $code:literal, $meaning:literal;)+) => {
        /// An exit code.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Exit { $($(#[doc = $doc])* $Variant,)+ }

        impl Exit {
            /// All of them, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$Variant,)+];

            /// The number that the shell sees.
            pub const fn code(self) -> u8 {
                match self { $(Self::$Variant => $code,)+ }
            }

            /// What it means, as `--help` and `docs/ferryctl.md` say it.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$Variant => $meaning,)+ }
            }
        }
    };
}

exits! {
    /// All went well.
    Ok = 0, "all went well";
    /// Anything that is not named below.
    Failed = 1, "it failed, as said on standard error; doctor found a problem";
    /// The command line is wrong.
    Usage = 2, "the command line is wrong";
    /// No such task or strategy.
    NotFound = 3, "there is no such task or strategy, or it is another user's";
    /// No daemon.
    Unreachable = 4, "the daemon cannot be reached, or went away";
    /// Not allowed.
    NotAuthorized = 5, "this user may not do that";
    /// The daemon took it apart and said no.
    Refused = 6, "refused: invalid, too large, in conflict, or the queue or disk is full";
    /// `--wait`: not done.
    TaskFailed = 7, "enqueue or put --wait: at least one task ended without being done";
    /// `hold`: the command is there but cannot be run.
    NotRunnable = 126, "hold: the command cannot be run";
    /// `hold`: nothing to run.
    NoCommand = 127, "hold: there is no such command; otherwise hold ends as its command does";
}

/// The codes as a table for `--help`.
pub(crate) fn help() -> String {
    let row = |exit: &Exit| format!("{:>5}  {}", exit.code(), exit.meaning());
    format!("Exit codes:\n{}", Exit::ALL.iter().map(row).collect::<Vec<_>>().join("\n"))
}

/// Why a command ends early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// With this code, after these words on standard error.
    Said { exit: Exit, words: String },
    /// With this code; all has been said.
    Exit(Exit),
    /// Nobody reads our output any more: end quietly.
    Unread,
}

impl Failure {
    pub(crate) fn said(exit: Exit, words: impl Into<String>) -> Self {
        Self::Said { exit, words: words.into() }
    }

    /// What a D-Bus error means: `name` is its name, `message` what came with it.
    pub(crate) fn from_bus(name: &str, message: &str) -> Self {
        let exit = exit_of(name);
        let words = match (name.rsplit('.').next().unwrap_or(name), message) {
            ("NoReply" | "Disconnected", _) => "ferryd went away before it answered".to_owned(),
            ("ServiceUnknown" | "NameHasNoOwner", _) => NOT_RUNNING.to_owned(),
            ("UnknownMethod" | "UnknownInterface", _) => format!("this ferryd does not know that call: {message}"),
            (last, "") => format!("ferryd answered {last}"),
            (_, message) => message.to_owned(),
        };
        Self::Said { exit, words }
    }

    /// What there is to say.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Said { words, .. } => words,
            Self::Exit(_) | Self::Unread => "",
        }
    }

    /// Whether the daemon vanished, so that nobody knows whether a call took effect.
    pub(crate) fn is_loss(&self) -> bool {
        matches!(self, Self::Said { exit: Exit::Unreachable, .. })
    }
}

/// The words for a daemon that is not there.
pub(crate) const NOT_RUNNING: &str = "org.ferryd.Ferry1 is not on the bus: is ferryd running there?";

fn exit_of(name: &str) -> Exit {
    if let Some(own) = name.strip_prefix("org.ferryd.Ferry1.Error.") {
        return match own {
            "NotFound" => Exit::NotFound,
            "NotAuthorized" => Exit::NotAuthorized,
            "Unavailable" | "Internal" => Exit::Failed,
            _ => Exit::Refused,
        };
    }
    match name.strip_prefix("org.freedesktop.DBus.Error.").unwrap_or(name) {
        "ServiceUnknown" | "NameHasNoOwner" | "NoReply" | "Disconnected" | "NoServer" | "Timeout" | "TimedOut" => {
            Exit::Unreachable
        }
        spawn if spawn.starts_with("Spawn.") => Exit::Unreachable,
        "AccessDenied" | "AuthFailed" | "InteractiveAuthorizationRequired" => Exit::NotAuthorized,
        "UnknownObject" => Exit::NotFound,
        "InvalidArgs" | "LimitsExceeded" => Exit::Refused,
        _ => Exit::Failed,
    }
}

impl From<zbus::Error> for Failure {
    fn from(error: zbus::Error) -> Self {
        Self::said(Exit::Unreachable, format!("talking to the bus: {error}"))
    }
}

/// Writing failed: to standard output or error, the only files that are written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Unread;
        }
        Self::said(Exit::Failed, format!("writing the output: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_from_zero_and_those_of_a_command_are_the_shells() {
        let codes: Vec<_> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, (0..8).chain([126, 127]).collect::<Vec<_>>());
    }

    #[test]
    fn every_error_of_the_contract_has_its_code() {
        let table = [
            ("InvalidArgument", 6),
            ("UnknownStrategy", 6),
            ("NotFound", 3),
            ("NotAuthorized", 5),
            ("QueueFull", 6),
            ("PayloadTooLarge", 6),
            ("NoSpace", 6),
            ("LimitExceeded", 6),
            ("Busy", 6),
            ("Conflict", 6),
            ("Unavailable", 1),
            ("Internal", 1),
        ];
        for (name, code) in table {
            let failure = Failure::from_bus(&format!("org.ferryd.Ferry1.Error.{name}"), "words");
            let Failure::Said { exit, words } = failure else { panic!("{name} says nothing") };
            assert_eq!((exit.code(), words.as_str()), (code, "words"), "{name}");
        }
    }

    #[test]
    fn errors_of_the_bus_become_sentences() {
        let said = |name: &str| {
            let failure = Failure::from_bus(&format!("org.freedesktop.DBus.Error.{name}"), "");
            let Failure::Said { exit, words } = failure else { panic!("{name} says nothing") };
            (exit.code(), words)
        };
        assert_eq!(said("NoReply"), (4, "ferryd went away before it answered".to_owned()));
        assert_eq!(said("ServiceUnknown"), (4, NOT_RUNNING.to_owned()));
        assert_eq!(said("AccessDenied"), (5, "ferryd answered AccessDenied".to_owned()));
        assert_eq!(said("Failed").0, 1);
    }
}
