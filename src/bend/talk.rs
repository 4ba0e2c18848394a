//! Which requests of a connection are lost, and how; pure. TCP knows no requests: a client's bytes that follow on a server's
//! are taken to begin one, as in HTTP. With TLS its handshake is one more.

use fastrand::Rng;

/// A request that is lost on its way there gets at most so far.
const FARTHEST: u64 = 64 * 1024;

/// How a connection ends with which a request is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is reset.
    Reset,
    /// Nothing moves any more.
    Stall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Comes,
    /// When the client has sent more than this; if that is all it sends, when it is answered.
    Lost {
        after: u64,
        how: Loss,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Client,
    Server,
}

/// What is said on a connection.
#[derive(Debug)]
pub(super) struct Talk {
    random: Rng,
    turn: Turn,
    fate: Fate,
    asked: u64,
}

impl Talk {
    pub(super) fn new(random: Rng) -> Self {
        Self { random, turn: Turn::Server, fate: Fate::Comes, asked: 0 }
    }

    /// The client sends so much more; whether these bytes, and the connection, are lost.
    pub(super) fn ask(&mut self, bytes: usize, reliability: f64) -> Option<Loss> {
        if self.turn == Turn::Server {
            (self.turn, self.asked) = (Turn::Client, 0);
            self.fate = self.draw(reliability);
        }
        self.asked += bytes as u64;
        match self.fate {
            Fate::Lost { after, how } if self.asked > after => Some(how),
            Fate::Lost { .. } | Fate::Comes => None,
        }
    }

    /// The server answers; whether its bytes, and the connection, are lost.
    pub(super) fn answer(&mut self) -> Option<Loss> {
        self.turn = Turn::Server;
        match self.fate {
            Fate::Lost { how, .. } => Some(how),
            Fate::Comes => None,
        }
    }

    /// Half of the lost never begin to arrive; of the others the server has a part or all.
    fn draw(&mut self, reliability: f64) -> Fate {
        if self.random.f64() < reliability {
            return Fate::Comes;
        }
        let after = if self.random.bool() { 0 } else { self.random.u64(1..=FARTHEST) };
        Fate::Lost { after, how: if self.random.bool() { Loss::Reset } else { Loss::Stall } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a request of so many bytes, in pieces of a KiB, is lost: before how many bytes, and how.
    fn lost(talk: &mut Talk, size: usize, reliability: f64) -> Option<(usize, Loss)> {
        let asked = (0..size).step_by(1024).find_map(|sent| Some((sent, talk.ask(1024, reliability)?)));
        let answered = talk.answer().map(|loss| (size, loss));
        asked.or(answered)
    }

    #[test]
    fn the_share_that_comes_through_is_the_one_asked_for() {
        for (reliability, least, most) in [(1.0, 10_000, 10_000), (0.9, 8_850, 9_150), (0.5, 4_800, 5_200), (0.0, 0, 0)]
        {
            let come =
                (0..10_000).filter(|seed| lost(&mut Talk::new(Rng::with_seed(*seed)), 4 * 1024, reliability).is_none());
            let come = come.count();
            assert!((least..=most).contains(&come), "{come} of 10,000 at {reliability}");
        }
    }

    #[test]
    fn each_request_has_its_own_fate() {
        let mut talk = Talk::new(Rng::with_seed(1));
        let come = (0..10_000).take_while(|_| lost(&mut talk, 1024, 0.99).is_none()).count();
        assert!((10..2_000).contains(&come), "a connection carries {come} requests");
        assert!((0..1_000).all(|_| lost(&mut Talk::new(Rng::with_seed(2)), 1024, 1.0).is_none()));
    }

    #[test]
    fn requests_are_lost_before_they_arrive_in_the_middle_and_with_their_answer_by_reset_and_by_stall() {
        let size = 48 * 1024;
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..1_000 {
            if let Some((sent, loss)) = lost(&mut Talk::new(Rng::with_seed(seed)), size, 0.5) {
                let place = if sent == 0 {
                    "before"
                } else if sent < size {
                    "amid"
                } else {
                    "answer"
                };
                seen.insert((place, loss == Loss::Stall));
            }
        }
        assert_eq!(seen.len(), 6, "{seen:?}");
    }

    #[test]
    fn a_server_that_speaks_first_loses_nothing() {
        assert_eq!(Talk::new(Rng::with_seed(1)).answer(), None);
    }
}
