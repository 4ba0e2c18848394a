//! The daemon in one line, as `systemctl status` shows it: what it does, how much waits, and for what. Pure.

use crate::model::{ManagerState, Reason, Status};

/// Such as `syncing: 2 transfers, 38 waiting` or `waiting: 40 tasks, offline`.
pub(super) fn summary(status: &Status) -> String {
    let waiting: u64 = status.strategies.values().map(|strategy| strategy.counts.pending).sum();
    let failed: u64 = status.strategies.values().map(|strategy| strategy.counts.failed).sum();
    let mut words: Vec<String> = Vec::new();
    match status.state {
        ManagerState::Syncing => {
            words.push(counted(u64::from(status.transfers), "transfer"));
            if waiting > 0 {
                words.push(format!("{waiting} waiting"));
            }
        }
        ManagerState::Waiting => {
            words.push(counted(waiting, "task"));
            words.extend(causes(status));
        }
        ManagerState::Paused if waiting > 0 => words.push(counted(waiting, "task")),
        ManagerState::Paused | ManagerState::Idle | ManagerState::Starting | ManagerState::Stopping => {}
    }
    if failed > 0 {
        words.push(format!("{failed} failed"));
    }
    let state = status.state.as_str();
    if words.is_empty() { state.to_owned() } else { format!("{state}: {}", words.join(", ")) }
}

fn counted(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// What all that waits lacks; else what each strategy lacks; else what ends the wait.
fn causes(status: &Status) -> Vec<String> {
    if !status.blocked.is_empty() {
        return vec![together(&status.blocked)];
    }
    let busy = status.strategies.iter().filter(|(_, strategy)| strategy.counts.pending > 0);
    let blocked = busy.filter(|(_, strategy)| !strategy.blocked.is_empty());
    let each: Vec<_> = blocked.map(|(name, strategy)| format!("{name}: {}", together(&strategy.blocked))).collect();
    if each.is_empty() { status.next_wake.iter().map(|(wake, _)| format!("next: {wake}")).collect() } else { each }
}

fn together(reasons: &[Reason]) -> String {
    reasons.iter().map(|reason| reason.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{Bandwidth, Counts, Network, Power, StrategyName, StrategyStatus, WallTime};

    /// A daemon that does nothing.
    pub(in super::super) fn nothing() -> Status {
        Status {
            state: ManagerState::Idle,
            pause: None,
            blocked: Vec::new(),
            next_wake: None,
            holds: 0,
            transfers: 0,
            running: BTreeMap::new(),
            network: Network::none(),
            bandwidth: Bandwidth::unknown(),
            power: Power::mains(),
            strategies: BTreeMap::new(),
        }
    }

    pub(in super::super) fn strategy(
        name: &str,
        pending: u64,
        failed: u64,
        blocked: &[Reason],
    ) -> (StrategyName, StrategyStatus) {
        let counts = Counts { pending, running: 0, failed };
        let status = StrategyStatus {
            priority: 1,
            counts,
            blocked: blocked.to_vec(),
            next_attempt: None,
            pause: None,
            budget: None,
        };
        (StrategyName::new(name).expect("a name"), status)
    }

    #[test]
    fn what_it_does_and_what_it_waits_for() {
        let idle = Status { strategies: [strategy("photo", 0, 0, &[Reason::Metered])].into(), ..nothing() };
        assert_eq!(summary(&idle), "idle");
        let failed = Status { strategies: [strategy("photo", 0, 3, &[])].into(), ..nothing() };
        assert_eq!(summary(&failed), "idle: 3 failed");

        let strategies = [strategy("metadata", 1, 0, &[Reason::Offline]), strategy("photo", 39, 2, &[Reason::Offline])];
        let waiting = Status { state: ManagerState::Waiting, strategies: strategies.into(), ..nothing() };
        let offline = Status { blocked: vec![Reason::Offline], ..waiting.clone() };
        assert_eq!(summary(&offline), "waiting: 40 tasks, offline, 2 failed");
        assert_eq!(summary(&waiting), "waiting: 40 tasks, metadata: offline, photo: offline, 2 failed");
        let several = [strategy("photo", 1, 0, &[Reason::Metered, Reason::NotCharging])];
        let several = Status { strategies: several.into(), ..waiting.clone() };
        assert_eq!(summary(&several), "waiting: 1 task, photo: metered not-charging");
        let timed = Status {
            strategies: [strategy("photo", 1, 0, &[])].into(),
            next_wake: Some(("task-due", WallTime::from_micros(7))),
            ..waiting.clone()
        };
        assert_eq!(summary(&timed), "waiting: 1 task, next: task-due");

        let syncing = Status { state: ManagerState::Syncing, transfers: 2, ..waiting.clone() };
        assert_eq!(summary(&syncing), "syncing: 2 transfers, 40 waiting, 2 failed");
        let last = Status { state: ManagerState::Syncing, transfers: 1, ..nothing() };
        assert_eq!(summary(&last), "syncing: 1 transfer");
        let paused = Status { state: ManagerState::Paused, ..waiting };
        assert_eq!(summary(&paused), "paused: 40 tasks, 2 failed");
    }
}
