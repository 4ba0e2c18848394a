//! `polkit`: whether somebody decides who else may control the daemon.

use serde_json::Value;

use super::bounded::{bounded, no_answer};
use super::bus::{Bus, Place};
use super::finding::Finding;
use crate::ctl::client::Client;
use crate::ctl::exit::Failure;

const POLKIT: &str = "org.freedesktop.PolicyKit1";
const AUTHORITY: &str = "/org/freedesktop/PolicyKit1/Authority";

/// The actions that the daemon asks about.
const ACTIONS: [&str; 4] = [
    "org.ferryd.ferry1.hold",
    "org.ferryd.ferry1.override",
    "org.ferryd.ferry1.control",
    "org.ferryd.ferry1.manage-all",
];

/// Where polkit reads them.
const FILE: &str = "/usr/share/polkit-1/actions/org.ferryd.ferry1.policy";

/// How polkit shows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Authority {
    /// It is not asked in a session.
    NotAsked,
    /// There is no bus.
    NoBus,
    Absent,
    /// It does not say what it knows.
    Broken(String),
    /// It knows these actions.
    Knows(Vec<String>),
}

/// `polkit`
pub(super) async fn check(bus: &mut Bus) -> Finding {
    let authority = match (bus.place, &mut bus.client) {
        (Place::Session, _) => Authority::NotAsked,
        (Place::System | Place::Address, None) => Authority::NoBus,
        (Place::System | Place::Address, Some(client)) => match bounded(ask(client)).await {
            Some(Ok(authority)) => authority,
            Some(Err(failure)) => Authority::Broken(failure.words().to_owned()),
            None => Authority::Broken(no_answer()),
        },
    };
    verdict(&authority)
}

async fn ask(client: &mut Client) -> Result<Authority, Failure> {
    if client.owner_of(POLKIT).await?.is_none() && !client.is_startable(POLKIT).await? {
        return Ok(Authority::Absent);
    }
    let told = client.ask(POLKIT, AUTHORITY, &format!("{POLKIT}.Authority"), "EnumerateActions", &"").await?;
    let rows = told.first().and_then(Value::as_array).into_iter().flatten();
    let names = rows.filter_map(|row| row.get(0).and_then(Value::as_str));
    Ok(Authority::Knows(names.filter(|name| ACTIONS.contains(name)).map(str::to_owned).collect()))
}

fn verdict(authority: &Authority) -> Finding {
    let fallback = "only root and those that [access] admins names may control ferryd and hold it";
    match authority {
        Authority::NotAsked => Finding::ok("not asked in a session: its user may all"),
        Authority::NoBus => Finding::unknown("there is no bus to ask", "see bus"),
        Authority::Absent => {
            Finding::warning(format!("it is not there: {fallback}"), "sudo apt install polkitd, or leave it so")
        }
        Authority::Broken(words) => Finding::problem(
            format!("it does not answer, so that only root may control ferryd and hold it: {words}"),
            "sudo systemctl restart polkit",
        ),
        Authority::Knows(known) => {
            let missing: Vec<_> = ACTIONS.into_iter().filter(|name| !known.iter().any(|known| known == name)).collect();
            if missing.is_empty() {
                return Finding::ok("it knows ferryd's actions");
            }
            let words = format!("it does not know {}: only root may do so", missing.join(", "));
            Finding::problem(words, format!("install the package ferryd again: it brings {FILE}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::views::Verdict;

    #[test]
    fn what_is_missing_is_named() {
        let knows = |names: &[&str]| Authority::Knows(names.iter().map(|name| (*name).to_owned()).collect());
        for (authority, expected, words) in [
            (Authority::NotAsked, Verdict::Ok, "session"),
            (Authority::NoBus, Verdict::Unknown, "no bus"),
            (Authority::Absent, Verdict::Warning, "[access] admins"),
            (Authority::Broken("no".into()), Verdict::Problem, "no"),
            (knows(&ACTIONS), Verdict::Ok, "knows"),
            (knows(&ACTIONS[..3]), Verdict::Problem, "does not know org.ferryd.ferry1.manage-all:"),
            (knows(&[]), Verdict::Problem, "org.ferryd.ferry1.hold, org.ferryd.ferry1.override"),
        ] {
            let found = verdict(&authority);
            assert!(found.verdict == expected && found.words.contains(words), "{found:?}");
        }
    }
}
