//! What the link is now: the scenario's timeline, and what orders changed of it; pure. Time is what passed since the bend
//! began; of sockets it must know nothing.

use std::time::Duration;

use super::order::Order;
use crate::sim::{LinkState, Scenario, Timeline};

/// What becomes of connections while there is no link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenDown {
    /// They are reset, and new ones too.
    Reset,
    /// They stand still, and new ones too; those that nobody gave up go on when the link is back.
    Stall,
}

/// What a bent network is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course {
    /// The weather.
    pub scenario: Scenario,
    /// Decides all that is left to chance.
    pub seed: u64,
    /// Where in the timeline it begins.
    pub skip: Duration,
    /// How many times as fast the timeline passes; rates and delays stay as they are. At least 1.
    pub speed: u32,
    /// What becomes of connections while there is no link.
    pub when_down: WhenDown,
}

/// What is, and what comes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// The weather that is followed.
    pub scenario: Scenario,
    /// Whether an order has cut the link.
    pub cut: bool,
    /// The link as it is now.
    pub link: LinkState,
    /// How long until the timeline's next change.
    pub next: Duration,
}

/// The hand on the wheel.
#[derive(Debug)]
pub(super) struct Steering {
    course: Course,
    /// When the scenario began.
    begun: Duration,
    timeline: Timeline,
    link: LinkState,
    next: (Duration, LinkState),
    cut: bool,
    rate: Option<(u64, u64)>,
    delay: Option<Duration>,
    reliability: Option<f64>,
}

impl Steering {
    pub(super) fn new(course: Course) -> Self {
        let mut steering = Self {
            course,
            begun: Duration::ZERO,
            timeline: course.scenario.timeline(course.seed),
            link: LinkState::DOWN,
            next: (Duration::ZERO, LinkState::DOWN),
            cut: false,
            rate: None,
            delay: None,
            reliability: None,
        };
        steering.next = steering.upcoming();
        steering.pass(Duration::ZERO);
        steering
    }

    /// Moves along the timeline; whether that changed the link.
    pub(super) fn pass(&mut self, now: Duration) -> bool {
        let before = self.link();
        let reached = self.course.skip.saturating_add((now - self.begun).saturating_mul(self.course.speed));
        while self.next.0 <= reached {
            self.link = self.next.1;
            self.next = self.upcoming();
        }
        self.link() != before
    }

    /// Does what an order says of the link.
    pub(super) fn follow(&mut self, order: Order, now: Duration) {
        match order {
            Order::Scenario(scenario) => {
                let course = Course { scenario, skip: Duration::ZERO, ..self.course };
                *self = Self { begun: now, ..Self::new(course) };
            }
            Order::Cut => self.cut = true,
            Order::Mend => self.cut = false,
            Order::Rate { up, down } => self.rate = Some((up.bytes(), down.bytes())),
            Order::Delay(delay) => self.delay = Some(delay),
            Order::Reliability(share) => self.reliability = Some(share),
            Order::Reset | Order::Status => {}
        }
    }

    /// When the timeline changes next.
    pub(super) fn next_change(&self) -> Duration {
        // A whole microsecond later rather than a fraction of one earlier, when nothing would have changed yet.
        let ahead = self.next.0.saturating_sub(self.course.skip) / self.course.speed + Duration::from_micros(1);
        self.begun.saturating_add(ahead)
    }

    pub(super) fn when_down(&self) -> WhenDown {
        self.course.when_down
    }

    /// The link as it is now.
    pub(super) fn link(&self) -> LinkState {
        if self.cut || !self.link.up {
            return LinkState::DOWN;
        }
        let mut link = self.link;
        if let Some((up_rate, down_rate)) = self.rate {
            link = LinkState { up_rate, down_rate, ..link };
        }
        if let Some(round_trip) = self.delay {
            link = LinkState { round_trip, jitter: Duration::ZERO, ..link };
        }
        LinkState { reliability: self.reliability.unwrap_or(link.reliability), ..link }
    }

    pub(super) fn outlook(&self, now: Duration) -> Outlook {
        let next = self.next_change().saturating_sub(now);
        Outlook { scenario: self.course.scenario, cut: self.cut, link: self.link(), next }
    }

    /// The timeline's next change; none that anybody will see if it had an end.
    fn upcoming(&mut self) -> (Duration, LinkState) {
        self.timeline.next().unwrap_or((Duration::MAX, self.link))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steering(scenario: Scenario, skip: u64, speed: u32) -> Steering {
        let skip = Duration::from_secs(skip);
        Steering::new(Course { scenario, seed: 3, skip, speed, when_down: WhenDown::Reset })
    }

    fn order(steering: &mut Steering, line: &str, now: u64) {
        steering.follow(line.parse().expect("an order"), Duration::from_secs(now));
    }

    #[test]
    fn the_timeline_is_followed_change_by_change() {
        let expected = Scenario::Intermittent.timeline(3);
        let mut followed = steering(Scenario::Intermittent, 0, 1);
        for (begins, link) in expected.take(50) {
            assert!(followed.next_change() > begins);
            assert_eq!(followed.link(), link);
            assert!(!followed.pass(followed.next_change() - Duration::from_millis(1)), "not before its time");
            assert!(followed.pass(followed.next_change()));
        }
    }

    #[test]
    fn it_may_begin_later_and_pass_faster() {
        let noon = steering(Scenario::Commute, 12 * 3_600, 1);
        assert_eq!(noon.link(), Scenario::Wifi.timeline(0).next().expect("endless").1);
        let (plain, fast) = (steering(Scenario::Intermittent, 0, 1), steering(Scenario::Intermittent, 0, 10));
        let tenth = plain.next_change() / 10;
        assert!(fast.next_change().abs_diff(tenth) < Duration::from_micros(2));
        let skipped = steering(Scenario::Intermittent, 4, 1);
        assert_eq!(skipped.next_change(), plain.next_change() - Duration::from_secs(4));
    }

    #[test]
    fn a_cut_holds_until_it_is_mended_whatever_the_scenario_says() {
        let mut steering = steering(Scenario::Intermittent, 0, 1);
        order(&mut steering, "cut", 1);
        for second in 1..100 {
            assert!(!steering.pass(Duration::from_secs(second)), "nothing to be seen of the scenario");
            assert_eq!(steering.link(), LinkState::DOWN);
        }
        order(&mut steering, "mend", 100);
        let at = Scenario::Intermittent.timeline(3).take_while(|(begins, _)| *begins <= Duration::from_secs(99)).last();
        assert_eq!(Some(steering.link()), at.map(|(_, link)| link), "the scenario went on meanwhile");
    }

    #[test]
    fn rate_delay_and_reliability_hold_whenever_there_is_a_link_and_until_another_scenario() {
        let mut steering = steering(Scenario::Wifi, 0, 1);
        order(&mut steering, "rate 0.8 8", 1);
        order(&mut steering, "delay 80ms", 1);
        order(&mut steering, "reliability 0.5", 1);
        order(&mut steering, "cut", 1);
        assert_eq!(steering.link(), LinkState::DOWN);
        order(&mut steering, "mend", 2);
        let link = steering.link();
        assert_eq!((link.up_rate, link.down_rate), (100_000, 1_000_000));
        assert_eq!((link.round_trip, link.jitter), (Duration::from_millis(80), Duration::ZERO));
        assert_eq!(link.reliability, 0.5);
        order(&mut steering, "scenario slow_3g", 5);
        assert_eq!(steering.link(), Scenario::Slow3g.timeline(0).next().expect("endless").1);
        let day = Duration::from_secs(86_400);
        assert_eq!(steering.outlook(Duration::from_secs(5)).next.as_secs(), day.as_secs(), "from now on");
    }
}
