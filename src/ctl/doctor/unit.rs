//! What systemd says of the daemon's unit, when the daemon is not on the system bus.

use super::bounded::bounded;
use super::finding::Finding;
use crate::ctl::client::Client;

const SYSTEMD: &str = "org.freedesktop.systemd1";
/// `ferryd.service`, escaped as systemd does.
const PATH: &str = "/org/freedesktop/systemd1/unit/ferryd_2eservice";

const ENABLE: &str = "sudo systemctl enable --now ferryd";
const LOOK: &str = "journalctl -u ferryd -n 50 says why; then: sudo systemctl restart ferryd";

/// The unit's properties, by systemd's words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Unit {
    load: String,
    active: String,
    sub: String,
    result: String,
}

/// Asks systemd; `None` if it does not answer.
pub(super) async fn unit(client: &mut Client) -> Option<Unit> {
    let unit = bounded(client.properties_of(SYSTEMD, PATH, "org.freedesktop.systemd1.Unit")).await?.ok()?;
    let service = bounded(client.properties_of(SYSTEMD, PATH, "org.freedesktop.systemd1.Service")).await?.ok();
    Some(Unit {
        load: unit.text("LoadState"),
        active: unit.text("ActiveState"),
        sub: unit.text("SubState"),
        result: service.map(|service| service.text("Result")).unwrap_or_default(),
    })
}

impl Unit {
    /// Why the daemon is not on the bus; `startable`: the bus would start it.
    pub(super) fn finding(&self, startable: bool) -> Finding {
        let Self { load, active, sub, result } = self;
        match (load.as_str(), active.as_str(), sub.as_str()) {
            ("masked", ..) => Finding::problem("ferryd.service is masked", "sudo systemctl unmask --now ferryd"),
            ("loaded", "failed", _) => Finding::problem(format!("ferryd.service has failed ({result})"), LOOK),
            ("loaded", "activating", "auto-restart") => {
                Finding::problem(format!("ferryd.service ends at once, again and again ({result})"), LOOK)
            }
            ("loaded", "activating" | "reloading", _) => {
                Finding::warning("ferryd.service is starting", "ferryctl doctor, a little later")
            }
            ("loaded", "active", _) => {
                Finding::problem("ferryd.service runs, but org.ferryd.Ferry1 is not on the system bus", LOOK)
            }
            ("loaded", ..) if startable => {
                Finding::warning("ferryd is not running; the bus starts it with the first call", ENABLE)
            }
            ("loaded", ..) => Finding::problem("ferryd is not running, and the bus cannot start it", ENABLE),
            _ => Finding::problem("there is no ferryd.service", "install the package ferryd"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::views::Verdict;

    #[test]
    fn every_state_of_the_unit_has_its_words() {
        let unit = |load: &str, active: &str, sub: &str| Unit {
            load: load.into(),
            active: active.into(),
            sub: sub.into(),
            result: "exit-code".into(),
        };
        for (load, active, sub, startable, verdict, words) in [
            ("not-found", "inactive", "dead", false, Verdict::Problem, "there is no ferryd.service"),
            ("masked", "inactive", "dead", true, Verdict::Problem, "masked"),
            ("loaded", "failed", "failed", true, Verdict::Problem, "has failed (exit-code)"),
            ("loaded", "activating", "auto-restart", true, Verdict::Problem, "again and again (exit-code)"),
            ("loaded", "activating", "start", true, Verdict::Warning, "is starting"),
            ("loaded", "active", "running", true, Verdict::Problem, "runs, but"),
            ("loaded", "inactive", "dead", true, Verdict::Warning, "with the first call"),
            ("loaded", "inactive", "dead", false, Verdict::Problem, "cannot start it"),
        ] {
            let found = unit(load, active, sub).finding(startable);
            assert!(found.verdict == verdict && found.words.contains(words), "{load} {active} {sub}: {found:?}");
            assert!(found.mend.is_some());
        }
    }
}
