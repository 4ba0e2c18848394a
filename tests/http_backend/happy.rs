//! What works.

use ferryd::demo::Behaviour;
use ferryd::model::{Answer, ItemOutcome, TaskResult};

use crate::setup::{attempt, backend, config_for, serve, tasks};

#[tokio::test]
async fn items_arrive_once_and_in_order() {
    let server = serve(Behaviour::honest());
    let backend = backend(&config_for(&server));
    let tasks = tasks(3);
    let Answer::Results(results) = attempt(&backend, &tasks).await else { panic!() };
    let taken = ItemOutcome::Ok(TaskResult { status: 200, ..TaskResult::default() });
    assert!(results.iter().all(|result| result.outcome == taken));
    assert_eq!(results.iter().map(|result| result.id).collect::<Vec<_>>(), [tasks[0].id, tasks[1].id, tasks[2].id]);

    let Answer::Results(again) = attempt(&backend, &tasks[1..]).await else { panic!() };
    assert!(again.iter().all(|result| result.outcome == ItemOutcome::Duplicate));

    let received = server.received();
    assert_eq!(received.len(), 3);
    for (index, (got, sent)) in received.iter().zip(&tasks).enumerate() {
        assert_eq!((got.id.as_str(), got.payload.as_str()), (sent.id.to_string().as_str(), sent.payload.as_str()));
        assert_eq!((got.order, got.applied, got.seen), (index, Some(index), if index == 0 { 1 } else { 2 }));
        assert_eq!((got.device.as_str(), got.strategy.as_str(), got.attempt), ("kiosk-7", "metadata", 1));
        assert_eq!(got.created, 1_700_000_000_000_000);
    }
    assert_eq!(server.log(|log| log.connections), 1, "the second request re-uses the connection");
}
