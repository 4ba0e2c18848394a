//! The whole daemon at once: the properties of all its objects.

use super::client::{Client, NAME, ROOT, first};
use super::exit::Failure;
use super::views::StatusView;
use super::wire::Dictionary;

/// Of the daemon that has this bus name, the well-known or its own.
pub(super) async fn status(client: &mut Client, whom: &str) -> Result<StatusView, Failure> {
    let manager = client.properties_of(whom, ROOT, &format!("{NAME}.Manager")).await?;
    let network = client.properties_of(whom, ROOT, &format!("{NAME}.Network")).await?;
    let power = client.properties_of(whom, ROOT, &format!("{NAME}.Power")).await?;
    let bandwidth = client.properties_of(whom, ROOT, &format!("{NAME}.Bandwidth")).await?;
    let objects = client.ask(whom, ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &()).await?;
    Ok(StatusView::of(&manager, &network, &power, &bandwidth, &Dictionary::of(first(objects))))
}
