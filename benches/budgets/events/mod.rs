//! Promise 3: from the event that clears a condition to the attempt, as the server sees it, for each kind of event. Each
//! trial takes the condition away, hands a task over, waits until it is said to wait for just that, and gives it back.

mod kinds;
mod stage;
mod zone;

use std::time::{Duration, Instant};

use stage::Stage;

use crate::report::{Budget, Figure, millis};
use crate::{Effort, Failed, rounds};

/// What the promise allows beside the round trips of DNS, TCP and TLS, in seconds.
const ALLOWED: f64 = 0.3;
/// Far beyond what anything here takes.
const HANG: Duration = Duration::from_secs(60);

type Act = fn(&mut Stage) -> Result<(), Failed>;

/// A kind of event.
struct Kind {
    name: &'static str,
    /// Whose task waits for it, and with which reason.
    strategy: &'static str,
    reason: &'static str,
    known: Known,
    block: Act,
    clear: Clear,
}

/// How the daemon finds that the condition is missing.
enum Known {
    /// It looks; the strategy is said to wait before it has a task.
    Looking,
    /// It tries the task.
    Trying,
}

/// What clears the condition.
enum Clear {
    /// What this does; the time is taken from before it is done.
    By(Act),
    /// The same more than a second later: looks that people ask for are as far apart.
    Rested(Act),
    /// A moment that comes by itself, which is the one until which the task is said to wait once this is done.
    InTime(Act),
}

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let trials = if effort == Effort::Full { 100 } else { 5 };
    let mut stage = Stage::new()?;
    let figures = figures(&mut stage, trials).map_err(|error| format!("{error}; the daemon said:\n{}", stage.log()))?;
    stage.stop()?;
    Ok(figures)
}

fn figures(stage: &mut Stage, trials: usize) -> Result<Vec<Figure>, Failed> {
    let usual: Vec<f64> = (0..trials).map(|_| usual(stage)).collect::<Result<_, _>>()?;
    let allowed = ALLOWED + rounds::median(&usual);
    let mut figures = Vec::new();
    for kind in &kinds::KINDS {
        let spans: Vec<f64> = (0..trials)
            .map(|_| trial(stage, kind))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("{}: {error}", kind.name))?;
        stage.calm()?;
        let worst = spans.iter().copied().fold(0.0, f64::max);
        let median = millis(rounds::median(&spans));
        figures.push(Figure {
            what: format!("{}: until the attempt, worst of {trials} (median {median})", kind.name),
            measured: millis(worst),
            limit: millis(allowed),
            ratio: worst / allowed,
            budget: Budget::AtMost(1.0),
        });
    }
    Ok(figures)
}

/// From the call that hands a task over to its attempt, with nothing in its way.
fn usual(stage: &mut Stage) -> Result<f64, Failed> {
    let (seen, began) = (stage.seen(), Instant::now());
    stage.enqueue("metadata")?;
    stage.until_seen(seen + 1)?;
    Ok(began.elapsed().as_secs_f64())
}

fn trial(stage: &mut Stage, kind: &Kind) -> Result<f64, Failed> {
    (kind.block)(stage)?;
    match kind.known {
        Known::Looking => stage.until_blocked(kind.strategy, kind.reason)?,
        Known::Trying => {}
    }
    let id = stage.enqueue(kind.strategy)?;
    stage.until_waits(&id, kind.reason)?;
    let seen = stage.seen();
    let began = match kind.clear {
        Clear::By(act) => begun_by(act, stage)?,
        Clear::Rested(act) => {
            std::thread::sleep(Duration::from_millis(1_100));
            begun_by(act, stage)?
        }
        Clear::InTime(act) => {
            act(stage)?;
            let left = stage.left(&id)?;
            Instant::now() + left
        }
    };
    stage.until_seen(seen + 1)?;
    let now = Instant::now();
    stage.be_honest();
    if now < began {
        return Err(format!("an attempt {:?} too early", began - now).into());
    }
    Ok((now - began).as_secs_f64())
}

fn begun_by(act: Act, stage: &mut Stage) -> Result<Instant, Failed> {
    let began = Instant::now();
    act(stage)?;
    Ok(began)
}
