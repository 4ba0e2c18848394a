//! When it is looked how far the network reaches, and what follows from it: beside the first attempt on a route of which
//! nothing is known; before an attempt that would show its credential to whoever answers; when an answer may be another's;
//! and again while something waits for nothing else. Never on a tick, never when nothing waits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::outcome::Verdict;
use super::reach::{self, Credit, Doubt};
use super::{Effect, Scheduler, Wake};
use crate::model::{
    Answer, AttemptId, BackendName, Config, Connectivity, Cut, Finding, LaneId, Moment, Network, Now, Reason,
    StrategyName,
};

/// The least time between two looks that people ask for.
const ASKED_PACE: Duration = Duration::from_secs(1);
/// The least time between two looks because there is more to do.
const WORK_PACE: Duration = Duration::from_secs(10);

impl Scheduler {
    /// Whether a request to this backend may be made now, as far as the network goes.
    pub fn reaches(&self, backend: &BackendName) -> bool {
        let reached = |network: &Network| network.connected && super::blocked::reach(network).is_none();
        self.network_of(backend).is_some_and(reached) && !self.must_ask(backend)
    }

    /// What a look found.
    pub(super) fn probed(&mut self, look: u64, finding: Finding, now: Now) {
        if self.reach.found(look, finding.connectivity, finding.words, now) {
            self.see_reach();
        }
    }

    /// What hindered this way does no more: what seemed an outage may have been its fault.
    fn excuse_outages(&mut self, backends: &BTreeSet<BackendName>, now: Moment) {
        let cap = self.config.limits.backoff_cap;
        for name in backends {
            if let Some(backend) = self.backends.get_mut(name) {
                backend.rerouted(now, cap);
            }
        }
    }

    /// Puts what is known into the networks that backends' traffic meets.
    pub(super) fn see_reach(&mut self) {
        for (name, network) in self.world.iter_mut().flat_map(|world| &mut world.networks) {
            let near = is_near(&self.config, name, network);
            network.connectivity = self.reach.connectivity(name, network, near);
        }
    }

    /// Whether attempts at this backend wait for a look: a portal that answers by plain HTTP would be shown the credential.
    pub(super) fn must_ask(&self, backend: &BackendName) -> bool {
        let shows =
            |name| self.config.backends.get(name).is_some_and(|at| !at.is_certified() && at.credential.is_some());
        self.config.network.probe.is_some()
            && shows(backend)
            && self.exposed(backend).is_some_and(|network| self.reach.is_dark(backend, network))
    }

    /// Somebody wants it now, or (`work`) there is more to do.
    pub(super) fn want_reach(&mut self, backend: &BackendName, work: bool, now: Now) {
        let pace = if work { WORK_PACE } else { ASKED_PACE };
        let at = self.exposed(backend).and_then(|network| self.reach.at(network));
        if let Some(verdict) = at.and_then(|at| self.reach.ways.get_mut(at)?.verdict.as_mut()) {
            verdict.again = verdict.again.min(now.moment.max(verdict.looked + pace));
        }
    }

    /// The same for the backends of one strategy, or of all.
    pub(super) fn want_reach_of(&mut self, strategy: Option<&StrategyName>, now: Now) {
        let meant = self.config.strategies.values().filter(|policy| strategy.is_none_or(|name| *name == policy.name));
        let backends: BTreeSet<BackendName> = meant.filter_map(|policy| policy.backend.clone()).collect();
        for backend in backends {
            self.want_reach(&backend, false, now);
        }
    }

    /// After a new verdict, backends for which something is under way or waits may try whether it holds for them: somebody's
    /// probe may be down while they are not. No portal is shown a credential, and none can pass for a server by TLS.
    pub(super) fn grant_tries(&mut self, now: Now) {
        for at in 0..self.reach.ways.len() {
            if !std::mem::take(&mut self.reach.ways[at].fresh) {
                continue;
            }
            let hinders = self.reach.ways[at].verdict.as_ref().is_some_and(reach::Verdict::hinders);
            let hindered = std::mem::replace(&mut self.reach.ways[at].hindered, hinders);
            let backends = self.backends_on(at);
            if hindered && !hinders {
                self.excuse_outages(&backends, now.moment);
            }
            self.reach.end_tries(&backends);
            self.see_reach();
            let runs = |name: &BackendName| self.attempts.values().any(|it| it.backend == *name);
            let goes = |name: &BackendName| {
                self.attempts.values().any(|it| it.backend == *name && it.kept.is_none() && it.cut.is_none())
            };
            let waiting: BTreeSet<BackendName> = self.wanting(now).map(|wanting| wanting.backend).collect();
            let may = |name: &BackendName| goes(name) || (waiting.contains(name) && !runs(name));
            let able = backends.into_iter().filter(|name| hinders && self.may_try(name) && may(name));
            for name in able.collect::<Vec<_>>() {
                self.reach.tries(&name);
            }
        }
        self.see_reach();
    }

    /// Begins a look if something asks for one.
    pub(super) fn look_at_reach(&mut self, now: Now) {
        if self.ends() || self.reach.look.is_some() || (self.is_settled() && !self.keeps_answers()) {
            return;
        }
        if self.config.network.probe.is_none() {
            return self.try_again(now);
        }
        let Some(way) = self.way_to_look_at(now).and_then(|at| self.reach.ways.get(at)) else { return };
        let route = way.route.clone();
        let interface = route.interface().to_owned();
        self.reach.looks += 1;
        let number = self.reach.looks;
        self.reach.look = Some(reach::Look { number, route, since: now.moment });
        self.effects.push_back(Effect::Probe { look: number, interface });
    }

    /// When it is looked again.
    pub(super) fn reach_wake(&self, now: Now) -> Option<(Moment, Wake)> {
        if self.reach.look.is_some() || self.is_settled() {
            return None;
        }
        let probe = self.config.network.probe.is_some();
        let moments = self.wanting(now).filter_map(|wanting| {
            let again = self.reach.ways.get(wanting.way)?.verdict.as_ref().map(|verdict| verdict.again);
            (probe || self.may_try(&wanting.backend)).then_some(wanting.from.max(again.unwrap_or_default()))
        });
        moments.filter(|at| *at > now.moment).min().map(|at| (at, Wake::ReachProbe))
    }

    /// When it is looked again how far the network reaches that this backend's traffic meets.
    pub(super) fn looks_again(&self, backend: &BackendName, now: Now) -> Option<Moment> {
        let verdict = self.exposed(backend).and_then(|network| self.reach.way(network)?.verdict.as_ref())?;
        let looks = self.config.network.probe.is_some() || self.may_try(backend);
        (looks && verdict.again > now.moment).then_some(verdict.again)
    }

    /// Judges the answers that were kept, those of which it is now known whose they are.
    pub(super) fn judge_kept(&mut self, now: Now) {
        let kept = self.attempts.iter().filter(|(_, attempt)| attempt.kept.is_some());
        for id in kept.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some((doubt, credit)) = self.credit(id) else { continue };
            if let (Some(doubt), Credit::Open) = (doubt, credit) {
                self.keep(id, doubt);
                continue;
            }
            let Some(kept) = self.attempts.get_mut(&id).and_then(|attempt| attempt.kept.take()) else { continue };
            let answer = match credit {
                Credit::Given | Credit::Open => kept.answer,
                Credit::Denied => Answer::Cut(Cut::Unreached),
            };
            self.judge_answer(id, answer, doubt.is_some(), now);
        }
    }

    /// What an answer showed of the reach of its backend.
    pub(super) fn learn_reach(&mut self, backend: &BackendName, verdict: &Verdict, doubtful: bool) {
        let secure = self.is_secure(backend);
        let others = self.attempts.values().any(|other| other.backend == *backend && other.kept.is_none());
        match verdict {
            Verdict::Proven => self.reach.answered(backend),
            Verdict::Up if secure => self.reach.answered(backend),
            Verdict::Ill { .. } | Verdict::Unchanged if doubtful => self.reach.denied(backend, others),
            Verdict::Up | Verdict::Ill { .. } | Verdict::Unchanged => {}
        }
        self.see_reach();
    }

    /// Whether a kept answer is believed; without a doubt it is.
    fn credit(&self, id: AttemptId) -> Option<(Option<Doubt>, Credit)> {
        let attempt = self.attempts.get(&id)?;
        let kept = attempt.kept.as_ref()?;
        let Some(doubt) = reach::doubt(&kept.answer, self.is_secure(&attempt.backend)) else {
            return Some((None, Credit::Given));
        };
        let probe = self.config.network.probe.is_some();
        let network = self.network_of(&attempt.backend).filter(|network| !attempt.route.is_lost_in(network));
        let exposed = network.filter(|network| !is_near(&self.config, &attempt.backend, network));
        let way = exposed.and_then(|network| Some((network, self.reach.way(network)?)));
        let ended = self.ends() || attempt.cut.is_some() || network.is_none();
        let credit = match way {
            // Nobody will ever know, and what is lost is one answer.
            _ if ended && probe => Credit::Denied,
            Some((network, way)) => {
                let known = way.verdict.as_ref().map_or(Connectivity::Unknown, |verdict| verdict.connectivity);
                let told = way.verdict.as_ref().is_some_and(|it| it.tells_of(kept.since));
                reach::credit(doubt, known, told, network.direct, probe && !ended)
            }
            None => Credit::Given,
        };
        Some((Some(doubt), credit))
    }

    /// The probe must tell whose an answer is. Until then nobody shows a credential on its way, nor after it if there is a
    /// portal.
    fn keep(&mut self, id: AttemptId, doubt: Doubt) {
        let network = self.attempts.get(&id).and_then(|attempt| self.exposed(&attempt.backend));
        let Some(way) = network.and_then(|network| self.reach.at(network)).filter(|_| doubt == Doubt::Whose) else {
            return;
        };
        let plain: Vec<_> = self.backends_on(way).into_iter().filter(|name| !self.is_secure(name)).collect();
        plain.iter().for_each(|name| self.reach.forget(name));
        self.reach.ways[way].verdict = None;
        self.see_reach();
    }

    /// Whether all that can be known is, and nothing stands in the way.
    fn is_settled(&self) -> bool {
        let probe = self.config.network.probe.is_some();
        let clear = |way: &reach::Way| way.verdict.as_ref().map_or(!probe, |verdict| !verdict.hinders());
        self.reach.ways.iter().all(clear)
    }

    /// Whether the daemon stops or the device goes to sleep: nobody waits for a look.
    fn ends(&self) -> bool {
        self.stopping || self.sleep_since.is_some()
    }

    fn keeps_answers(&self) -> bool {
        self.attempts.values().any(|attempt| attempt.kept.is_some())
    }

    fn way_to_look_at(&self, now: Now) -> Option<usize> {
        let of = |backend: &BackendName| self.exposed(backend).and_then(|network| self.reach.at(network));
        let dark = |at: &usize| self.reach.ways.get(*at).is_some_and(|way| way.verdict.is_none());
        let kept = self.attempts.values().filter(|attempt| attempt.kept.is_some());
        let running = self.attempts.values().filter(|attempt| attempt.cut.is_none());
        let due = |wanting: &Wanting| wanting.from <= now.moment && self.is_due(wanting.way, now);
        let mut first = kept.filter_map(|attempt| of(&attempt.backend));
        let mut beside = running.filter_map(|attempt| of(&attempt.backend)).filter(dark);
        first.next().or_else(|| beside.next()).or_else(|| self.wanting(now).find(due).map(|wanting| wanting.way))
    }

    /// Whether it is time to look at a way again.
    fn is_due(&self, way: usize, now: Now) -> bool {
        let verdict = self.reach.ways.get(way).and_then(|way| way.verdict.as_ref());
        verdict.is_none_or(|verdict| verdict.again <= now.moment)
    }

    /// Without a probe only backends themselves can tell whether NetworkManager's word still holds.
    fn try_again(&mut self, now: Now) {
        let due = |wanting: &Wanting| wanting.from <= now.moment && self.is_due(wanting.way, now);
        let due = self.wanting(now).find(|wanting| due(wanting) && self.may_try(&wanting.backend));
        if let Some(wanting) = due {
            self.reach.renew(wanting.way, now);
            self.grant_tries(now);
        }
    }

    /// Whether a backend may try though others say that it is not reached.
    fn may_try(&self, backend: &BackendName) -> bool {
        let verdict = |network| self.reach.way(network).and_then(|way| way.verdict.as_ref());
        let known = self.exposed(backend).and_then(verdict).map(|verdict| verdict.connectivity);
        !self.reach.has_answered(backend)
            && match known {
                Some(Connectivity::Limited | Connectivity::None) => true,
                Some(Connectivity::Portal) => self.is_secure(backend),
                Some(Connectivity::Full | Connectivity::Unknown) | None => false,
            }
    }

    /// What waits for nothing but the reach of its way.
    fn wanting(&self, now: Now) -> impl Iterator<Item = Wanting> {
        self.lanes.keys().filter_map(move |id| self.wanting_of(*id, now))
    }

    fn wanting_of(&self, id: LaneId, now: Now) -> Option<Wanting> {
        let lane = self.lanes.get(&id)?;
        let (ready, policy) = (lane.ready_at(now)?, self.policy_of(id)?);
        let missing = self.hindrances(&lane.strategy, &lane.overrides, now);
        let only = missing.iter().all(|reason| matches!(reason, Reason::NoInternet | Reason::CaptivePortal));
        let way = self.exposed(policy.backend).and_then(|network| self.reach.at(network))?;
        let from = ready.max(self.admission(policy.backend)?);
        let waits = !missing.is_empty() || self.must_ask(policy.backend);
        (only && waits).then(|| Wanting { way, backend: policy.backend.clone(), from })
    }

    fn backends_on(&self, way: usize) -> BTreeSet<BackendName> {
        let networks = self.world.iter().flat_map(|world| &world.networks);
        let on = |(name, network): &(&BackendName, &Network)| {
            self.reach.at(network) == Some(way) && !is_near(&self.config, name, network)
        };
        networks.filter(on).map(|(name, _)| name.clone()).collect()
    }

    /// The network of a backend, if anything can stand between the two.
    pub(super) fn exposed(&self, backend: &BackendName) -> Option<&Network> {
        self.network_of(backend).filter(|network| !is_near(&self.config, backend, network))
    }

    fn is_secure(&self, backend: &BackendName) -> bool {
        self.config.backends.get(backend).is_some_and(|at| at.is_certified())
    }
}

/// Whether a backend is on the link itself, at an address that config names: nobody can answer in its place.
fn is_near(config: &Config, backend: &BackendName, network: &Network) -> bool {
    network.direct && config.backends.get(backend).is_some_and(|at| at.is_by_address())
}

/// Something that waits for the reach of a way.
struct Wanting {
    way: usize,
    backend: BackendName,
    /// It can go from then on.
    from: Moment,
}
