//! `cargo run --release --example soak -- [COUNT [FIRST]]`: lives COUNT short lives of simulated devices (1,000,000) from
//! seed FIRST (0) on, and ends with 1 if a law was broken. A single life is told event by event.

use std::process::ExitCode;
use std::time::Instant;

use ferryd::model::Now;
use ferryd::schedule::Scheduler;
use ferryd::sim::{Seen, config, live, soak};

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u64>());
    let (Ok(count), Ok(first)) = (numbers.next().unwrap_or(Ok(1_000_000)), numbers.next().unwrap_or(Ok(0))) else {
        eprintln!("usage: soak [COUNT [FIRST]]");
        return ExitCode::from(2);
    };
    let config = config().expect("the simulator's own configuration is valid");
    let began = Instant::now();
    let lived = match count {
        1 => live(first, &config, Scheduler::new, Some(tell)).map_err(|breach| breach.to_string()),
        _ => soak(first..first + count, &config).map_err(|failed| failed.to_string()),
    };
    match lived {
        Ok(lived) => {
            eprintln!("{count} lives in {:.1} s: {lived:?}", began.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("{words}");
            ExitCode::FAILURE
        }
    }
}

fn tell(seen: &Seen<'_>, now: Now) {
    if !matches!(seen, Seen::AtRest { .. } | Seen::OnAir { .. }) {
        eprintln!("{:.6} {seen:?}", now.moment.elapsed_since_boot().as_secs_f64());
    }
}
