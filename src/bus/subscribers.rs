//! Who hears of changes: connections that subscribed, each with a window of signals that it has not acknowledged.
//!
//! Pure: time comes in. A subscriber is pinged when half the window is used and gets nothing more when it is full, until
//! it answers; what was left out in between is counted and told by `Lagged`. One that is silent for too long is dropped.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::error::Refusal;
use crate::model::Owner;

/// Signals a subscriber gets without having answered a ping.
pub(super) const WINDOW: u64 = 256;
/// How long a ping may stay unanswered.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// What to do for a subscriber about one signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Send it.
    Send,
    /// Send it, and a ping after it.
    SendAndPing,
    /// Leave it out; it is counted.
    Leave,
}

/// The subscriptions.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    by_client: BTreeMap<String, Subscription>,
}

#[derive(Debug)]
struct Subscription {
    owner: Owner,
    all: bool,
    /// Signals sent since the point up to which the subscriber has read for certain.
    unread: u64,
    ping: Option<Ping>,
    /// Signals left out since the last `Lagged`.
    left_out: u64,
}

#[derive(Debug)]
struct Ping {
    /// Signals that were sent before it.
    covers: u64,
    deadline: Instant,
}

impl Subscribers {
    /// Adds or changes a connection's subscription; at most `most` connections of a user.
    pub(super) fn subscribe(&mut self, client: &str, owner: Owner, all: bool, most: usize) -> Result<(), Refusal> {
        if let Some(subscription) = self.by_client.get_mut(client) {
            subscription.all = all;
            return Ok(());
        }
        let others = self.by_client.values().filter(|subscription| subscription.owner == owner).count();
        if others >= most {
            return Err(Refusal::limit_exceeded(format!(
                "user {} has {others} connections subscribed, and no more than {most} may be",
                owner.0
            )));
        }
        let new = Subscription { owner, all, unread: 0, ping: None, left_out: 0 };
        self.by_client.insert(client.to_owned(), new);
        Ok(())
    }

    /// Ends a connection's subscription, if it has one.
    pub(super) fn unsubscribe(&mut self, client: &str) {
        self.by_client.remove(client);
    }

    /// Whether a connection is subscribed.
    pub(super) fn has(&self, client: &str) -> bool {
        self.by_client.contains_key(client)
    }

    /// One signal about what `owner` owns: what each subscriber that it concerns gets.
    pub(super) fn deliver(&mut self, owner: Owner, now: Instant) -> Vec<(String, Delivery)> {
        let concerned =
            self.by_client.iter_mut().filter(|(_, subscription)| subscription.all || subscription.owner == owner);
        concerned.map(|(client, subscription)| (client.clone(), subscription.deliver(now))).collect()
    }

    /// A subscriber answered its ping: how many signals were left out, if any.
    pub(super) fn answered(&mut self, client: &str) -> Option<u64> {
        let subscription = self.by_client.get_mut(client)?;
        let ping = subscription.ping.take()?;
        subscription.unread -= ping.covers;
        let left_out = std::mem::take(&mut subscription.left_out);
        (left_out > 0).then_some(left_out)
    }

    /// When the next unanswered ping runs out.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.by_client.values().filter_map(|subscription| subscription.ping.as_ref()).map(|ping| ping.deadline).min()
    }

    /// Drops who has been silent for too long, and says who that was.
    pub(super) fn drop_silent(&mut self, now: Instant) -> Vec<String> {
        let is_silent =
            |subscription: &Subscription| subscription.ping.as_ref().is_some_and(|ping| ping.deadline <= now);
        let silent = self.by_client.iter().filter(|(_, subscription)| is_silent(subscription));
        let silent: Vec<_> = silent.map(|(client, _)| client.clone()).collect();
        silent.iter().for_each(|client| self.unsubscribe(client));
        silent
    }
}

impl Subscription {
    fn deliver(&mut self, now: Instant) -> Delivery {
        if self.unread >= WINDOW {
            self.left_out += 1;
            return Delivery::Leave;
        }
        self.unread += 1;
        if self.unread >= WINDOW / 2 && self.ping.is_none() {
            self.ping = Some(Ping { covers: self.unread, deadline: now + PATIENCE });
            return Delivery::SendAndPing;
        }
        Delivery::Send
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner(1000);

    fn one(all: bool) -> Subscribers {
        let mut subscribers = Subscribers::default();
        subscribers.subscribe(":1.1", OWNER, all, 16).expect("the first");
        subscribers
    }

    fn deliver(subscribers: &mut Subscribers, times: u64, now: Instant) -> Vec<Delivery> {
        (0..times).flat_map(|_| subscribers.deliver(OWNER, now)).map(|(_, delivery)| delivery).collect()
    }

    #[test]
    fn one_that_never_answers_gets_a_ping_and_a_window_of_signals_and_is_dropped_after_its_time() {
        let start = Instant::now();
        let mut subscribers = one(false);
        let deliveries = deliver(&mut subscribers, 1000, start);
        let count = |wanted| deliveries.iter().filter(|delivery| **delivery == wanted).count();
        assert_eq!(count(Delivery::Send) + count(Delivery::SendAndPing), 256);
        assert_eq!(count(Delivery::SendAndPing), 1);
        assert_eq!(subscribers.deadline(), Some(start + PATIENCE));
        assert_eq!(subscribers.drop_silent(start + PATIENCE - Duration::from_millis(1)), [""; 0]);
        assert_eq!(subscribers.drop_silent(start + PATIENCE), [":1.1"]);
        assert_eq!(subscribers.deadline(), None);
        assert!(!subscribers.has(":1.1"));
    }

    #[test]
    fn one_that_answers_in_time_misses_nothing() {
        let now = Instant::now();
        let mut subscribers = one(false);
        for _ in 0..10_000 {
            match subscribers.deliver(OWNER, now)[0].1 {
                Delivery::Send => {}
                Delivery::SendAndPing => assert_eq!(subscribers.answered(":1.1"), None),
                Delivery::Leave => panic!("left out"),
            }
        }
    }

    #[test]
    fn one_that_answers_late_is_told_what_it_missed_and_goes_on() {
        let now = Instant::now();
        let mut subscribers = one(false);
        deliver(&mut subscribers, 300, now);
        assert_eq!(subscribers.answered(":1.1"), Some(44));
        // The window still holds the 128 signals that came after the ping.
        let deliveries = deliver(&mut subscribers, 200, now);
        assert_eq!(deliveries[0], Delivery::SendAndPing);
        assert_eq!(deliveries.iter().filter(|delivery| **delivery == Delivery::Leave).count(), 72);
        assert_eq!(subscribers.answered(":1.1"), Some(72));
        assert_eq!(subscribers.answered(":1.1"), None, "no ping is open");
    }

    #[test]
    fn signals_go_to_the_owners_connections_and_to_who_asked_for_all() {
        let now = Instant::now();
        let mut subscribers = one(false);
        subscribers.subscribe(":1.2", Owner(0), true, 16).expect("another user");
        subscribers.subscribe(":1.3", Owner(1001), false, 16).expect("another user");
        let clients: Vec<_> = subscribers.deliver(OWNER, now).into_iter().map(|(client, _)| client).collect();
        assert_eq!(clients, [":1.1", ":1.2"]);
        subscribers.unsubscribe(":1.1");
        let clients: Vec<_> = subscribers.deliver(OWNER, now).into_iter().map(|(client, _)| client).collect();
        assert_eq!(clients, [":1.2"]);
    }

    #[test]
    fn a_user_has_a_limited_number_of_subscribed_connections() {
        let mut subscribers = Subscribers::default();
        for number in 0..16 {
            assert_eq!(subscribers.subscribe(&format!(":1.{number}"), OWNER, false, 16), Ok(()));
        }
        assert_eq!(subscribers.subscribe(":1.3", OWNER, true, 16), Ok(()), "again is no more");
        let refusal = subscribers.subscribe(":1.99", OWNER, false, 16).expect_err("one too many");
        assert_eq!(refusal.name, "org.ferryd.Ferry1.Error.LimitExceeded");
        assert_eq!(subscribers.subscribe(":1.99", Owner(0), false, 16), Ok(()));
        subscribers.unsubscribe(":1.0");
        assert_eq!(subscribers.subscribe(":1.98", OWNER, false, 16), Ok(()));
    }
}
