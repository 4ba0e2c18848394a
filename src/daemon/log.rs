//! Where log lines go: to the journal with fields of their own where standard error leads there, else to standard error as
//! text. A line's message says all that a reader needs; the fields beside it are what one searches by
//! (`journalctl TASK=…`), and are left out of text. A test holds every line to these fields.

use std::fmt;
use std::io::{self, stderr};

use rustix::fs::fstat;
use tracing::field::Field;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// What lines can be searched by; in the journal in capitals.
const FIELDS: [&str; 5] = ["task", "strategy", "backend", "reason", "attempt"];

/// By what the journal knows our lines.
const IDENTIFIER: &str = "ferryd";

type Layer = Box<dyn tracing_subscriber::Layer<Registry> + Send + Sync>;

/// Begins to log. `FERRYD_LOG` filters (`info` by default): a level, or levels by module as in
/// `info,ferryd::store=debug`.
pub(super) fn start() {
    let asked = std::env::var("FERRYD_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let stream = std::env::var("JOURNAL_STREAM").ok();
    let is_journal = stream.is_some_and(|stream| leads_there(&stream));
    // A journal that cannot be reached (none in this mount namespace) still reads standard error.
    let journal = if is_journal { journal().ok() } else { None };
    let layer = journal.unwrap_or_else(|| text(is_journal));
    tracing_subscriber::registry().with(layer).with(filter).init();
}

/// Whether standard error is what `JOURNAL_STREAM` names: device and inode (`systemd.exec(5)`). A daemon whose standard
/// error was put elsewhere afterwards still has the variable.
fn leads_there(stream: &str) -> bool {
    fstat(stderr()).is_ok_and(|file| stream == format!("{}:{}", file.st_dev, file.st_ino))
}

fn journal() -> io::Result<Layer> {
    let priorities =
        PriorityMappings { info: Priority::Informational, debug: Priority::Debug, ..PriorityMappings::new() };
    let layer = tracing_journald::layer()?
        .with_field_prefix(None)
        .with_syslog_identifier(IDENTIFIER.to_owned())
        .with_priority_mappings(priorities);
    Ok(layer.boxed())
}

/// The journal stamps lines itself.
fn text(stamped: bool) -> Layer {
    let lines = tracing_subscriber::fmt::layer().fmt_fields(debug_fn(write_field));
    let lines = lines.with_writer(stderr).with_ansi(false).with_target(false);
    if stamped { lines.without_time().boxed() } else { lines.boxed() }
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match field.name() {
        "message" => write!(writer, "{value:?}"),
        name if FIELDS.contains(&name) => Ok(()),
        // Of other crates.
        name => write!(writer, " {name}={value:?}"),
    }
}
