//! `EnqueueFile`: a descriptor in, a task out. Nothing is asked of the file here, since its file system may hang; the
//! store's spool does that on a thread.

use std::collections::HashMap;
use std::os::fd::AsFd as _;

use zbus::{Fd, Variant};

use super::call::{Call, Outcome};
use super::desk::Desk;
use super::error::Refusal;
use super::options::Options;
use super::task_options::FileOptions;
use super::tasks::{new_task, strategy_of};
use crate::model::{Kind, Payload};

/// Takes a file in. Its connection's later writes wait for the answer.
pub(super) fn enqueue_file(desk: &Desk, call: &Call) -> Result<Outcome, Refusal> {
    let body = call.message.body();
    let (strategy, file, options): (&str, Fd<'_>, HashMap<&str, Variant<'_>>) =
        body.deserialize().map_err(Refusal::invalid)?;
    let config = desk.config();
    let strategy = strategy_of(Kind::File, &config, strategy)?;
    let FileOptions { task, file: info } =
        FileOptions::read(Options::new("option", options), desk.wall(), &config.limits)?;
    let file =
        file.as_fd().try_clone_to_owned().map_err(|error| Refusal::busy(format!("no descriptor left: {error}")))?;
    let task = new_task(desk, call, strategy, Payload::File(Box::new(info)), &task, task.request_id.clone());
    let stored = desk.store.enqueue_file(task, file);
    let call = call.clone();
    Ok(Outcome::later(async move { call.reply(&stored.await?.id().to_string()) }))
}
