//! Who calls, and what they may: the UID is the border, `app` is only a label.

use std::collections::HashMap;

use zbus::fdo::ConnectionCredentials;
use zbus::message::Message;
use zbus::{Connection, Variant};

use super::app;
use super::error::Refusal;
use super::polkit::Answer;
use crate::model::{Access, Owner};

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

/// What not everybody may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Action {
    /// `Hold`.
    Hold,
    /// `SyncNow` of one's own with overrides, `Measure`.
    Override,
    /// `Pause`, `Resume`, `Reload`, `Strategy.*`, `SyncNow` of all.
    Control,
    /// Others' tasks, `Subscribe` to all.
    ManageAll,
}

impl Action {
    /// Its name at polkit.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Hold => "org.ferryd.ferry1.hold",
            Self::Override => "org.ferryd.ferry1.override",
            Self::Control => "org.ferryd.ferry1.control",
            Self::ManageAll => "org.ferryd.ferry1.manage-all",
        }
    }

    /// What one may by it.
    const fn words(self) -> &'static str {
        match self {
            Self::Hold => "hold transfers",
            Self::Override => "override conditions",
            Self::Control => "pause, resume and reload",
            Self::ManageAll => "see and manage the tasks of others",
        }
    }
}

/// Whether polkit may ask a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interaction {
    /// It may: the caller says that it waits for that.
    Allowed,
    /// It may not.
    Forbidden,
}

/// Who may what. Root and the user that runs the daemon (in a session: the session's user) may all. About others polkit
/// decides where there is one; else, and in a session, the users and groups of `[access] admins` may all.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) own_uid: u32,
    /// Whether this bus is one on which polkit is asked.
    pub(super) asks_polkit: bool,
    pub(super) admins: Access,
}

impl Gate {
    /// Whether `caller` may, if that is certain without asking polkit.
    pub(super) fn without_asking(&self, action: Action, caller: &Caller) -> Option<Result<(), Refusal>> {
        if is_trusted(caller, self.own_uid) {
            return Some(Ok(()));
        }
        (!self.asks_polkit).then(|| self.configured(action, caller))
    }

    /// What an answer of polkit means for `caller`. One that says neither yes nor no is no yes, and no reason to look at
    /// the configuration either: whoever can stop polkit could else undo what it forbids.
    pub(super) fn verdict(
        &self,
        action: Action,
        caller: &Caller,
        interaction: Interaction,
        answer: &Answer,
    ) -> Result<(), Refusal> {
        let (uid, what, id) = (caller.uid, action.words(), action.id());
        let refused = |why: &str| Err(Refusal::not_authorized(format!("user {uid} may not {what} ({id}){why}")));
        match (answer, interaction) {
            (Answer::Yes, _) => Ok(()),
            (Answer::Absent, _) => self.configured(action, caller),
            (Answer::No { challenge: false }, _) => refused(""),
            (Answer::No { challenge: true }, Interaction::Forbidden) => {
                refused(": authentication needed: call again with interactive authorization allowed")
            }
            (Answer::No { challenge: true }, Interaction::Allowed) => {
                refused(": authentication needed, and no agent of polkit is there that would ask for it")
            }
            (Answer::Failed(why), _) => {
                Err(Refusal::unavailable(format!("polkit did not say whether user {uid} may {what} ({id}): {why}")))
            }
        }
    }

    fn configured(&self, action: Action, caller: &Caller) -> Result<(), Refusal> {
        if self.admins.admin_uids.contains(&caller.uid)
            || caller.gids.iter().any(|gid| self.admins.admin_gids.contains(gid))
        {
            return Ok(());
        }
        let (uid, what) = (caller.uid, action.words());
        Err(Refusal::not_authorized(format!("user {uid} is no admin of this daemon; one must be to {what}")))
    }
}

/// Whether `caller` may all, whatever polkit and the configuration say.
pub(super) const fn is_trusted(caller: &Caller, own_uid: u32) -> bool {
    caller.uid == 0 || caller.uid == own_uid
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

    fn gate(asks_polkit: bool) -> Gate {
        Gate { own_uid: 500, asks_polkit, admins: Access { admin_uids: [7].into(), admin_gids: [70].into() } }
    }

    #[test]
    fn root_and_the_daemons_user_may_all_and_polkit_is_not_asked() {
        for trusted in [caller(0, &[]), caller(500, &[])] {
            for asks_polkit in [false, true] {
                assert_eq!(gate(asks_polkit).without_asking(Action::Control, &trusted), Some(Ok(())));
            }
        }
        assert_eq!(gate(true).without_asking(Action::Control, &caller(7, &[70])), None, "polkit decides");
    }

    #[test]
    fn where_there_is_no_polkit_the_configured_may_all() {
        let session = |caller: &Caller| gate(false).without_asking(Action::Control, caller).expect("certain");
        let without =
            |caller: &Caller| gate(true).verdict(Action::ManageAll, caller, Interaction::Allowed, &Answer::Absent);
        for admin in [caller(7, &[1]), caller(8, &[1, 70])] {
            assert_eq!((session(&admin), without(&admin)), (Ok(()), Ok(())));
        }
        let refusal = session(&caller(8, &[8, 7])).expect_err("no admin");
        assert_eq!(refusal.name, "org.ferryd.Ferry1.Error.NotAuthorized");
        assert_eq!(refusal.message, "user 8 is no admin of this daemon; one must be to pause, resume and reload");
        let refusal = without(&caller(8, &[8, 7])).expect_err("no admin").message;
        assert_eq!(refusal, "user 8 is no admin of this daemon; one must be to see and manage the tasks of others");
    }

    #[test]
    fn where_polkit_answers_it_alone_decides_and_where_it_fails_nobody_may() {
        let verdict = |uid: u32, interaction, answer: &Answer| {
            gate(true).verdict(Action::Hold, &caller(uid, &[]), interaction, answer)
        };
        let (alone, person) = (Interaction::Forbidden, Interaction::Allowed);
        assert_eq!(verdict(8, alone, &Answer::Yes), Ok(()));
        let cases = [
            (
                alone,
                Answer::No { challenge: false },
                "NotAuthorized",
                "user 7 may not hold transfers (org.ferryd.ferry1.hold)",
            ),
            (
                alone,
                Answer::No { challenge: true },
                "NotAuthorized",
                "call again with interactive authorization allowed",
            ),
            (person, Answer::No { challenge: true }, "NotAuthorized", "no agent of polkit is there"),
            (
                alone,
                Answer::Failed("it ended".into()),
                "Unavailable",
                "whether user 7 may hold transfers (org.ferryd.ferry1.hold): it ended",
            ),
        ];
        for (interaction, answer, name, words) in cases {
            let refusal = verdict(7, interaction, &answer).expect_err("an admin of the configuration, no more");
            assert_eq!(refusal.name, format!("org.ferryd.Ferry1.Error.{name}"));
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
    }
}
