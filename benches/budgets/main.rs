//! `cargo bench`: what the daemon costs, each figure beside its limit from the same run.
//!
//! `cargo bench` runs all rows, `cargo bench -- enqueue idle` some, `--quick` a short run that shows that the benches
//! work and no more. Uploads want `curl`, those on links `ip`, `tc` and network namespaces. Ends with 1 if a budget is
//! missed. Absolute numbers are this machine's; only the ratios carry over.

mod bus;
mod client;
mod curl;
mod cuts;
mod cycle;
mod enqueue;
mod events;
mod ferryd;
mod idle;
mod limit_daemon;
mod line;
mod million;
#[path = "../../tests/services/mock.rs"]
#[expect(dead_code, reason = "shared with tests")]
mod mock;
#[path = "../../tests/common/netns.rs"]
mod netns;
mod place;
mod queue;
mod raw;
mod report;
mod rounds;
mod slow;
#[path = "../../tests/services/standins.rs"]
#[expect(dead_code, reason = "shared with tests")]
mod standins;
mod tasks;
mod upload;

use std::process::{Command, ExitCode};

/// What goes wrong here ends the run.
type Failed = Box<dyn std::error::Error>;

/// How long to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// Long enough for the figures to be told apart from noise.
    Full,
    /// Long enough to see that it works.
    Quick,
}

/// A row of the budgets and what measures it.
struct Row {
    name: &'static str,
    measure: fn(Effort) -> Result<Vec<report::Figure>, Failed>,
    /// Whether it makes network namespaces.
    links: bool,
}

impl Row {
    const fn new(name: &'static str, measure: fn(Effort) -> Result<Vec<report::Figure>, Failed>) -> Self {
        Self { name, measure, links: false }
    }

    const fn on_links(self) -> Self {
        Self { links: true, ..self }
    }
}

const ROWS: [Row; 8] = [
    Row::new("enqueue", enqueue::measure),
    Row::new("cycle", cycle::measure),
    Row::new("million", million::measure),
    Row::new("idle", idle::measure),
    Row::new("events", events::measure).on_links(),
    Row::new("upload", upload::measure),
    Row::new("slow", slow::measure).on_links(),
    Row::new("cuts", cuts::measure).on_links(),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match &arguments[..] {
        [word, address, dir] if word == limit_daemon::ARGUMENT => {
            limit_daemon::run(address, dir.as_ref()).map(|()| true)
        }
        asked => budgets(asked),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("budgets: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures the rows asked for, all if none is; whether every budget holds.
fn budgets(asked: &[String]) -> Result<bool, Failed> {
    let effort = if asked.iter().any(|word| word == "--quick") { Effort::Quick } else { Effort::Full };
    // Cargo itself adds `--bench`.
    let names: Vec<&String> = asked.iter().filter(|word| !["--quick", "--bench"].contains(&word.as_str())).collect();
    if let Some(unknown) = names.iter().find(|name| ROWS.iter().all(|row| row.name != name.as_str())) {
        let rows = ROWS.map(|row| row.name).join(", ");
        return Err(format!("no row {unknown:?}; there are {rows}, and --quick").into());
    }
    ferryd::settle_program()?;
    let (mut figures, mut elsewhere) = (Vec::new(), true);
    for row in ROWS.iter().filter(|row| names.is_empty() || names.iter().any(|name| *name == row.name)) {
        eprintln!("measuring {} …", row.name);
        if row.links && !netns::possible() {
            elsewhere &= as_root_of_a_namespace(row, effort)?;
        } else {
            figures.extend((row.measure)(effort)?);
        }
    }
    if !figures.is_empty() {
        report::print(&figures);
    }
    Ok(elsewhere && figures.iter().all(report::Figure::holds))
}

/// Who is not root may make namespaces as root of a user namespace: this program again, for one row.
fn as_root_of_a_namespace(row: &Row, effort: Effort) -> Result<bool, Failed> {
    const AGAIN: &str = "FERRY_BENCH_IN_USER_NAMESPACE";
    if std::env::var_os(AGAIN).is_some() {
        return Err("no network namespaces: be root or allow user ones".into());
    }
    let mut again = Command::new("unshare");
    again.args(["--user", "--map-root-user", "--net", "--"]).arg(std::env::current_exe()?).arg(row.name);
    if effort == Effort::Quick {
        again.arg("--quick");
    }
    Ok(again.env(AGAIN, "1").status()?.success())
}
