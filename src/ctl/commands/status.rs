//! `status`: the properties of all objects at once.

use crate::ctl::client::{Client, NAME, ROOT, first};
use crate::ctl::exit::Failure;
use crate::ctl::render::Printer;
use crate::ctl::views::StatusView;
use crate::ctl::wire::Dictionary;

pub(super) async fn status(client: &mut Client, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let view = view(client).await?;
    printer.status(&view)
}

async fn view(client: &mut Client) -> Result<StatusView, Failure> {
    let manager = client.properties(ROOT, &format!("{NAME}.Manager")).await?;
    let network = client.properties(ROOT, &format!("{NAME}.Network")).await?;
    let objects = client.call_at(ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &()).await?;
    Ok(StatusView::of(&manager, &network, &Dictionary::of(first(objects))))
}
