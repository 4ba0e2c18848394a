//! `SyncNow`: what waits for a time goes now, and on request what waits for a condition.

use std::collections::HashMap;

use tokio::sync::oneshot;
use zbus::Variant;

use super::Command;
use super::access::Action;
use super::call::{Call, Outcome};
use super::desk::{Desk, stopping};
use super::error::{Refusal, quoted};
use super::options::Options;
use crate::model::{Config, StrategyName, Waiver, Waivers};
use crate::store::{BringForwardError, Scope};

/// `SyncNow(s strategy or "", a{sv})`: of one's own tasks, with `all b` of everybody's. The store is told before this
/// returns, so that it means all that the same connection enqueued before.
pub(super) fn sync_now(desk: &Desk, call: &Call) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let (name, options): (&str, HashMap<&str, Variant<'_>>) = body.deserialize().map_err(Refusal::invalid)?;
    let strategy = strategy(name, &desk.config())?;
    let mut options = Options::new("option", options);
    let waived = waivers(&mut options)?;
    let all = options.flag("all")?.unwrap_or(false);
    options.end()?;
    let wanted = Wanted { strategy, waived };
    Ok(match (all, waived == Waivers::default()) {
        (false, true) => begin(desk, call, Scope::Owner(call.caller.owner()), wanted),
        (false, false) => Outcome::if_allowed(Action::Override, call, |desk, _, call| {
            Ok(begin(desk, call, Scope::Owner(call.caller.owner()), wanted))
        }),
        (true, _) => {
            Outcome::if_allowed(Action::Control, call, |desk, _, call| Ok(begin(desk, call, Scope::All, wanted)))
        }
    })
}

/// What is to go now, and what of its conditions is waived.
struct Wanted {
    strategy: Option<StrategyName>,
    waived: Waivers,
}

fn begin(desk: &Desk, call: &Call, scope: Scope, wanted: Wanted) -> Outcome {
    let Wanted { strategy, waived } = wanted;
    let brought = desk.store.bring_forward(scope, strategy.clone(), waived, desk.wall());
    let (desk, call) = (desk.clone(), call.clone());
    Outcome::later(async move {
        brought.await?;
        let (reply, asked) = oneshot::channel();
        desk.tell(Command::SyncNow { strategy, reply }).await?;
        asked.await.map_err(|_| stopping())?;
        call.reply(&())
    })
}

fn strategy(name: &str, config: &Config) -> Result<Option<StrategyName>, Refusal> {
    match config.strategy(name) {
        Some(strategy) => Ok(Some(strategy.name.clone())),
        None if name.is_empty() => Ok(None),
        None => Err(Refusal::unknown_strategy(format!("no strategy is called {}", quoted(name)))),
    }
}

fn waivers(options: &mut Options<'_>) -> Result<Waivers, Refusal> {
    let words = options.texts("override", Waiver::ALL.len())?;
    let waiver = |word: &String| {
        Waiver::parse(word).ok_or_else(|| {
            let known: Vec<&str> = Waiver::ALL.iter().map(|waiver| waiver.as_str()).collect();
            options.refuse("override", format!("{} is not one of {}", quoted(word), known.join(", ")))
        })
    };
    words.iter().map(waiver).collect()
}

impl From<BringForwardError> for Refusal {
    fn from(error: BringForwardError) -> Self {
        match error {
            BringForwardError::TooManyLanes => Self::limit_exceeded(error),
            BringForwardError::Store(error) => error.into(),
        }
    }
}
