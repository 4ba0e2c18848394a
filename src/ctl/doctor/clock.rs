//! `clock`: whether the wall clock is set, and by whom. An unset one fails certificates and dates.

use super::bounded::bounded;
use super::bus::{Bus, Place, system};
use super::finding::Finding;
use crate::ctl::client::Client;
use crate::ctl::time::{now, rfc3339};
use crate::model::WallTime;
use crate::sense::clock::is_unset;

const TIMEDATE: &str = "org.freedesktop.timedate1";
const PATH: &str = "/org/freedesktop/timedate1";

/// What systemd-timedated says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Keeping {
    /// A time server has set the clock.
    is_synchronised: bool,
    /// There is a service that could ask one.
    can: bool,
    /// It is on.
    is_on: bool,
}

/// `clock`. Who keeps it is asked on the system bus, whatever bus the daemon is on.
pub(super) async fn check(bus: &mut Bus) -> Finding {
    let keeping = match &mut bus.client {
        Some(client) if bus.place == Place::System => keeping(client).await,
        _ => match system().await {
            Ok(mut client) => keeping(&mut client).await,
            Err(_) => None,
        },
    };
    verdict(now(), keeping)
}

async fn keeping(client: &mut Client) -> Option<Keeping> {
    let told = bounded(client.properties_of(TIMEDATE, PATH, TIMEDATE)).await?.ok()?;
    told.has("NTPSynchronized").then(|| Keeping {
        is_synchronised: told.flag("NTPSynchronized"),
        can: told.flag("CanNTP"),
        is_on: told.flag("NTP"),
    })
}

fn verdict(now: WallTime, keeping: Option<Keeping>) -> Finding {
    let shown = rfc3339(now);
    let turn_on = match keeping {
        Some(Keeping { can: false, .. }) => "sudo apt install systemd-timesyncd",
        Some(Keeping { is_on: true, .. }) => "is the time server reachable? timedatectl timesync-status",
        Some(_) | None => "sudo timedatectl set-ntp true",
    };
    if is_unset(now) {
        let words = format!("it shows {shown}, a time before this ferryd was made: what depends on the date waits");
        return Finding::problem(words, format!("{turn_on}; or: sudo timedatectl set-time 'YYYY-MM-DD HH:MM:SS'"));
    }
    match keeping {
        Some(Keeping { is_synchronised: true, .. }) => Finding::ok(format!("{shown}, set by a time server")),
        Some(_) => Finding::warning(format!("{shown}, not set by a time server: it may drift"), turn_on),
        None => Finding::ok(format!("{shown}; whether a time server sets it cannot be seen here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::views::Verdict;

    #[test]
    fn an_unset_clock_is_a_problem_and_an_unkept_one_a_warning() {
        let set = WallTime::from_micros(1_777_636_800_000_000);
        let keeping = |is_synchronised, can, is_on| Some(Keeping { is_synchronised, can, is_on });
        for (now, keeping, expected, words, mend) in [
            (WallTime::from_micros(0), None, Verdict::Problem, "1970-01-01T00:00:00Z", "set-ntp true"),
            (WallTime::from_micros(0), keeping(true, true, true), Verdict::Problem, "waits", "set-time"),
            (set, keeping(true, true, true), Verdict::Ok, "2026-05-01T12:00:00Z, set by a time server", ""),
            (set, None, Verdict::Ok, "cannot be seen", ""),
            (set, keeping(false, true, false), Verdict::Warning, "may drift", "set-ntp true"),
            (set, keeping(false, true, true), Verdict::Warning, "may drift", "timesync-status"),
            (set, keeping(false, false, false), Verdict::Warning, "may drift", "install systemd-timesyncd"),
        ] {
            let found = verdict(now, keeping);
            assert!(found.verdict == expected && found.words.contains(words), "{found:?}");
            assert!(found.mend.unwrap_or_default().contains(mend));
        }
    }
}
