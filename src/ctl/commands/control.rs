//! `pause`, `resume`, `reload`.

use crate::ctl::client::{Client, NAME, Options, ROOT};
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::render::Printer;
use crate::ctl::time::When;

pub(super) async fn pause(
    client: &mut Client,
    printer: &Printer<'_>,
    strategy: Option<String>,
    until: Option<When>,
) -> Result<(), Failure> {
    let until = until.map(|when| ("until", when.wall(printer.now()).as_micros().into()));
    change(client, strategy, "Pause", &until.into_iter().collect()).await
}

pub(super) async fn resume(client: &mut Client, strategy: Option<String>) -> Result<(), Failure> {
    change(client, strategy, "Resume", &Options::new()).await
}

pub(super) async fn reload(client: &mut Client) -> Result<(), Failure> {
    client.call("Manager", "Reload", &()).await.map(drop)
}

async fn change(
    client: &mut Client,
    strategy: Option<String>,
    member: &str,
    options: &Options<'_>,
) -> Result<(), Failure> {
    let Some(strategy) = strategy else {
        return client.call("Manager", member, options).await.map(drop);
    };
    let unknown = || Failure::said(Exit::NotFound, format!("there is no strategy {strategy:?}"));
    let name = match strategy.as_str() {
        "metadata_update" => "metadata",
        "photo_upload" => "photo",
        own => own,
    };
    crate::model::StrategyName::new(name).map_err(|_| unknown())?;
    // An object that is not there answers UnknownObject or, as some libraries have it, UnknownMethod.
    let exists = client.properties(&format!("{ROOT}/strategies/{name}"), &format!("{NAME}.Strategy")).await;
    match exists {
        Err(failure) if failure.is_loss() => return Err(failure),
        Err(_) => return Err(unknown()),
        Ok(_) => {}
    }
    let path = format!("{ROOT}/strategies/{name}");
    client.call_at(&path, &format!("{NAME}.Strategy"), member, options).await.map(drop)
}
