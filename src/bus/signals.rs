//! What we send unasked: signals and pings, as messages.

use serde::Serialize;
use zbus::message::Message;
use zbus::{DynamicType, ObjectPath, Result, Type};

use super::desk::Desk;
use super::publish::Announcement;
use super::route::{self, Object, ROOT};
use super::standard::{self, OBJECT_MANAGER, PROPERTIES};
use super::{bandwidth, manager, tasks, wire};
use crate::model::{StrategyName, TaskNews, TaskProgress};

/// `Tasks.StateChanged` or `Tasks.Progress` to one client.
pub(super) fn of_task(client: &str, news: &TaskNews) -> Result<Message> {
    match news {
        TaskNews::Changed(change) => {
            let body = (change.id.to_string(), change.strategy.as_str(), change.state.as_str(), wire::change(change));
            unicast(client, tasks::INTERFACE.name, "StateChanged", &body)
        }
        TaskNews::Progress(TaskProgress { id, owner: _, transfer }) => {
            let body = (id.to_string(), transfer.done, transfer.total, wire::transfer(transfer));
            unicast(client, tasks::INTERFACE.name, "Progress", &body)
        }
    }
}

/// `Manager.Lagged` to one client.
pub(super) fn lagged(client: &str, count: u64) -> Result<Message> {
    unicast(client, manager::INTERFACE.name, "Lagged", &count)
}

/// A question that a client which reads its messages answers.
pub(super) fn ping(client: &str) -> Result<Message> {
    Message::method_call("/", "Ping").interface("org.freedesktop.DBus.Peer").destination(client).build(&())
}

/// What the publisher announces, to everybody.
pub(super) fn announcement(desk: &Desk, announcement: Announcement) -> Result<Message> {
    match announcement {
        Announcement::Changed { path, interface, values } => {
            Message::signal(path, PROPERTIES, "PropertiesChanged").build(&(interface, values, Vec::<&str>::new()))
        }
        Announcement::Measured(status) => {
            let interface = bandwidth::INTERFACE.name;
            Message::signal(ROOT, interface, "Measured").build(&bandwidth::measured(&status.bandwidth))
        }
        Announcement::Added(name) => {
            let interfaces = standard::described(desk, &Object::Strategy(name.clone()));
            of_objects("InterfacesAdded", &name, interfaces)
        }
        Announcement::Removed(name) => {
            let interfaces = route::interfaces(&Object::Strategy(name.clone()));
            of_objects(
                "InterfacesRemoved",
                &name,
                interfaces.iter().map(|interface| interface.name).collect::<Vec<_>>(),
            )
        }
    }
}

fn unicast<B: Serialize + DynamicType>(client: &str, interface: &str, name: &str, body: &B) -> Result<Message> {
    Message::signal(ROOT, interface, name).destination(client).build(body)
}

fn of_objects<B: Serialize + Type>(name: &str, strategy: &StrategyName, interfaces: B) -> Result<Message> {
    let path = ObjectPath::try_from(route::path_of(strategy))?;
    Message::signal(ROOT, OBJECT_MANAGER, name).build(&(path, interfaces))
}
