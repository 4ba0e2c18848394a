//! `ferryctl status` for people.

use super::because::link;
use super::palette::{Ink, Palette};
use super::table::{Cell, table};
use super::{clean, size};
use crate::ctl::time::relative;
use crate::ctl::views::{BandwidthView, NetworkView, PowerView, StatusView, StrategyView};
use crate::model::{Connectivity, Metered, WallTime};

pub(super) fn text(view: &StatusView, now: WallTime, palette: Palette) -> String {
    let state = palette.paint(Ink::of_state(&view.state), &clean(&view.state));
    let reasons: Vec<_> =
        view.blocked.iter().filter(|reason| **reason != view.state).map(|reason| clean(reason)).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(", {}", reasons.join(", ")) };
    let mut text = format!("ferryd {}: {state}{why}\n", clean(&view.version));
    let mut line = |name: &str, value: String| text += &format!("  {name:<10} {value}\n");
    line("network", network(&view.network));
    if view.network.connected {
        line("internet", internet(&view.network.connectivity).to_owned());
    }
    line("power", power(&view.power));
    if let Some(bandwidth) = bandwidth(&view.bandwidth) {
        line("bandwidth", bandwidth);
    }
    for (name, used, limit) in view.strategies.iter().filter_map(budget) {
        line("budget", format!("{}: {} of {} today over metered links", clean(name), size(used), size(limit)));
    }
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

/// `wifi on wlan0 (home), 72 % at 2437 MHz, 192.0.2.7/24, probably not metered`.
pub(super) fn network(network: &NetworkView) -> String {
    if !network.connected {
        return "no route".to_owned();
    }
    let mut parts = vec![link(Some(network.r#type.clone()), network.interface.clone(), network.ssid.clone())];
    let frequency = network.frequency.map(|frequency| format!(" at {frequency} MHz")).unwrap_or_default();
    parts.extend(network.strength.map(|strength| format!("{strength} %{frequency}")));
    parts.extend(network.subnet.clone());
    let metered = match Metered::parse(&network.metered) {
        Some(Metered::Yes) => Some("metered"),
        Some(Metered::GuessYes) => Some("probably metered"),
        Some(Metered::No) => Some("not metered"),
        Some(Metered::GuessNo) => Some("probably not metered"),
        Some(Metered::Unknown) | None => None,
    };
    parts.extend(metered.map(str::to_owned));
    clean(&parts.join(", "))
}

fn internet(connectivity: &str) -> &'static str {
    match Connectivity::parse(connectivity) {
        Some(Connectivity::Full) => "reached",
        Some(Connectivity::Portal) => "behind a captive portal",
        Some(Connectivity::None | Connectivity::Limited) => "not reached",
        Some(Connectivity::Unknown) | None => "not probed",
    }
}

/// `on battery at 34 %, saving power`.
pub(super) fn power(power: &PowerView) -> String {
    let fed = match (power.external, power.charging, power.battery_percent) {
        (true, _, None) => "external, no battery".to_owned(),
        (true, true, Some(percent)) => format!("external, charging at {percent:.0} %"),
        (true, false, Some(percent)) => format!("external, battery at {percent:.0} %"),
        (false, _, Some(percent)) => format!("on battery at {percent:.0} %"),
        (false, _, None) => "unknown".to_owned(),
    };
    fed + if power.power_save { ", saving power" } else { "" }
}

/// `4.5 Mbit/s up, 20 ms, reliability 0.98: balanced`; `None` if nothing was measured.
pub(super) fn bandwidth(bandwidth: &BandwidthView) -> Option<String> {
    let up = bandwidth.upload_speed.map(|speed| format!("{speed} Mbit/s up"));
    let down = bandwidth.download_speed.map(|speed| format!("{speed} Mbit/s down"));
    let latency = bandwidth.latency.map(|latency| format!("{latency} ms"));
    let reliability = bandwidth.reliability.map(|share| format!("reliability {share}"));
    let known: Vec<String> = [up, down, latency, reliability].into_iter().flatten().collect();
    (!known.is_empty()).then(|| format!("{}: {}", known.join(", "), clean(&bandwidth.upload_strategy)))
}

fn budget(strategy: &StrategyView) -> Option<(&str, u64, u64)> {
    strategy.budget_limit.map(|limit| (strategy.name.as_str(), strategy.budget_used, limit))
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
