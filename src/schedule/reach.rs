//! How far the network reaches, and whose an answer is. Three know something of it: a backend's own answers, the best
//! evidence, for that backend alone; the probe, for the route it took; NetworkManager, for all. What is known belongs to a
//! route and is forgotten with it. Pure; when to look is decided in [`super::looks`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::attempt::Route;
use crate::model::{Answer, BackendName, Connectivity, Moment, Network, Now, WallTime, World};

/// When a portal, or a network without the internet, is looked at again; twice as long after each time.
const FIRST_WAIT: Duration = Duration::from_secs(2 * 60);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(15 * 60);
/// What stays on the device meets no portal.
const LOOPBACK: &str = "lo";

/// All that is known.
#[derive(Debug, Default)]
pub(super) struct Reach {
    pub(super) ways: Vec<Way>,
    /// NetworkManager's word.
    word: Option<Connectivity>,
    /// The look under way, one at a time.
    pub(super) look: Option<Look>,
    pub(super) looks: u64,
    heard: BTreeMap<BackendName, Heard>,
    /// What the sense itself said, where it said something.
    sensed: BTreeMap<BackendName, Connectivity>,
}

/// A route that some backend's traffic takes.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) route: Route,
    /// Since when traffic takes it.
    since: Moment,
    pub(super) verdict: Option<Verdict>,
    /// The verdict is new: backends may try whether it holds for them.
    pub(super) fresh: bool,
    /// The last verdict that was looked at hindered it.
    pub(super) hindered: bool,
}

/// How far a route reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) connectivity: Connectivity,
    /// What came, for people.
    pub(super) words: String,
    pub(super) by: Source,
    pub(super) since: WallTime,
    /// When the look began.
    pub(super) looked: Moment,
    /// When its answer came.
    found: Moment,
    /// When it is looked at again if something waits for that.
    pub(super) again: Moment,
    /// How often it was found so.
    times: u32,
}

/// Whose word a verdict is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Probe,
    NetworkManager,
}

/// A look that has begun.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) number: u64,
    pub(super) route: Route,
    pub(super) since: Moment,
}

/// What a backend itself has shown over its present route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// It answered as only it can: it is reached, whatever others say.
    Answered,
    /// Others say that it is not reached; an attempt may tell.
    Trying,
}

/// Why an answer is not believed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Somebody answered who may be another.
    Whose,
    /// Nobody did.
    Silence,
}

/// Whether an answer is to be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credit {
    /// It is, as the backend's.
    Given,
    /// It is nobody's: the network does not reach the backend.
    Denied,
    /// The probe must tell.
    Open,
}

impl Verdict {
    fn new(connectivity: Connectivity, words: String, by: Source, looked: Moment, now: Now) -> Self {
        Self {
            connectivity,
            words,
            by,
            since: now.wall,
            looked,
            found: now.moment,
            again: now.moment + FIRST_WAIT,
            times: 1,
        }
    }

    /// The same that follows on an earlier one: it has been so since then, and is looked at again later.
    fn after(self, before: Option<&Verdict>, now: Now) -> Self {
        match before.filter(|before| before.connectivity == self.connectivity) {
            Some(before) => {
                let wait = FIRST_WAIT * 2u32.saturating_pow(before.times.min(8));
                let again = now.moment + wait.min(LONGEST_WAIT);
                Self { since: before.since, times: before.times.saturating_add(1), again, ..self }
            }
            None => self,
        }
    }

    /// Whether a look has found it since an answer came.
    pub(super) fn tells_of(&self, answered: Moment) -> bool {
        self.by == Source::Probe && self.found >= answered
    }

    /// Whether tasks wait because of it.
    pub(super) fn hinders(&self) -> bool {
        match self.connectivity {
            Connectivity::Portal | Connectivity::Limited | Connectivity::None => true,
            Connectivity::Full | Connectivity::Unknown => false,
        }
    }
}

impl Reach {
    /// Takes in what was sensed: routes that came and went, another word of NetworkManager.
    pub(super) fn follow(&mut self, world: &World, now: Now) {
        let sensed = world.networks.iter().filter(|(_, network)| network.connectivity != Connectivity::Unknown);
        self.sensed = sensed.map(|(name, network)| (name.clone(), network.connectivity)).collect();
        let routes: Vec<&Network> = world.networks.values().filter(|network| leads_out(network)).collect();
        self.ways.retain(|way| routes.iter().any(|network| !way.route.is_lost_in(network)));
        let word = world.connectivity.filter(|word| *word != Connectivity::Unknown);
        if word != self.word {
            self.word = word;
            for way in &mut self.ways {
                let own = way.verdict.take();
                way.verdict = match said(word, now) {
                    Some(said) => Some(said.after(own.as_ref(), now)),
                    None => own.filter(|own| own.by == Source::Probe),
                };
                way.fresh = true;
            }
        }
        for network in routes {
            if self.way(network).is_none() {
                let (route, since) = (Route::of(network), now.moment);
                self.ways.push(Way { route, since, verdict: said(word, now), fresh: true, hindered: false });
            }
        }
    }

    /// Takes what a look found; `false` if nobody waits for it any more.
    pub(super) fn found(&mut self, number: u64, connectivity: Connectivity, words: String, now: Now) -> bool {
        let Some(look) = self.look.take_if(|look| look.number == number) else { return false };
        let same = |way: &&mut Way| way.route == look.route && way.since <= look.since;
        let Some(way) = self.ways.iter_mut().find(same) else { return false };
        let verdict = Verdict::new(connectivity, words, Source::Probe, look.since, now);
        way.verdict = Some(verdict.after(way.verdict.as_ref(), now));
        way.fresh = true;
        true
    }

    /// Nobody can look any more: when a time has come, backends may try again whether a word of NetworkManager holds.
    pub(super) fn renew(&mut self, way: usize, now: Now) {
        let Some(way) = self.ways.get_mut(way) else { return };
        way.verdict = way.verdict.take().map(|before| before.clone().after(Some(&before), now));
        way.fresh = true;
    }

    /// Another probe, or none, is configured: what the last one found does not count.
    pub(super) fn forget_findings(&mut self, now: Now) {
        self.look = None;
        for way in &mut self.ways {
            way.verdict = said(self.word, now);
            way.fresh = true;
        }
    }

    /// The backend answered as only it can.
    pub(super) fn answered(&mut self, backend: &BackendName) {
        self.heard.insert(backend.clone(), Heard::Answered);
    }

    /// The backend may try whether others are right.
    pub(super) fn tries(&mut self, backend: &BackendName) {
        self.heard.insert(backend.clone(), Heard::Trying);
    }

    /// An answer of the backend was somebody else's, or did not come. A try has told what it could, and others that are under
    /// way begin no new one; what the backend has shown itself counts as long as any of them (`others`) may show it again.
    pub(super) fn denied(&mut self, backend: &BackendName, others: bool) {
        if self.heard.get(backend) == Some(&Heard::Trying) || !others {
            self.heard.remove(backend);
        }
    }

    /// What the backend has shown does not count any more.
    pub(super) fn forget(&mut self, backend: &BackendName) {
        self.heard.remove(backend);
    }

    /// No backend need try any more.
    pub(super) fn end_tries(&mut self, of: &BTreeSet<BackendName>) {
        self.heard.retain(|name, heard| *heard == Heard::Answered || !of.contains(name));
    }

    pub(super) fn has_answered(&self, backend: &BackendName) -> bool {
        self.heard.get(backend) == Some(&Heard::Answered)
    }

    /// The way of this network's traffic; `None` if it has none that a portal could stand in.
    pub(super) fn way(&self, network: &Network) -> Option<&Way> {
        self.at(network).and_then(|at| self.ways.get(at))
    }

    pub(super) fn at(&self, network: &Network) -> Option<usize> {
        self.ways.iter().position(|way| leads_out(network) && !way.route.is_lost_in(network))
    }

    /// Whether nothing is known of this backend's way, neither by the sense nor by others nor by itself.
    pub(super) fn is_dark(&self, backend: &BackendName, network: &Network) -> bool {
        !self.sensed.contains_key(backend)
            && !self.has_answered(backend)
            && self.way(network).is_some_and(|way| way.verdict.is_none())
    }

    /// How far the network reaches that this backend's traffic meets. Of one that is `near` no portal can stand in the way.
    pub(super) fn connectivity(&self, backend: &BackendName, network: &Network, near: bool) -> Connectivity {
        if let Some(sensed) = self.sensed.get(backend) {
            return *sensed;
        }
        let Some(way) = self.way(network).filter(|_| !near) else { return Connectivity::Unknown };
        let found = way.verdict.as_ref().map_or(Connectivity::Unknown, |verdict| verdict.connectivity);
        match (self.heard.get(backend), found) {
            (Some(Heard::Answered), Connectivity::Portal) if network.direct => Connectivity::Unknown,
            // A neighbour that answers says nothing of the internet.
            (Some(Heard::Answered), found) if network.direct => found,
            (Some(Heard::Answered), _) => Connectivity::Full,
            (Some(Heard::Trying), _) => Connectivity::Unknown,
            (None, found) => found,
        }
    }
}

fn said(word: Option<Connectivity>, now: Now) -> Option<Verdict> {
    let words = "NetworkManager says so".to_owned();
    word.map(|word| Verdict::new(word, words, Source::NetworkManager, now.moment, now))
}

fn leads_out(network: &Network) -> bool {
    network.connected && network.interface != LOOPBACK
}

/// Whether this may be another's answer, or the network's silence. What comes by TLS has shown whose it is, but for a
/// status that says itself that it is a portal's (511, RFC 6585).
pub(super) fn doubt(answer: &Answer, secure: bool) -> Option<Doubt> {
    match answer {
        Answer::Foreign { .. } | Answer::Untrusted { .. } | Answer::Status { code: 511, .. } => Some(Doubt::Whose),
        Answer::Status { .. } | Answer::Unauthorized { .. } | Answer::Misplaced { .. } => {
            (!secure).then_some(Doubt::Whose)
        }
        Answer::Unreachable { .. } => Some(Doubt::Silence),
        Answer::Advanced(end) => doubt(end, secure),
        Answer::Results(_)
        | Answer::NoCredential { .. }
        | Answer::Unready { .. }
        | Answer::Withheld { .. }
        | Answer::Cut(_) => None,
    }
}

/// Whether a doubtful answer is believed, by what is `known` of its way. `told` says that a look has told it since the answer
/// came; `probe`, that one can.
pub(super) fn credit(doubt: Doubt, known: Connectivity, told: bool, direct: bool, probe: bool) -> Credit {
    match (doubt, known) {
        // The portal answered, or keeps what was sent.
        (Doubt::Whose | Doubt::Silence, Connectivity::Portal) => Credit::Denied,
        // Nobody beyond this link can answer; a neighbour could have.
        (Doubt::Silence, Connectivity::Limited | Connectivity::None) if !direct => Credit::Denied,
        (Doubt::Silence, Connectivity::Limited | Connectivity::None) => Credit::Given,
        // The backend is away: others are reached.
        (Doubt::Silence, Connectivity::Full) => Credit::Given,
        // A look is under way.
        (Doubt::Silence, Connectivity::Unknown) if probe => Credit::Open,
        (Doubt::Silence, Connectivity::Unknown) => Credit::Given,
        // Whoever answered, it was not a portal: there is none.
        (Doubt::Whose, Connectivity::Full | Connectivity::Limited | Connectivity::None) if told => Credit::Given,
        (Doubt::Whose, _) if probe => Credit::Open,
        // Nobody can tell more.
        (Doubt::Whose, _) => Credit::Given,
    }
}
