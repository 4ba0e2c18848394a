//! `ferryctl watch` for people.

use serde_json::{Map, Value};

use super::palette::{Ink, Palette};
use super::{clean, size, status};
use crate::ctl::time::rfc3339;
use crate::ctl::views::WatchView;
use crate::model::WallTime;

pub(super) fn text(view: &WatchView, palette: Palette) -> String {
    let (at, words) = match view {
        WatchView::Task { at, id, strategy, state, detail } => {
            let state = palette.paint(Ink::of_state(state), &clean(state));
            (at, format!("{}  {}  {state}{}", clean(id), clean(strategy), error(detail)))
        }
        WatchView::Progress { at, id, done, total, rate, .. } => {
            (at, format!("{}  {} of {} at {}/s", clean(id), size(*done), size(*total), size(*rate)))
        }
        WatchView::Bandwidth { at, speeds, bandwidth } => {
            let said = status::bandwidth(bandwidth).unwrap_or_else(|| "unknown".to_owned());
            (at, format!("{}: {} {said}", palette.paint(Ink::Head, "bandwidth"), sparkline(speeds)))
        }
        WatchView::Changed { at, object, interface, properties } => {
            let name = if interface == "Strategy" { object } else { interface };
            (at, format!("{}: {}", palette.paint(Ink::Head, &clean(&name.to_lowercase())), changes(properties)))
        }
        WatchView::Lagged { at, count } => {
            (at, palette.paint(Ink::Bad, &format!("lagged: {count} signals were dropped")))
        }
        WatchView::Daemon { at, present: true } => (at, palette.paint(Ink::Good, "ferryd is here")),
        WatchView::Daemon { at, present: false } => (at, palette.paint(Ink::Bad, "ferryd is gone; waiting for it")),
    };
    format!("{}  {words}\n", rfc3339(WallTime::from_micros(*at)))
}

/// A bar for each value, from none to the greatest.
pub(super) fn sparkline(values: &[f64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let greatest = values.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let bar = |value: &f64| BARS[((value / greatest * 7.0).round() as usize).min(7)];
    values.iter().map(bar).collect()
}

fn error(detail: &Map<String, Value>) -> String {
    let error = detail.get("error").and_then(Value::as_str).filter(|error| !error.is_empty());
    error.map(|error| format!("  {}", clean(error))).unwrap_or_default()
}

/// `pending 38, blocked offline metered`.
fn changes(properties: &Map<String, Value>) -> String {
    let value = |value: &Value| match value {
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => clean(text),
        Value::Array(items) if items.is_empty() => "none".to_owned(),
        Value::Array(items) => {
            items.iter().map(|item| clean(item.as_str().unwrap_or_default())).collect::<Vec<_>>().join(" ")
        }
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null | Value::Number(_) | Value::Object(_) => clean(&value.to_string()),
    };
    let one = |(name, of): (&String, &Value)| format!("{} {}", clean(&name.to_lowercase()), value(of));
    properties.iter().map(one).collect::<Vec<_>>().join(", ")
}
