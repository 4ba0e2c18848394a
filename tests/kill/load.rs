//! Apps that hand over tasks without a pause, and repeat what was not answered when the daemon died.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferryd::demo::Server;
use tokio::task::JoinSet;

use super::caller::{Call, Caller, Reply};

/// Calls that one app has on their way at once.
const PIPELINE: usize = 2;

/// Tasks that may wait beyond those the server has: more would only make the test longer.
const AHEAD: usize = 40;

/// All apps together.
pub(crate) struct Load {
    caller: Arc<Caller>,
    server: Arc<Server>,
    apps: Vec<App>,
    /// Calls answered so far.
    answered: Arc<AtomicUsize>,
}

/// One app: one key, or none.
pub(crate) struct App {
    name: String,
    key: Option<String>,
    made: usize,
    /// To be repeated first, in this order.
    unanswered: Vec<(Call, Reply)>,
    /// By the number of the call.
    acknowledged: BTreeMap<usize, (Call, String)>,
}

/// Until when apps go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// The daemon dies.
    Death,
    /// What was not answered has been repeated.
    Repeated,
}

impl Load {
    /// `keyed` apps with a key each, and `free` ones without.
    pub(crate) fn new(caller: &Arc<Caller>, server: &Arc<Server>, keyed: usize, free: usize) -> Self {
        let app = |n: usize| App {
            name: format!("app{n}"),
            key: (n < keyed).then(|| format!("key{n}")),
            made: 0,
            unanswered: Vec::new(),
            acknowledged: BTreeMap::new(),
        };
        let apps = (0..keyed + free).map(app).collect();
        Self { caller: Arc::clone(caller), server: Arc::clone(server), apps, answered: Arc::default() }
    }

    /// Lets all apps go on.
    pub(crate) fn start(&mut self, until: Until) -> JoinSet<App> {
        let mut running = JoinSet::new();
        for app in self.apps.drain(..) {
            let (caller, server) = (Arc::clone(&self.caller), Arc::clone(&self.server));
            running.spawn(app.run(caller, server, Arc::clone(&self.answered), until));
        }
        running
    }

    /// Waits for their end.
    pub(crate) async fn join(&mut self, mut running: JoinSet<App>) {
        while let Some(app) = running.join_next().await {
            self.apps.push(app.expect("no panic"));
        }
        self.apps.sort_by(|one, other| one.name.cmp(&other.name));
    }

    /// The calls that died unanswered after they had reached the daemon.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = &Call> {
        let calls = self.apps.iter().flat_map(|app| &app.unanswered);
        calls.filter(|(_, reply)| *reply == Reply::Unanswered).map(|(call, _)| call)
    }

    /// Calls and the ids they were answered with; those of each app in the order they were made.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = &(Call, String)> {
        self.apps.iter().flat_map(|app| app.acknowledged.values())
    }

    /// Calls still to be repeated.
    pub(crate) fn left(&self) -> usize {
        self.apps.iter().map(|app| app.unanswered.len()).sum()
    }
}

impl App {
    async fn run(mut self, caller: Arc<Caller>, server: Arc<Server>, answered: Arc<AtomicUsize>, until: Until) -> Self {
        let mut again: Vec<Call> = self.unanswered.drain(..).map(|(call, _)| call).collect();
        loop {
            if again.is_empty() && until == Until::Repeated {
                return self;
            }
            let room = server.until(|log| answered.load(Ordering::SeqCst) < log.applied() + AHEAD);
            let alive = tokio::select! {
                () = room => true,
                () = caller.until_free() => false,
            };
            let calls =
                if again.is_empty() { self.new_calls() } else { again.drain(..PIPELINE.min(again.len())).collect() };
            if !alive {
                self.unanswered.extend(calls.into_iter().chain(again).map(|call| (call, Reply::Undelivered)));
                return self;
            }
            let replies = caller.enqueue(&calls).await;
            for (call, reply) in calls.into_iter().zip(replies) {
                match reply {
                    Reply::Id(id) => {
                        answered.fetch_add(1, Ordering::SeqCst);
                        self.acknowledged.insert(call.number, (call, id));
                    }
                    Reply::Unanswered | Reply::Undelivered => self.unanswered.push((call, reply)),
                }
            }
            if !self.unanswered.is_empty() {
                self.unanswered.extend(again.into_iter().map(|call| (call, Reply::Undelivered)));
                return self;
            }
        }
    }

    fn new_calls(&mut self) -> Vec<Call> {
        let numbers = self.made..self.made + PIPELINE;
        self.made = numbers.end;
        numbers.map(|number| Call::new(&self.name, number, self.key.as_deref())).collect()
    }
}
