//! The daemon as a process: who it is by the bus's word, how it was started by `/proc`.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde_json::Value;

use super::bounded::{bounded, bounded_blocking};
use super::user::User;
use crate::ctl::client::{Client, first};
use crate::ctl::wire::Dictionary;
use crate::daemon::DaemonArguments;

/// A daemon that has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Running {
    pub(super) user: User,
    pub(super) process: Process,
}

/// How a process was started, as far as one may see it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Process {
    /// Its configuration; `None` = the default.
    pub(super) config: Option<PathBuf>,
    /// Where it keeps tasks.
    pub(super) state_dir: Option<PathBuf>,
    /// `$CREDENTIALS_DIRECTORY`; `None` if its environment may not be seen.
    pub(super) credentials: Option<Credentials>,
}

/// Where systemd put credentials for a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// Nowhere.
    None,
    /// Here.
    In(PathBuf),
}

/// Asks who has this unique name.
pub(super) async fn running(client: &mut Client, owner: &str) -> Option<Running> {
    let told = bounded(client.bus_call("GetConnectionCredentials", &owner)).await?.ok()?;
    let told = Dictionary::of(first(told));
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let gids = told.has("UnixGroupIDs").then(|| told.array("UnixGroupIDs").iter().filter_map(number).collect());
    let user = User { uid: u32::try_from(told.some_number("UnixUserID").unwrap_or(0)).ok()?, gids };
    let folder = Path::new("/proc").join(told.number("ProcessID").to_string());
    Some(Running { user, process: bounded_blocking(move || process(&folder)).await.unwrap_or_default() })
}

/// The process whose folder in `/proc` this is.
fn process(folder: &Path) -> Process {
    let Some(arguments) = fs::read(folder.join("cmdline")).ok().and_then(|text| parse(&text)) else {
        return Process::default();
    };
    let environ = fs::read(folder.join("environ")).ok();
    let variable = |name: &str| environ.as_ref().and_then(|text| variable(text, name));
    let here = fs::read_link(folder.join("cwd")).unwrap_or_default();
    let is_told = environ.is_some() || arguments.state_dir.is_some();
    let credentials = || variable("CREDENTIALS_DIRECTORY").map_or(Credentials::None, |dir| Credentials::In(dir.into()));
    Process {
        config: arguments.config_file_in(variable).map(|file| here.join(file)),
        state_dir: is_told.then(|| here.join(arguments.state_dir_in(variable))),
        credentials: environ.as_ref().map(|_| credentials()),
    }
}

/// The arguments that the text of a `cmdline` means, if it is a daemon's.
fn parse(cmdline: &[u8]) -> Option<DaemonArguments> {
    let parts = cmdline.strip_suffix(b"\0").unwrap_or(cmdline).split(|byte| *byte == 0);
    DaemonArguments::try_parse_from(parts.map(OsStr::from_bytes)).ok()
}

fn variable(environ: &[u8], name: &str) -> Option<OsString> {
    let mut entries = environ.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(OsString::from_vec(value.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(cmdline: &[u8], environ: Option<&[u8]>) -> Process {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cmdline"), cmdline).unwrap();
        if let Some(text) = environ {
            fs::write(folder.path().join("environ"), text).unwrap();
        }
        std::os::unix::fs::symlink("/srv", folder.path().join("cwd")).unwrap();
        process(folder.path())
    }

    #[test]
    fn a_daemon_is_asked_where_it_keeps_things() {
        let environ =
            b"HOME=/\0STATE_DIRECTORY=/var/lib/other\0CREDENTIALS_DIRECTORY=/run/credentials/ferryd.service\0";
        let whole = seen(b"/usr/bin/ferryd\0--system\0--config\0f.toml\0", Some(environ));
        let credentials = Credentials::In("/run/credentials/ferryd.service".into());
        let expected = Process {
            config: Some("/srv/f.toml".into()),
            state_dir: Some("/var/lib/other".into()),
            credentials: Some(credentials),
        };
        assert_eq!(whole, expected);
        let of_user = seen(b"ferryd\0--session\0", Some(b"HOME=/home/me\0"));
        assert_eq!(of_user.state_dir, Some("/home/me/.local/state/ferryd".into()));
        let plain = seen(b"ferryd\0", Some(b"HOME=/\0"));
        let expected =
            Process { config: None, state_dir: Some("/var/lib/ferryd".into()), credentials: Some(Credentials::None) };
        assert_eq!(plain, expected);
    }

    #[test]
    fn what_may_not_be_seen_is_not_guessed() {
        assert_eq!(seen(b"ferryd\0--system\0", None), Process::default());
        let given = seen(b"ferryd\0--state-dir\0/x\0", None);
        assert_eq!((given.state_dir, given.credentials), (Some("/x".into()), None));
        assert_eq!(seen(b"python3\0-m\0stand_in\0", Some(b"")), Process::default());
    }
}
