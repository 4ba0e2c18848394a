//! `cargo bench`: what the daemon costs, each figure beside its limit from the same run.
//!
//! `cargo bench` runs all rows, `cargo bench -- enqueue idle` some, `--quick` a short run that shows that the benches
//! work and no more. Ends with 1 if a budget is missed. Absolute numbers are this machine's; only the ratios carry over.

mod bus;
mod client;
mod cycle;
mod enqueue;
mod ferryd;
mod idle;
mod limit_daemon;
mod million;
mod place;
mod queue;
mod raw;
mod report;
mod rounds;
mod tasks;
mod upload;

use std::process::ExitCode;

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
}

const ROWS: [Row; 5] = [
    Row { name: "enqueue", measure: enqueue::measure },
    Row { name: "cycle", measure: cycle::measure },
    Row { name: "million", measure: million::measure },
    Row { name: "idle", measure: idle::measure },
    Row { name: "upload", measure: upload::measure },
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
        return Err(format!("no row {unknown:?}; there are enqueue, cycle, million, idle, upload, and --quick").into());
    }
    ferryd::settle_program()?;
    let mut figures = Vec::new();
    for row in ROWS.iter().filter(|row| names.is_empty() || names.iter().any(|name| *name == row.name)) {
        eprintln!("measuring {} …", row.name);
        figures.extend((row.measure)(effort)?);
    }
    report::print(&figures);
    Ok(figures.iter().all(report::Figure::holds))
}
