//! Row 2: a task's way through the store, in process, beside raw SQLite doing three transactions.

use std::cell::RefCell;
use std::time::Instant;

use ferryd::model::{LaneId, Settlement, StrategyName, TaskId, TaskResult};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::queue::Queue;
use crate::raw::Raw;
use crate::report::{Budget, Figure, rate};
use crate::rounds::Turns;
use crate::tasks::{payload, wall_now};
use crate::{Effort, Failed, place};

const WORKERS: usize = 8;

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let (rounds, cycles) = if effort == Effort::Full { (15, 200) } else { (3, 50) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (ferry_dir, raw_dir) = (place::directory()?, place::directory()?);
    let metadata = StrategyName::new("metadata")?;
    let queue = Queue::open(ferry_dir.path())?;
    let lane = runtime.block_on(async {
        queue.enqueue(&metadata, 0..1).await?;
        queue.lane(&metadata).await
    })?;
    let worker = Worker { queue, metadata, lane };
    let raw = RefCell::new(Raw::create(raw_dir.path())?);

    let alone = || worker.alone(&runtime, cycles);
    let together = || worker.together(&runtime, cycles);
    let bare = || bare(&mut raw.borrow_mut(), cycles);
    let figure = |what: &str, turns: &Turns, budget| Figure {
        what: what.to_owned(),
        measured: rate(turns.a()),
        limit: rate(turns.b()),
        ratio: turns.ratio(),
        budget,
    };
    Ok(vec![
        figure("enqueue, claim, settle in process", &Turns::take(rounds, alone, bare)?, Budget::AtLeast(0.9)),
        figure("the same by 8 workers", &Turns::take(rounds, together, bare)?, Budget::MoreThan(1.0)),
    ])
}

#[derive(Clone)]
struct Worker {
    queue: Queue,
    metadata: StrategyName,
    lane: LaneId,
}

impl Worker {
    /// Cycles one after another; how many a second.
    fn alone(&self, runtime: &Runtime, cycles: usize) -> Result<f64, Failed> {
        let began = Instant::now();
        runtime.block_on(self.cycle(cycles))?;
        Ok(cycles as f64 / began.elapsed().as_secs_f64())
    }

    /// As many cycles for each of the workers; how many a second in all.
    fn together(&self, runtime: &Runtime, cycles: usize) -> Result<f64, Failed> {
        let began = Instant::now();
        runtime.block_on(async {
            let mut workers = JoinSet::new();
            for _ in 0..WORKERS {
                let worker = self.clone();
                workers.spawn(async move { worker.cycle(cycles).await.map_err(|error| error.to_string()) });
            }
            workers.join_all().await.into_iter().collect::<Result<(), String>>()
        })?;
        Ok((WORKERS * cycles) as f64 / began.elapsed().as_secs_f64())
    }

    async fn cycle(&self, cycles: usize) -> Result<(), Failed> {
        let done = Settlement::Done(TaskResult { status: 200, ..TaskResult::default() });
        for number in 0..cycles {
            self.queue.enqueue(&self.metadata, number..=number).await?;
            let claimed = self.queue.claim(self.lane, 1).await?;
            if claimed.len() != 1 {
                return Err(format!("claimed {} tasks, not 1", claimed.len()).into());
            }
            self.queue.settle(&claimed, &done).await?;
        }
        Ok(())
    }
}

fn bare(raw: &mut Raw, cycles: usize) -> Result<f64, Failed> {
    let began = Instant::now();
    for number in 0..cycles {
        let now = i64::try_from(wall_now().as_micros())?;
        let write = raw.begin()?;
        write.enqueue(TaskId::mint().as_bytes(), &payload(number), now)?;
        write.commit()?;
        let write = raw.begin()?;
        let claimed = write.claim(1, now)?;
        write.commit()?;
        let write = raw.begin()?;
        for (seq, _payload) in claimed {
            write.settle(seq, now)?;
        }
        write.commit()?;
    }
    Ok(cycles as f64 / began.elapsed().as_secs_f64())
}
