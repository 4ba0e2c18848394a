//! What the backends share that carry files: the file in the spool and its parts, what an attempt heeds, what it tells.

mod chunk;
mod guide;
mod link;
mod progress;

use std::fs::File;
use std::io;
use std::path::PathBuf;

pub(super) use chunk::Chunk;
pub(super) use guide::Guide;
pub(super) use link::Link;
pub(super) use progress::Progress;

use super::Request;
use crate::model::{Answer, Claimed, FileInfo, ItemOutcome, ItemResult, Payload};

/// The one file that is to be sent; the error is the answer where there is none.
pub(super) async fn of<'a>(request: Request<'a>) -> Result<(&'a Claimed, &'a FileInfo, File), Answer> {
    let [task @ Claimed { payload: Payload::File(info), .. }] = request.tasks else {
        return Err(Answer::Results(request.tasks.iter().map(no_file).collect()));
    };
    match open(request.spool.join(task.id.to_string()), info.size).await {
        Ok(file) => Ok((task, info, file)),
        Err(outcome) => Err(Answer::Results(vec![ItemResult { id: task.id, outcome }])),
    }
}

/// What a backend that takes files says of a task that has none.
fn no_file(task: &Claimed) -> ItemResult {
    let reason = "a backend for files takes files, one in an attempt".to_owned();
    ItemResult { id: task.id, outcome: ItemOutcome::Rejected { reason } }
}

/// The file in the spool, if it is the one that was handed over.
async fn open(path: PathBuf, size: u64) -> Result<File, ItemOutcome> {
    let look = move || -> io::Result<(File, std::fs::Metadata)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let found = tokio::task::spawn_blocking(look).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    match found {
        Ok((file, metadata)) if metadata.is_file() && metadata.len() == size => Ok(file),
        Ok((_, metadata)) if metadata.is_file() => {
            let reason = format!("the file in the spool has {} bytes, {size} were handed over", metadata.len());
            Err(ItemOutcome::Rejected { reason })
        }
        Ok(_) => Err(ItemOutcome::Rejected { reason: "what lies in the spool is no regular file".to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ItemOutcome::Rejected { reason: "the file is gone from the spool".to_owned() })
        }
        // A disk that fails may come round.
        Err(error) => Err(ItemOutcome::Retry { after: None, reason: format!("the file in the spool: {error}") }),
    }
}
