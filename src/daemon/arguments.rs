//! The command line of `ferryd`, and the choice of a bus, which `ferryctl` shares.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::bus::BusAddress;

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
    /// The configuration, with drop-ins in conf.d beside it. Default: /etc/ferryd/ferryd.toml, if it exists.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where tasks are kept. Default: $STATE_DIRECTORY, else /var/lib/ferryd.
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

    /// Where tasks are kept by a process of whose environment this is `$STATE_DIRECTORY`.
    pub fn state_dir_in(&self, state_directory: Option<PathBuf>) -> PathBuf {
        self.state_dir.clone().or(state_directory).unwrap_or_else(|| PathBuf::from("/var/lib/ferryd"))
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.state_dir_in(std::env::var_os("STATE_DIRECTORY").map(PathBuf::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
