//! `pause`, `resume`, `reload`, `sync`, `measure`.

use crate::ctl::arguments::Sync;
use crate::ctl::client::{Client, NAME, Options, ROOT};
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::render::Printer;
use crate::ctl::time::When;
use crate::ctl::views::BandwidthView;

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

pub(super) async fn measure(client: &mut Client, printer: &mut Printer<'_>) -> Result<(), Failure> {
    client.call("Bandwidth", "Measure", &Options::new()).await?;
    let properties = client.properties(ROOT, &format!("{NAME}.Bandwidth")).await?;
    printer.bandwidth(&BandwidthView::of(&properties))
}

pub(super) async fn sync(client: &mut Client, asked: &Sync) -> Result<(), Failure> {
    if let Some(strategy) = &asked.strategy {
        object(client, strategy).await?;
    }
    let mut options = Options::new();
    if !asked.overridden.is_empty() {
        options.insert("override", (&asked.overridden).into());
    }
    if asked.all {
        options.insert("all", true.into());
    }
    let strategy = asked.strategy.as_deref().unwrap_or_default();
    client.call("Manager", "SyncNow", &(strategy, options)).await.map(drop)
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
    let path = object(client, &strategy).await?;
    client.call_at(&path, &format!("{NAME}.Strategy"), member, options).await.map(drop)
}

/// The path of a strategy's object, which exists.
async fn object(client: &mut Client, strategy: &str) -> Result<String, Failure> {
    let unknown = || Failure::said(Exit::NotFound, format!("there is no strategy {strategy:?}"));
    let name = match strategy {
        "metadata_update" => "metadata",
        "photo_upload" => "photo",
        own => own,
    };
    crate::model::StrategyName::new(name).map_err(|_| unknown())?;
    let path = format!("{ROOT}/strategies/{name}");
    // An object that is not there answers UnknownObject or, as some libraries have it, UnknownMethod.
    match client.properties(&path, &format!("{NAME}.Strategy")).await {
        Err(failure) if failure.is_loss() => Err(failure),
        Err(_) => Err(unknown()),
        Ok(_) => Ok(path),
    }
}
