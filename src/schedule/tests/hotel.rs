//! Random lives in networks with portals that come and go, dead lines, servers and probes that are down. The truth is
//! known, and so is what must never happen: a task that suffers, a backend that is blamed for a portal, a credential shown
//! to whoever answers, a wait that nothing ends.

use std::time::Duration;

use super::reach::{probing, said, sensed};
use super::rig::*;
use crate::model::{
    Answer, AttemptId, BackendName, Connectivity, Cut, Finding, Network, Reason, TaskId, WallTime, World,
};
use crate::schedule::{Control, Input, Wake};

const STEPS: usize = 600;

#[test]
fn no_portal_harms_anything_and_no_wait_is_for_ever() {
    let mut tally = Tally::default();
    for seed in 0..seeds() {
        match std::panic::catch_unwind(|| Life::new(seed).live()) {
            Ok(seen) => tally.add(&seen),
            Err(panic) => {
                eprintln!("seed {seed} failed");
                std::panic::resume_unwind(panic);
            }
        }
    }
    println!("{tally:?}");
    let Tally { starts, looks, portals, dead, doubts, woken } = tally;
    for seen in [starts, looks, portals, dead, doubts, woken] {
        assert!(seen as u64 > 5 * seeds(), "{tally:?}");
    }
}

/// What happened: a life in which nothing did proves nothing.
#[derive(Debug, Default)]
struct Tally {
    starts: usize,
    looks: usize,
    portals: usize,
    dead: usize,
    doubts: usize,
    woken: usize,
}

impl Tally {
    fn add(&mut self, other: &Tally) {
        self.starts += other.starts;
        self.looks += other.looks;
        self.portals += other.portals;
        self.dead += other.dead;
        self.doubts += other.doubts;
        self.woken += other.woken;
    }
}

/// How things are.
#[derive(Debug, Default)]
struct Truth {
    /// On wifi; a modem has none of it.
    portal: bool,
    dead: bool,
    servers_down: bool,
    probe_down: bool,
}

struct Life {
    rig: Rig,
    rng: fastrand::Rng,
    truth: Truth,
    network: Network,
    /// Whether NetworkManager is there, and checks.
    manager: bool,
    /// The looks that were answered.
    answered: usize,
    started: usize,
    /// A look has found no portal on this route since an answer last cast doubt on it.
    cleared: bool,
    tally: Tally,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut rig = Rig::new(probing());
        rig.core = crate::schedule::Scheduler::new(probing().into(), seed);
        let (rng, truth) = (fastrand::Rng::with_seed(seed), Truth::default());
        let (manager, network) = (seed.is_multiple_of(4), Network::none());
        let (tally, cleared) = (Tally::default(), false);
        Self { rig, rng, truth, network, manager, answered: 0, started: 0, cleared, tally }
    }

    fn live(mut self) -> Tally {
        for _ in 0..STEPS {
            self.step();
            self.check();
        }
        self.drain();
        self.tally.starts = self.rig.log.started.len();
        self.tally.looks = self.rig.log.looks.len();
        self.tally
    }

    fn step(&mut self) {
        // No two things happen at once.
        self.rig.pass(Duration::from_micros(1));
        match self.rng.u32(0..100) {
            0..15 => {
                let (strategy, many) = (self.rng.usize(0..2), self.rng.u32(0..10) == 0);
                drop(self.rig.enqueue(["metadata", "analytics"][strategy], if many { 250 } else { 1 }));
            }
            15..50 => self.finish(),
            50..70 => self.answer_look(),
            70..85 => self.sleep(),
            85..91 => self.change_truth(),
            91..97 => self.change_network(),
            _ => self.rig.feed(Input::Control(Control::SyncNow(None))),
        }
    }

    fn found(&self) -> Connectivity {
        let wifi = self.network.interface == wifi().interface;
        match &self.truth {
            Truth { portal: true, .. } if wifi => Connectivity::Portal,
            Truth { dead: true, .. } if wifi => Connectivity::Limited,
            Truth { .. } => Connectivity::Full,
        }
    }

    fn finish(&mut self) {
        let Some((attempt, tasks)) = self.rig.running.iter().nth(0).map(|(id, tasks)| (*id, tasks.clone())) else {
            return;
        };
        let cut = self.rig.log.aborted.iter().find(|(id, _)| *id == attempt).map(|(_, cut)| *cut);
        let answer = match cut {
            Some(cut) if self.rng.bool() => Answer::Cut(cut),
            Some(Cut::Link) => unreachable(),
            Some(_) | None => self.answer_of(attempt, &tasks),
        };
        self.rig.finish(attempt, answer);
        if self.in_doubt() {
            self.tally.doubts += 1;
            self.cleared = false;
        }
    }

    fn answer_of(&mut self, attempt: AttemptId, tasks: &[TaskId]) -> Answer {
        let secure = *self.backend_of(attempt) == backend("other");
        match self.found() {
            Connectivity::Portal if secure => Answer::Untrusted { words: String::new() },
            Connectivity::Portal => {
                let pages = [foreign(), status(403), status(404), status(400), status(511), status(503)];
                self.rng.choice(pages).expect("there are some")
            }
            Connectivity::Full if !self.truth.servers_down => results(tasks, &ok()),
            Connectivity::Full | Connectivity::Limited | Connectivity::Unknown | Connectivity::None => unreachable(),
        }
    }

    fn backend_of(&self, attempt: AttemptId) -> &BackendName {
        let at = self.rig.log.started.iter().position(|(id, ..)| *id == attempt).expect("it started");
        &self.rig.log.sent_to[at]
    }

    fn in_doubt(&self) -> bool {
        self.rig.core.attempts.values().any(|attempt| attempt.kept.is_some())
    }

    fn answer_look(&mut self) {
        let Some((look, interface)) = self.rig.log.looks.get(self.answered).cloned() else { return };
        self.answered += 1;
        let found = self.found();
        let unheard = interface != self.network.interface || (found == Connectivity::Full && self.truth.probe_down);
        let connectivity = if unheard { Connectivity::Limited } else { found };
        match connectivity {
            Connectivity::Portal => self.tally.portals += 1,
            Connectivity::Limited => self.tally.dead += 1,
            Connectivity::Full | Connectivity::Unknown | Connectivity::None => {}
        }
        // Before it is told: an attempt may start of it.
        self.cleared = connectivity != Connectivity::Portal;
        self.rig.feed(Input::Probed { look, finding: Finding { connectivity, words: String::new() } });
    }

    fn sleep(&mut self) {
        let end = self.rig.now + Duration::from_secs([1, 10, 300, 2000][self.rng.usize(0..4)]);
        while let Some((at, wake)) = self.rig.core.poll_timeout().filter(|(at, _)| *at <= end.moment) {
            self.wake_at(at, wake);
            self.check();
        }
        self.rig.now = end;
    }

    fn wake_at(&mut self, at: crate::model::Moment, wake: Wake) {
        self.rig.now = until(self.rig.now, at);
        let before = (self.rig.log.looks.len(), self.rig.log.started.len());
        self.rig.feed(Input::Woken);
        self.tally.woken += 1;
        let after = (self.rig.log.looks.len(), self.rig.log.started.len());
        assert!(wake != Wake::ReachProbe || before != after, "woken to look for nothing");
    }

    fn change_truth(&mut self) {
        // What changes between a portal's answer and the look nobody can know.
        if self.in_doubt() {
            return;
        }
        match self.rng.u32(0..4) {
            0 => self.truth.portal = !self.truth.portal,
            1 => self.truth.dead = !self.truth.dead,
            2 => self.truth.servers_down = !self.truth.servers_down,
            _ => self.truth.probe_down = !self.truth.probe_down,
        }
        self.tell_world();
    }

    fn change_network(&mut self) {
        let network = match self.rng.u32(0..4) {
            0 => Network::none(),
            1 => sensed(modem()),
            _ => sensed(wifi()),
        };
        self.cleared &= network == self.network;
        self.network = network;
        self.tell_world();
    }

    fn tell_world(&mut self) {
        let word = (self.manager && self.network.connected).then(|| self.found());
        let world: World = match self.network.connected {
            true => said(self.network.clone(), word),
            false => world(&self.network),
        };
        self.rig.feed(Input::World(world));
    }

    fn check(&mut self) {
        for task in &self.rig.store.tasks {
            assert!(task.row != Row::Failed && task.attempts == 0, "{} suffered: {task:?}", task.id);
        }
        for (name, backend) in &self.rig.core.backends {
            let ill = backend.illness().map(|illness| illness.reason());
            assert!(ill.is_none_or(|ill| ill == Reason::BackendDown), "{name} is blamed: {ill:?}");
        }
        for to in &self.rig.log.sent_to[self.started..] {
            let shown = *to == backend("main") && !self.manager && !self.cleared;
            let answered = self.rig.core.reach.has_answered(to);
            assert!(!shown || answered, "a credential is shown to whoever answers");
        }
        self.started = self.rig.log.sent_to.len();
    }

    /// All turns good and stays so, but perhaps for the probe: everything must go, within the longest waits.
    fn drain(&mut self) {
        while self.in_doubt() {
            self.answer_look();
        }
        self.truth = Truth { probe_down: self.rng.bool(), ..Truth::default() };
        self.network = sensed(wifi());
        self.tell_world();
        let end: WallTime = self.rig.now.wall + Duration::from_secs(3600);
        for _ in 0..10_000 {
            if self.answered < self.rig.log.looks.len() {
                self.answer_look();
            } else if !self.rig.running.is_empty() {
                self.finish();
            } else if let Some((at, wake)) = self.rig.core.poll_timeout() {
                self.wake_at(at, wake);
            } else {
                break;
            }
            self.check();
        }
        assert!(self.rig.now.wall < end, "it took {:?}", self.rig.now.wall);
        assert!(self.rig.store.tasks.iter().all(|task| task.row == Row::Done), "something waits for ever");
        assert!(self.rig.core.attempts.is_empty());
    }
}
