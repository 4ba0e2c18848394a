//! `ferryctl bend`: addresses and orders in, lines out. What is done with the bytes is the business of `bend`.

use std::io::BufRead as _;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::mpsc;

use crate::bend::{Bend, Course, News, Outlook, WhenDown};
use crate::ctl::arguments;
use crate::ctl::exit::{Exit, Failure};
use crate::ctl::render::Printer;
use crate::ctl::views::{BendView, BentView};

pub(in crate::ctl) async fn bend(asked: &arguments::Bend, printer: &mut Printer<'_>) -> Result<(), Failure> {
    let (listen, to) = (resolve(&asked.listen).await?, resolve(&asked.to).await?);
    let seed = asked.seed.unwrap_or_else(|| fastrand::u64(..));
    let when_down = if asked.when_down == "stall" { WhenDown::Stall } else { WhenDown::Reset };
    let course = Course { scenario: asked.scenario, seed, skip: asked.skip, speed: asked.speed, when_down };
    let failed = |error: crate::bend::BendError| Failure::said(Exit::Failed, error.to_string());
    let bend = Bend::listen(listen, to, course).map_err(failed)?;
    let (address, now) = (bend.address().to_string(), now(&bend.outlook()));
    printer.bend(&BendView::Listening { address, to: to.to_string(), seed, now })?;
    // Nobody reading is no reason to stop: an app is served all the same.
    let mut tell = |news: News| drop(printer.bend(&view(news)));
    Err(failed(bend.run(orders(), &mut tell).await))
}

async fn resolve(address: &str) -> Result<SocketAddr, Failure> {
    let failed = |why: String| Failure::said(Exit::Failed, format!("finding {address}: {why}"));
    let mut found = lookup_host(address).await.map_err(|error| failed(error.to_string()))?;
    found.next().ok_or_else(|| failed("the name has no address".to_owned()))
}

/// The lines of standard input, read on a thread that ends with it or with the process.
fn orders() -> mpsc::Receiver<String> {
    let (given, orders) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && given.blocking_send(line).is_err() {
                break;
            }
        }
    });
    orders
}

fn view(news: News) -> BendView {
    match news {
        News::Changed(outlook) => BendView::Changed { now: now(&outlook) },
        News::Followed { order, outlook, connections } => BendView::Followed { order, connections, now: now(&outlook) },
        News::Refused { order, error } => BendView::Refused { order, error },
    }
}

fn now(outlook: &Outlook) -> BentView {
    let Outlook { scenario, cut, link, next } = *outlook;
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    BentView {
        scenario: scenario.as_str(),
        up: link.up,
        cut,
        portal: link.portal,
        link: link.link.as_str(),
        metered: link.metered.as_str(),
        round_trip: milliseconds(link.round_trip),
        jitter: milliseconds(link.jitter),
        next: milliseconds(next),
        up_rate: link.up_rate,
        down_rate: link.down_rate,
        reliability: link.reliability,
    }
}
