//! `ferryctl doctor`: looks at the daemon and at all that it needs, says what is wrong and how to mend it. It changes
//! nothing. Each check has a file with a part that looks, in bounded time, and a pure part that judges.

mod bounded;
mod bus;
mod clock;
mod config;
mod credentials;
mod disk;
mod finding;
mod policy;
mod polkit;
mod running;
mod server;
mod state;
mod unit;
mod user;

use std::path::PathBuf;

use super::arguments::Doctor;
use super::exit::{Exit, Failure};
use super::render::Printer;
use super::views::{CheckView, StrategyView, Verdict};
use crate::config::Host;
use crate::daemon::{BusChoice, DaemonArguments};
use bus::{Bus, Place, Presence};
use finding::Finding;
use user::User;

/// The user of the system's daemon.
const USER: &str = "ferryd";

/// Performs all checks; a problem is a failure.
pub(super) async fn doctor(choice: &BusChoice, asked: &Doctor, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let mut report = Report { printer, problems: 0 };
    let mut bus = bus::look(choice).await;
    let patient = Patient::of(asked, &bus);
    let (found, config) = config::check(patient.config.clone()).await;
    report.all("config", found)?;
    report.one("bus", bus::check(&bus))?;
    report.one("policy", policy::check(&bus).await)?;
    report.one("polkit", polkit::check(&mut bus).await)?;
    let (config, running) = (config.as_ref(), bus.running.as_ref());
    let owner = patient.user.as_ref().map(|user| user.uid);
    report.one("state", state::check(&patient.state_dir, owner, running.is_some()).await)?;
    report.one("disk", disk::check(&patient.state_dir, config).await)?;
    report.one("clock", clock::check(&mut bus).await)?;
    let user = patient.user.unwrap_or_else(User::own);
    let strategies = strategies(&bus.presence);
    report.all("server", server::check(config, strategies, &user).await)?;
    let found = credentials::check(config, strategies, &user, bus.place, bus.running.as_ref()).await;
    report.all("credentials", found)?;
    if report.problems > 0 { Err(Failure::Exit(Exit::Failed)) } else { Ok(()) }
}

/// Whom to look at: as asked, else as the daemon that runs was started, else as one would be.
struct Patient {
    /// `None` = the default.
    config: Option<PathBuf>,
    state_dir: PathBuf,
    /// `None` = unknown.
    user: Option<User>,
}

impl Patient {
    fn of(asked: &Doctor, bus: &Bus) -> Self {
        let process = bus.running.as_ref().map(|running| running.process.clone()).unwrap_or_default();
        let like_it = DaemonArguments {
            bus: BusChoice { session: bus.place == Place::Session, ..BusChoice::default() },
            config: asked.config.clone().or(process.config),
            state_dir: asked.state_dir.clone().or(process.state_dir),
        };
        let own = |name: &str| std::env::var_os(name);
        let usual = || match bus.place {
            Place::System => Host::local().users.get(USER).map(|uid| User { uid: *uid, gids: None }),
            Place::Session | Place::Address => Some(User::own()),
        };
        Self {
            config: like_it.config_file_in(own),
            state_dir: like_it.state_dir_in(own),
            user: bus.running.as_ref().map(|running| running.user.clone()).or_else(usual),
        }
    }
}

fn strategies(presence: &Presence) -> &[StrategyView] {
    match presence {
        Presence::Here(status) => &status.strategies,
        Presence::NoBus(_) | Presence::Absent { .. } | Presence::Silent | Presence::Denied(_) | Presence::Broken(_) => {
            &[]
        }
    }
}

/// Tells what is found as soon as it is.
struct Report<'a, 'p> {
    printer: &'a mut Printer<'p>,
    problems: usize,
}

impl Report<'_, '_> {
    fn one(&mut self, check: &'static str, finding: Finding) -> Result<(), Failure> {
        self.problems += usize::from(finding.verdict == Verdict::Problem);
        let Finding { verdict, words, mend } = finding;
        self.printer.check(&CheckView { check, verdict, words, mend })
    }

    fn all(&mut self, check: &'static str, findings: Vec<Finding>) -> Result<(), Failure> {
        findings.into_iter().try_for_each(|finding| self.one(check, finding))
    }
}
