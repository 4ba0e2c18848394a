//! Why a task does not go now: one row a missing condition, in words for people.

use std::collections::BTreeMap;
use std::time::Duration;

use super::backend::Illness;
use super::hold::Held;
use super::lane::Lane;
use super::outcome::Ill;
use super::pause::Paused;
use super::{Scheduler, hours, settle};
use crate::model::{
    Assume, BackendConfig, BackendName, Battery, Block, Credential, LaneId, LinkType, Metered, Network, Now, Pause,
    Reason, Standing, StrategyName, Task, WallTime, World,
};

/// Ids named in one row; a task may wait for more.
const NAMED_IDS: usize = 16;

impl Scheduler {
    /// Every reason why a pending task does not go now, with the moment since it has held, what would clear it, and
    /// details; empty if it goes next, and for a task that is not pending. `assume` stands in for what is sensed.
    pub fn explain(&self, task: &Task, assume: &Assume, now: Now) -> Vec<Block> {
        let Standing::Pending { due, waits_for } = &task.standing else {
            return Vec::new();
        };
        let mut rows = Vec::new();
        if !waits_for.is_empty() {
            rows.push(order(waits_for));
        }
        if *due > now.wall {
            rows.push(self.backoff(task, *due, now));
        }
        rows.extend(self.hindrance_rows(task, assume, now));
        rows.extend(self.illness_row(&task.strategy, now));
        if rows.is_empty() && assume.connectivity.is_none() {
            rows.extend(self.asking_row(&task.strategy));
        }
        if rows.is_empty() {
            rows.extend(self.own_time(task, now));
        }
        if rows.is_empty() {
            rows.extend(self.concurrency(task));
        }
        if rows.is_empty() {
            rows.extend(self.reading_of_charge(task, now));
        }
        if rows.is_empty() {
            rows.extend(self.rest_of_lane(task, now));
        }
        rows
    }

    fn backoff(&self, task: &Task, due: WallTime, now: Now) -> Block {
        let mut row = row(Reason::Backoff, WallTime::default());
        row.clears = format!("its wait is over, in {}", span(due.saturating_since(now.wall)));
        row.detail.insert("until".to_owned(), due.as_micros().to_string());
        row.detail.insert("attempts".to_owned(), task.attempts.to_string());
        if let Some(strategy) = self.config.strategies.get(&task.strategy) {
            row.detail.insert("max_attempts".to_owned(), strategy.max_attempts.to_string());
        }
        if !task.last_error.is_empty() {
            row.detail.insert("error".to_owned(), task.last_error.clone());
        }
        row
    }

    fn hindrance_rows(&self, task: &Task, assume: &Assume, now: Now) -> Vec<Block> {
        let backend = self.backend_of(&task.strategy).map(|(name, _)| name);
        let sensed = self.world.clone().unwrap_or_else(World::unknown);
        let world = match backend {
            Some(name) => assumed(sensed, name, assume),
            None => sensed,
        };
        let lane = self.lane_of(task).map(|(_, lane)| lane);
        let now = Now { wall: assume.time.unwrap_or(now.wall), ..now };
        self.hindrances_in(&world, &task.strategy, &task.overrides, now)
            .into_iter()
            .map(|reason| self.hindrance_row(reason, task, backend, &world, lane, now))
            .collect()
    }

    fn hindrance_row(
        &self,
        reason: Reason,
        task: &Task,
        backend: Option<&BackendName>,
        world: &World,
        lane: Option<&Lane>,
        now: Now,
    ) -> Block {
        let since = lane.and_then(|lane| lane.hindrances.get(&reason)).copied().unwrap_or_default();
        let mut row = row(reason, since);
        match reason {
            Reason::Paused => self.tell_pause(&mut row, &task.strategy, now),
            Reason::Held => self.tell_holds(&mut row, now),
            Reason::NoBackend => self.tell_no_backend(&mut row, &task.strategy),
            Reason::Window => self.tell_window(&mut row, &task.strategy, world, now.wall),
            Reason::Budget => self.tell_budget(&mut row, &task.strategy, world, now.wall),
            Reason::Clock => self.tell_clock(&mut row, &task.strategy, backend),
            Reason::Offline => {
                tell_network(&mut row, backend, world);
                tell_settling(&mut row, backend, world, now);
            }
            Reason::NoInternet | Reason::CaptivePortal => {
                tell_network(&mut row, backend, world);
                self.tell_reach(&mut row, backend, now);
            }
            Reason::Metered | Reason::Roaming | Reason::NotWifi => tell_network(&mut row, backend, world),
            Reason::SlowLink => {
                tell_network(&mut row, backend, world);
                self.tell_slow_link(&mut row, backend, world, now);
            }
            Reason::NotCharging | Reason::LowBattery | Reason::PowerSave => self.tell_power(&mut row, task, world),
            // They speak for themselves, or are told of by others.
            Reason::Suspending
            | Reason::Backoff
            | Reason::Order
            | Reason::Concurrency
            | Reason::BackendAuth
            | Reason::BackendTls
            | Reason::BackendDown
            | Reason::BackendConfig => {}
        }
        row
    }

    fn tell_pause(&self, row: &mut Block, strategy: &StrategyName, now: Now) {
        let own = self.pauses.of(Some(strategy)).map(|paused| (strategy.as_str(), paused));
        let all = self.pauses.of(None).map(|paused| ("everything", paused));
        let Some((what, Paused { pause, since })) = all.or(own) else {
            return;
        };
        row.since = since;
        row.detail.insert("paused".to_owned(), what.to_owned());
        row.clears = match pause {
            Pause::Indefinite => format!("an admin resumes {what}"),
            Pause::Until(end) => {
                row.detail.insert("until".to_owned(), end.as_micros().to_string());
                let left = span(end.saturating_since(now.wall));
                format!("the pause of {what} ends in {left}, or an admin resumes it")
            }
        };
    }

    /// Who holds, as any user may ask. The hold that lasts longest decides when it goes on at the latest.
    fn tell_holds(&self, row: &mut Block, now: Now) {
        let all = |of: fn(&Held) -> &str| self.holds.iter().take(NAMED_IDS).map(of).collect::<Vec<_>>().join(", ");
        row.detail.insert("apps".to_owned(), all(|held| &held.hold.app));
        row.detail.insert("words".to_owned(), all(|held| &held.hold.reason));
        row.since = self.holds.iter().map(|held| held.since).min().unwrap_or_default();
        if let Some(until) = self.holds.iter().map(|held| held.hold.until).max() {
            row.detail.insert("until".to_owned(), now.wall_of(until).as_micros().to_string());
            let left = span(until.saturating_since(now.moment));
            row.clears = format!("{} let go, in {left} at the latest", all(|held| &held.hold.app));
        }
    }

    fn tell_no_backend(&self, row: &mut Block, strategy: &StrategyName) {
        row.since = row.since.max(self.configured);
        row.detail.insert("strategy".to_owned(), strategy.to_string());
        row.clears = match self.config.strategies.get(strategy).map(|strategy| &strategy.backend) {
            None => format!("the config gets a section [strategy.{strategy}] and is reloaded"),
            Some(None) => format!("strategy.{strategy}.backend names a backend in the config, and it is reloaded"),
            Some(Some(backend)) => format!("the config gets a section [backend.{backend}] and is reloaded"),
        };
    }

    /// How it is known how far the network reaches, and when that is looked at again.
    fn tell_reach(&self, row: &mut Block, backend: Option<&BackendName>, now: Now) {
        let Some((name, network)) = backend.and_then(|name| Some((name, self.exposed(name)?))) else { return };
        if let Some(probe) = &self.config.network.probe {
            row.detail.insert("probe_url".to_owned(), probe.shown().to_owned());
        }
        if row.reason == Reason::CaptivePortal {
            row.clears = match (network.ssid.as_str(), network.interface.as_str()) {
                ("", interface) => format!("somebody signs in at the portal of the network on {interface}"),
                (ssid, _) => format!("somebody signs in at the portal of the Wi-Fi network {ssid}"),
            };
        }
        if let Some(verdict) = self.reach.way(network).and_then(|way| way.verdict.as_ref()) {
            row.detail.insert("found".to_owned(), verdict.words.clone());
            if let Some(again) = self.looks_again(name, now) {
                row.detail.insert("until".to_owned(), now.wall_of(again).as_micros().to_string());
                let left = span(again.saturating_since(now.moment));
                row.clears = format!("{}; looked at again in {left}", row.clears);
            }
        }
    }

    /// A look that must tell whether there is a portal before a credential goes by plain HTTP.
    fn asking_row(&self, strategy: &StrategyName) -> Option<Block> {
        let (name, _) = self.backend_of(strategy).filter(|(name, _)| self.must_ask(name))?;
        let mut row = row(Reason::NoInternet, WallTime::default());
        row.clears = "the probe has answered".to_owned();
        tell_network(&mut row, Some(name), self.world.as_ref()?);
        let probe = self.config.network.probe.as_ref()?;
        row.detail.insert("probe_url".to_owned(), probe.shown().to_owned());
        Some(row)
    }

    /// What was measured, and until when that is believed.
    fn tell_slow_link(&self, row: &mut Block, backend: Option<&BackendName>, world: &World, now: Now) {
        let Some(network) = backend.and_then(|name| world.networks.get(name)).and_then(Network::identity) else {
            return;
        };
        let estimate = self.bandwidths.estimate(Some(&network));
        let shown = |value: Option<f64>| value.map_or("unknown".to_owned(), |value| format!("{value:.2}"));
        row.detail.insert("upload_speed".to_owned(), shown(estimate.upload));
        row.detail.insert("reliability".to_owned(), shown(estimate.reliability));
        row.detail.insert("certainty".to_owned(), format!("{:.2}", estimate.certainty));
        row.detail.insert("measured".to_owned(), estimate.measured_at.as_micros().to_string());
        match self.bandwidths.doubted_from(&network) {
            Some(from) if from > now.moment => {
                row.detail.insert("until".to_owned(), now.wall_of(from).as_micros().to_string());
                let left = span(from.saturating_since(now.moment));
                row.clears = format!("{}; one file tries it again in {left}", row.clears);
            }
            Some(_) => row.clears = format!("{}; a file tries it just now", row.clears),
            None => {}
        }
    }

    fn tell_power(&self, row: &mut Block, task: &Task, world: &World) {
        if let Battery::Percent(percent) = world.power.battery {
            row.detail.insert("battery_percent".to_owned(), format!("{percent:.0}"));
        }
        if let Some(strategy) = self.config.strategies.get(&task.strategy).filter(|_| row.reason == Reason::LowBattery)
        {
            let floor = strategy.conditions.with(&task.overrides).min_battery;
            row.detail.insert("min_battery".to_owned(), floor.percent().to_string());
            row.clears = format!("the battery reaches {} %, or a charger is plugged in", settle::regained_at(floor));
        }
        tell_failing(row, world);
    }

    fn tell_window(&self, row: &mut Block, name: &StrategyName, world: &World, now: WallTime) {
        let Some(strategy) = self.config.strategies.get(name) else { return };
        let window = &strategy.conditions.window;
        row.detail.insert("window".to_owned(), window.to_string());
        if let Some(begin) = hours::next_change(window, now, &world.zone) {
            row.detail.insert("until".to_owned(), begin.as_micros().to_string());
            let (time, left) = (world.zone.local(begin).time(), span(begin.saturating_since(now)));
            row.clears = format!("the hours of strategy {name} begin at {time}, in {left}");
        }
        tell_failing(row, world);
    }

    fn tell_budget(&self, row: &mut Block, name: &StrategyName, world: &World, now: WallTime) {
        let Some(limit) = self.config.strategies.get(name).and_then(|strategy| strategy.conditions.metered_budget)
        else {
            return;
        };
        row.detail.insert("used".to_owned(), self.budgets.spent_at(name, now, world).to_string());
        row.detail.insert("limit".to_owned(), limit.to_string());
        if let Some(renewed) = self.budgets.renewed(name, now, &world.zone) {
            row.detail.insert("until".to_owned(), renewed.as_micros().to_string());
            let (time, left) = (world.zone.local(renewed).time(), span(renewed.saturating_since(now)));
            row.clears = format!("a new day begins at {time}, in {left}, or the network is not metered");
        }
    }

    /// What of a task hangs on the date.
    fn tell_clock(&self, row: &mut Block, name: &StrategyName, backend: Option<&BackendName>) {
        let Some(strategy) = self.config.strategies.get(name) else { return };
        let section = backend.and_then(|name| self.config.backends.get(name));
        let what = [
            (section.is_some_and(BackendConfig::is_certified), "certificate"),
            (!strategy.conditions.window.is_always(), "window"),
            (strategy.conditions.metered_budget.is_some(), "metered_bytes_per_day"),
        ];
        let named: Vec<&str> = what.into_iter().filter_map(|(so, what)| so.then_some(what)).collect();
        row.detail.insert("depends".to_owned(), named.join(","));
    }

    fn illness_row(&self, strategy: &StrategyName, now: Now) -> Option<Block> {
        let (name, backend) = self.backend_of(strategy)?;
        let illness = backend.illness()?;
        let config = self.config.backends.get(name)?;
        let mut row = row(illness.reason(), illness.since);
        let (url, _query) = config.url.split_once('?').unwrap_or((&config.url, ""));
        row.detail.insert("backend".to_owned(), name.to_string());
        row.detail.insert("url".to_owned(), url.to_owned());
        row.detail.insert("error".to_owned(), illness.words.clone());
        row.detail.insert("failures".to_owned(), illness.failures.to_string());
        let next = self.next_probe(name, illness, now, &mut row);
        row.clears = match illness.ill {
            Ill::Auth => {
                let credential = credential(config.credential.as_ref());
                row.detail.insert("credential".to_owned(), credential.clone());
                format!("backend {name} takes the credential ({credential}): renew it, then reload; {next}")
            }
            Ill::Tls => {
                if let Some(file) = &config.ca_file {
                    row.detail.insert("ca_file".to_owned(), file.display().to_string());
                }
                format!(
                    "backend {name} shows a certificate that is trusted here: renew it, or set backend.{name}.ca_file \
                     and reload; {next}"
                )
            }
            Ill::Config => {
                format!("backend.{name}.url names an endpoint that exists: correct it and reload; {next}")
            }
            Ill::Down => format!("backend {name} answers again; {next}"),
        };
        Some(row)
    }

    /// When the next request tells whether an outage is over.
    fn next_probe(&self, name: &BackendName, illness: &Illness, now: Now, row: &mut Block) -> String {
        match self.admission(name) {
            None => "a request is asking just now".to_owned(),
            Some(from) if from > now.moment => {
                row.detail.insert("until".to_owned(), now.wall_of(illness.until).as_micros().to_string());
                format!("asked again in {}", span(from.saturating_since(now.moment)))
            }
            Some(_) => "asked again as soon as something can go".to_owned(),
        }
    }

    fn concurrency(&self, task: &Task) -> Option<Block> {
        let (id, lane) = self.lane_of(task)?;
        let kind = self.config.strategies.get(&task.strategy)?.kind;
        if self.has_slot(id, kind) {
            return None;
        }
        let mut row = row(Reason::Concurrency, lane.crowded_since.unwrap_or_default());
        let slots = self.slots();
        row.detail.insert("running".to_owned(), slots.taken().to_string());
        row.detail.insert("running_files".to_owned(), slots.file.to_string());
        row.detail.insert("max_concurrent".to_owned(), slots.max_concurrent.to_string());
        row.clears = if slots.free_for(kind) {
            "the item to blame for a refused batch is found, one request at a time".to_owned()
        } else {
            "an attempt that runs now ends".to_owned()
        };
        Some(row)
    }

    /// What the fleet waited for is over, and this device's turn has not come.
    fn own_time(&self, task: &Task, now: Now) -> Option<Block> {
        let drawn = self.spread(&task.strategy, now.moment)?;
        let left = drawn.until.saturating_since(now.moment);
        let mut row = row(Reason::Backoff, drawn.since);
        row.clears = format!(
            "this device's own time within strategy.{}.randomized_delay has come, in {}",
            task.strategy,
            span(left)
        );
        row.detail.insert("until".to_owned(), (now.wall + left).as_micros().to_string());
        Some(row)
    }

    /// A battery that takes long to be read.
    fn reading_of_charge(&self, task: &Task, now: Now) -> Option<Block> {
        let (id, _) = self.lane_of(task).filter(|(id, _)| !self.knows_charge(*id, now))?;
        self.policy_of(id)?;
        Some(Block { clears: "the battery has been read".to_owned(), ..row(Reason::LowBattery, WallTime::default()) })
    }

    /// A store that could not hand the task over.
    fn rest_of_lane(&self, task: &Task, now: Now) -> Option<Block> {
        let (_, lane) = self.lane_of(task)?;
        let left = lane.rests_until(now.moment)?.saturating_since(now.moment);
        let mut row = row(Reason::Backoff, WallTime::default());
        row.clears = format!("the queue on disk can be written; asked again in {}", span(left));
        row.detail.insert("until".to_owned(), (now.wall + left).as_micros().to_string());
        Some(row)
    }

    fn lane_of(&self, task: &Task) -> Option<(LaneId, &Lane)> {
        let mut lanes = self.lanes.iter().map(|(id, lane)| (*id, lane));
        lanes.find(|(_, lane)| lane.strategy == task.strategy && lane.overrides == task.overrides)
    }
}

fn row(reason: Reason, since: WallTime) -> Block {
    Block { reason, since, clears: clears(reason).to_owned(), detail: BTreeMap::new() }
}

fn order(waits_for: &[crate::model::TaskId]) -> Block {
    let mut row = row(Reason::Order, WallTime::default());
    let named: Vec<String> = waits_for.iter().take(NAMED_IDS).map(ToString::to_string).collect();
    row.clears = match waits_for {
        [one] => format!("task {one} ends"),
        [one, rest @ ..] => format!("task {one} and {} more end", rest.len()),
        [] => row.clears,
    };
    row.detail.insert("waiting_for".to_owned(), named.join(","));
    row
}

/// What would clear a reason, where nothing more can be said.
fn clears(reason: Reason) -> &'static str {
    match reason {
        Reason::Offline => "the device gets a route to the server: connect it to a network",
        Reason::NoInternet => "the network reaches the internet",
        Reason::CaptivePortal => "somebody signs in at the network's portal",
        Reason::Metered => "the device is on a network that is not metered",
        Reason::Roaming => "the modem is back in its own network",
        Reason::NotWifi => "the device is on wifi or ethernet",
        Reason::NotCharging => "a charger is plugged in",
        Reason::LowBattery => "the battery is charged",
        Reason::PowerSave => "power-save mode is switched off",
        Reason::SlowLink => "the link is faster and more reliable, or the device is on another network",
        Reason::Budget => "the day's budget of metered bytes begins anew, or the network is not metered",
        Reason::Window => "the strategy's hours begin",
        Reason::Clock => "the clock is set: it shows a time before this version was made",
        Reason::Backoff => "its wait is over",
        Reason::Order => "the tasks before it end",
        Reason::Concurrency => "an attempt that runs now ends",
        Reason::Paused => "an admin resumes",
        Reason::Held => "the apps that hold let go",
        Reason::Suspending => "the device wakes up",
        Reason::BackendAuth => "the backend takes the credential",
        Reason::BackendTls => "the backend shows a certificate that is trusted",
        Reason::BackendDown => "the backend answers again",
        Reason::BackendConfig => "the backend's URL is corrected",
        Reason::NoBackend => "the strategy names a backend",
    }
}

/// A link that flaps is there already, and must stay.
fn tell_settling(row: &mut Block, backend: Option<&BackendName>, world: &World, now: Now) {
    if let Some(until) = backend.and_then(|name| world.settling.get(name)) {
        row.detail.insert("until".to_owned(), now.wall_of(*until).as_micros().to_string());
        let left = span(until.saturating_since(now.moment));
        row.clears = format!("the link, which comes and goes, has stayed for another {left}");
    }
}

fn tell_network(row: &mut Block, backend: Option<&BackendName>, world: &World) {
    if let Some(name) = backend {
        row.detail.insert("backend".to_owned(), name.to_string());
    }
    if let Some(network) = backend.and_then(|name| world.networks.get(name)).filter(|network| network.connected) {
        row.detail.insert("interface".to_owned(), network.interface.clone());
        row.detail.insert("type".to_owned(), network.link.to_string());
        if !network.ssid.is_empty() {
            row.detail.insert("ssid".to_owned(), network.ssid.clone());
        }
        row.detail.insert("metered".to_owned(), network.metered.to_string());
        row.detail.insert("connectivity".to_owned(), network.connectivity.to_string());
    }
    tell_failing(row, world);
}

fn tell_failing(row: &mut Block, world: &World) {
    if !world.failing.is_empty() {
        let failing: Vec<&str> = world.failing.iter().copied().collect();
        row.detail.insert("failing_senses".to_owned(), failing.join(","));
    }
}

fn credential(credential: Option<&Credential>) -> String {
    match credential {
        None => "none is configured".to_owned(),
        Some(Credential::Systemd(name)) => format!("systemd credential {name}"),
        Some(Credential::File(path)) => format!("file {}", path.display()),
    }
}

/// `world` with what is assumed in place of what is sensed. A link assumed of another kind brings the usual metering of
/// its kind; a route assumed where none is brings an unknown reach.
fn assumed(mut world: World, backend: &BackendName, assume: &Assume) -> World {
    let mut network = world.networks.get(backend).cloned().unwrap_or_else(Network::none);
    if let Some(link) = assume.link.filter(|link| *link != network.link) {
        network.link = link;
        network.metered = if link == LinkType::Cellular { Metered::GuessYes } else { Metered::GuessNo };
        network.roaming &= link == LinkType::Cellular;
    }
    let implied = assume.link.map(|link| link != LinkType::None);
    let connected = assume.connected.or(implied).unwrap_or(network.connected);
    if connected && !network.connected {
        network.connectivity = crate::model::Connectivity::Unknown;
    }
    network.connected = connected;
    network.connectivity = assume.connectivity.unwrap_or(network.connectivity);
    network.metered = assume.metered.unwrap_or(network.metered);
    network.roaming = assume.roaming.unwrap_or(network.roaming);
    world.networks.insert(backend.clone(), network);
    world.power.external = assume.external_power.unwrap_or(world.power.external);
    if let Some(percent) = assume.battery_percent {
        world.power.battery = Battery::Percent(percent);
        world.power.reached = world.power.battery.reaches();
    }
    world.clock_unset &= assume.time.is_none();
    world.power.power_save = assume.power_save.unwrap_or(world.power.power_save);
    world
}

/// A length of time as people say it: the two largest units, rounded up to a second.
fn span(length: Duration) -> String {
    let seconds = length.as_millis().div_ceil(1000);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}
