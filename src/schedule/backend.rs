//! How a backend is: an outage counts against it, never against a task.

use std::time::Duration;

use super::backoff;
use super::outcome::{Endpoint, Ill, Verdict};
use crate::model::{AttemptId, Moment, Now, Reason, WallTime};

/// How often a backend whose URL seems wrong is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(15 * 60);

/// The least time between two probes that people ask for.
const PACE: Duration = Duration::from_secs(1);

/// The growth of a backend's backoff with each failed probe.
const MULTIPLIER: f64 = 2.0;

/// One backend, as far as its answers have shown.
#[derive(Debug)]
pub(super) struct Backend {
    /// Attempts numbered below this were made under another section of the config: they teach nothing about it.
    first_attempt: AttemptId,
    endpoint: Endpoint,
    health: Health,
}

/// Whether it works.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Health {
    /// As many requests as there are slots.
    Up,
    /// One request at a time, and none before `until`.
    Ill(Illness),
}

/// An outage.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Illness {
    pub(super) ill: Ill,
    pub(super) since: WallTime,
    /// What the last failure said.
    pub(super) words: String,
    /// The first failure and each failed probe since.
    pub(super) failures: u32,
    /// When the last failure came.
    failed: Moment,
    /// The next probe may go.
    pub(super) until: Moment,
    /// The server asked for silence until then.
    silent_until: Moment,
    /// How often another way was tried since it began.
    ways: u32,
}

/// Whether an attempt was made to see if an outage is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Probe,
    Ordinary,
}

impl Backend {
    pub(super) fn new(first_attempt: AttemptId) -> Self {
        Self { first_attempt, endpoint: Endpoint::Unproven, health: Health::Up }
    }

    /// Another configuration was loaded that left this backend's section as it is: the URL must prove itself again, and
    /// what an admin may just have mended is looked at at once.
    pub(super) fn reconfigured(&mut self, now: Moment) {
        self.endpoint = Endpoint::Unproven;
        if let Health::Ill(illness) = &mut self.health {
            match illness.ill {
                Ill::Auth | Ill::Tls | Ill::Config => illness.until = now,
                Ill::Down => {}
            }
        }
    }

    /// The way to it is another: what seemed an outage may have been the old way's fault. That is tried at once, and again
    /// only after longer and longer: a link that comes and goes must not outrun the backoff of a server that is down.
    pub(super) fn rerouted(&mut self, now: Moment, cap: Duration) {
        let Health::Ill(illness) = &mut self.health else { return };
        let rest = if illness.ways == 0 { Duration::ZERO } else { backoff::ceiling(cap, MULTIPLIER, illness.ways) };
        let earliest = now.max(illness.silent_until).max(illness.failed + rest);
        if earliest < illness.until {
            illness.until = earliest;
            illness.ways = illness.ways.saturating_add(1);
        }
    }

    /// Somebody wants it now: the next probe may go, though never more than one a [`PACE`], whoever asks how often.
    pub(super) fn wanted(&mut self, now: Moment) {
        if let Health::Ill(illness) = &mut self.health {
            let earliest = now.max(illness.silent_until).max(illness.failed + PACE);
            illness.until = illness.until.min(earliest);
        }
    }

    /// Whether this attempt was made under the present section of the config.
    pub(super) fn knows(&self, attempt: AttemptId) -> bool {
        attempt >= self.first_attempt
    }

    /// Takes what the answer to `attempt` showed. Failures of attempts that had begun before the outage was known count
    /// once.
    pub(super) fn learn(
        &mut self,
        verdict: Verdict,
        (attempt, role): (AttemptId, Role),
        now: Now,
        cap: Duration,
        rng: &mut fastrand::Rng,
    ) {
        if !self.knows(attempt) {
            return;
        }
        match verdict {
            Verdict::Proven => {
                self.endpoint = Endpoint::Proven;
                self.health = Health::Up;
            }
            Verdict::Up => self.health = Health::Up,
            Verdict::Ill { ill, words, retry_after } => {
                let asked = retry_after.unwrap_or_default().min(backoff::ASKED_CAP);
                match (&mut self.health, role) {
                    (Health::Ill(illness), Role::Ordinary) => illness.postpone(now.moment + asked),
                    (Health::Ill(_), Role::Probe) | (Health::Up, Role::Probe | Role::Ordinary) => {
                        self.fall_ill(ill, words, asked, now, cap, rng);
                    }
                }
            }
            Verdict::Unchanged => {}
        }
    }

    fn fall_ill(&mut self, ill: Ill, words: String, asked: Duration, now: Now, cap: Duration, rng: &mut fastrand::Rng) {
        let (since, before, ways) = match &self.health {
            Health::Ill(illness) if illness.ill == ill => (illness.since, illness.failures, illness.ways),
            Health::Ill(_) | Health::Up => (now.wall, 0, 0),
        };
        let wait = match ill {
            Ill::Down | Ill::Auth | Ill::Tls => backoff::wait(rng, cap, MULTIPLIER, before, Some(asked)),
            Ill::Config => LOOK_AGAIN,
        };
        self.health = Health::Ill(Illness {
            ill,
            since,
            words,
            failures: before.saturating_add(1),
            failed: now.moment,
            until: now.moment + wait,
            silent_until: now.moment + asked,
            ways,
        });
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub(super) fn illness(&self) -> Option<&Illness> {
        match &self.health {
            Health::Up => None,
            Health::Ill(illness) => Some(illness),
        }
    }
}

impl Illness {
    fn postpone(&mut self, until: Moment) {
        self.until = self.until.max(until);
        self.silent_until = self.silent_until.max(until);
    }

    pub(super) fn reason(&self) -> Reason {
        match self.ill {
            Ill::Down => Reason::BackendDown,
            Ill::Auth => Reason::BackendAuth,
            Ill::Tls => Reason::BackendTls,
            Ill::Config => Reason::BackendConfig,
        }
    }
}
