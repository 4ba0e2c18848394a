//! The command line of `ferryd`, and the choice of a bus, which `ferryctl` shares.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser};

use crate::bus::BusAddress;
use crate::sense::services::ServicesAt;

/// Which bus: at most one of the three.
#[derive(Debug, Clone, PartialEq, Eq, Default, Args)]
#[group(multiple = false)]
pub struct BusChoice {
    /// The system bus.
    #[arg(long)]
    pub system: bool,
    /// The session bus of this user.
    #[arg(long)]
    pub session: bool,
    /// A bus at this D-Bus address, such as unix:path=/run/bus.
    #[arg(long, value_name = "BUS")]
    pub address: Option<String>,
}

/// Carries sync work of apps to their servers: the daemon. Without a choice of bus it serves on the system bus.
#[derive(Debug, Clone, PartialEq, Eq, Default, Parser)]
#[command(name = "ferryd", version, about)]
pub struct DaemonArguments {
    /// Where to serve.
    #[command(flatten)]
    pub bus: BusChoice,
    /// The configuration, with drop-ins in conf.d beside it. Default: /etc/ferryd/ferryd.toml, if it exists; with --session
    /// before that $XDG_CONFIG_HOME/ferryd/ferryd.toml (~/.config).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where tasks are kept. Default: $STATE_DIRECTORY, else /var/lib/ferryd; with --session $XDG_STATE_HOME/ferryd
    /// (~/.local/state).
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

impl DaemonArguments {
    pub(super) fn bus_address(&self) -> BusAddress {
        match &self.bus {
            BusChoice { address: Some(address), .. } => BusAddress::At(address.clone()),
            BusChoice { session: true, .. } => BusAddress::Session,
            BusChoice { .. } => BusAddress::System,
        }
    }

    /// Where the machine's services are: beside us, but for a daemon of the session.
    pub(super) fn services_at(&self) -> ServicesAt {
        match self.bus_address() {
            BusAddress::At(address) => ServicesAt::Address(address),
            BusAddress::System | BusAddress::Session => ServicesAt::System,
        }
    }

    pub(super) fn config_file(&self) -> Option<PathBuf> {
        self.config_file_in(|name| std::env::var_os(name))
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.state_dir_in(|name| std::env::var_os(name))
    }

    /// The configuration's file in this environment, `None` for the default one. A user's may come and go: ask before each
    /// reading.
    pub fn config_file_in(&self, environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let of_user = || self.of_user("XDG_CONFIG_HOME", ".config", environment);
        self.config.clone().or_else(|| of_user().map(|folder| folder.join("ferryd.toml")).filter(|file| file.exists()))
    }

    /// Where tasks are kept in this environment.
    pub fn state_dir_in(&self, environment: impl Fn(&str) -> Option<OsString>) -> PathBuf {
        let given = self.state_dir.clone().or_else(|| environment("STATE_DIRECTORY").map(PathBuf::from));
        let of_user = || self.of_user("XDG_STATE_HOME", ".local/state", environment);
        given.or_else(of_user).unwrap_or_else(|| PathBuf::from("/var/lib/ferryd"))
    }

    /// The folder of ours below a base directory of the user's (XDG base directory specification), on the session bus.
    fn of_user(&self, base: &str, default: &str, environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
        let absolute = |path: &PathBuf| path.is_absolute();
        let named = environment(base).map(PathBuf::from).filter(absolute);
        let home = || environment("HOME").map(|home| PathBuf::from(home).join(default)).filter(absolute);
        self.bus.session.then(|| named.or_else(home)).flatten().map(|base| base.join("ferryd"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_the_session_bus_a_user_has_folders_of_its_own() {
        let of = |arguments: &[&str], set: &[(&str, &str)]| {
            let arguments = DaemonArguments::try_parse_from([&["ferryd"], arguments].concat()).unwrap();
            let environment = |name: &str| set.iter().find(|(set, _)| *set == name).map(|(_, value)| value.into());
            arguments.of_user("XDG_STATE_HOME", ".local/state", environment)
        };
        let both = [("HOME", "/home/kiosk"), ("XDG_STATE_HOME", "/data")];
        assert_eq!(of(&["--session"], &both), Some("/data/ferryd".into()));
        assert_eq!(of(&["--session"], &both[..1]), Some("/home/kiosk/.local/state/ferryd".into()));
        assert_eq!(
            of(&["--session"], &[("HOME", "/h"), ("XDG_STATE_HOME", "data")]),
            Some("/h/.local/state/ferryd".into())
        );
        assert_eq!(of(&["--session"], &[]), None);
        assert_eq!(of(&["--system"], &both), None);
    }

    #[test]
    fn one_bus_at_most() {
        let parse = |arguments: &[&str]| DaemonArguments::try_parse_from([&["ferryd"], arguments].concat());
        assert_eq!(parse(&[]).unwrap().bus, BusChoice::default());
        assert!(parse(&["--session"]).unwrap().bus.session);
        assert_eq!(parse(&["--address", "unix:path=/x"]).unwrap().bus.address.as_deref(), Some("unix:path=/x"));
        assert!(parse(&["--session", "--system"]).is_err());
        assert!(parse(&["--session", "--address", "unix:path=/x"]).is_err());
    }
}
