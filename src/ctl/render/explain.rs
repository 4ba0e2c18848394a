//! `ferryctl explain` for people: a sentence a reason.

use serde_json::Value;

use super::because::because;
use super::clean;
use super::palette::{Ink, Palette};
use crate::ctl::time::{length, rfc3339};
use crate::ctl::views::{EventView, ExplainView, ReasonView};
use crate::model::{Reason, WallTime};

pub(super) fn text(view: &ExplainView, now: WallTime, palette: Palette) -> String {
    let state = palette.paint(Ink::of_state(&view.state), &clean(&view.state));
    let mut text = format!("{} is {state}", clean(&view.id));
    text += match (view.reasons.is_empty(), view.state.as_str()) {
        (false, _) => " and waits:\n",
        (true, "pending") => "; nothing holds it back\n",
        (true, _) => "\n",
    };
    text.extend(view.reasons.iter().map(|row| reason(row, now, palette)));
    if let Some(history) = &view.history {
        text += if history.is_empty() { "no history\n" } else { "history:\n" };
        text.extend(history.iter().map(|row| event(row, palette)));
    }
    text
}

/// `offline: the device has no route to server main, for 12 s now; that ends when it gets one`, and its details in a line
/// below.
fn reason(row: &ReasonView, now: WallTime, palette: Palette) -> String {
    let name = palette.paint(Ink::Bad, &clean(&row.reason));
    let because = Reason::parse(&row.reason).map(|reason| format!(": {}", because(reason, &row.detail)));
    let since = row.since.map(|at| format!(", for {} now", length(now.saturating_since(WallTime::from_micros(at)))));
    let clears = Some(clean(&row.clears)).filter(|clears| !clears.is_empty());
    let clears = clears.map(|clears| format!("; that ends when {clears}"));
    let parts = [because, since, clears].into_iter().flatten().collect::<String>();
    let mut text = format!("  {name}{parts}\n");
    let given = row.detail.iter().filter(|(_, value)| value.as_str() != Some(""));
    let parts: Vec<_> = given.map(|(name, value)| format!("{} {}", clean(name), detail(name, value))).collect();
    if !parts.is_empty() {
        text += &format!("    {}\n", palette.paint(Ink::Faint, &parts.join(", ")));
    }
    text
}

/// `2026-05-01T12:00:00Z  retry  503 Service Unavailable`.
fn event(row: &EventView, palette: Palette) -> String {
    let at = row.at.map(|at| rfc3339(WallTime::from_micros(at))).unwrap_or_default();
    let name = palette.paint(Ink::Head, &clean(&row.event));
    format!("  {at}  {name}  {}", clean(&row.detail)).trim_end().to_owned() + "\n"
}

/// A time as such: how long it is until then, the sentence above says.
fn detail(name: &str, value: &Value) -> String {
    let number = value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
    match (name, number, value) {
        ("until" | "due" | "at", Some(at), _) => rfc3339(WallTime::from_micros(at)),
        (_, _, Value::String(text)) => clean(text),
        (_, _, Value::Array(items)) => items.iter().map(|item| detail("", item)).collect::<Vec<_>>().join(" "),
        _ => clean(&value.to_string()),
    }
}
