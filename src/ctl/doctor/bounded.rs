//! No check may take for ever: buses, servers and file systems that do not answer are what one calls a doctor for.

use std::time::Duration;

/// The longest that one step of a check may take.
pub(super) const LIMIT: Duration = Duration::from_secs(5);

/// What a step gives; `None` if it takes too long.
pub(super) async fn bounded<T>(step: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(LIMIT, step).await.ok()
}

/// The same of a step that asks the file system. One that hangs is left behind.
pub(super) async fn bounded_blocking<T: Send + 'static>(step: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    bounded(tokio::task::spawn_blocking(step)).await?.ok()
}

/// The words for what took too long.
pub(super) fn no_answer() -> String {
    format!("no answer within {} s", LIMIT.as_secs())
}
