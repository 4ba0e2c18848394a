//! Who calls, and what they may: the UID is the border, `app` is only a label.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use zbus::fdo::ConnectionCredentials;
use zbus::message::Message;
use zbus::{Connection, Variant};

use super::error::Refusal;
use super::options::TEXT_MAX;
use crate::model::{Access, Owner};
use crate::store::Scope;

/// What the bus says of a connection, asked once and kept while the connection lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    /// Its user.
    pub(super) uid: u32,
    /// Its groups, where the bus tells them.
    pub(super) gids: Vec<u32>,
    /// Its systemd unit or executable.
    pub(super) app: String,
}

impl Caller {
    /// The owner of what it enqueues.
    pub(super) const fn owner(&self) -> Owner {
        Owner(self.uid)
    }
}

/// What not everybody may; the names are polkit's to be, `org.ferryd.ferry1.NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// `Hold`.
    Hold,
    /// `SyncNow` with `override`, on one's own.
    Override,
    /// `Pause`, `Resume`, `Reload`, `Strategy.*`, `SyncNow` of all.
    Control,
    /// Others' tasks, `Subscribe` to all.
    ManageAll,
}

/// Who is an admin: root, the user that runs the daemon (in a session: the session's user), and those that
/// `[access] admins` names. A rule that must ask somebody (polkit) would be asked from [`Gate::check`], which is why it
/// answers with a refusal and not with a bool.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    own_uid: u32,
    admins: Access,
}

impl Gate {
    /// The rules of a daemon that runs as `own_uid`.
    pub(super) fn new(own_uid: u32, admins: Access) -> Self {
        Self { own_uid, admins }
    }

    /// Whether `caller` may, and if not, the error that says so.
    pub(super) fn check(&self, action: Action, caller: &Caller) -> Result<(), Refusal> {
        if self.is_admin(caller) {
            return Ok(());
        }
        let what = match action {
            Action::Hold => "to hold everything back",
            Action::Override => "to override conditions",
            Action::Control => "to pause, resume and reload, and to sync everybody's tasks now",
            Action::ManageAll => "to see and manage the tasks of others",
        };
        Err(Refusal::not_authorized(format!("user {} is no admin of this daemon; one must be {what}", caller.uid)))
    }

    /// Whose tasks `caller` can name: those of others do not exist for who may not manage them.
    pub(super) fn scope(&self, caller: &Caller) -> Scope {
        match self.check(Action::ManageAll, caller) {
            Ok(()) => Scope::All,
            Err(_) => Scope::Owner(caller.owner()),
        }
    }

    fn is_admin(&self, caller: &Caller) -> bool {
        caller.uid == 0
            || caller.uid == self.own_uid
            || self.admins.admin_uids.contains(&caller.uid)
            || caller.gids.iter().any(|gid| self.admins.admin_gids.contains(gid))
    }
}

/// Asks the bus who `client` is, after asking to be told when it leaves.
pub(super) async fn ask(bus: Connection, client: String) -> Result<Caller, zbus::Error> {
    bus.send(&watch(&client, true)?).await?;
    let driver = Some("org.freedesktop.DBus");
    let reply = bus
        .call_method(driver, "/org/freedesktop/DBus", driver, "GetConnectionCredentials", &(client.as_str(),))
        .await?;
    let body = reply.body();
    let credentials: ConnectionCredentials = body.deserialize()?;
    let Some(uid) = credentials.unix_user_id() else {
        return Err(zbus::Error::Failure("the bus does not know its user".into()));
    };
    let gids = credentials.unix_group_ids().cloned().unwrap_or_default();
    let app = credentials
        .process_id()
        .map_or_else(|| "unknown".to_owned(), |pid| app_of(&Path::new("/proc").join(pid.to_string())));
    Ok(Caller { uid, gids, app })
}

/// Asks the bus how many bytes wait there for `client`; fails where the bus does not say.
pub(super) async fn unread(bus: Connection, client: &str) -> Result<usize, zbus::Error> {
    let (driver, stats) = (Some("org.freedesktop.DBus"), Some("org.freedesktop.DBus.Debug.Stats"));
    let reply = bus.call_method(driver, "/org/freedesktop/DBus", stats, "GetConnectionStats", &(client,)).await?;
    let body = reply.body();
    let all: HashMap<&str, Variant<'_>> = body.deserialize()?;
    match all.get("OutgoingBytes") {
        Some(Variant::U32(bytes)) => Ok(usize::try_from(*bytes).unwrap_or(usize::MAX)),
        _ => Err(zbus::Error::Failure("the bus does not say how much waits".into())),
    }
}

/// The message that asks the bus to tell, or no longer to tell, when `client` leaves. It expects no reply.
pub(super) fn watch(client: &str, on: bool) -> zbus::Result<Message> {
    let rule = format!(
        "type='signal',sender='org.freedesktop.DBus',path='/org/freedesktop/DBus',\
         interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='{client}'"
    );
    Message::method_call("/org/freedesktop/DBus", if on { "AddMatch" } else { "RemoveMatch" })
        .destination("org.freedesktop.DBus")
        .interface("org.freedesktop.DBus")
        .with_flags(zbus::message::Flags::NO_REPLY_EXPECTED)
        .build(&(rule,))
}

/// The label of the process whose directory in `/proc` this is: its systemd unit, else the name of its executable.
/// Best effort: it may have gone, and it is no secret and no proof.
fn app_of(process: &Path) -> String {
    let unit = fs::read_to_string(process.join("cgroup")).ok().and_then(|text| unit(&text));
    let executable = || {
        let path = fs::read_link(process.join("exe")).ok()?;
        Some(path.file_name()?.to_string_lossy().into_owned())
    };
    let command = || fs::read_to_string(process.join("comm")).ok().map(|text| text.trim_end().to_owned());
    label(&unit.or_else(executable).or_else(command).unwrap_or_default())
}

/// The unit in the text of `/proc/PID/cgroup`: the innermost one that stands for an app and not for a login.
fn unit(cgroup: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let of_a_login = |name: &str| name.starts_with("user@") || name.starts_with("session-") || name == "init.scope";
    path.rsplit('/')
        .find(|name| name.ends_with(".service") || name.ends_with(".scope"))
        .filter(|name| !of_a_login(name))
        .map(ToOwned::to_owned)
}

/// `name` as an `app` may read: printable, at most 255 bytes, never empty.
fn label(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars().map(|character| if character.is_control() { '_' } else { character }) {
        if text.len() + character.len_utf8() > TEXT_MAX {
            break;
        }
        text.push(character);
    }
    if text.is_empty() { "unknown".into() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(uid: u32, gids: &[u32]) -> Caller {
        Caller { uid, gids: gids.to_vec(), app: "app".into() }
    }

    #[test]
    fn root_the_daemons_user_and_the_configured_may_all() {
        let admins = Access { admin_uids: [7].into(), admin_gids: [70].into() };
        let gate = Gate::new(500, admins);
        for admin in [caller(0, &[]), caller(500, &[]), caller(7, &[1]), caller(8, &[1, 70])] {
            assert_eq!(gate.check(Action::Control, &admin), Ok(()));
            assert_eq!(gate.scope(&admin), Scope::All);
        }
        let other = caller(8, &[8, 7]);
        let refusal = gate.check(Action::ManageAll, &other).expect_err("no admin");
        assert_eq!(refusal.name, "org.ferryd.Ferry1.Error.NotAuthorized");
        assert_eq!(gate.scope(&other), Scope::Owner(Owner(8)));
    }

    #[test]
    fn the_unit_is_the_innermost_that_stands_for_an_app() {
        assert_eq!(unit("0::/system.slice/camera.service\n"), Some("camera.service".into()));
        assert_eq!(unit("1:name=x:/y\n0::/system.slice/a.service/payload\n"), Some("a.service".into()));
        assert_eq!(
            unit("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-kiosk-12.scope\n"),
            Some("app-kiosk-12.scope".into())
        );
        for none in ["0::/\n", "0::/user.slice/user-1000.slice/session-3.scope\n", "0::/user@1.service\n", ""] {
            assert_eq!(unit(none), None, "{none}");
        }
    }

    #[test]
    fn a_label_is_printable_bounded_and_never_empty() {
        assert_eq!(label("ca\nt"), "ca_t");
        assert_eq!(label(""), "unknown");
        assert_eq!(label(&"ä".repeat(200)).len(), 254);
    }

    #[test]
    fn this_process_has_a_label() {
        assert_ne!(app_of(Path::new("/proc/self")), "unknown");
        assert_eq!(app_of(Path::new("/proc/self/nowhere")), "unknown");
    }
}
