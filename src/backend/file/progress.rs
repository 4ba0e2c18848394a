//! How far an upload has come, told at most twice a second, and at the end.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Transfer, Upload};

/// The time between two reports.
const PAUSE: Duration = Duration::from_millis(500);

/// What is told of an attempt.
pub(in crate::backend) struct Progress<'a> {
    report: &'a (dyn Fn(Transfer) + Send + Sync),
    began: Instant,
    transfer: Transfer,
    /// The first offset that the server named in this attempt.
    first: Option<u64>,
    /// When it was told last.
    told: Option<Instant>,
    /// Whether there is something new to tell.
    news: bool,
}

impl<'a> Progress<'a> {
    pub(in crate::backend) fn new(report: &'a (dyn Fn(Transfer) + Send + Sync), total: u64, upload: Upload) -> Self {
        let transfer = Transfer { total, upload: Some(upload.strategy), ..Transfer::default() };
        Self { report, began: Instant::now(), transfer, first: None, told: None, news: true }
    }

    /// The server says that it has so much.
    pub(in crate::backend) fn confirmed(&mut self, offset: u64) {
        if self.first.is_some() {
            self.transfer.sent += offset.saturating_sub(self.transfer.done);
        } else {
            self.first = Some(offset);
        }
        self.transfer.done = offset;
        self.news = true;
    }

    /// A chunk of so many bytes is on its way.
    pub(in crate::backend) fn begins(&mut self, chunk: u64) {
        self.news |= self.transfer.chunk != chunk;
        self.transfer.chunk = chunk;
    }

    /// Whether the server has more than it had when the attempt began. One that loses uploads and takes them anew has not.
    pub(in crate::backend) fn is_advance(&self) -> bool {
        self.first.is_some_and(|first| self.transfer.done > first)
    }

    /// Tells what there is to tell when its time has come; if there is nothing, never resolves.
    pub(in crate::backend) async fn tell(&mut self) {
        if !self.news {
            std::future::pending::<()>().await;
        }
        if let Some(told) = self.told {
            tokio::time::sleep_until(told + PAUSE).await;
        }
        self.say();
    }

    /// The last of it.
    pub(in crate::backend) fn end(&mut self) {
        self.transfer.chunk = 0;
        self.say();
    }

    fn say(&mut self) {
        self.told = Some(Instant::now());
        self.news = false;
        self.transfer.took = self.began.elapsed();
        (self.report)(self.transfer);
    }
}
