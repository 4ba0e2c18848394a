//! An attempt under way: the bytes of its request, the link they go over, and the file they are a chunk of. What the server
//! says to it is not known here.

use std::time::Duration;

use super::clock::in_micros;
use super::{LinkState, link};
use crate::model::{AtChunk, BackendName, Claimed, Cut, Moment, StrategyName};

/// How long an attempt waits for a link that is gone, or for a server that says nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) tasks: Vec<Claimed>,
    pub(super) strategy: StrategyName,
    pub(super) backend: BackendName,
    /// What its connection was made over.
    pub(super) link: LinkState,
    stage: Stage,
    /// Until when what follows has been worked out.
    mark: Moment,
    /// Bytes of the request that the server keeps, and how many of them have arrived.
    pub(super) payload: u64,
    pub(super) arrived: u64,
    /// What to do where a chunk ends.
    pub(super) at_chunk: AtChunk,
    /// What the server had of the file when it began.
    pub(super) first: u64,
    /// The server has taken a chunk of it.
    pub(super) advanced: bool,
}

/// What it does.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// A request is on its way.
    Moving { wait: Duration, bytes: u64 },
    /// It is on its way, and the link is not.
    Stalled { wait: Duration, bytes: u64, since: Moment },
    /// Its connection has broken, and it will find out.
    Dead { since: Moment },
    /// It waits before its next chunk.
    Parked,
    /// It was told to end.
    Cut(Cut),
}

/// What has come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landing {
    /// The request has arrived, and the server has thought.
    Arrived,
    /// It waited too long.
    GaveUp,
    /// It was told to end.
    Cut(Cut),
    /// It may go on with the next chunk.
    NextChunk,
}

impl Flight {
    pub(super) fn new(
        tasks: Vec<Claimed>,
        (strategy, backend): (StrategyName, BackendName),
        first: u64,
        link: LinkState,
        now: Moment,
    ) -> Self {
        let stage = Stage::Parked;
        Self {
            tasks,
            strategy,
            backend,
            link,
            stage,
            mark: now,
            payload: 0,
            arrived: 0,
            at_chunk: AtChunk::GoOn,
            first,
            advanced: false,
        }
    }

    /// Sends a request with `payload` bytes, and `overhead` beside; it waits `wait` for round trips and the server.
    pub(super) fn request(&mut self, payload: u64, overhead: u64, wait: Duration, now: Moment) {
        (self.payload, self.arrived) = (payload, 0);
        self.stage = Stage::Moving { wait, bytes: payload + overhead };
        self.mark = now;
    }

    pub(super) fn cut(&mut self, cut: Cut) {
        self.stage = Stage::Cut(cut);
    }

    /// Whether it uses the link now.
    pub(super) fn is_moving(&self) -> bool {
        matches!(self.stage, Stage::Moving { .. })
    }

    /// Whether it was told to end, and will at once.
    pub(super) fn is_cut(&self) -> bool {
        matches!(self.lands(1), Some((_, Landing::Cut(_))))
    }

    /// Works out what went over the link until `now`, at `rate` bytes a second.
    pub(super) fn advance(&mut self, rate: u64, now: Moment) -> u64 {
        let passed = now.saturating_since(self.mark);
        self.mark = now;
        let Stage::Moving { wait, bytes } = &mut self.stage else { return 0 };
        let waited = passed.min(*wait);
        *wait -= waited;
        let able = u128::from(rate) * (passed - waited).as_micros() / 1_000_000;
        let sent = u64::try_from(able).unwrap_or(u64::MAX).min(*bytes);
        *bytes -= sent;
        // What stands around it goes first.
        self.arrived = self.payload.saturating_sub(*bytes);
        sent
    }

    /// The link is another now.
    pub(super) fn relink(&mut self, now_is: &LinkState, now: Moment) {
        let same = link::is_same_way(&self.link, now_is);
        self.stage = match self.stage {
            Stage::Moving { .. } | Stage::Stalled { .. } if now_is.up && !same => Stage::Dead { since: now },
            Stage::Moving { wait, bytes } if !now_is.up => Stage::Stalled { wait, bytes, since: now },
            Stage::Stalled { wait, bytes, .. } if now_is.up => Stage::Moving { wait: wait + now_is.round_trip, bytes },
            still @ (Stage::Moving { .. }
            | Stage::Stalled { .. }
            | Stage::Dead { .. }
            | Stage::Parked
            | Stage::Cut(_)) => still,
        };
        if same {
            self.link = *now_is;
        }
    }

    /// The device slept: no connection outlasts that.
    pub(super) fn slept(&mut self, now: Moment) {
        self.stage = match self.stage {
            Stage::Moving { .. } | Stage::Stalled { .. } | Stage::Dead { .. } => {
                Stage::Dead { since: Moment::since_boot(now.elapsed_since_boot().saturating_sub(PATIENCE)) }
            }
            still @ (Stage::Parked | Stage::Cut(_)) => still,
        };
    }

    /// When something next comes of it by itself, and what.
    pub(super) fn lands(&self, rate: u64) -> Option<(Moment, Landing)> {
        match self.stage {
            Stage::Moving { wait, bytes } => {
                let micros = (u128::from(bytes) * 1_000_000).div_ceil(u128::from(rate.max(1)));
                let sending = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
                Some((in_micros(self.mark + wait + sending), Landing::Arrived))
            }
            Stage::Stalled { since, .. } | Stage::Dead { since } => Some((since + PATIENCE, Landing::GaveUp)),
            Stage::Cut(cut) => Some((self.mark, Landing::Cut(cut))),
            Stage::Parked => match self.at_chunk {
                AtChunk::GoOn => Some((self.mark, Landing::NextChunk)),
                AtChunk::Wait => None,
                AtChunk::End(cut) => Some((self.mark, Landing::Cut(cut))),
            },
        }
    }

    /// A chunk of its file has arrived.
    pub(super) fn park(&mut self) {
        self.advanced = true;
        (self.stage, self.payload, self.arrived) = (Stage::Parked, 0, 0);
    }
}
