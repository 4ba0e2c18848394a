//! `list`, `show`, `explain`, `cancel`, `retry`, `discard`.

use std::collections::BTreeMap;

use zbus::Variant;

use crate::ctl::arguments::{Explain, Ids, List};
use crate::ctl::client::{Client, Options, first};
use crate::ctl::exit::Failure;
use crate::ctl::render::Printer;
use crate::ctl::views::{ExplainView, ListView, TaskView};

/// The most tasks that the daemon gives or takes in one call.
const PAGE: usize = 1_000;

pub(super) async fn list(client: &mut Client, printer: &mut Printer<'_>, list: &List) -> Result<(), Failure> {
    let view = pages(client, &filter(list), list.limit).await?;
    printer.list(&view)
}

fn filter(list: &List) -> Options<'_> {
    let words = [
        ("state", &list.state),
        ("strategy", &list.strategy),
        ("key", &list.key),
        ("tag", &list.tag),
        ("app", &list.app),
    ];
    let given = words.into_iter().filter(|(_, words)| !words.is_empty());
    let mut filter: Options<'_> = given.map(|(key, words)| (key, Variant::from(words))).collect();
    filter.extend(list.owner.map(|owner| ("owner", owner.into())));
    filter
}

/// The first tasks that a filter lets through, page by page; `limit` 0 is all.
async fn pages(client: &mut Client, filter: &Options<'_>, limit: usize) -> Result<ListView, Failure> {
    let mut tasks = Vec::new();
    let mut cursor = String::new();
    loop {
        let wanted = if limit == 0 { PAGE } else { (limit - tasks.len()).min(PAGE) };
        let count = u32::try_from(wanted).unwrap_or(u32::MAX);
        let mut answer = client.call("Tasks", "List", &(filter, cursor.as_str(), count)).await?.into_iter();
        let page = answer.next().unwrap_or_default();
        tasks.extend(page.as_array().into_iter().flatten().cloned().map(TaskView::of));
        cursor = answer.next().and_then(|next| next.as_str().map(str::to_owned)).unwrap_or_default();
        if cursor.is_empty() || (limit > 0 && tasks.len() >= limit) {
            return Ok(ListView { tasks, more: !cursor.is_empty() });
        }
    }
}

pub(super) async fn show(client: &mut Client, printer: &mut Printer<'_>, id: &str) -> Result<(), Failure> {
    let task = get(client, id).await?;
    printer.task(&task)
}

/// One task.
pub(super) async fn get(client: &mut Client, id: &str) -> Result<TaskView, Failure> {
    Ok(TaskView::of(first(client.call("Tasks", "Get", &id).await?)))
}

pub(super) async fn explain(client: &mut Client, printer: &mut Printer<'_>, asked: &Explain) -> Result<(), Failure> {
    let mut options = Options::new();
    if asked.history {
        options.insert("history", true.into());
    }
    if !asked.assume.is_empty() {
        let assume: BTreeMap<&str, Variant<'_>> =
            asked.assume.iter().map(|(key, value)| (key.as_str(), value.variant())).collect();
        options.insert("assume", assume.into());
    }
    let task = get(client, &asked.id).await?;
    let rows = first(client.call("Tasks", "Explain", &(asked.id.as_str(), options)).await?);
    printer.explain(&ExplainView::of(&task, &rows, asked.history))
}

/// What is done to tasks by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Cancel,
    Retry,
    Discard,
}

impl Change {
    const fn member(self) -> &'static str {
        match self {
            Self::Cancel => "Cancel",
            Self::Retry => "Retry",
            Self::Discard => "Discard",
        }
    }

    const fn past(self) -> &'static str {
        match self {
            Self::Cancel => "cancelled",
            Self::Retry => "will try again",
            Self::Discard => "discarded",
        }
    }
}

/// Changes the tasks given, all or none.
pub(super) async fn change(
    client: &mut Client,
    printer: &mut Printer<'_>,
    change: Change,
    ids: Vec<String>,
) -> Result<(), Failure> {
    let count = call(client, change, &ids).await?;
    printer.count(change.past(), count)
}

/// Changes the tasks given or all failed ones.
pub(super) async fn change_failed(
    client: &mut Client,
    printer: &mut Printer<'_>,
    change: Change,
    ids: Ids,
) -> Result<(), Failure> {
    if !ids.all {
        return self::change(client, printer, change, ids.ids).await;
    }
    let failed: Options<'_> = [("state", "failed".into())].into();
    let tasks = pages(client, &failed, 0).await?.tasks;
    let ids: Vec<_> = tasks.into_iter().map(|task| task.id).collect();
    let mut count = 0;
    for ids in ids.chunks(PAGE) {
        count += call(client, change, ids).await?;
    }
    printer.count(change.past(), count)
}

async fn call(client: &mut Client, change: Change, ids: &[String]) -> Result<u64, Failure> {
    let answer = client.call("Tasks", change.member(), &ids).await?;
    Ok(first(answer).as_u64().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_says_only_what_was_given() {
        let mut list =
            List { state: vec![], strategy: vec![], key: vec![], tag: vec![], app: vec![], owner: None, limit: 5 };
        assert!(filter(&list).is_empty());
        list.state = vec!["failed".to_owned(), "done".to_owned()];
        list.owner = Some(1000);
        let expected = [("owner", Variant::from(1000u32)), ("state", Variant::from(vec!["failed", "done"]))];
        assert_eq!(filter(&list), expected.into());
    }
}
