//! `enqueue --wait` and `put --wait`: until tasks have ended, through the daemon's restarts.

use std::collections::{BTreeMap, VecDeque};

use super::tasks::get;
use crate::ctl::client::{Client, News};
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::render::{Bars, Printer};
use crate::ctl::views::{EndView, has_ended};
use crate::ctl::wire::Dictionary;

/// Ends heard of, by task.
#[derive(Debug, Default)]
pub(super) struct Ends(BTreeMap<String, EndView>);

impl Ends {
    /// Takes note of a task's move.
    pub(super) fn heard(&mut self, id: String, state: String, detail: &Dictionary) {
        if has_ended(&state) {
            let error = detail.some_text("error").filter(|_| state != "done");
            self.0.insert(id.clone(), EndView { id, state, error, file: None });
        } else {
            self.0.remove(&id);
        }
    }
}

/// Waits until all these tasks have ended and reports each, in this order. The connection subscribes.
pub(super) async fn wait(
    client: &mut Client,
    printer: &mut Printer<'_>,
    ids: Vec<String>,
    mut ends: Ends,
    bars: &mut Bars,
) -> Result<(), Failure> {
    let mut open: VecDeque<_> = ids.into();
    let mut exit = Exit::Ok;
    ask(client, &open, &mut ends).await?;
    loop {
        while let Some(mut end) = open.front().and_then(|id| ends.0.remove(id)) {
            open.pop_front();
            if end.state != "done" {
                exit = Exit::TaskFailed;
            }
            end.file = bars.ended(&end.id);
            printer.end(&end)?;
        }
        if open.is_empty() {
            return if exit == Exit::Ok { Ok(()) } else { Err(Failure::Exit(exit)) };
        }
        printer.bars(bars)?;
        match client.next().await? {
            News::Progress { id, done, total, detail } => bars.heard(&id, done, total, detail.number("rate")),
            News::Task { id, state, detail, .. } => ends.heard(id, state, &detail),
            News::Lagged(_) => ask(client, &open, &mut ends).await?,
            News::Owner(None) => printer.say("ferryd is gone; waiting for it to come back"),
            News::Owner(Some(_)) => {
                printer.say("ferryd is back");
                resume(client, &open, &mut ends).await?;
            }
            News::Properties { .. } | News::Answer { .. } => {}
        }
    }
}

/// Subscribes with a daemon that came, and asks it what was missed; one that went again will come again.
async fn resume(client: &mut Client, open: &VecDeque<String>, ends: &mut Ends) -> Result<(), Failure> {
    match client.subscribe(false).await {
        Ok(()) => ask(client, open, ends).await,
        Err(failure) if failure.is_loss() => Ok(()),
        Err(failure) => Err(failure),
    }
}

/// Asks after every open task, for ends of which no signal told. A task that was pruned was done. If the daemon goes
/// away meanwhile, its return will have us ask again.
async fn ask(client: &mut Client, open: &VecDeque<String>, ends: &mut Ends) -> Result<(), Failure> {
    for id in open {
        if ends.0.contains_key(id) {
            continue;
        }
        let end = match get(client, id).await {
            Ok(task) if task.has_ended() => EndView { id: task.id, state: task.state, error: task.error, file: None },
            Ok(_) => continue,
            Err(Failure::Said { exit: Exit::NotFound, .. }) => {
                EndView { id: id.clone(), state: "done".to_owned(), error: None, file: None }
            }
            Err(failure) if failure.is_loss() => return Ok(()),
            Err(failure) => return Err(failure),
        };
        ends.0.insert(id.clone(), end);
    }
    Ok(())
}
