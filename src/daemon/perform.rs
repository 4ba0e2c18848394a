//! Performs the core's effects: each one call of a hand, whose end comes back as an event.

use std::sync::Arc;

use tracing::{debug, error};

use super::event::Event;
use super::run::Daemon;
use crate::model::{
    Answer, AttemptId, BackendName, Claimed, Cut, LaneId, Now, Settlement, StrategyName, TaskId, Upload,
};
use crate::schedule::{Effect, Input};
use crate::sense::{clock, reach};

impl Daemon {
    /// Performs all that the core wants now.
    pub(super) fn perform_all(&mut self) {
        while let Some(effect) = self.core.poll_effect() {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        let now = clock::now();
        match effect {
            Effect::Claim { attempt, lane, limit } => self.claim(attempt, lane, limit, now),
            Effect::Start { attempt, strategy, backend, tasks, upload } => {
                self.start(attempt, (&strategy, &backend), tasks, upload, now);
            }
            Effect::Abort { attempt, cut } => self.attempts.abort(attempt, cut),
            Effect::AtChunk { attempt, then } => self.attempts.cue(attempt, |cue| cue.at_chunk = then),
            Effect::LinkBack { attempt } => self.attempts.cue(attempt, |cue| cue.link_ups += 1),
            Effect::ReadPower => self.wiring.read_power(),
            Effect::Probe { look, interface } => self.probe(look, interface),
            Effect::KeepSpent(spent) => self.keep_spent(&spent),
            Effect::KeepEstimates(kept) => self.keep_estimates(&kept),
            Effect::HoldEnds(id) => self.end_hold(id),
            Effect::Settle(settlements) => self.settle(settlements, now),
            Effect::Tidy => self.tidy(now),
            Effect::Announce => self.publish(now),
        }
    }

    fn probe(&self, look: u64, interface: String) {
        // Only a reload between the look's beginning and now can take it away: nobody waits for it then.
        let Some(probe) = self.config.network.probe.clone() else { return };
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let finding = reach::probe(&probe, &interface).await;
            inbox.send(Event::Probed { look, interface, finding }).ok();
        });
    }

    fn start(
        &mut self,
        attempt: AttemptId,
        (strategy, backend): (&StrategyName, &BackendName),
        tasks: Vec<Claimed>,
        upload: Upload,
        now: Now,
    ) {
        match (self.config.strategies.get(strategy), self.wiring.backend(backend)) {
            (Some(policy), Some(hand)) => {
                let device = Arc::from(self.config.device.name.as_str());
                self.attempts.start(attempt, policy, device, hand, tasks, upload);
            }
            // Only a reload between claim and start can take either away: the tasks go back uncounted.
            (Some(_) | None, _) => {
                let answer = Answer::Cut(Cut::Condition);
                self.core.handle(Input::Finished { attempt, answer }, now);
            }
        }
    }

    fn claim(&mut self, attempt: AttemptId, lane: LaneId, limit: usize, now: Now) {
        self.unclaimed += 1;
        let claimed = self.store.claim(lane, limit, now.wall);
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let tasks = claimed.await;
            inbox.send(Event::Claimed { attempt, tasks }).ok();
        });
    }

    fn settle(&mut self, settlements: Vec<(TaskId, Settlement)>, now: Now) {
        for (id, settlement) in &settlements {
            log(*id, settlement);
        }
        self.unwritten += 1;
        let written = self.store.settle(settlements.clone(), now.wall);
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let event = match written.await {
                Ok(()) => Event::Settled,
                Err(error) => Event::Unsettled { settlements, error },
            };
            inbox.send(event).ok();
        });
    }

    fn tidy(&self, now: Now) {
        let tidied = self.store.tidy(now.wall);
        tokio::spawn(async move {
            if let Err(error) = tidied.await {
                error!("failing what expired and pruning what is old: {error}");
            }
        });
    }

    pub(super) fn respread(&self, now: Now) {
        let respread = self.store.respread(now.wall);
        tokio::spawn(async move {
            if let Err(error) = respread.await {
                error!("looking at due times after the clock was set: {error}");
            }
        });
    }
}

/// What fails for good is told when it is on disk, whatever failed it: see [`super::chronicle`].
fn log(task: TaskId, settlement: &Settlement) {
    match settlement {
        Settlement::Done(result) if result.duplicate => debug!(%task, "task {task}: done before"),
        Settlement::Done(_) => debug!(%task, "task {task}: done"),
        Settlement::Retry { due, error } => {
            debug!(%task, reason = error, "task {task}: again at {}: {error}", due.as_micros());
        }
        Settlement::Advanced { due, error } => {
            debug!(%task, reason = error, "task {task}: came further, again at {}: {error}", due.as_micros());
        }
        Settlement::Postponed { due, error } => {
            debug!(%task, reason = error, "task {task}: not ready, again at {}: {error}", due.as_micros());
        }
        Settlement::Release { cause } => debug!(%task, reason = cause, "task {task}: waits as before: {cause}"),
        Settlement::Failed(error) => debug!(%task, reason = %error, "task {task}: fails: {error}"),
    }
}
