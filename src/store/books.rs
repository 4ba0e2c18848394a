//! The counters: what each account has in each lane, and what follows from it. A transaction gathers its differences
//! here and writes each account that it touched once; opening reads the sums and never the tasks.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::row::{Row, overrides_columns, overrides_from_row};
use super::sql::{count, one_row, strategy_from, wall};
use super::tally::{Tally, Usage};
use crate::model::{
    Abandoned, BackendName, Counts, CountsByStrategy, LaneId, LaneSummary, Overrides, Owner, State, StoreNews,
    StrategyName, TaskChange, TaskId, Waivers, WallTime,
};

/// Accounts and owners that are remembered between transactions; beyond, they are read again.
const REMEMBERED: usize = 2048;

/// A row of `account`: one app of one owner in one lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct AccountId(pub(super) i64);

#[derive(Debug)]
struct Lane {
    strategy: StrategyName,
    overrides: Overrides,
    tally: Tally,
    told: Option<LaneSummary>,
}

#[derive(Debug, Clone)]
struct Account {
    owner: Owner,
    app: String,
    lane: LaneId,
}

#[derive(Debug, Default)]
struct OwnerUsage {
    whole: Usage,
    apps: HashMap<String, Usage>,
}

/// What the transaction in progress changed.
#[derive(Debug, Default)]
struct Differences {
    tallies: BTreeMap<AccountId, (LaneId, Tally)>,
    lanes: BTreeSet<LaneId>,
    changes: Vec<TaskChange>,
    removed: Vec<TaskId>,
    abandoned: Vec<Abandoned>,
}

/// A point in a transaction to which [`Books::back_to`] returns.
pub(super) struct Bookmark {
    tallies: BTreeMap<AccountId, (LaneId, Tally)>,
    lanes: BTreeSet<LaneId>,
    changes: usize,
    removed: usize,
    abandoned: usize,
    last_lane: Option<LaneId>,
}

/// The counters.
#[derive(Debug, Default)]
pub(super) struct Books {
    lanes: BTreeMap<LaneId, Lane>,
    /// The last lane that a commit made durable.
    last_lane: Option<LaneId>,
    accounts: HashMap<AccountId, Account>,
    account_ids: HashMap<(Owner, LaneId, String), AccountId>,
    usage: HashMap<Owner, OwnerUsage>,
    differences: Differences,
    /// The transaction removed accounts that the maps above may know.
    accounts_gone: bool,
    /// Lanes that commits touched since the last news.
    untold: BTreeSet<LaneId>,
    /// What they did to tasks since then.
    untold_news: StoreNews,
    told_counts: CountsByStrategy,
}

impl Books {
    /// What earlier runs left to be ended at backends.
    fn load_abandoned(&mut self, conn: &Connection) -> Result<()> {
        let mut statement = conn.prepare("SELECT id, backend, body FROM abandoned")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Ok(backend) = BackendName::new(&row.get::<_, String>(1)?) {
                self.untold_news.abandoned.push(Abandoned { id: row.get(0)?, backend, note: row.get(2)? });
            }
        }
        Ok(())
    }

    /// Reads the lanes and their sums.
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        let mut books = Self::default();
        let mut statement = conn.prepare(concat!(
            "SELECT lane.id, strategy, ",
            overrides_columns!(),
            ", total(pending), total(failed), total(waiting), total(bytes), total(kept),
                    (SELECT count(*) FROM task INDEXED BY busy
                     WHERE state IN (1, 5) AND state = 1 AND task.lane = lane.id)
             FROM lane LEFT JOIN account ON account.lane = lane.id GROUP BY lane.id",
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let sum = |index: usize| row.get::<_, f64>(index).map(|sum| sum as i64);
            let running: i64 = row.get(11)?;
            let tally = Tally {
                pending: sum(6)? - running,
                running,
                failed: sum(7)?,
                waiting: sum(8)? - running,
                bytes: sum(9)?,
                kept: sum(10)?,
            };
            let lane =
                Lane { strategy: strategy_from(row, 1)?, overrides: overrides_from_row(row, 2)?, tally, told: None };
            books.lanes.insert(LaneId(row.get(0)?), lane);
        }
        books.last_lane = books.lanes.keys().next_back().copied();
        books.untold = books.lanes.keys().copied().collect();
        books.load_abandoned(conn)?;
        Ok(books)
    }

    /// The lane of these conditions, made if there is none yet.
    pub(super) fn lane(&mut self, conn: &Connection, strategy: &StrategyName, overrides: Overrides) -> Result<LaneId> {
        let known = self.lanes.iter().find(|(_, lane)| lane.overrides == overrides && lane.strategy == *strategy);
        if let Some((id, _)) = known {
            return Ok(*id);
        }
        let id = LaneId(self.lanes.keys().next_back().map_or(1, |last| last.0 + 1));
        for table in ["lane", "lane_spare"] {
            conn.prepare_cached(&format!("INSERT INTO {table} VALUES (?, ?, ?, ?, ?)"))?.execute(params![
                id.0,
                strategy.as_str(),
                overrides.network.map(|need| need.as_str()),
                overrides.charging,
                overrides.min_battery.map(|floor| floor.percent()),
            ])?;
        }
        if overrides.waived != Waivers::default() {
            conn.prepare_cached("INSERT INTO waiver VALUES (?, ?)")?
                .execute(params![id.0, overrides.waived.to_string()])?;
        }
        let lane = Lane { strategy: strategy.clone(), overrides, tally: Tally::nothing(), told: None };
        self.lanes.insert(id, lane);
        Ok(id)
    }

    /// The strategy of a lane.
    pub(super) fn strategy(&self, lane: LaneId) -> Result<StrategyName> {
        self.lanes.get(&lane).map(|lane| lane.strategy.clone()).ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// The lane of the same strategy and conditions with `waived` waived too, made if there is none yet.
    pub(super) fn waiving(&mut self, conn: &Connection, lane: LaneId, waived: Waivers) -> Result<LaneId> {
        let Lane { strategy, overrides, .. } = self.lanes.get(&lane).ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        let (strategy, overrides) = (strategy.clone(), *overrides);
        self.lane(conn, &strategy, Overrides { waived: overrides.waived.and(waived), ..overrides })
    }

    /// Every lane there is.
    pub(super) fn lanes(&self) -> Vec<LaneId> {
        self.lanes.keys().copied().collect()
    }

    /// The account of an app in a lane, made if there is none yet.
    pub(super) fn account(&mut self, conn: &Connection, owner: Owner, app: &str, lane: LaneId) -> Result<AccountId> {
        let name = (owner, lane, app.to_owned());
        if let Some(id) = self.account_ids.get(&name) {
            return Ok(*id);
        }
        let found: Option<i64> = conn
            .prepare_cached("SELECT id FROM account WHERE owner = ? AND app = ? AND lane = ?")?
            .query_row(params![owner.0, app, lane.0], |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => {
                conn.prepare_cached("INSERT INTO account (owner, app, lane) VALUES (?, ?, ?)")?
                    .execute(params![owner.0, app, lane.0])?;
                conn.last_insert_rowid()
            }
        };
        self.accounts.insert(AccountId(id), Account { owner, app: app.to_owned(), lane });
        self.account_ids.insert(name, AccountId(id));
        Ok(AccountId(id))
    }

    /// The account of the same app in another lane, made if there is none yet.
    pub(super) fn account_in(&mut self, conn: &Connection, id: AccountId, lane: LaneId) -> Result<AccountId> {
        let Account { owner, app, .. } = match self.accounts.get(&id) {
            Some(account) => account.clone(),
            None => read_account(conn, id)?,
        };
        self.account(conn, owner, &app, lane)
    }

    /// What the owner has, and what the app has of it, the transaction in progress included.
    pub(super) fn usage(&mut self, conn: &Connection, owner: Owner, app: &str) -> Result<(Usage, Usage)> {
        if !self.usage.contains_key(&owner) {
            let read = self.read_usage(conn, owner)?;
            self.usage.insert(owner, read);
        }
        let known = self.usage.get(&owner);
        let whole = known.map(|usage| usage.whole).unwrap_or_default();
        Ok((whole, known.and_then(|usage| usage.apps.get(app).copied()).unwrap_or_default()))
    }

    fn read_usage(&self, conn: &Connection, owner: Owner) -> Result<OwnerUsage> {
        let mut usage = OwnerUsage::default();
        let mut statement =
            conn.prepare_cached("SELECT id, app, pending + failed, bytes FROM account WHERE owner = ?")?;
        let mut rows = statement.query([owner.0])?;
        while let Some(row) = rows.next()? {
            let mut own = Usage { tasks: row.get(2)?, bytes: row.get(3)? };
            if let Some((_, tally)) = self.differences.tallies.get(&AccountId(row.get(0)?)) {
                own += *tally;
            }
            usage.whole.tasks += own.tasks;
            usage.whole.bytes += own.bytes;
            let app = usage.apps.entry(row.get(1)?).or_default();
            app.tasks += own.tasks;
            app.bytes += own.bytes;
        }
        Ok(usage)
    }

    /// A task of this account counted for `before` and now counts for `after`.
    pub(super) fn note(&mut self, conn: &Connection, id: AccountId, before: Tally, after: Tally) -> Result<()> {
        let account = match self.accounts.get(&id) {
            Some(account) => account,
            None => {
                let read = read_account(conn, id)?;
                self.accounts.entry(id).or_insert(read)
            }
        };
        let difference = after - before;
        let lane = account.lane;
        self.differences.tallies.entry(id).or_insert((lane, Tally::nothing())).1 += difference;
        self.differences.lanes.insert(lane);
        if let Some(usage) = self.usage.get_mut(&account.owner) {
            usage.whole += difference;
            match usage.apps.get_mut(&account.app) {
                Some(app) => *app += difference,
                None => {
                    let mut app = Usage::default();
                    app += difference;
                    usage.apps.insert(account.app.clone(), app);
                }
            }
        }
        Ok(())
    }

    /// A lane's due times changed.
    pub(super) fn touch(&mut self, lane: LaneId) {
        self.differences.lanes.insert(lane);
    }

    /// A task moved from one state to another.
    pub(super) fn changed(&mut self, row: &Row, from: Option<State>, at: WallTime, error: String) -> Result<()> {
        let strategy = self.strategy(row.lane)?;
        self.differences.changes.push(TaskChange {
            id: row.id,
            owner: row.owner,
            strategy,
            state: row.phase.state(),
            from,
            at,
            attempts: row.attempts,
            error,
        });
        Ok(())
    }

    /// A task is gone.
    pub(super) fn removed(&mut self, task: TaskId) {
        self.differences.removed.push(task);
    }

    /// Something begun at a backend is to be ended there.
    pub(super) fn abandoned(&mut self, what: Abandoned) {
        self.differences.abandoned.push(what);
    }

    /// Remembers where the transaction stands.
    pub(super) fn mark(&self) -> Bookmark {
        Bookmark {
            tallies: self.differences.tallies.clone(),
            lanes: self.differences.lanes.clone(),
            changes: self.differences.changes.len(),
            removed: self.differences.removed.len(),
            abandoned: self.differences.abandoned.len(),
            last_lane: self.lanes.keys().next_back().copied(),
        }
    }

    /// Forgets what happened since the mark, as its savepoint does.
    pub(super) fn back_to(&mut self, mark: Bookmark) {
        self.differences.tallies = mark.tallies;
        self.differences.lanes = mark.lanes;
        self.differences.changes.truncate(mark.changes);
        self.differences.removed.truncate(mark.removed);
        self.differences.abandoned.truncate(mark.abandoned);
        self.forget_beyond(mark.last_lane);
    }

    /// Forgets the whole transaction.
    pub(super) fn rolled_back(&mut self) {
        self.differences = Differences::default();
        self.forget_beyond(self.last_lane);
    }

    fn forget_beyond(&mut self, last_lane: Option<LaneId>) {
        self.lanes.retain(|id, _| Some(*id) <= last_lane);
        self.forget_accounts();
    }

    fn forget_accounts(&mut self) {
        self.accounts.clear();
        self.account_ids.clear();
        self.usage.clear();
    }

    /// Writes the differences, at the end of the transaction. An account without tasks is removed, so that an owner who
    /// makes up apps leaves nothing behind.
    pub(super) fn write(&mut self, conn: &Connection) -> Result<()> {
        for (id, (_, tally)) in &self.differences.tallies {
            let tally = tally.stored();
            if tally == Tally::nothing() {
                continue;
            }
            let mut update = conn.prepare_cached(
                "UPDATE account SET pending = pending + ?2, failed = failed + ?3, waiting = waiting + ?4,
                        bytes = bytes + ?5, kept = kept + ?6 WHERE id = ?1",
            )?;
            let Tally { pending, failed, waiting, bytes, kept, .. } = tally;
            one_row(update.execute(params![id.0, pending, failed, waiting, bytes, kept])?)?;
            if kept < 0 {
                let gone = conn.prepare_cached("DELETE FROM account WHERE id = ? AND kept = 0")?.execute([id.0])?;
                self.accounts_gone |= gone > 0;
            }
        }
        Ok(())
    }

    /// The transaction is committed.
    pub(super) fn committed(&mut self) {
        let differences = std::mem::take(&mut self.differences);
        for (lane, tally) in differences.tallies.values() {
            if let Some(lane) = self.lanes.get_mut(lane) {
                lane.tally += *tally;
            }
        }
        self.last_lane = self.lanes.keys().next_back().copied();
        self.untold.extend(differences.lanes);
        let full = self.accounts.len() > REMEMBERED || self.usage.len() > REMEMBERED;
        if full || std::mem::take(&mut self.accounts_gone) {
            self.forget_accounts();
        }
        self.untold_news.changes.extend(differences.changes);
        self.untold_news.removed.extend(differences.removed);
        self.untold_news.abandoned.extend(differences.abandoned);
    }

    /// What is new since the last call: lanes and counts that are not as they were told.
    pub(super) fn news(&mut self, conn: &Connection) -> Result<StoreNews> {
        let mut news = std::mem::take(&mut self.untold_news);
        let mut strategies = BTreeSet::new();
        for id in self.untold.clone() {
            let Some(lane) = self.lanes.get_mut(&id) else { continue };
            strategies.insert(lane.strategy.clone());
            let summary = LaneSummary {
                id,
                strategy: lane.strategy.clone(),
                overrides: lane.overrides,
                waiting: count(lane.tally.waiting),
                first_due: if lane.tally.waiting > 0 { first_due(conn, id)? } else { None },
            };
            if lane.told.as_ref() != Some(&summary) {
                lane.told = Some(summary.clone());
                news.lanes.push(summary);
            }
        }
        self.untold.clear();
        for strategy in strategies {
            let counts = self.counts(&strategy);
            if self.told_counts.insert(strategy.clone(), counts) != Some(counts) {
                news.counts.insert(strategy, counts);
            }
        }
        Ok(news)
    }

    fn counts(&self, strategy: &StrategyName) -> Counts {
        let mut sum = Tally::nothing();
        for lane in self.lanes.values().filter(|lane| lane.strategy == *strategy) {
            sum += lane.tally;
        }
        Counts { pending: count(sum.pending), running: count(sum.running), failed: count(sum.failed) }
    }
}

fn read_account(conn: &Connection, id: AccountId) -> Result<Account> {
    conn.prepare_cached("SELECT owner, app, lane FROM account WHERE id = ?")?
        .query_row([id.0], |row| Ok(Account { owner: Owner(row.get(0)?), app: row.get(1)?, lane: LaneId(row.get(2)?) }))
}

fn first_due(conn: &Connection, lane: LaneId) -> Result<Option<WallTime>> {
    let due: Option<i64> = conn
        .prepare_cached(
            "SELECT due FROM task INDEXED BY ready WHERE lane = ? AND state = 0 AND behind = 0 AND deps = 0
             ORDER BY due LIMIT 1",
        )?
        .query_row([lane.0], |row| row.get(0))
        .optional()?;
    Ok(due.map(wall))
}
