//! The attempts that run: each a task of the runtime that ends with one event, cut short by a word from the loop.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::{Pin, pin};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::debug;

use super::event::Event;
use super::photos::{Preparing, Sending};
use crate::backend::{Backend, Cue, Hands, Keep, Request};
use crate::http::{Meter, Rate};
use crate::model::{
    Answer, AttemptId, BackendName, Claimed, Cut, Network, NetworkId, Owner, Strategy, StrategyName, TaskId,
    TaskProgress, Transfer, Upload,
};
use crate::photo::Studio;
use crate::store::Store;

/// The attempts that run.
pub(super) struct Attempts {
    running: BTreeMap<AttemptId, Running>,
    inbox: mpsc::UnboundedSender<Event>,
    store: Store,
    /// Whether there is a way out of the device.
    linked: watch::Sender<bool>,
    /// What counts and paces what leaves, of strategies that ask for it.
    meters: BTreeMap<(StrategyName, BackendName), Meter>,
    studio: Arc<Studio>,
    /// The rates to which config holds the networks back by which backends are reached.
    rates: BTreeMap<BackendName, (NetworkId, Rate)>,
}

struct Running {
    strategy: StrategyName,
    backend: BackendName,
    /// Taken when the attempt is cut.
    cut: Option<oneshot::Sender<Cut>>,
    tasks: BTreeSet<TaskId>,
    /// Whose its first task is.
    owner: Option<Owner>,
    cue: watch::Sender<Cue>,
    transfer: Option<Transfer>,
}

impl Attempts {
    pub(super) fn new(inbox: mpsc::UnboundedSender<Event>, store: Store) -> Self {
        Self {
            running: BTreeMap::new(),
            inbox,
            store,
            linked: watch::Sender::new(false),
            meters: BTreeMap::new(),
            studio: Arc::default(),
            rates: BTreeMap::new(),
        }
    }

    /// How many run.
    pub(super) fn count(&self) -> usize {
        self.running.len()
    }

    /// Whether there is a way out of the device now.
    pub(super) fn linked(&self, linked: bool) {
        self.linked.send_replace(linked);
    }

    /// Backends are reached by these networks now. One rate is for all that goes over a network.
    pub(super) fn limit(&mut self, networks: &BTreeMap<BackendName, Network>) {
        let mut rates: BTreeMap<NetworkId, Rate> = std::mem::take(&mut self.rates).into_values().collect();
        for (backend, network) in networks {
            let Some((id, rate)) = network.identity().zip(network.max_rate) else { continue };
            let shared = rates.entry(id.clone()).or_insert_with(|| Rate::new(rate));
            shared.set(rate);
            self.rates.insert(backend.clone(), (id, shared.clone()));
        }
    }

    /// Begins one; it ends with [`Event::Finished`].
    pub(super) fn start(
        &mut self,
        attempt: AttemptId,
        policy: &Strategy,
        device: Arc<str>,
        backend: Arc<Backend>,
        tasks: Vec<Claimed>,
        upload: Upload,
    ) {
        let (count, at, strategy) = (tasks.len(), backend.name().clone(), policy.name.clone());
        let meter = self.meter(policy, &at);
        debug!(attempt = attempt.0, %strategy, backend = %at, "attempt {}: {count} of {strategy} to {at}", attempt.0);
        let (cut, stop) = oneshot::channel();
        let ids = tasks.iter().map(|task| task.id).collect();
        let owner = tasks.first().map(|task| task.owner);
        let (cue, heeded) = watch::channel(Cue::GO);
        let (of, transfer) = (strategy.clone(), None);
        self.running
            .insert(attempt, Running { strategy: of, backend: at, cut: Some(cut), tasks: ids, owner, cue, transfer });
        let (inbox, mut linked) = (self.inbox.clone(), self.linked.subscribe());
        let (store, studio, strip_gps) = (self.store.clone(), Arc::clone(&self.studio), policy.strip_gps);
        let reports = inbox.clone();
        tokio::spawn(async move {
            let told = meter.clone();
            let mut attempting = pin!(async {
                let link = upload.strategy;
                let with = Preparing { studio: &studio, store: &store, backend: &backend, link, strip_gps };
                let sending = match Sending::prepare(tasks, with).await {
                    Ok(sending) => sending,
                    Err(answer) => return answer,
                };
                let report = |transfer| {
                    let transfer = Transfer { quality: sending.quality, ..transfer };
                    reports.send(Event::Progress { attempt, transfer }).ok();
                };
                let keeper = Keeper { store: &store, backend: backend.name(), mark: &sending.mark };
                let Sending { tasks, folder, .. } = &sending;
                let request = Request { device: &device, strategy: &strategy, tasks, spool: folder, upload };
                let hands = Hands { keep: &keeper, report: &report, cue: heeded, meter: told };
                let answer = backend.attempt(request, hands).await;
                sending.conclude(answer, &store).await
            });
            let answer = tokio::select! {
                biased;
                cut = stop => Answer::Cut(cut.unwrap_or(Cut::Shutdown)),
                answer = &mut attempting => answer,
            };
            let link_gone = answer == Answer::Cut(Cut::Link);
            let meter = meter.filter(|_| link_gone).inspect(Meter::link_lost);
            if link_gone {
                backend.link_broke();
            }
            // The loop may have ended: then nobody needs the answer.
            inbox.send(Event::Finished { attempt, answer }).ok();
            if link_gone {
                // Its connection is closed when there is a way out again. What a closing socket sends meanwhile makes
                // the kernel look for a neighbour in vain, and it looks again only a second later: the next attempt
                // would wait for that though the link is back.
                linked.wait_for(|linked| *linked).await.ok();
                meter.inspect(Meter::link_back);
            }
        });
    }

    /// What counts and paces the attempts of a strategy at a backend, if its policy asks for either.
    fn meter(&mut self, policy: &Strategy, backend: &BackendName) -> Option<Meter> {
        let (counts, rate) = (policy.conditions.metered_budget.is_some(), policy.max_rate);
        let key = (policy.name.clone(), backend.clone());
        let shared = self.rates.get(backend).map(|(_, rate)| rate.clone());
        if !counts && rate.is_none() && shared.is_none() && !self.meters.contains_key(&key) {
            return None;
        }
        let inbox = self.inbox.clone();
        let heard = move || {
            inbox.send(Event::Sent).ok();
        };
        let meter = self.meters.entry(key).or_insert_with(|| Meter::new(heard));
        meter.set(counts, rate, shared);
        Some(meter.clone())
    }

    /// How much has left since this was last asked, by strategy and backend.
    pub(super) fn sent(&self) -> Vec<(StrategyName, BackendName, u64)> {
        let each = |((strategy, backend), meter): (&(StrategyName, BackendName), &Meter)| {
            (strategy.clone(), backend.clone(), meter.take())
        };
        self.meters.iter().map(each).filter(|(_, _, bytes)| *bytes > 0).collect()
    }

    /// Cuts one, if it runs and was not cut before.
    pub(super) fn abort(&mut self, attempt: AttemptId, cut: Cut) {
        let stop = self.running.get_mut(&attempt).and_then(|running| running.cut.take());
        if let Some(stop) = stop {
            debug!(attempt = attempt.0, "attempt {} is cut: {cut:?}", attempt.0);
            // An attempt that has just ended has answered already.
            stop.send(cut).ok();
        }
    }

    /// Tells one what to heed.
    pub(super) fn cue(&self, attempt: AttemptId, change: impl FnOnce(&mut Cue)) {
        if let Some(running) = self.running.get(&attempt) {
            running.cue.send_modify(change);
        }
    }

    /// How far one has come; for subscribers.
    pub(super) fn progress(&mut self, attempt: AttemptId, transfer: Transfer) -> Option<TaskProgress> {
        let running = self.running.get_mut(&attempt)?;
        running.transfer = Some(transfer);
        Some(TaskProgress { id: *running.tasks.first()?, owner: running.owner?, transfer })
    }

    /// How far the files have come that are on their way.
    pub(super) fn transfers(&self) -> BTreeMap<TaskId, Transfer> {
        let each = |running: &Running| Some((*running.tasks.first()?, running.transfer?));
        self.running.values().filter_map(each).collect()
    }

    /// One has ended.
    pub(super) fn finished(&mut self, attempt: AttemptId, answer: &Answer) {
        let Some(Running { strategy, backend, .. }) = self.running.remove(&attempt) else { return };
        let (attempt, gist) = (attempt.0, gist(answer));
        debug!(attempt, %strategy, %backend, reason = gist, "attempt {attempt} of {strategy} at {backend}: {gist}");
    }
}

/// The memory of an attempt: the store.
struct Keeper<'a> {
    store: &'a Store,
    backend: &'a BackendName,
    /// Stands before each note.
    mark: &'a str,
}

impl Keep for Keeper<'_> {
    fn keep(&self, task: TaskId, note: String) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        let kept = self.store.keep(task, self.backend.clone(), format!("{}{note}", self.mark));
        Box::pin(async move { kept.await.map_err(|error| error.to_string()) })
    }
}

/// An answer in a line of the log: what the server handed back for tasks that are done is their owners' alone.
fn gist(answer: &Answer) -> String {
    match answer {
        Answer::Results(results) => format!("{} results", results.len()),
        Answer::Status { code, words, .. } => format!("status {code}: {words}"),
        Answer::Foreign { words } => format!("not the server's answer: {words}"),
        Answer::Unreachable { words } => format!("no answer: {words}"),
        Answer::Untrusted { words } => format!("the server is not trusted: {words}"),
        Answer::NoCredential { words } => format!("no credential: {words}"),
        Answer::Unauthorized { words } => format!("the credential is refused: {words}"),
        Answer::Misplaced { words } => format!("not at this server: {words}"),
        Answer::Unready { words, .. } => format!("nothing was ready to be sent: {words}"),
        Answer::Withheld { words } => format!("nothing may be sent: {words}"),
        Answer::Advanced(end) => format!("more of the file than before, then {}", gist(end)),
        Answer::Cut(cut) => format!("cut: {cut:?}"),
    }
}
