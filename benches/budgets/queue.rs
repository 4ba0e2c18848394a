//! The store as the daemon uses it, and the numbers of its lanes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use ferryd::model::{Claimed, LaneId, Quotas, Settlement, StrategyName};
use ferryd::store::{Options, Store};
use tokio::sync::watch;

use crate::Failed;
use crate::tasks::{new_task, wall_now};

type Lanes = BTreeMap<StrategyName, LaneId>;

/// An open store.
#[derive(Clone)]
pub(crate) struct Queue {
    store: Store,
    lanes: watch::Receiver<Lanes>,
}

impl Queue {
    /// Opens the store in `dir`, with quotas that do not matter.
    pub(crate) fn open(dir: &Path) -> Result<Self, Failed> {
        let quotas = Quotas { tasks: 100_000_000, bytes: 1 << 40, subscribers: 1, holds: 1 };
        let week = Duration::from_secs(7 * 24 * 3600);
        let options = Options { quotas, keep_done: week, reserve: 4 << 20, backoff_cap: Duration::from_secs(900) };
        let (sender, lanes) = watch::channel(Lanes::new());
        let learn = move |news: ferryd::model::StoreNews| {
            sender.send_if_modified(|lanes| {
                let known = lanes.len();
                lanes.extend(news.lanes.into_iter().map(|lane| (lane.strategy, lane.id)));
                lanes.len() > known
            });
        };
        let (store, opening) = Store::open(dir, options, wall_now(), 1, learn.clone())?;
        learn(opening.news);
        Ok(Self { store, lanes })
    }

    /// Enqueues tasks `numbers` in one transaction.
    pub(crate) async fn enqueue(
        &self,
        strategy: &StrategyName,
        numbers: impl Iterator<Item = usize>,
    ) -> Result<(), Failed> {
        self.store.enqueue(numbers.map(|number| new_task(strategy, number)).collect()).await?;
        Ok(())
    }

    /// Claims the next `limit` tasks that are due.
    pub(crate) async fn claim(&self, lane: LaneId, limit: usize) -> Result<Vec<Claimed>, Failed> {
        Ok(self.store.claim(lane, limit, wall_now()).await?)
    }

    /// Settles all of `tasks` alike.
    pub(crate) async fn settle(&self, tasks: &[Claimed], settlement: &Settlement) -> Result<(), Failed> {
        let settlements = tasks.iter().map(|task| (task.id, settlement.clone())).collect();
        Ok(self.store.settle(settlements, wall_now()).await?)
    }

    /// The lane of the strategy, once it has one.
    pub(crate) async fn lane(&self, strategy: &StrategyName) -> Result<LaneId, Failed> {
        let mut lanes = self.lanes.clone();
        let lanes = lanes.wait_for(|lanes| lanes.contains_key(strategy)).await?;
        Ok(lanes.get(strategy).copied().ok_or("no lane")?)
    }
}
