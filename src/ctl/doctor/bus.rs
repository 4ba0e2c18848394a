//! `bus`: whether there is a bus, and the daemon on it, and whether that answers.

use super::bounded::{bounded, no_answer};
use super::finding::Finding;
use super::running::{Running, running};
use super::unit::{Unit, unit};
use crate::ctl::client::{Client, NAME};
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::status::status;
use crate::ctl::views::StatusView;
use crate::daemon::BusChoice;

/// Which bus was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    System,
    Session,
    Address,
}

/// How the daemon shows on the bus.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Presence {
    /// There is no bus, for this reason.
    NoBus(String),
    /// It is not there.
    Absent {
        /// Whether the bus can start it.
        startable: bool,
        /// What systemd says, where it was asked.
        unit: Option<Unit>,
    },
    /// It is there and answers nothing.
    Silent,
    /// The bus passes no call on, and says so.
    Denied(String),
    /// It answers with an error.
    Broken(String),
    /// It answers.
    Here(Box<StatusView>),
}

/// What was found on the bus.
pub(super) struct Bus {
    pub(super) place: Place,
    pub(super) client: Option<Client>,
    pub(super) presence: Presence,
    /// If it has its name.
    pub(super) running: Option<Running>,
}

/// Looks for the daemon. Without a choice: where it is or can be started, else on the system bus. It is not started.
pub(super) async fn look(choice: &BusChoice) -> Bus {
    let (place, client) = connect(choice).await;
    let mut client = match client {
        Ok(client) => client,
        Err(words) => return Bus { place, client: None, presence: Presence::NoBus(words), running: None },
    };
    let (presence, running) = match bounded(client.find_owner()).await {
        Some(Ok(Some(owner))) => (present(&mut client, &owner).await, running(&mut client, &owner).await),
        Some(Ok(None)) => (absent(&mut client, place).await, None),
        Some(Err(failure)) => (Presence::NoBus(failure.words().to_owned()), None),
        None => (Presence::NoBus(no_answer()), None),
    };
    Bus { place, client: Some(client), presence, running }
}

async fn connect(choice: &BusChoice) -> (Place, Result<Client, String>) {
    match choice {
        BusChoice { address: Some(_), .. } => (Place::Address, open(choice).await),
        BusChoice { system: true, .. } => (Place::System, open(choice).await),
        BusChoice { session: true, .. } => (Place::Session, open(choice).await),
        BusChoice { .. } => search().await,
    }
}

async fn search() -> (Place, Result<Client, String>) {
    let mut system = system().await;
    if knows(&mut system).await {
        return (Place::System, system);
    }
    let mut session = open(&BusChoice { session: true, ..BusChoice::default() }).await;
    if knows(&mut session).await { (Place::Session, session) } else { (Place::System, system) }
}

/// A connection to the system bus.
pub(super) async fn system() -> Result<Client, String> {
    open(&BusChoice { system: true, ..BusChoice::default() }).await
}

async fn open(choice: &BusChoice) -> Result<Client, String> {
    match bounded(Client::connect(choice)).await {
        Some(connected) => connected.map_err(|failure| failure.words().to_owned()),
        None => Err(format!("connecting to the bus: {}", no_answer())),
    }
}

async fn knows(client: &mut Result<Client, String>) -> bool {
    match client {
        Ok(client) => matches!(bounded(client.is_known()).await, Some(Ok(true))),
        Err(_) => false,
    }
}

async fn absent(client: &mut Client, place: Place) -> Presence {
    let startable = matches!(bounded(client.is_startable(NAME)).await, Some(Ok(true)));
    let unit = if place == Place::System { unit(client).await } else { None };
    Presence::Absent { startable, unit }
}

async fn present(client: &mut Client, owner: &str) -> Presence {
    match bounded(status(client, owner)).await {
        Some(Ok(status)) => Presence::Here(Box::new(status)),
        Some(Err(Failure::Said { exit: Exit::NotAuthorized, words })) => Presence::Denied(words),
        Some(Err(failure)) => Presence::Broken(failure.words().to_owned()),
        None => Presence::Silent,
    }
}

/// `bus`
pub(super) fn check(bus: &Bus) -> Finding {
    verdict(bus.place, &bus.presence, env!("CARGO_PKG_VERSION"))
}

fn verdict(place: Place, presence: &Presence, own: &str) -> Finding {
    let name = match place {
        Place::System => "the system bus",
        Place::Session => "the session bus",
        Place::Address => "this bus",
    };
    let restart = match place {
        Place::System => "sudo systemctl restart ferryd",
        Place::Session => "systemctl --user restart ferryd",
        Place::Address => "end ferryd and start it again",
    };
    match presence {
        Presence::NoBus(words) => Finding::problem(format!("{name} cannot be used: {words}"), no_bus(place)),
        Presence::Absent { unit: Some(unit), startable } => unit.finding(*startable),
        Presence::Absent { unit: None, startable: true } => {
            Finding::warning(format!("ferryd is not running; {name} starts it with the first call"), "ferryctl status")
        }
        Presence::Absent { unit: None, startable: false } => {
            Finding::problem(format!("ferryd is not on {name}, and cannot be started by it"), start(place))
        }
        Presence::Silent => Finding::problem(format!("ferryd is on {name}, but gives {}", no_answer()), restart),
        Presence::Denied(_) => Finding::unknown(format!("{name} passes no call on to ferryd"), "see policy"),
        Presence::Broken(words) => Finding::problem(format!("ferryd does not answer as it should: {words}"), restart),
        Presence::Here(status) if status.version == own => Finding::ok(format!("ferryd {own} answers on {name}")),
        Presence::Here(status) => {
            let words = format!("ferryd {} runs, and ferryctl is of version {own}", status.version);
            Finding::warning(words, restart)
        }
    }
}

const fn no_bus(place: Place) -> &'static str {
    match place {
        Place::System => "sudo systemctl start dbus",
        Place::Session => "run it in the session of the user whose ferryd it is, or with --system",
        Place::Address => "look at the address",
    }
}

const fn start(place: Place) -> &'static str {
    match place {
        Place::System => "install the package ferryd; then: sudo systemctl enable --now ferryd",
        Place::Session => "systemctl --user enable --now ferryd",
        Place::Address => "start ferryd with the same --address",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::views::Verdict;
    use crate::ctl::wire::Dictionary;

    fn here(version: &str) -> Presence {
        let manager = Dictionary::of(serde_json::json!({"Version": version}));
        let none = Dictionary::default();
        Presence::Here(Box::new(StatusView::of(&manager, &none, &none, &none, &none)))
    }

    #[test]
    fn every_presence_has_its_verdict() {
        let absent = |startable| Presence::Absent { startable, unit: None };
        for (place, presence, expected, words, mend) in [
            (Place::System, Presence::NoBus("refused".into()), Verdict::Problem, "refused", "start dbus"),
            (Place::System, absent(false), Verdict::Problem, "not on the system bus", "enable --now ferryd"),
            (Place::Session, absent(false), Verdict::Problem, "not on the session bus", "--user enable"),
            (Place::System, absent(true), Verdict::Warning, "with the first call", "ferryctl status"),
            (
                Place::System,
                Presence::Absent { startable: true, unit: Some(Unit::default()) },
                Verdict::Problem,
                "there is no ferryd.service",
                "install",
            ),
            (Place::System, Presence::Silent, Verdict::Problem, "no answer within 5 s", "systemctl restart"),
            (Place::Session, Presence::Broken("no".into()), Verdict::Problem, "no", "--user restart"),
            (Place::System, Presence::Denied("no".into()), Verdict::Unknown, "passes no call on", "policy"),
            (Place::System, here("1.9"), Verdict::Warning, "ferryd 1.9 runs", "restart"),
        ] {
            let found = verdict(place, &presence, "2.0");
            assert!(found.verdict == expected && found.words.contains(words), "{presence:?}: {found:?}");
            assert!(found.mend.as_ref().is_some_and(|text| text.contains(mend)), "{presence:?}: {found:?}");
        }
        assert_eq!(verdict(Place::Address, &here("2.0"), "2.0"), Finding::ok("ferryd 2.0 answers on this bus"));
    }
}
