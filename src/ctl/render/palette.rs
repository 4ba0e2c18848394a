//! Colours, where they are wanted.

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ctl) enum Palette {
    /// ANSI colours (ECMA-48, SGR).
    Colours,
    /// None.
    Plain,
}

/// What a text is, so that its colour follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Plain,
    Head,
    Good,
    Bad,
    Doubtful,
    Busy,
    Faint,
}

impl Ink {
    /// The ink of a task's or daemon's state.
    pub(super) fn of_state(state: &str) -> Self {
        match state {
            "done" | "idle" => Self::Good,
            "failed" => Self::Bad,
            "running" | "syncing" => Self::Busy,
            "cancelled" | "paused" | "stopping" => Self::Faint,
            _ => Self::Plain,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Head => "1",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Doubtful => "33",
            Self::Busy => "36",
            Self::Faint => "2",
        }
    }
}

impl Palette {
    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        match (self, ink) {
            (Self::Plain, _) | (Self::Colours, Ink::Plain) => text.to_owned(),
            (Self::Colours, _) => format!("\x1b[{}m{text}\x1b[0m", ink.code()),
        }
    }
}
