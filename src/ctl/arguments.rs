//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
#[cfg(feature = "tools")]
use std::time::Duration;

use clap::builder::PossibleValuesParser;
#[cfg(feature = "tools")]
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use zbus::Variant;

use super::exit;
use super::time::{self, When};
use crate::daemon::BusChoice;
use crate::model::{Original, Quality, State, Waiver, WallTime};
#[cfg(feature = "tools")]
use crate::sim::Scenario;

/// Controls ferryd: hands it work, shows what waits and why.
///
/// Without --system, --session or --address it takes the system bus if ferryd runs or can be started there, else the
/// session bus.
#[derive(Debug, Parser)]
#[command(name = "ferryctl", version, about, after_help = exit::help(), subcommand_required = true, max_term_width = 120)]
pub(super) struct Arguments {
    /// Where ferryd is.
    #[command(flatten)]
    pub(super) bus: BusChoice,
    /// Write one JSON document a line, in the shapes that docs/ferryctl.md fixes.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show what ferryd does, why it waits, the network, and each strategy's counts.
    Status,
    /// List tasks, in the order in which they were enqueued.
    List(List),
    /// Show one task.
    Show {
        /// The task.
        id: String,
    },
    /// Say why a task does not go now, a sentence a reason.
    Explain(Explain),
    /// Hand over a task, or a task for each line of standard input.
    Enqueue(Enqueue),
    /// Hand over files, each as a task.
    Put(Put),
    /// Take back tasks that have not ended; all or none.
    Cancel {
        /// The tasks.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Try failed tasks again.
    Retry(Ids),
    /// Forget failed tasks.
    Discard(Ids),
    /// Start nothing more.
    Pause {
        /// Only of this strategy.
        #[arg(long, value_name = "NAME")]
        strategy: Option<String>,
        /// Go on by itself then: a duration (2h, "15 min") or RFC 3339. Default: when resumed.
        #[arg(long, value_name = "TIME", value_parser = When::parse)]
        until: Option<When>,
    },
    /// Go on after a pause.
    Resume {
        /// Only with this strategy.
        #[arg(long, value_name = "NAME")]
        strategy: Option<String>,
    },
    /// Send now what waits for a time; what waits for a condition too if that is overridden.
    Sync(Sync),
    /// Run a command while nothing starts.
    ///
    /// The hold is taken first. It lasts as long as the command and what it starts keep the inherited descriptor open, and
    /// no longer than ferryd's limits.hold_time. ferryctl becomes the command: its exit status and signals are its own.
    Hold(Hold),
    /// Show what changes, as it happens, until interrupted.
    Watch {
        /// Everybody's tasks, not only one's own.
        #[arg(long)]
        all: bool,
    },
    /// Have ferryd read its configuration anew.
    Reload,
    /// Upload 100 KB that the server throws away, and show what the network bears. Never on a metered link.
    Measure,
    /// Look for what is wrong with ferryd and all that it needs, and say how to mend it.
    ///
    /// It changes nothing, sends no credential to a server and shows none. Some things only root may see.
    Doctor(Doctor),
    /// Show Ferry's main job for real: programs hand work and photos over offline, ferryd is killed while requests are in
    /// flight and in the middle of an upload, and the server's log is compared with what was handed over.
    #[cfg(feature = "tools")]
    Demo {
        /// Upload the files of this folder instead of photos that the demo makes.
        #[arg(long, value_name = "DIR")]
        photos: Option<PathBuf>,
    },
    /// Bend the network under an app: a TCP proxy on which a good network is as bad as a scenario says.
    ///
    /// It needs no daemon. While it runs it takes orders from standard input, one a line, and answers each by a line:
    /// scenario NAME, cut, mend, rate UP DOWN (Mbit/s), delay TIME, reliability SHARE, reset, status. It runs until it is interrupted.
    #[cfg(feature = "tools")]
    Bend(Bend),
    /// Let simulated devices live for days in seconds, and count how old data gets, bytes, wakes and requests.
    ///
    /// It needs no daemon and touches no network: the daemon's own core runs, with a queue in memory, in virtual time.
    #[cfg(feature = "tools")]
    Simulate(Simulate),
    /// Write a script that completes ferryctl's command lines.
    Completions {
        /// For this shell.
        shell: Shell,
    },
}

/// `list`
#[derive(Debug, Args)]
pub(super) struct List {
    /// Only tasks in this state; may be repeated.
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(State::ALL.iter().map(|state| state.as_str())))]
    pub(super) state: Vec<String>,
    /// Only of this strategy; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(super) strategy: Vec<String>,
    /// Only with this key; may be repeated.
    #[arg(long)]
    pub(super) key: Vec<String>,
    /// Only with this tag; may be repeated, any of them will do.
    #[arg(long)]
    pub(super) tag: Vec<String>,
    /// Only of this app; may be repeated.
    #[arg(long)]
    pub(super) app: Vec<String>,
    /// Only of this user (a UID or a name of /etc/passwd).
    #[arg(long, value_name = "USER", value_parser = owner)]
    pub(super) owner: Option<u32>,
    /// At most so many; 0 for all.
    #[arg(long, default_value_t = 100, value_name = "COUNT")]
    pub(super) limit: usize,
}

/// `explain`
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The task.
    pub(super) id: String,
    /// Tell also what happened to it so far.
    #[arg(long)]
    pub(super) history: bool,
    /// What if this were so? connected, roaming, external_power, power_save (true or false), type, metered, connectivity
    /// (words of the Network interface), battery_percent (a number), time (RFC 3339, or as `2h` from now); may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = assumption)]
    pub(super) assume: Vec<(String, Assumed)>,
}

/// A value of `--assume`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Assumed {
    /// true or false
    Flag(bool),
    /// A word.
    Word(String),
    /// A number.
    Number(f64),
    /// A time.
    Time(WallTime),
}

impl Assumed {
    pub(super) fn variant(&self) -> Variant<'_> {
        match self {
            Self::Flag(flag) => (*flag).into(),
            Self::Word(word) => word.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::Time(time) => time.as_micros().into(),
        }
    }
}

/// `enqueue`
#[derive(Debug, Args)]
pub(super) struct Enqueue {
    /// The policy to follow: metadata, photo, analytics, or one that the configuration adds.
    pub(super) strategy: String,
    /// The payload; - or nothing reads standard input.
    #[arg(value_name = "JSON", conflicts_with = "lines")]
    pub(super) payload: Option<String>,
    /// Read JSON lines from standard input and enqueue each, in order, many at once on their way. An id is written for
    /// each as it is acknowledged.
    #[arg(long)]
    pub(super) lines: bool,
    /// What to do when a pending task has this key.
    #[arg(long, value_name = "HOW", value_parser = ["append", "keep", "replace"], requires = "key")]
    pub(super) on_existing: Option<String>,
    /// What all tasks may say.
    #[command(flatten)]
    pub(super) common: Common,
    /// If ferryd goes away, wait until it is back and send again what was not acknowledged.
    #[arg(long, requires = "request_id")]
    pub(super) retry: bool,
    /// Wait until every task has ended, and say how.
    #[arg(long)]
    pub(super) wait: bool,
}

/// What `enqueue` and `put` say of a task alike.
#[derive(Debug, Args)]
pub(super) struct Common {
    /// Go one by one, in order, with this user's tasks of the same key.
    #[arg(long)]
    pub(super) key: Option<String>,
    /// A label to find it by; may be repeated.
    #[arg(long)]
    pub(super) tag: Vec<String>,
    /// The app's name, instead of the caller's unit or program.
    #[arg(long)]
    pub(super) app: Option<String>,
    /// Go only when this task is done; may be repeated.
    #[arg(long, value_name = "ID")]
    pub(super) after: Vec<String>,
    /// Fail if not done by then: a duration (2h, "15 min") or RFC 3339.
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    pub(super) expires: Option<When>,
    /// Makes a repeated call harmless: the same name adds nothing twice. With --lines, line N gets NAME-N; of
    /// several files, file N does.
    #[arg(long, value_name = "NAME")]
    pub(super) request_id: Option<String>,
    /// Networks that will do, instead of the strategy's.
    #[arg(long, value_parser = ["any", "unmetered", "wifi"])]
    pub(super) network: Option<String>,
    /// Whether to wait for external power, instead of the strategy's; alone it means true.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    pub(super) charging: Option<bool>,
    /// The least battery in percent, instead of the strategy's.
    #[arg(long, value_name = "PERCENT", value_parser = ["0", "15", "30", "50", "80"])]
    pub(super) min_battery: Option<String>,
}

/// `put`
#[derive(Debug, Args)]
pub(super) struct Put {
    /// Files to hand over, and folders whose regular files are, at any depth, sorted by name.
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// The policy to follow.
    #[arg(long, value_name = "NAME", default_value = "photo")]
    pub(super) strategy: String,
    /// What the server is told as the file's name, instead of its own; only with one file.
    #[arg(long, value_name = "TEXT")]
    pub(super) name: Option<String>,
    /// Its media type, instead of the one that goes with the ending of its name.
    #[arg(long, value_name = "TYPE")]
    pub(super) content_type: Option<String>,
    /// A JSON object that goes to the server with the file.
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    pub(super) metadata: Option<String>,
    /// What all tasks may say.
    #[command(flatten)]
    pub(super) common: Common,
    /// How much of a picture may be given away for a faster upload.
    #[arg(long, value_parser = PossibleValuesParser::new(Quality::ALL.iter().map(|quality| quality.as_str())))]
    pub(super) quality: Option<String>,
    /// What becomes of the original of a picture that was sent smaller.
    #[arg(long, value_name = "WHEN", value_parser = PossibleValuesParser::new(Original::ALL.iter().map(|original| original.as_str())))]
    pub(super) original: Option<String>,
    /// The longest edge that the server wants.
    #[arg(long, value_name = "PIXELS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_edge: Option<u32>,
    /// A field of a record that learns where the file went.
    #[arg(long, value_name = "COLLECTION/ID/FIELD", value_parser = record)]
    pub(super) record: Option<(String, String, String)>,
    /// Wait until every file has ended, with bars on a terminal, and say how.
    #[arg(long)]
    pub(super) wait: bool,
}

/// `sync`
#[derive(Debug, Args)]
pub(super) struct Sync {
    /// Only of this strategy.
    pub(super) strategy: Option<String>,
    /// Let these tasks go although this holds, until each has ended; may be repeated.
    #[arg(long = "override", value_name = "REASON", value_parser = PossibleValuesParser::new(Waiver::ALL.iter().map(|waiver| waiver.as_str())))]
    pub(super) overridden: Vec<String>,
    /// Everybody's tasks, not only one's own.
    #[arg(long)]
    pub(super) all: bool,
}

/// `hold`
#[derive(Debug, Args)]
pub(super) struct Hold {
    /// What explain shows to whoever asks why nothing goes. Default: the command line.
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// The command to run and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(super) command: Vec<OsString>,
}

/// `doctor`
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The configuration. Default: the running daemon's, else the one that ferryd would read.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where tasks are kept. Default: where the running daemon keeps them, else where ferryd would.
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
}

/// `bend`
#[cfg(feature = "tools")]
#[derive(Debug, Args)]
pub(super) struct Bend {
    /// What the network is like.
    #[arg(long, value_name = "NAME", value_parser = scenarios())]
    pub(super) scenario: Scenario,
    /// Where the app finds it: HOST:PORT; port 0 takes a free one, which is told.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) listen: String,
    /// The server to pass on to: HOST:PORT.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(super) to: String,
    /// Decides all that is left to chance: the same timeline again. Default: another each time, which is told.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Begin so far into the scenario: a duration (7h, "15 min"), at most 365 days.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = skip)]
    pub(super) skip: Duration,
    /// Let the scenario pass so many times as fast; rates and delays stay as they are.
    #[arg(long, value_name = "TIMES", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(super) speed: u32,
    /// What becomes of connections, old and new, while there is no link: they are reset, or stand still until it is back.
    #[arg(long, value_name = "WHAT", default_value = "reset", value_parser = ["reset", "stall"])]
    pub(super) when_down: String,
}

/// `simulate`
#[cfg(feature = "tools")]
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// What every device's link is like.
    #[arg(long, value_name = "NAME", default_value = "commute", value_parser = scenarios())]
    pub(super) scenario: Scenario,
    /// How many days.
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub(super) days: u32,
    /// How many devices.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) devices: u64,
    /// How many tasks a device hands over a day, on the average.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) tasks_per_day: u32,
    /// The devices' configuration, with its drop-ins. Default: the shipped strategies, a server for JSON and one for files.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Decides all that is left to chance: the same result again.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) seed: u64,
    /// Let the same devices live once more with another queue, to compare: fifo is the spec's, patient the same but that it
    /// never gives a task up.
    #[arg(long, value_name = "QUEUE", value_parser = ["fifo", "patient"])]
    pub(super) baseline: Vec<String>,
    /// All scenarios, one after another, with both of these queues: Ferry's figures divided by theirs.
    #[arg(long, conflicts_with_all = ["scenario", "baseline", "plot"])]
    pub(super) compare: bool,
    /// Draw how old data gets: an SVG picture, a panel a strategy.
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
}

/// Some tasks, or all failed ones.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Ids {
    /// The tasks; all or none.
    #[arg(value_name = "ID")]
    pub(super) ids: Vec<String>,
    /// All failed tasks: this user's own, and for an admin everybody's.
    #[arg(long)]
    pub(super) all: bool,
}

fn owner(text: &str) -> Result<u32, String> {
    let named = || crate::config::Host::local().users.get(text).copied();
    text.parse().ok().or_else(named).ok_or_else(|| format!("there is no user {text:?}"))
}

fn json_object(text: &str) -> Result<String, String> {
    let read: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(text);
    read.map(|_| text.to_owned()).map_err(|error| format!("a JSON object is expected: {error}"))
}

/// Reads `COLLECTION/ID/FIELD`; only the id may hold a slash.
fn record(text: &str) -> Result<(String, String, String), String> {
    let parts = text.split_once('/').and_then(|(collection, rest)| Some((collection, rest.rsplit_once('/')?)));
    match parts {
        Some((collection, (id, field))) if ![collection, id, field].contains(&"") => {
            Ok((collection.to_owned(), id.to_owned(), field.to_owned()))
        }
        _ => Err("COLLECTION/ID/FIELD is expected".to_owned()),
    }
}

/// Reads `KEY=VALUE`; the words of a key are checked by the daemon.
fn assumption(text: &str) -> Result<(String, Assumed), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| "KEY=VALUE is expected".to_owned())?;
    let wrong = |what: &str| format!("{key} is {what}, not {value:?}");
    let assumed = match key {
        "connected" | "roaming" | "external_power" | "power_save" => {
            Assumed::Flag(value.parse().map_err(|_| wrong("true or false"))?)
        }
        "time" => Assumed::Time(When::parse(value)?.wall(time::now())),
        "battery_percent" => Assumed::Number(value.parse().map_err(|_| wrong("a number"))?),
        "type" | "metered" | "connectivity" => Assumed::Word(value.to_owned()),
        _ => return Err(format!("{key:?} cannot be assumed; see --help")),
    };
    Ok((key.to_owned(), assumed))
}

#[cfg(feature = "tools")]
fn scenarios() -> impl TypedValueParser<Value = Scenario> {
    let value = |scenario: &Scenario| PossibleValue::new(scenario.as_str()).help(scenario.about());
    PossibleValuesParser::new(Scenario::ALL.iter().map(value)).try_map(|word| word.parse())
}

/// Looks at `HOST:PORT`; whether there is such a host is seen later.
#[cfg(feature = "tools")]
fn address(text: &str) -> Result<String, String> {
    let wrong = || format!("{text:?} is no HOST:PORT such as 127.0.0.1:8080, [::1]:8080 or localhost:8080");
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || host.contains(':') != bracketed || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

#[cfg(feature = "tools")]
fn skip(text: &str) -> Result<Duration, String> {
    let skip = crate::config::parse_duration(text)?;
    if skip > Duration::from_secs(365 * 86_400) {
        return Err("at most 365 days".to_owned());
    }
    Ok(skip)
}

#[cfg(test)]
mod tests;
