//! `ferryctl status` for people.

use super::clean;
use super::palette::{Ink, Palette};
use super::table::{Cell, table};
use crate::ctl::time::relative;
use crate::ctl::views::{NetworkView, StatusView, StrategyView};
use crate::model::WallTime;

pub(super) fn text(view: &StatusView, now: WallTime, palette: Palette) -> String {
    let state = palette.paint(Ink::of_state(&view.state), &clean(&view.state));
    let reasons: Vec<_> =
        view.blocked.iter().filter(|reason| **reason != view.state).map(|reason| clean(reason)).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(", {}", reasons.join(", ")) };
    let mut text = format!("ferryd {}: {state}{why}\n", clean(&view.version));
    let mut line = |name: &str, value: String| text += &format!("  {name:<10} {value}\n");
    line("network", network(&view.network));
    if view.transfers > 0 {
        line("transfers", view.transfers.to_string());
    }
    if let Some(wake) = &view.next_wake {
        line("next wake", format!("{} {}", clean(&wake.name), relative(WallTime::from_micros(wake.at), now)));
    }
    if view.strategies.is_empty() {
        return text;
    }
    let rows: Vec<_> = view.strategies.iter().map(|strategy| row(strategy, now)).collect();
    let heads = ["STRATEGY", "PRIORITY", "PENDING", "RUNNING", "FAILED", "NEXT", "WAITS FOR"];
    text + "\n" + &table(heads, &rows, palette)
}

pub(super) fn network(network: &NetworkView) -> String {
    if !network.connected {
        return "no route".to_owned();
    }
    let mut parts = vec![network.r#type.clone()];
    parts.extend(network.interface.as_ref().map(|interface| format!("on {interface}")));
    parts.extend(network.ssid.as_ref().map(|ssid| format!("({ssid})")));
    let metered = match network.metered.as_str() {
        "yes" => ", metered",
        "guess-yes" => ", probably metered",
        _ => "",
    };
    let connectivity = match network.connectivity.as_str() {
        "portal" => ", behind a captive portal",
        "limited" => ", without internet",
        _ => "",
    };
    clean(&parts.join(" ")) + metered + connectivity
}

fn row(strategy: &StrategyView, now: WallTime) -> [Cell; 7] {
    let next = strategy.next_attempt.map(|at| relative(WallTime::from_micros(at), now));
    let failed = if strategy.failed > 0 { Ink::Bad } else { Ink::Plain };
    let waits = match strategy.paused && !strategy.blocked.iter().any(|reason| reason == "paused") {
        true => [&["paused".to_owned()], strategy.blocked.as_slice()].concat(),
        false => strategy.blocked.clone(),
    };
    [
        Cell::text(&strategy.name),
        Cell::number(strategy.priority),
        Cell::number(strategy.pending),
        Cell::number(strategy.running),
        Cell::number(strategy.failed).ink(failed),
        Cell::text(&next.unwrap_or_default()),
        Cell::text(&waits.join(", ")),
    ]
}
