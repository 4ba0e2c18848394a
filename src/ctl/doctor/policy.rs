//! `policy`: whether the bus lets the daemon have its name and calls reach it.

use std::path::Path;

use super::bounded::bounded_blocking;
use super::bus::{Bus, Place, Presence};
use super::finding::Finding;

/// Where a bus looks for the policy of services: the package's, and an admin's.
const FILES: [&str; 2] =
    ["/usr/share/dbus-1/system.d/org.ferryd.Ferry1.conf", "/etc/dbus-1/system.d/org.ferryd.Ferry1.conf"];

/// `policy`
pub(super) async fn check(bus: &Bus) -> Finding {
    let file = || FILES.into_iter().find(|file| Path::new(file).exists());
    verdict(bus.place, &bus.presence, bounded_blocking(file).await.flatten())
}

/// `file`: the policy file that is there.
fn verdict(place: Place, presence: &Presence, file: Option<&str>) -> Finding {
    let missing = || format!("{} is missing", FILES[0]);
    let install = "install the package ferryd again; then: sudo systemctl reload dbus";
    match (presence, place, file) {
        (Presence::NoBus(_), ..) => Finding::unknown("there is no bus to ask", "see bus"),
        (Presence::Denied(_), Place::System, None) => {
            Finding::problem(format!("{}: the bus passes no call on", missing()), install)
        }
        (Presence::Denied(words), Place::System, Some(file)) => {
            let words = format!("the bus passes no call on, although {file} is there ({words})");
            Finding::problem(words, "sudo systemctl reload dbus; else another file in that folder forbids it")
        }
        (Presence::Denied(words), Place::Session | Place::Address, _) => {
            Finding::problem(format!("the bus passes no call on ({words})"), "look at the configuration of this bus")
        }
        (Presence::Absent { .. }, Place::System, None) => {
            Finding::problem(format!("{}: the bus does not let ferryd have its name", missing()), install)
        }
        (Presence::Absent { .. }, Place::System, Some(file)) => Finding::ok(format!("{file} is there")),
        (Presence::Absent { .. }, Place::Session | Place::Address, _) => {
            Finding::ok("only the system bus asks for a policy")
        }
        (Presence::Silent | Presence::Broken(_) | Presence::Here(_), ..) => {
            Finding::ok("the bus passes this user's calls on")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::views::Verdict;

    #[test]
    fn the_missing_file_is_named_where_that_is_why() {
        let (denied, absent) = (Presence::Denied("no".into()), Presence::Absent { startable: true, unit: None });
        let file = Some(FILES[1]);
        for (place, presence, file, expected, words) in [
            (Place::System, &denied, None, Verdict::Problem, "system.d/org.ferryd.Ferry1.conf is missing"),
            (Place::System, &denied, file, Verdict::Problem, "although /etc/dbus-1"),
            (Place::Address, &denied, None, Verdict::Problem, "passes no call on (no)"),
            (Place::System, &absent, None, Verdict::Problem, "does not let ferryd have its name"),
            (Place::System, &absent, file, Verdict::Ok, "is there"),
            (Place::Session, &absent, None, Verdict::Ok, "only the system bus"),
            (Place::System, &Presence::Silent, None, Verdict::Ok, "passes this user's calls on"),
            (Place::System, &Presence::NoBus("no".into()), file, Verdict::Unknown, "no bus"),
        ] {
            let found = verdict(place, presence, file);
            assert!(found.verdict == expected && found.words.contains(words), "{presence:?}: {found:?}");
        }
    }
}
