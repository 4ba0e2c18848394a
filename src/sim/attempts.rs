//! What a device does for its core: above all attempts.

use std::time::Duration;

use super::LinkState;
use super::core::Core;
use super::device::Device;
use super::disk::Asked;
use super::flight::Flight;
use super::look::Look;
use super::seen::{Seen, Witness};
use super::server::{Server, is_file};
use crate::model::{Answer, AttemptId, BackendName, Claimed, Moment, StrategyName};
use crate::schedule::{Effect, Input};

/// Bytes of a handshake, TCP's and TLS's; of a request's head; of what stands around an item.
const HANDSHAKE: u64 = 500;
const HEAD: u64 = 300;
const PER_ITEM: u64 = 110;
/// Bytes to somebody who does not shake hands: a port that is closed, or a portal in the server's place.
const KNOCK: u64 = 300;

/// Bytes of an answer, and of what it says of each item.
const ANSWER: u64 = 300;
const ANSWER_PER_ITEM: u64 = 90;

/// How long so many bytes take to the device.
fn down(link: &LinkState, bytes: u64) -> Duration {
    Duration::from_micros(bytes * 1_000_000 / link.down_rate.max(1))
}

/// No answer.
pub(super) fn unreachable() -> Answer {
    Answer::Unreachable { words: "timed out".to_owned() }
}

impl<C: Core, W: Witness> Device<C, W> {
    pub(super) fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Claim { attempt, lane, limit } => {
                self.witness.see(&Seen::Claims(attempt), self.now);
                self.ask(Asked::Claim { attempt, lane, limit, at: self.now.wall });
            }
            Effect::Start { attempt, strategy, backend, tasks, upload: _ } => {
                self.witness.see(&Seen::Started { attempt, strategy: &strategy, tasks: &tasks }, self.now);
                self.start(attempt, (strategy, backend), tasks);
            }
            Effect::Abort { attempt, cut } => self.on(attempt, |flight| flight.cut(cut)),
            Effect::AtChunk { attempt, then } => self.on(attempt, |flight| flight.at_chunk = then),
            Effect::LinkBack { attempt } => self.on(attempt, Flight::reconnect),
            Effect::Announce | Effect::KeepEstimates(_) => {}
            Effect::KeepSpent(spent) => self.spent = spent,
            Effect::Probe { look, .. } => {
                self.look = Some(Look::begin(look, &self.link, self.now.moment, &mut self.random));
            }
            Effect::ReadPower => {
                let world = self.world();
                self.witness.see(&Seen::World(&world), self.now);
                self.core.handle(Input::World(world), self.now);
            }
            Effect::HoldEnds(id) => {
                self.holds.remove(&id);
            }
            Effect::Settle(settlements) => self.ask(Asked::Settle { settlements, at: self.now.wall }),
            Effect::Tidy => self.ask(Asked::Tidy { at: self.now.wall }),
        }
    }

    fn on(&mut self, attempt: AttemptId, change: impl FnOnce(&mut Flight)) {
        if let Some(flight) = self.flights.get_mut(&attempt) {
            change(flight);
        }
    }

    fn start(&mut self, attempt: AttemptId, whose: (StrategyName, BackendName), tasks: Vec<Claimed>) {
        if !self.core.resumes() {
            tasks.iter().for_each(|task| self.server.restart(task.id));
        }
        for file in tasks.iter().filter(|task| is_file(task)) {
            self.keep_note(file);
        }
        let first = tasks.first().map_or(0, |task| self.server.offset(task.id));
        self.flights.insert(attempt, Flight::new(tasks, whose, first, self.link, self.now.moment));
        self.request(attempt);
    }

    /// An upload's attempt writes down how much of it the server has, if that has changed.
    fn keep_note(&mut self, file: &Claimed) {
        let note = self.server.offset(file.id).to_string();
        if file.note.as_ref() != Some(&note) && self.store.keep(file.id, note) {
            self.witness.see(&Seen::CameFurther(file.id), self.now);
        }
    }

    /// Sends the next request of an attempt: all of its tasks, or the next chunk of its file.
    pub(super) fn request(&mut self, attempt: AttemptId) {
        let (link, now) = (self.link, self.now.moment);
        let jitter = link.jitter.mul_f64(self.random.f64());
        let chunk = self.config.backends.values().map(|backend| backend.chunk).max();
        let Some(flight) = self.flights.get_mut(&attempt) else { return };
        let alone = link.portal || self.server.is_deaf(now);
        let open = flight.advanced || alone || self.wires.take(&flight.backend, link.link, now);
        let connect = if open { (0, 0) } else { (2, HANDSHAKE) };
        let (payload, (trips, bytes)) = match flight.tasks.as_slice() {
            // Nobody shakes hands, or somebody else does.
            _ if alone => (0, (2, KNOCK)),
            [file] if is_file(file) => {
                let left = file.payload.size().saturating_sub(self.server.offset(file.id));
                let next = left.min(chunk.unwrap_or(left));
                // An upload begins with a question, for a place or for the offset.
                match self.server.turned_away(now) {
                    _ if flight.advanced => (next, (1, HEAD)),
                    Some(_) => (0, (1, HEAD)),
                    None => (next, (2, 2 * HEAD)),
                }
            }
            tasks => (tasks.iter().map(|task| task.payload.size()).sum(), (1, HEAD + PER_ITEM * tasks.len() as u64)),
        };
        let answer = down(&link, ANSWER + ANSWER_PER_ITEM * flight.tasks.len() as u64);
        let wait = link.round_trip * (connect.0 + trips) + jitter + answer + self.server.latency(now);
        flight.request(payload, connect.1 + bytes, wait, now);
        flight.relink(&link, now);
        self.witness.see(&Seen::Request { attempt }, self.now);
    }

    /// A request is at the server, if the link has not lost it, and its answer is back, if not that.
    pub(super) fn arrive(&mut self, attempt: AttemptId) {
        let Some(flight) = self.flights.get(&attempt) else { return };
        let lost = self.random.f64() >= flight.link.reliability;
        if flight.link.portal {
            return self.finish(attempt, Answer::Foreign { words: "HTML".to_owned() });
        }
        if lost && self.random.bool() {
            return self.break_off(attempt, unreachable());
        }
        let (tasks, payload) = (flight.tasks.clone(), flight.payload);
        let answer = self.reach_server(&tasks, |server, now| match tasks.as_slice() {
            [file] if is_file(file) => server.take_chunk(file, payload, now).err(),
            tasks => Some(server.take(tasks, now)),
        });
        match answer {
            _ if lost => self.finish(attempt, unreachable()),
            Some(answer) => self.finish(attempt, answer),
            None => self.on(attempt, Flight::park),
        }
    }

    /// Something arrives at the server that is about these tasks.
    pub(super) fn reach_server<T>(&mut self, tasks: &[Claimed], says: impl FnOnce(&mut Server, Moment) -> T) -> T {
        let had: Vec<bool> = tasks.iter().map(|task| self.server.has(task.id)).collect();
        let said = says(&mut self.server, self.now.moment);
        for (task, _) in tasks.iter().zip(had).filter(|(task, had)| !had && self.server.has(task.id)) {
            self.witness.see(&Seen::Taken(task.id), self.now);
        }
        said
    }

    /// An attempt ends in the middle of its request: of a file the server has what had arrived.
    pub(super) fn break_off(&mut self, attempt: AttemptId, answer: Answer) {
        if let Some(flight) = self.flights.get(&attempt)
            && let [file] = flight.tasks.as_slice()
            && is_file(file)
        {
            // Nobody has told that the last byte is there, so it is sent again.
            let bytes = flight.arrived.min(flight.payload.saturating_sub(1));
            self.server.take_part(file, bytes, self.now.moment);
        }
        self.finish(attempt, answer);
    }

    /// An attempt has ended.
    pub(super) fn finish(&mut self, attempt: AttemptId, answer: Answer) {
        let Some(flight) = self.flights.remove(&attempt) else { return };
        if matches!(answer, Answer::Results(_) | Answer::Status { .. }) {
            self.wires.give(&flight.backend, flight.link.link, self.now.moment, self.core.keeps_idle());
        }
        let has_more = |task: &Claimed| self.server.offset(task.id) > flight.first;
        let came_further =
            flight.advanced && flight.tasks.iter().all(has_more) && !matches!(answer, Answer::Results(_));
        let answer = if came_further { Answer::Advanced(Box::new(answer)) } else { answer };
        self.witness.see(&Seen::Answered { attempt, answer: &answer }, self.now);
        self.feed(Input::Finished { attempt, answer });
    }

    /// Makes everything well, and nothing more is asked of anybody.
    pub(super) fn make_good(&mut self) {
        self.freeze();
        self.server.recover();
        self.disk.full = false;
        for reason in super::acts::GRANTED {
            self.grant(*reason);
        }
    }

    /// The longest that it may take in a good world until one more task has gone: backoffs, and hours, which a day may
    /// leave out.
    pub(super) fn patience(&self) -> Duration {
        let has_hours = self.config.strategies.values().any(|strategy| !strategy.conditions.window.is_always());
        let hours = if has_hours { 2 * 24 } else { 0 };
        4 * self.backoff_cap() + Duration::from_secs(3_600) * (1 + hours)
    }
}
