//! What the store promises, over real files.

mod damage;
mod disk;
mod ends;
mod enqueue;
mod files;
mod forward;
mod life;
mod order;
mod patched;
mod random;
mod reads;
mod reference;
mod restart;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::model::{
    LaneSummary, OnExisting, Overrides, Standing, State, StrategyName, TaskChange, TaskError, TaskResult,
};

/// The time at which tests begin.
const START: WallTime = WallTime::from_micros(1_800_000_000_000_000);

/// A store in a directory of its own, and what it told.
struct Rig {
    dir: TempDir,
    options: Options,
    store: Store,
    opening: Opening,
    news: Receiver<StoreNews>,
}

impl Rig {
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: Options) -> Self {
        Self::open(scratch(), options, START)
    }

    fn open(dir: TempDir, options: Options, now: WallTime) -> Self {
        let (store, opening, news) = open_at(dir.path(), &options, now);
        Self { dir, options, store, opening, news }
    }

    /// Closes the store and opens it again.
    fn reopen(self, now: WallTime) -> Self {
        let Self { dir, options, store, .. } = self;
        drop(store);
        Self::open(dir, options, now)
    }

    fn enqueue(&self, task: NewTask) -> Enqueued {
        wait(self.store.enqueue(vec![task])).unwrap()[0]
    }

    /// Enqueues and gives the id.
    fn add(&self, task: NewTask) -> TaskId {
        let enqueued = self.enqueue(task);
        assert!(matches!(enqueued, Enqueued::Added(_)), "{enqueued:?}");
        enqueued.id()
    }

    /// The ids that a claim of lane 1 gives.
    fn claim(&self, limit: usize, now: WallTime) -> Vec<TaskId> {
        self.claim_of(LaneId(1), limit, now)
    }

    fn claim_of(&self, lane: LaneId, limit: usize, now: WallTime) -> Vec<TaskId> {
        wait(self.store.claim(lane, limit, now)).unwrap().iter().map(|claimed| claimed.id).collect()
    }

    fn settle(&self, id: TaskId, settlement: Settlement, now: WallTime) {
        wait(self.store.settle(vec![(id, settlement)], now)).unwrap();
    }

    fn cancel(&self, id: TaskId, now: WallTime) -> u32 {
        wait(self.store.cancel(Scope::All, vec![id], now)).unwrap()
    }

    fn get(&self, id: TaskId) -> Task {
        wait(self.store.get(Scope::All, id)).unwrap()
    }

    fn state(&self, id: TaskId) -> State {
        self.get(id).standing.state()
    }

    fn waits_for(&self, id: TaskId) -> Vec<TaskId> {
        let standing = self.get(id).standing;
        let Standing::Pending { waits_for, .. } = standing else { panic!("{id} is {standing:?}") };
        waits_for
    }

    fn error(&self, id: TaskId) -> TaskError {
        let standing = self.get(id).standing;
        let Standing::Failed { error, .. } = standing else { panic!("{id} is {standing:?}") };
        error
    }

    fn events(&self, id: TaskId) -> Vec<String> {
        wait(self.store.history(id)).unwrap().into_iter().map(|entry| entry.event).collect()
    }

    /// What was told since the last call, gathered. The news of a commit come after its answers: a commit of nothing
    /// pushes them out.
    fn told(&self) -> StoreNews {
        wait(self.store.put_setting("test", None)).unwrap();
        wait(self.store.claim(LaneId(i64::MAX), 1, START)).unwrap();
        let mut told = StoreNews::default();
        for news in self.news.try_iter() {
            told.lanes.retain(|old| news.lanes.iter().all(|new| new.id != old.id));
            told.lanes.extend(news.lanes);
            told.counts.extend(news.counts);
            told.changes.extend(news.changes);
            told.removed.extend(news.removed);
            told.abandoned.extend(news.abandoned);
            told.tidy_at = news.tidy_at.or(told.tidy_at);
        }
        told
    }
}

/// How many rows a table has on disk.
fn rows(rig: &Rig, table: &str) -> i64 {
    let conn = super::schema::open_reader(&rig.dir.path().join("ferry.db")).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// A directory for a test: in memory where there is such a place, since these tests commit often and cut no power.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn open_at(dir: &Path, options: &Options, now: WallTime) -> (Store, Opening, Receiver<StoreNews>) {
    let (sender, news) = channel();
    let tell = move |told| {
        let _ = sender.send(told);
    };
    let (store, opening) = Store::open(dir, options.clone(), now, 7, tell).unwrap();
    (store, opening, news)
}

fn options() -> Options {
    Options {
        quotas: Quotas { tasks: 100_000, bytes: 1 << 30, subscribers: 16, holds: 4 },
        keep_done: Duration::from_secs(7 * 24 * 3600),
        reserve: 0,
        backoff_cap: Duration::from_secs(900),
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// A task of user 1000 for lane 1.
fn task() -> NewTask {
    NewTask {
        id: TaskId::mint(),
        owner: Owner(1000),
        app: "org.example.Notes".to_owned(),
        strategy: strategy("metadata"),
        overrides: Overrides::default(),
        payload: r#"{"note":1}"#.to_owned().into(),
        key: None,
        on_existing: OnExisting::Append,
        after: Vec::new(),
        tags: Vec::new(),
        expires: None,
        request_id: None,
        created: START,
    }
}

fn keyed(key: &str) -> NewTask {
    NewTask { key: Some(key.to_owned()), ..task() }
}

fn after(ids: &[TaskId]) -> NewTask {
    NewTask { after: ids.to_vec(), ..task() }
}

fn strategy(name: &str) -> StrategyName {
    StrategyName::new(name).unwrap()
}

fn done() -> Settlement {
    Settlement::Done(TaskResult { status: 200, duplicate: false, body: String::new(), upload: None })
}

fn retry_at(due: WallTime) -> Settlement {
    Settlement::Retry { due, error: "busy".to_owned() }
}

fn release() -> Settlement {
    Settlement::Release { cause: String::new() }
}

fn rejected() -> Settlement {
    Settlement::Failed(TaskError { failure: crate::model::Failure::Rejected, words: "no such note".to_owned() })
}

/// The states that a task went through, as told.
fn path_of(changes: &[TaskChange], id: TaskId) -> Vec<State> {
    changes.iter().filter(|change| change.id == id).map(|change| change.state).collect()
}

/// Makes sure that the counters, the order and the indexes say what the rows say.
fn assert_consistent(rig: &Rig) {
    assert_consistent_in(rig.dir.path());
}

fn assert_consistent_in(dir: &Path) {
    let conn = super::schema::open_reader(&dir.join("ferry.db")).unwrap();
    let wrong = |what: &str, sql: &str| {
        let wrong: i64 = conn.query_row(&format!("SELECT count(*) FROM ({sql})"), [], |row| row.get(0)).unwrap();
        assert_eq!(wrong, 0, "{what}");
    };
    wrong(
        "counters",
        "SELECT id, pending, failed, waiting, bytes, kept FROM account EXCEPT
         SELECT account, sum(state IN (0, 1)), sum(state = 3),
                sum(state = 1 OR (state = 0 AND behind = 0 AND deps = 0)),
                sum(iif(state IN (0, 1, 3), size, 0)), count(*) FROM task GROUP BY account",
    );
    wrong("accounts", "SELECT account, owner, lane FROM task EXCEPT SELECT id, owner, lane FROM account");
    wrong(
        "deps",
        "SELECT seq FROM task WHERE state = 0 AND deps <>
         (SELECT count(*) FROM dependency JOIN task AS other ON other.seq = on_task AND other.state IN (0, 1, 3)
          WHERE dependency.task = task.seq)",
    );
    wrong("dependencies", "SELECT 1 FROM dependency WHERE task NOT IN (SELECT seq FROM task WHERE state = 0)");
    wrong(
        "heads",
        "SELECT seq FROM task WHERE state = 0 AND behind <> (key IS NOT NULL AND EXISTS
         (SELECT 1 FROM task AS other WHERE other.owner = task.owner AND other.key = task.key AND
          (other.state IN (1, 5) OR (other.state = 0 AND other.seq < task.seq))))",
    );
    for table in ["payload", "history", "request"] {
        wrong(table, &format!("SELECT 1 FROM {table} WHERE task NOT IN (SELECT seq FROM task)"));
    }
    wrong("values", super::open::SENSELESS);
    let sound: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
}
