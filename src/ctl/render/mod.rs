//! All that `ferryctl` writes: lines for people or one JSON document a line for programs on standard output, words about
//! what goes on or wrong on standard error.

mod bars;
mod because;
#[cfg(feature = "tools")]
mod bend;
#[cfg(feature = "tools")]
mod compare;
mod doctor;
mod explain;
mod palette;
#[cfg(feature = "tools")]
pub(super) mod plot;
#[cfg(feature = "tools")]
mod simulate;
mod status;
mod table;
mod tasks;
mod watch;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub(super) use bars::Bars;
pub(super) use palette::Palette;

use super::exit::{Exit, Failure};
use super::views::{
    BandwidthView, CheckView, CountView, EndView, EnqueueView, ExplainView, ListView, PutView, StatusView, TaskView,
    WatchView,
};
#[cfg(feature = "tools")]
use super::views::{BendView, ComparisonView, SimulationView};
use crate::model::WallTime;

/// For whom to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text for people.
    Text,
    /// One JSON document a line.
    Json,
}

/// Where output goes.
pub(super) struct Printer<'a> {
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    form: Form,
    palette: Palette,
    now: fn() -> WallTime,
    /// Whether lines can be drawn anew.
    terminal: bool,
    /// Lines that the next output takes the place of.
    drawn: usize,
}

impl<'a> Printer<'a> {
    /// To standard output and error; colours only on a terminal and without `NO_COLOR` (<https://no-color.org>).
    pub(super) fn standard(form: Form, now: fn() -> WallTime) -> Printer<'static> {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = io::stdout().is_terminal();
        let palette = if terminal && !unwanted { Palette::Colours } else { Palette::Plain };
        Printer { out: Box::new(io::stdout()), err: Box::new(io::stderr()), form, palette, now, terminal, drawn: 0 }
    }

    /// To these, without colours.
    #[cfg(test)]
    pub(super) fn to(out: &'a mut Vec<u8>, err: &'a mut Vec<u8>, form: Form, now: fn() -> WallTime) -> Self {
        let (out, err) = (Box::new(out), Box::new(err));
        Self { out, err, form, palette: Palette::Plain, now, terminal: false, drawn: 0 }
    }

    /// What time it is.
    pub(super) fn now(&self) -> WallTime {
        (self.now)()
    }

    /// Words on standard error. Nobody listening there stops nothing.
    pub(super) fn say(&mut self, words: &str) {
        drop(self.clear());
        let words = words.lines().map(clean).collect::<Vec<_>>().join("\n");
        drop(writeln!(self.err, "ferryctl: {words}"));
    }

    /// Says why a command ends early, and gives its exit code.
    pub(super) fn fail(&mut self, failure: Failure) -> Exit {
        match failure {
            Failure::Said { exit, words } => {
                self.say(&words);
                exit
            }
            Failure::Exit(exit) => exit,
            Failure::Unread => Exit::Ok,
        }
    }

    pub(super) fn status(&mut self, view: &StatusView) -> Result<(), Failure> {
        let text = |printer: &Self| status::text(view, printer.now(), printer.palette);
        self.write(view, text)
    }

    pub(super) fn list(&mut self, view: &ListView) -> Result<(), Failure> {
        let text = |printer: &Self| tasks::list(view, printer.now(), printer.palette);
        self.write(view, text)
    }

    pub(super) fn task(&mut self, view: &TaskView) -> Result<(), Failure> {
        let text = |printer: &Self| tasks::one(view, printer.now(), printer.palette);
        self.write(view, text)
    }

    pub(super) fn explain(&mut self, view: &ExplainView) -> Result<(), Failure> {
        let text = |printer: &Self| explain::text(view, printer.now(), printer.palette);
        self.write(view, text)
    }

    /// How many tasks a command changed: `cancelled 2 tasks`.
    pub(super) fn count(&mut self, verb: &str, count: u64) -> Result<(), Failure> {
        let tasks = if count == 1 { "task" } else { "tasks" };
        self.write(&CountView { count }, |_| format!("{verb} {count} {tasks}\n"))
    }

    /// An id on standard output, a refusal's words on standard error; in JSON all on standard output.
    pub(super) fn enqueued(&mut self, view: &EnqueueView) -> Result<(), Failure> {
        match (self.form, view) {
            (Form::Json, _) => self.write(view, |_| String::new()),
            (Form::Text, EnqueueView::Acknowledged { id, .. }) => self.write(view, |_| format!("{}\n", clean(id))),
            (Form::Text, EnqueueView::Refused { line, error }) => {
                self.say(&format!("line {line}: {error}"));
                Ok(())
            }
            (Form::Text, EnqueueView::Unacknowledged { .. }) => Ok(()),
        }
    }

    /// As with [`enqueued`](Self::enqueued), of a file.
    pub(super) fn put(&mut self, view: &PutView) -> Result<(), Failure> {
        match (self.form, view) {
            (Form::Json, _) => self.write(view, |_| String::new()),
            (Form::Text, PutView::Acknowledged { id, .. }) => self.write(view, |_| format!("{}\n", clean(id))),
            (Form::Text, PutView::Refused { file, error }) => {
                self.say(&format!("{file}: {error}"));
                Ok(())
            }
            (Form::Text, PutView::Unacknowledged { .. }) => Ok(()),
        }
    }

    /// Draws the bars in the place of those drawn before; nothing but on a terminal.
    pub(super) fn bars(&mut self, bars: &Bars) -> Result<(), Failure> {
        if !self.terminal || self.form == Form::Json {
            return Ok(());
        }
        let text = bars.text(self.palette);
        self.raw(text.as_bytes())?;
        self.drawn = text.lines().count();
        Ok(())
    }

    /// Takes away what may be drawn anew (ECMA-48: CPL, ED).
    fn clear(&mut self) -> io::Result<()> {
        match std::mem::take(&mut self.drawn) {
            0 => Ok(()),
            lines => write!(self.out, "\x1b[{lines}F\x1b[J"),
        }
    }

    pub(super) fn end(&mut self, view: &EndView) -> Result<(), Failure> {
        let text = |printer: &Self| tasks::end(view, printer.palette);
        self.write(view, text)
    }

    pub(super) fn check(&mut self, view: &CheckView) -> Result<(), Failure> {
        let text = |printer: &Self| doctor::text(view, printer.palette);
        self.write(view, text)
    }

    pub(super) fn watch(&mut self, view: &WatchView) -> Result<(), Failure> {
        let text = |printer: &Self| watch::text(view, printer.palette);
        self.write(view, text)
    }

    pub(super) fn bandwidth(&mut self, view: &BandwidthView) -> Result<(), Failure> {
        let text = |_: &Self| status::bandwidth(view).unwrap_or_else(|| "nothing was measured".to_owned()) + "\n";
        self.write(view, text)
    }

    #[cfg(feature = "tools")]
    pub(super) fn bend(&mut self, view: &BendView) -> Result<(), Failure> {
        self.write(view, |_| bend::text(view))
    }

    #[cfg(feature = "tools")]
    pub(super) fn simulation(&mut self, view: &SimulationView) -> Result<(), Failure> {
        let text = |printer: &Self| simulate::text(view, printer.palette);
        self.write(view, text)
    }

    #[cfg(feature = "tools")]
    pub(super) fn comparison(&mut self, view: &ComparisonView) -> Result<(), Failure> {
        self.write(view, |printer| compare::text(view, printer.palette))
    }

    /// Text that is the same in both forms: help, completions.
    pub(super) fn raw(&mut self, text: &[u8]) -> Result<(), Failure> {
        self.clear()?;
        self.out.write_all(text)?;
        Ok(self.out.flush()?)
    }

    fn write(&mut self, view: &impl Serialize, text: impl FnOnce(&Self) -> String) -> Result<(), Failure> {
        let text = match self.form {
            Form::Text => text(self),
            Form::Json => serde_json::to_string(view).map_err(io::Error::from)? + "\n",
        };
        self.raw(text.as_bytes())
    }
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match units.into_iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} bytes"),
    }
}

/// Text of apps and servers without what would drive a terminal.
fn clean(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(super) use tests::samples;
#[cfg(all(test, feature = "tools"))]
pub(super) use tests::{bend_samples, simulation_sample};
