//! Row 3: a million pending tasks. What a claim costs, what a task costs on disk, and what the daemon makes of them.

use std::cell::RefCell;
use std::path::Path;
use std::time::{Duration, Instant};

use ferryd::model::{LaneId, Settlement, StrategyName, TaskId};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::bus::Bus;
use crate::ferryd::{Ferryd, Memory, Offline};
use crate::queue::Queue;
use crate::raw::Raw;
use crate::report::{Budget, Figure, mebibytes, millis};
use crate::rounds::{Turns, median};
use crate::tasks::{PAYLOAD, payload, wall_now};
use crate::{Effort, Failed, place};

/// Tasks that a claim takes: the shipped batch of `metadata`.
const BATCH: usize = 50;
/// Tasks enqueued at once: the most that a call on D-Bus may.
const CALL: usize = 500;
/// Tasks put off at once.
const PUT_OFF: usize = 10_000;
/// What growth is measured from.
const FEW: usize = 10_000;

/// How much is measured.
#[derive(Clone, Copy)]
struct Scale {
    many: usize,
    rounds: usize,
    starts: usize,
}

/// Measures the row.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Figure>, Failed> {
    let scale = match effort {
        Effort::Full => Scale { many: 1_000_000, rounds: 41, starts: 9 },
        Effort::Quick => Scale { many: 50_000, rounds: 7, starts: 3 },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bench =
        Bench { runtime, scale, metadata: StrategyName::new("metadata")?, analytics: StrategyName::new("analytics")? };
    let (few, many) = (place::directory()?, place::directory()?);
    let mut figures = bench.all_ready(&few, &many)?;
    figures.push(bench.disk(many.path())?);
    figures.extend(bench.daemon(many.path())?);
    figures.extend(bench.few_ready(&few, &many)?);
    Ok(figures)
}

struct Bench {
    runtime: Runtime,
    scale: Scale,
    metadata: StrategyName,
    analytics: StrategyName,
}

impl Bench {
    /// Fills both stores and a bare one, and claims while all that is in them is ready.
    fn all_ready(&self, few: &TempDir, many: &TempDir) -> Result<Vec<Figure>, Failed> {
        let (few, many) = (Queue::open(few.path())?, Queue::open(many.path())?);
        let raw_dir = place::directory()?;
        let mut raw = Raw::create(raw_dir.path())?;
        let lanes = self.runtime.block_on(async {
            fill(&few, &self.metadata, FEW).await?;
            fill(&many, &self.metadata, self.scale.many).await?;
            Ok::<_, Failed>((few.lane(&self.metadata).await?, many.lane(&self.metadata).await?))
        })?;
        fill_raw(&mut raw, self.scale.many)?;
        let what = format!("claim of {BATCH} of {} ready", self.scale.many);
        let raw = RefCell::new(raw);
        let beside =
            Turns::take(self.scale.rounds, || self.claim(&many, lanes.1), || claim_raw(&mut raw.borrow_mut()))?;
        let mut figures = self.growth(&what, (&few, lanes.0), (&many, lanes.1))?;
        figures.push(Figure {
            what: "the same, beside raw SQLite's".to_owned(),
            measured: millis(beside.a()),
            limit: millis(beside.b()),
            ratio: beside.ratio(),
            budget: Budget::None,
        });
        Ok(figures)
    }

    /// Puts all off for fourteen minutes, adds a few that are ready, and claims those: from the same lane, and from
    /// that of the lowest priority.
    fn few_ready(&self, few: &TempDir, many: &TempDir) -> Result<Vec<Figure>, Failed> {
        let (few, many) = (Queue::open(few.path())?, Queue::open(many.path())?);
        let mut figures = Vec::new();
        self.runtime.block_on(async {
            self.put_off(&few, FEW).await?;
            self.put_off(&many, self.scale.many).await
        })?;
        for (strategy, what) in
            [(&self.analytics, "not due, only analytics ready"), (&self.metadata, "not due, few others ready")]
        {
            let lanes = self.runtime.block_on(async {
                fill(&few, strategy, CALL).await?;
                fill(&many, strategy, CALL).await?;
                Ok::<_, Failed>((few.lane(strategy).await?, many.lane(strategy).await?))
            })?;
            let what = format!("claim of {BATCH}, {} {what}", self.scale.many);
            figures.extend(self.growth(&what, (&few, lanes.0), (&many, lanes.1))?);
        }
        Ok(figures)
    }

    async fn put_off(&self, queue: &Queue, tasks: usize) -> Result<(), Failed> {
        let lane = queue.lane(&self.metadata).await?;
        for _ in 0..tasks.div_ceil(PUT_OFF) {
            let claimed = queue.claim(lane, PUT_OFF).await?;
            let due = wall_now() + Duration::from_secs(14 * 60);
            queue.settle(&claimed, &Settlement::Retry { due, error: "later".to_owned() }).await?;
        }
        let left = queue.claim(lane, 1).await?;
        if left.is_empty() { Ok(()) } else { Err("a task that was put off is ready".into()) }
    }

    /// Claims among many beside claims among few: the time and its growth.
    fn growth(&self, what: &str, few: (&Queue, LaneId), many: (&Queue, LaneId)) -> Result<Vec<Figure>, Failed> {
        let turns = Turns::take(self.scale.rounds, || self.claim(many.0, many.1), || self.claim(few.0, few.1))?;
        let most = 5e-3;
        Ok(vec![
            Figure {
                what: what.to_owned(),
                measured: millis(turns.a()),
                limit: millis(most),
                ratio: turns.a() / most,
                budget: Budget::AtMost(1.0),
            },
            Figure {
                what: format!("the same, beside that with {FEW}"),
                measured: millis(turns.a()),
                limit: millis(turns.b()),
                ratio: turns.ratio(),
                budget: Budget::AtMost(1.3),
            },
        ])
    }

    /// Claims a batch, then lets it go again; how long the claim took, in seconds.
    fn claim(&self, queue: &Queue, lane: LaneId) -> Result<f64, Failed> {
        self.runtime.block_on(async {
            let began = Instant::now();
            let claimed = queue.claim(lane, BATCH).await?;
            let took = began.elapsed();
            if claimed.len() != BATCH {
                return Err(format!("claimed {} tasks, not {BATCH}", claimed.len()).into());
            }
            queue.settle(&claimed, &Settlement::Release { cause: String::new() }).await?;
            Ok(took.as_secs_f64())
        })
    }

    /// What a task takes on disk beyond its payload. The store is closed, so that all is in the one file.
    fn disk(&self, dir: &Path) -> Result<Figure, Failed> {
        let bytes = std::fs::metadata(dir.join("ferry.db"))?.len();
        let beyond = bytes as f64 / self.scale.many as f64 - PAYLOAD as f64;
        let most = 200.0;
        Ok(Figure {
            what: "bytes a task on disk beyond its payload".to_owned(),
            measured: format!("{beyond:.0}"),
            limit: format!("{most:.0}"),
            ratio: beyond / most,
            budget: Budget::AtMost(1.0),
        })
    }

    /// Starts the daemon on many tasks and on none, in turns.
    fn daemon(&self, many: &Path) -> Result<Vec<Figure>, Failed> {
        let none = place::directory()?;
        let bus = Bus::start()?;
        let (with_many, with_none) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let starts = Turns::take(
            self.scale.starts,
            || self.start(&bus, many, &mut with_many.borrow_mut()),
            || self.start(&bus, none.path(), &mut with_none.borrow_mut()),
        )?;
        let resident =
            |memory: &RefCell<Vec<Memory>>| median(&memory.borrow().iter().map(|m| m.resident).collect::<Vec<_>>());
        let dirty =
            |memory: &RefCell<Vec<Memory>>| median(&memory.borrow().iter().map(|m| m.dirty).collect::<Vec<_>>());
        let (most, more) = (0.3, 8.0 * 1024.0 * 1024.0);
        let memory = |what: &str, many: f64, none: f64| Figure {
            what: format!("the same: {what}, beside that with none + 8 MiB"),
            measured: mebibytes(many),
            limit: mebibytes(none + more),
            ratio: many / (none + more),
            budget: Budget::AtMost(1.0),
        };
        Ok(vec![
            Figure {
                what: format!("ferryd's start to READY, {} pending", self.scale.many),
                measured: millis(starts.a()),
                limit: millis(most),
                ratio: starts.a() / most,
                budget: Budget::AtMost(1.0),
            },
            Figure {
                what: "the same, beside that with none".to_owned(),
                measured: millis(starts.a()),
                limit: millis(starts.b()),
                ratio: starts.ratio(),
                budget: Budget::None,
            },
            memory("resident", resident(&with_many), resident(&with_none)),
            memory("private dirty", dirty(&with_many), dirty(&with_none)),
        ])
    }

    fn start(&self, bus: &Bus, dir: &Path, memory: &mut Vec<Memory>) -> Result<f64, Failed> {
        let ferryd = self.runtime.block_on(Ferryd::start(bus, dir, Offline::NoRoute))?;
        // Nothing tells when a process has come to rest.
        std::thread::sleep(Duration::from_millis(500));
        memory.push(ferryd.memory()?);
        let ready_after = ferryd.ready_after;
        ferryd.stop()?;
        Ok(ready_after.as_secs_f64())
    }
}

async fn fill(queue: &Queue, strategy: &StrategyName, tasks: usize) -> Result<(), Failed> {
    for first in (0..tasks).step_by(CALL) {
        queue.enqueue(strategy, first..tasks.min(first + CALL)).await?;
    }
    Ok(())
}

fn fill_raw(raw: &mut Raw, tasks: usize) -> Result<(), Failed> {
    let now = i64::try_from(wall_now().as_micros())?;
    for first in (0..tasks).step_by(PUT_OFF) {
        let write = raw.begin()?;
        for number in first..tasks.min(first + PUT_OFF) {
            write.enqueue(TaskId::mint().as_bytes(), &payload(number), now)?;
        }
        write.commit()?;
    }
    Ok(())
}

/// As [`Bench::claim`], by raw SQLite.
fn claim_raw(raw: &mut Raw) -> Result<f64, Failed> {
    let now = i64::try_from(wall_now().as_micros())?;
    let began = Instant::now();
    let write = raw.begin()?;
    let claimed = write.claim(i64::try_from(BATCH)?, now)?;
    write.commit()?;
    let took = began.elapsed();
    let write = raw.begin()?;
    for (seq, _payload) in claimed {
        write.release(seq)?;
    }
    write.commit()?;
    Ok(took.as_secs_f64())
}
