//! What calls usually take, and what they take meanwhile.

use std::time::{Duration, Instant};

use zbus::Connection;

use crate::faces::Faces;
use crate::raw::{NAME, Options, ROOT, TASKS};
use crate::tight;

/// The times of one Enqueue and one Get.
pub(crate) async fn times(client: &Connection) -> [Duration; 2] {
    let within = Duration::from_secs(20);
    let start = Instant::now();
    let body = ("metadata", "1", Options::new());
    let call = client.call_method(Some(NAME), ROOT, Some(TASKS), "Enqueue", &body);
    let reply = tokio::time::timeout(within, call).await.expect("in time").expect("taken");
    let enqueue = start.elapsed();
    let id: String = reply.body().deserialize().expect("an id");
    let start = Instant::now();
    let call = client.call_method(Some(NAME), ROOT, Some(TASKS), "Get", &id);
    tokio::time::timeout(within, call).await.expect("in time").expect("a task");
    [enqueue, start.elapsed()]
}

/// The same daemon on another bus, where nobody misbehaves: what calls usually take, measured in the same moments.
pub(crate) struct Usual {
    _faces: Faces,
    pub(crate) client: Connection,
}

impl Usual {
    pub(crate) async fn start() -> Self {
        let faces = Faces::serve_on(tight(50_000));
        Self { client: faces.client().await, _faces: faces }
    }

    /// The medians of this many pairs: of `client`'s Enqueue and Get, and the usual ones.
    pub(crate) async fn medians(&self, client: &Connection, count: usize) -> ([Duration; 2], [Duration; 2]) {
        let (mut seen, mut usual) = (Vec::new(), Vec::new());
        for _ in 0..count {
            usual.push(times(&self.client).await);
            seen.push(times(client).await);
        }
        (median(&seen), median(&usual))
    }

    /// Fails if calls take more than twice their usual median; a machine that is busy with other things gets three tries.
    pub(crate) async fn stays_within_twice(&self, what: &str, client: &Connection) {
        for last in [false, false, true] {
            let (seen, usual) = self.medians(client, 100).await;
            println!(
                "{what}: Enqueue {:?} (usually {:?}), Get {:?} (usually {:?})",
                seen[0], usual[0], seen[1], usual[1]
            );
            if seen.iter().zip(usual).all(|(seen, usual)| *seen <= usual * 2) {
                return;
            }
            assert!(!last, "{what}: more than twice the usual median");
        }
    }
}

pub(crate) fn median(times: &[[Duration; 2]]) -> [Duration; 2] {
    [0, 1].map(|which| {
        let mut times: Vec<_> = times.iter().map(|times| times[which]).collect();
        times.sort();
        times[times.len() / 2]
    })
}
