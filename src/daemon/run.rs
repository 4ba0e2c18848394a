//! The one loop: wait for an event, tell the core, perform what it answers, set the one alarm, sleep.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::{debug, error, info, warn};

use super::abandoned::AbandonedUploads;
use super::arguments::DaemonArguments;
use super::attempts::Attempts;
use super::chronicle::Chronicle;
use super::event::{Event, Signal};
use super::first_words::Awaited;
use super::holds::Holders;
use super::pauses::Pauses;
use super::radios::RadioReaders;
use super::service::Service;
use super::services::Services;
use super::startup::Wiring;
use super::surroundings::Surroundings;
use crate::bus::{Bus, Command};
use crate::model::{
    Answer, AttemptId, Config, Connectivity, CountsByStrategy, Finding, Now, Power, State, Status, StoreNews,
    TaskChange, TaskNews, Transfer, World, Zone,
};
use crate::schedule::{Control, Input, Links, Scheduler};
use crate::sense::clock::{self, Alarm, WallJumps};
use crate::sense::power::PowerError;
use crate::sense::zone::ZoneError;
use crate::store::Store;

/// The longest that a stop waits for attempts to be cut and ends to be written, and then for the bus to let us go.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Why the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// A signal asked for it.
    Asked,
    /// The bus went away; systemd starts us again when it is back.
    BusLost,
    /// Only opening the queue anew mends it, as the next start does.
    QueueBroken,
}

/// The running daemon. Every field is touched by the loop alone.
pub(super) struct Daemon {
    pub(super) core: Scheduler,
    pub(super) store: Store,
    pub(super) attempts: Attempts,
    pub(super) inbox: mpsc::UnboundedSender<Event>,
    pub(super) config: Arc<Config>,
    pub(super) arguments: DaemonArguments,
    pub(super) wiring: Wiring,
    pub(super) world: World,
    pub(super) links: Links,
    pub(super) surroundings: Surroundings,
    pub(super) radio_readers: RadioReaders,
    pub(super) counts: CountsByStrategy,
    pub(super) pauses: Pauses,
    pub(super) holders: Holders,
    pub(super) status: watch::Sender<Arc<Status>>,
    pub(super) service: Service,
    pub(super) chronicle: Chronicle,
    pub(super) abandoned: AbandonedUploads,
    pub(super) services: Services,
    pub(super) awaited: Awaited,
    /// Writes on their way to the store that a stop must wait for.
    pub(super) unwritten: usize,
    /// Claims that the store has not answered: their rows may be marked as running already.
    pub(super) unclaimed: usize,
}

/// What the loop waits on, apart from the daemon so that both can be borrowed.
pub(super) struct Sources {
    pub(super) events: mpsc::UnboundedReceiver<Event>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) signals: super::signals::Signals,
    pub(super) alarm: Alarm,
    pub(super) jumps: WallJumps,
    pub(super) bus: Bus,
}

impl Sources {
    /// The next event. Each arm only builds one.
    async fn next(&mut self) -> Event {
        tokio::select! {
            signal = self.signals.next() => Event::Signal(signal),
            () = self.bus.lost() => Event::BusLost,
            Some(event) = self.events.recv() => event,
            Some(command) = self.commands.recv() => Event::Command(command),
            Ok(()) = self.jumps.next() => Event::WallJumped,
            Ok(()) = self.alarm.wait() => Event::Woken,
        }
    }

    /// Takes no more commands. A caller whose reply is dropped is told that the daemon is stopping.
    async fn refuse_commands(&mut self) {
        self.commands.close();
        while self.commands.recv().await.is_some() {}
    }
}

/// Runs until a signal or the loss of the bus, then reaches a safe point.
pub(super) async fn run(mut daemon: Daemon, mut sources: Sources) -> Ended {
    let mut ended = None;
    daemon.service.ready(&daemon.status.borrow(), clock::now().moment);
    while ended.is_none() {
        daemon.settle_down(&mut sources.alarm);
        let event = sources.next().await;
        if matches!(event, Event::Stored(_)) {
            // The callers of that commit were answered before it was told of: let their replies out first.
            tokio::task::yield_now().await;
        }
        ended = daemon.handle(event);
    }
    daemon.stop(&mut sources).await;
    if tokio::time::timeout(STOP_LIMIT, sources.bus.close()).await.is_err() {
        warn!("leaving a bus that does not answer");
    }
    ended.unwrap_or(Ended::Asked)
}

impl Daemon {
    /// Performs what the core wants, shows what changed and sets the alarm: after this, nothing is left to do but wait.
    pub(super) fn settle_down(&mut self, alarm: &mut Alarm) {
        self.perform_all();
        self.let_sleep();
        self.service.show(&self.status.borrow(), clock::now().moment);
        let thought = self.core.poll_timeout().into_iter().chain(self.links.poll_timeout()).min();
        let thought = thought.map(|(moment, wake)| (moment, wake.as_str()));
        let deadline = thought.into_iter().chain(self.service.deadline()).min();
        if let Some((moment, wake)) = deadline {
            debug!("asleep until {wake}, {:?} after boot", moment.elapsed_since_boot());
        }
        if let Err(error) = alarm.set(deadline.map(|(moment, _)| moment)) {
            error!("setting the alarm: {error}");
        }
    }

    /// Takes in one event; `Some` ends the loop.
    fn handle(&mut self, event: Event) -> Option<Ended> {
        let now = clock::now();
        match event {
            Event::Stored(news) => self.stored(news, now),
            Event::Networks(networks) => self.networks_sensed(networks, now),
            Event::Power(power) => self.power(power, now),
            Event::Probed { look, interface, finding } => self.probed(look, &interface, finding, now),
            Event::Said(word) => self.said(word, now),
            Event::ServicesGone(why) => self.services_gone(why, now),
            Event::Radios(radios) => self.radios(radios, now),
            Event::Zone(zone) => self.zone(zone, now),
            Event::Sent => self.count_sent(now),
            Event::Resolved => self.wiring.resolved(),
            Event::Claimed { attempt, tasks } => {
                self.unclaimed -= 1;
                let tasks = tasks.unwrap_or_else(|error| {
                    error!(attempt = attempt.0, "claiming tasks for attempt {}: {error}", attempt.0);
                    Vec::new()
                });
                self.core.handle(Input::Claimed { attempt, tasks }, now);
            }
            Event::Progress { attempt, transfer } => self.progress(attempt, transfer, now),
            Event::Finished { attempt, answer } => {
                let answered = matches!(answer, Answer::Results(_));
                self.count_sent(now);
                self.attempts.finished(attempt, &answer);
                self.core.handle(Input::Finished { attempt, answer }, now);
                if answered {
                    self.tell_abandoned();
                }
            }
            Event::Abandoned { id, answer } => self.told_abandoned(id, &answer),
            Event::Unsettled { settlements, error } => {
                error!("writing how {} tasks ended, trying again: {error}", settlements.len());
                self.unwritten -= 1;
                self.core.handle(Input::Unsettled(settlements), now);
            }
            Event::Settled => self.unwritten -= 1,
            Event::LetGo(id) => self.let_go(id, now),
            Event::Command(command) => self.command(command, now),
            Event::Woken => self.woken(now),
            Event::WallJumped => self.wall_jumped(now),
            Event::Signal(Signal::Reload) => {
                if let Err(error) = self.reload(now) {
                    error!("reloading the configuration; the old one holds: {error}");
                }
            }
            Event::Signal(Signal::Terminate) => return Some(Ended::Asked),
            Event::StoreBroken => {
                error!("the queue must be opened anew");
                return Some(Ended::QueueBroken);
            }
            Event::BusLost => {
                warn!("the bus connection ended");
                return Some(Ended::BusLost);
            }
        }
        None
    }

    /// A deadline has come: the core's, a link's, or the service manager's, which concerns nobody else.
    fn woken(&mut self, now: Now) {
        self.service.beat(now.moment);
        self.links_settle(now);
        if self.core.poll_timeout().is_some_and(|(moment, _)| moment <= now.moment) {
            self.core.handle(Input::Woken, now);
        }
    }

    /// The store's news: lanes and tidying for the core, counts for the status, changes for subscribers.
    fn stored(&mut self, news: StoreNews, now: Now) {
        self.counts.extend(news.counts);
        if let Some(tidy_at) = news.tidy_at {
            self.core.handle(Input::TidyAt(tidy_at), now);
        }
        let ended = |change: &&TaskChange| matches!(change.state, State::Done | State::Cancelled);
        let ended = news.changes.iter().filter(ended).map(|change| change.id);
        self.store.free_files(ended.chain(news.removed));
        for change in news.changes {
            if change.state == State::Failed {
                self.chronicle.failed(&change, now.moment);
            }
            // Also of an attempt that has ended and is not judged yet.
            if change.state == State::Cancelled && change.from == Some(State::Running) {
                self.core.handle(Input::Withdrawn(change.id), now);
            }
            self.wiring.tell(TaskNews::Changed(change));
        }
        self.core.handle(Input::Lanes(news.lanes), now);
        if !news.abandoned.is_empty() {
            self.abandon(news.abandoned);
        }
        self.publish(now);
    }

    fn progress(&mut self, attempt: AttemptId, transfer: Transfer, now: Now) {
        if let Some(progress) = self.attempts.progress(attempt, transfer) {
            self.wiring.tell(TaskNews::Progress(progress));
            self.publish(now);
        }
    }

    fn probed(&mut self, look: u64, interface: &str, finding: Finding, now: Now) {
        let Finding { connectivity, words } = &finding;
        debug!("the network on {interface} reaches so far: {connectivity} ({words})");
        if *connectivity != Connectivity::Full {
            // A portal may be at their other end.
            self.wiring.forget_connections();
        }
        self.core.handle(Input::Probed { look, finding }, now);
        // Their names may lead elsewhere, by another way: nobody would ever know, since no attempt asks the resolver.
        self.wiring.look_up(|backend| !self.core.reaches(backend));
        self.tell_abandoned();
    }

    fn power(&mut self, power: Result<Power, PowerError>, now: Now) {
        match power {
            Ok(power) => {
                if power.external != self.world.power.external {
                    info!("{}", if power.external { "on external power" } else { "on battery" });
                }
                self.world.failing.remove("power");
                self.world.power = power;
            }
            // What cannot be sensed is never taken for good news.
            Err(error) => {
                error!("{error}");
                self.world.failing.insert("power");
                self.world.power = Power::unknown();
            }
        }
        self.world.power_read = now.moment;
        self.judge_saving(now);
    }

    fn zone(&mut self, zone: Result<Zone, ZoneError>, now: Now) {
        match zone {
            Ok(zone) => {
                info!("the time zone is {}", zone.name().unwrap_or("one without a name"));
                self.world.failing.remove("zone");
                self.world.zone = zone;
            }
            Err(error) => {
                error!("{error}");
                self.world.failing.insert("zone");
            }
        }
        self.core.handle(Input::World(self.world.clone()), now);
    }

    /// The wall clock was set: due times on disk are read against it, so the store looks at them again.
    fn wall_jumped(&mut self, now: Now) {
        info!("the wall clock was set, to {} microseconds since the epoch", now.wall.as_micros());
        self.world.clock_unset = clock::is_unset(now.wall);
        self.core.handle(Input::World(self.world.clone()), now);
        self.respread(now);
    }

    fn command(&mut self, command: Command, now: Now) {
        match command {
            Command::Pause { strategy, pause, reply } => {
                self.pauses.set(strategy.clone(), pause);
                self.core.handle(Input::Control(Control::Pause(strategy, pause)), now);
                self.save_pauses(reply);
            }
            Command::Resume { strategy, reply } => {
                self.pauses.clear(strategy.as_ref());
                self.core.handle(Input::Control(Control::Resume(strategy)), now);
                self.save_pauses(reply);
            }
            Command::Reload { reply } => {
                let outcome = self
                    .reload(now)
                    .inspect_err(|error| error!("reloading the configuration; the old one holds: {error}"));
                answer(reply, outcome.map_err(|error| error.to_string()));
            }
            Command::SyncNow { strategy, reply } => {
                self.core.handle(Input::Control(Control::SyncNow(strategy)), now);
                answer(reply, ());
            }
            Command::Hold { wanted, reply } => {
                let held = self.hold(wanted, now);
                answer(reply, held);
            }
            Command::ReadRadios { reply } => self.read_radios(reply, now),
            Command::Explain { task, assume, reply } => answer(reply, self.core.explain(&task, &assume, now)),
        }
    }

    /// Shows the status, if it differs from the one shown.
    pub(super) fn publish(&mut self, now: Now) {
        let of_core = self.core.status(&self.counts, now);
        let settles = self.links.poll_timeout().map(|(at, wake)| (wake.as_str(), now.wall_of(at)));
        let next_wake = of_core.next_wake.into_iter().chain(settles).min_by_key(|(_, at)| *at);
        let status = Arc::new(Status { running: self.attempts.transfers(), next_wake, ..of_core });
        self.chronicle.look(&status, self.core.ill(), now.moment);
        self.status.send_if_modified(|shown| {
            let differs = **shown != *status;
            *shown = status;
            differs
        });
    }

    /// Cuts what runs, waits until every end is on disk, at most [`STOP_LIMIT`]: what is not written by then is
    /// still marked as running and goes again after the next start.
    async fn stop(&mut self, sources: &mut Sources) {
        info!("stopping, {} attempts are cut", self.attempts.count());
        self.service.stopping();
        self.core.handle(Input::Control(Control::Stop), clock::now());
        sources.refuse_commands().await;
        let safe_point = async {
            self.settle_down(&mut sources.alarm);
            while self.attempts.count() > 0 || self.unclaimed > 0 || self.unwritten > 0 {
                let Some(event) = sources.events.recv().await else { return };
                self.handle(event);
                self.settle_down(&mut sources.alarm);
            }
        };
        if tokio::time::timeout(STOP_LIMIT, safe_point).await.is_err() {
            warn!("stopping before every end was written");
        }
    }
}

/// Answers a caller, who may have gone.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    if reply.send(value).is_err() {
        debug!("the caller has gone");
    }
}
