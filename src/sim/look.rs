//! A look how far the network reaches, made by the probe: one small request to a server of its own.

use std::time::Duration;

use fastrand::Rng;

use super::LinkState;
use super::core::Core;
use super::device::Device;
use super::seen::{Seen, Witness};
use crate::model::{Connectivity, Finding, LinkType, Moment};
use crate::schedule::Input;

/// Who has no answer by then gets none (`docs/network.md`).
const PATIENCE: Duration = Duration::from_secs(10);
/// What a GET without a body takes, with its handshake.
const BYTES: u64 = 300;

/// A look under way.
#[derive(Debug)]
pub(super) struct Look {
    number: u64,
    /// When it is known what it found.
    pub(super) ends: Moment,
    begins: Moment,
    link: LinkType,
    finds: Connectivity,
}

impl Look {
    /// Looks over this link.
    pub(super) fn begin(number: u64, link: &LinkState, now: Moment, random: &mut Rng) -> Self {
        let answered = link.up && random.f64() < link.reliability;
        let (wait, finds) = match (answered, link.portal) {
            (false, _) => (PATIENCE, Connectivity::Limited),
            (true, portal) => {
                let wait = 2 * link.round_trip + link.jitter.mul_f64(random.f64());
                (wait, if portal { Connectivity::Portal } else { Connectivity::Full })
            }
        };
        Self { number, ends: super::clock::in_micros(now + wait), begins: now, link: link.link, finds }
    }
}

impl<C: Core, W: Witness> Device<C, W> {
    /// The look under way has found something.
    pub(super) fn found(&mut self) {
        let Some(look) = self.look.take() else { return };
        let took = look.ends.saturating_since(look.begins);
        self.witness.see(&Seen::OnAir { link: look.link, took, bytes: BYTES }, self.now);
        let finding = Finding { connectivity: look.finds, words: String::new() };
        self.feed(Input::Probed { look: look.number, finding });
    }
}
