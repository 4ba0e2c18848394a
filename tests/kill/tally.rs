//! What the kills hit, by evidence: the bus's word on calls, the daemon's list after its restart, the server's log.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ferryd::demo::Server;

use super::caller::{Call, Caller, text};
use super::load::Load;

/// What one kill hit.
#[derive(Debug, Clone, Copy, Default)]
struct Hits {
    /// A call had reached the daemon, and after the restart there was no task of it.
    before_commit: bool,
    /// A call was not answered, and after the restart there was its task.
    before_reply: bool,
    /// The server had read a request and not answered it.
    in_flight: bool,
    /// The server had answered, and the same task came again.
    before_settle: bool,
}

/// An item as the server's log showed it after a kill.
struct Seen {
    seen: u32,
    answered: u32,
    /// The kill before which its last answer was written.
    answered_before: Option<usize>,
}

/// All kills.
#[derive(Default)]
pub(crate) struct Tally {
    kills: Vec<Hits>,
    items: HashMap<String, Seen>,
    unanswered_requests: usize,
    crashed: BTreeSet<String>,
}

impl Tally {
    /// The daemon was killed, and its connections to the server are closed.
    pub(crate) fn killed(&mut self, server: &Server) {
        let unanswered = server.log(|log| log.requests - log.answered);
        let in_flight = unanswered > self.unanswered_requests;
        self.unanswered_requests = unanswered;
        self.kills.push(Hits { in_flight, ..Hits::default() });
        self.look_back(server);
    }

    /// Finds tasks that came again after their answer: the kill before which that was written hit between it and its
    /// settlement.
    pub(crate) fn look_back(&mut self, server: &Server) {
        let last = self.kills.len().checked_sub(1);
        for item in server.received() {
            let nothing = Seen { seen: 0, answered: 0, answered_before: None };
            let known = self.items.entry(item.id).or_insert(nothing);
            if let Some(kill) = known.answered_before.filter(|_| item.seen > known.seen) {
                self.kills[kill].before_settle = true;
            }
            if item.answered > known.answered {
                known.answered_before = last;
            }
            (known.seen, known.answered) = (item.seen, item.answered);
        }
    }

    /// The daemon runs again, and nothing has been repeated yet.
    pub(crate) async fn restarted(&mut self, caller: &Caller, load: &Load) {
        let hits = self.kills.last_mut().expect("a kill");
        for call in load.unanswered() {
            match caller.list("tag", &call.name).await.len() {
                0 => hits.before_commit = true,
                1 => hits.before_reply = true,
                many => panic!("{many} tasks of one call: {call:?}"),
            }
        }
        let failed = caller.list("state", "failed").await;
        let failed: Vec<_> = failed.iter().map(|task| (text(task, "id"), text(task, "error"))).collect();
        assert!(failed.iter().all(|(_, error)| error.starts_with("crashed")), "other dead letters: {failed:?}");
        let ids: Vec<String> = failed.into_iter().map(|(id, _)| id).collect();
        if !ids.is_empty() {
            caller.tasks("Retry", &(&ids,)).await;
            self.crashed.extend(ids);
        }
    }

    /// Tasks that were found running at three starts in a row, and retried by hand.
    pub(crate) fn crashed(&self) -> &BTreeSet<String> {
        &self.crashed
    }

    fn counts(&self) -> [(&'static str, usize); 4] {
        let count = |hit: fn(&Hits) -> bool| self.kills.iter().filter(|hits| hit(hits)).count();
        [
            ("before commit", count(|hits| hits.before_commit)),
            ("before reply", count(|hits| hits.before_reply)),
            ("in flight", count(|hits| hits.in_flight)),
            ("before settle", count(|hits| hits.before_settle)),
        ]
    }

    /// What no kill hit.
    pub(crate) fn missed(&self) -> Vec<&'static str> {
        self.counts().into_iter().filter(|(_, count)| *count == 0).map(|(what, _)| what).collect()
    }

    /// The tally for people.
    pub(crate) fn line(&self, server: &Server) -> String {
        let counts = self.counts().map(|(what, count)| format!("{count} {what}")).join(", ");
        let received = server.received();
        let repeats: u32 = received.iter().map(|item| item.seen - 1).sum();
        format!(
            "hit {counts}; {} tasks on the server, each applied once, {repeats} sent again, {} retried by hand after three crashes",
            received.len(),
            self.crashed.len()
        )
    }
}

/// Compares the server's log with what was acknowledged (of each app in the order it called), a line a difference. Order within a key is not asked of tasks
/// that were retried by hand: others went on in between.
pub(crate) fn differences(acknowledged: &[(Call, String)], server: &Server, retried: &BTreeSet<String>) -> Vec<String> {
    let mut found = Vec::new();
    let received: HashMap<_, _> = server.received().into_iter().map(|item| (item.id.clone(), item)).collect();
    let mut calls = BTreeMap::new();
    let mut last: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (call, id) in acknowledged {
        if let Some(other) = calls.insert(id.as_str(), call) {
            found.push(format!("{} and {} were answered with one id", other.name, call.name));
        }
        let Some((item, place)) = received.get(id).and_then(|item| Some((item, item.applied?))) else {
            found.push(format!("lost: {} as {id}", call.name));
            continue;
        };
        if item.payload != call.payload || item.changed {
            found.push(format!("{}: arrived as {}", call.name, item.payload));
        }
        if let Some(key) = call.key.as_deref().filter(|_| !retried.contains(id)) {
            let (before, name) = last.insert(key, (place, call.name.as_str())).unwrap_or_default();
            if before > place {
                found.push(format!("{} overtook {name}", call.name));
            }
        }
    }
    let strangers = received.values().filter(|item| !calls.contains_key(item.id.as_str()));
    found.extend(strangers.map(|item| format!("never acknowledged, or twice: {} {}", item.id, item.payload)));
    found
}
