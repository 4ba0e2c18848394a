//! `ferryctl list`, `show` and `--wait` for people.

use super::palette::{Ink, Palette};
use super::table::{Cell, table};
use super::{clean, size};
use crate::ctl::time::{relative, rfc3339};
use crate::ctl::views::{EndView, ListView, TaskView};
use crate::model::WallTime;

pub(super) fn list(view: &ListView, now: WallTime, palette: Palette) -> String {
    if view.tasks.is_empty() {
        return "no tasks\n".to_owned();
    }
    let rows: Vec<_> = view.tasks.iter().map(|task| row(task, now)).collect();
    let mut text = table(["ID", "STATE", "STRATEGY", "CREATED", "TRIES", "KEY", "NOTE"], &rows, palette);
    if view.more {
        text += "… and more: --limit 0 lists all\n";
    }
    text
}

fn row(task: &TaskView, now: WallTime) -> [Cell; 7] {
    let created = task.created.map(|at| relative(WallTime::from_micros(at), now));
    [
        Cell::text(&task.id),
        Cell::text(&task.state).ink(Ink::of_state(&task.state)),
        Cell::text(&task.strategy),
        Cell::text(&created.unwrap_or_default()),
        Cell::number(task.attempts),
        Cell::text(task.key.as_deref().unwrap_or_default()),
        Cell::text(&note(task, now)),
    ]
}

/// Why it waits or how it failed.
fn note(task: &TaskView, now: WallTime) -> String {
    let next = task.next.filter(|at| task.state == "pending" && *at > now.as_micros());
    let mut parts = task.reasons.clone();
    parts.extend(progress(task));
    parts.extend(next.map(|at| relative(WallTime::from_micros(at), now)));
    let error = task.error.iter().filter(|_| matches!(task.state.as_str(), "failed" | "pending"));
    parts.extend(error.map(|error| short(error)));
    parts.join(", ")
}

/// How far a file has come that is not there yet.
fn progress(task: &TaskView) -> Option<String> {
    if task.done == 0 || task.has_ended() {
        return None;
    }
    let rate = task.rate.filter(|rate| *rate > 0).map(|rate| format!(" at {}/s", size(rate)));
    Some(format!("{} of {}{}", size(task.done), size(task.size), rate.unwrap_or_default()))
}

fn short(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn one(task: &TaskView, now: WallTime, palette: Palette) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text += &format!("{}  {value}\n", palette.paint(Ink::Head, &format!("{name:<9}")));
        }
    };
    let time = |at: Option<u64>| {
        let show = |wall| format!("{} ({})", rfc3339(wall), relative(wall, now));
        at.map(WallTime::from_micros).map(show).unwrap_or_default()
    };
    let option = |text: &Option<String>| clean(text.as_deref().unwrap_or_default());
    line("id", &clean(&task.id));
    line("state", &palette.paint(Ink::of_state(&task.state), &clean(&task.state)));
    line("strategy", &clean(&task.strategy));
    line("waits for", &clean(&task.reasons.join(", ")));
    line("error", &option(&task.error));
    line("owner", &task.owner.to_string());
    line("app", &option(&task.app));
    line("key", &option(&task.key));
    line("tags", &clean(&task.tags.join(", ")));
    line("after", &clean(&task.after.join(", ")));
    line("size", &format!("{} bytes", task.size));
    line("done", &progress(task).unwrap_or_default());
    line("chunk", &task.chunk_size.map(|chunk| format!("{chunk} bytes")).unwrap_or_default());
    line("attempts", &task.attempts.to_string());
    line("created", &time(task.created));
    line("next", &time(task.next));
    line("expires", &time(task.expires));
    line("started", &time(task.started));
    line("finished", &time(task.finished));
    line("network", &option(&task.network));
    line("charging", task.charging.map_or("", |charging| if charging { "asked for" } else { "not asked for" }));
    line("battery", &task.min_battery.map(|floor| format!("at least {floor} %")).unwrap_or_default());
    for (name, value) in task.result.iter().flatten() {
        let value = value.as_str().map_or_else(|| value.to_string(), clean);
        line("result", &format!("{} {value}", clean(name)));
    }
    text
}

pub(super) fn end(view: &EndView, palette: Palette) -> String {
    let state = palette.paint(Ink::of_state(&view.state), &clean(&view.state));
    let error = view.error.as_ref().map(|error| format!(": {}", clean(error))).unwrap_or_default();
    let file = view.file.as_ref().map(|file| format!(" {}", clean(file))).unwrap_or_default();
    format!("{} {state}{file}{error}\n", clean(&view.id))
}
