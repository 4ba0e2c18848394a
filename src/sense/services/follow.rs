//! What one service says, followed: read whole after each hint, told when it differs. Patient with one that is slow, and
//! deaf to one that shouts.

use std::time::Duration;

use tokio::time::Instant;

use super::line::{Ear, Line, ServiceError, Unanswered};

/// However many hints come, a service is looked at no more often than this, but for a few looks in a row.
const PACE: Duration = Duration::from_millis(100);
const IN_A_ROW: u32 = 5;

/// How long a service may take for all that one look asks of it; twice as long after each time in vain.
const PATIENCE: Duration = Duration::from_secs(5);
const MOST_PATIENCE: Duration = Duration::from_secs(300);

/// Something that one service says.
pub(super) trait Source {
    /// What it says; the default if the service is not there.
    type Word: Default + Clone + PartialEq;

    /// Reads the whole.
    fn read(&self, line: &Line, ear: &Ear) -> impl Future<Output = Result<Self::Word, Unanswered>> + Send;
}

/// How a service is followed.
#[derive(Debug)]
pub(super) struct Following<W> {
    last: Option<Result<W, ServiceError>>,
    patience: Duration,
    /// Where its looks would be by now if all had been a [`PACE`] apart.
    paced: Option<Instant>,
}

impl<W: Default + Clone + PartialEq> Following<W> {
    pub(super) const fn new() -> Self {
        Self { last: None, patience: PATIENCE, paced: None }
    }

    /// Reads what the service says: the first word, and then any that differs from the one before.
    pub(super) async fn look<S: Source<Word = W>>(
        &mut self,
        source: &S,
        line: &Line,
        ear: &Ear,
    ) -> Option<Result<W, ServiceError>> {
        let now = Instant::now();
        self.paced = Some(self.paced.map_or(now, |paced| paced.max(now)) + PACE);
        let found = match tokio::time::timeout(self.patience, source.read(line, ear)).await {
            Ok(Ok(word)) => Ok(word),
            // NetworkManager has a name before it has anything to say, and hints at it then.
            Ok(Err(Unanswered::Absent | Unanswered::NoObject)) => Ok(W::default()),
            Ok(Err(Unanswered::Failed(error))) => Err(error),
            Err(_) => Err(ServiceError::Silent),
        };
        self.patience = match &found {
            Err(ServiceError::Silent) => (self.patience * 2).min(MOST_PATIENCE),
            Ok(_) | Err(_) => PATIENCE,
        };
        if self.last.as_ref() == Some(&found) {
            return None;
        }
        self.last = Some(found.clone());
        Some(found)
    }

    /// Whether this was its last word.
    pub(super) fn says(&self, word: &W) -> bool {
        self.last.as_ref().is_some_and(|last| last.as_ref() == Ok(word))
    }

    /// Resolves at the next hint, though not too soon after many looks.
    pub(super) async fn hint(&self, ear: &Ear) {
        ear.hinted().await;
        let ahead = self.paced.map(|paced| paced.saturating_duration_since(Instant::now())).unwrap_or_default();
        let wait = ahead.saturating_sub(PACE * IN_A_ROW);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}

/// Tells what a service says: at once, and whenever it differs. Never ends.
pub(super) async fn follow<S: Source>(source: S, line: &Line, ear: &Ear, tell: impl Fn(Result<S::Word, ServiceError>)) {
    let mut following = Following::new();
    loop {
        if let Some(word) = following.look(&source, line, ear).await {
            tell(word);
        }
        following.hint(ear).await;
    }
}
