//! The hours of a strategy: times of day at which it may send.

use std::sync::Arc;

/// Minutes of a day.
const DAY: u16 = 1_440;

/// A part of the day by the local clock. It may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    from: u16,
    to: u16,
}

impl Span {
    /// From `from` (below 1440) until before `to` (at most 1440), in minutes after 00:00; `None` if that is nothing, or
    /// no time of day.
    pub fn new(from: u16, to: u16) -> Option<Self> {
        (from < DAY && to <= DAY && from != to).then_some(Self { from, to })
    }

    /// When it begins, in minutes after 00:00.
    pub const fn from(self) -> u16 {
        self.from
    }

    /// When it is over, in minutes after 00:00; 1440 is the end of the day.
    pub const fn to(self) -> u16 {
        self.to
    }

    /// Whether a clock that shows `second` (after 00:00) is within it.
    pub const fn has(self, second: u32) -> bool {
        let (from, to) = (self.from as u32 * 60, self.to as u32 * 60);
        if from < to { from <= second && second < to } else { from <= second || second < to }
    }
}

impl std::fmt::Display for Span {
    /// `22:00-06:00`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

/// The times of day at which something may go; without any span: always.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Window(Option<Arc<[Span]>>);

impl Window {
    /// Within these spans only; always if there is none.
    pub fn new(spans: Vec<Span>) -> Self {
        Self(Some(spans).filter(|spans| !spans.is_empty()).map(Arc::from))
    }

    /// Its spans; none: always.
    pub fn spans(&self) -> &[Span] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Whether it does not restrict anything.
    pub fn is_always(&self) -> bool {
        self.0.is_none()
    }
}

impl std::fmt::Display for Window {
    /// `22:00-06:00, 12:00-13:30`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let spans: Vec<String> = self.spans().iter().map(Span::to_string).collect();
        f.write_str(&spans.join(", "))
    }
}
