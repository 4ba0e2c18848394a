//! Who calls, and what they may: the UID is the border, `app` is only a label.

use std::collections::HashMap;

use zbus::fdo::ConnectionCredentials;
use zbus::message::Message;
use zbus::{Connection, Variant};

use super::app;
use super::error::Refusal;
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
    /// `Pause`, `Resume`, `Reload`, `Strategy.*`.
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
            Action::Control => "to pause, resume and reload",
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
    let app = app::of(uid, credentials.process_id()).await;
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
}
