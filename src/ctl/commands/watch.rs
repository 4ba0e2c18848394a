//! `watch`: what changes, through the daemon's restarts. The daemon's coming is told once its signals are subscribed to: from
//! that line on nothing is missed.

use crate::ctl::client::{Client, News};
use crate::ctl::exit::Failure;
use crate::ctl::render::Printer;
use crate::ctl::views::WatchView;

pub(super) async fn watch(client: &mut Client, printer: &mut Printer<'_>, all: bool) -> Result<(), Failure> {
    client.follow_present().await?;
    client.hear_properties().await?;
    client.subscribe(all).await?;
    printer.watch(&WatchView::Daemon { at: printer.now().as_micros(), present: true })?;
    loop {
        let news = client.next().await?;
        if matches!(news, News::Owner(Some(_))) {
            match client.subscribe(all).await {
                Ok(()) => {}
                // It went again at once; another will come.
                Err(failure) if failure.is_loss() => continue,
                Err(failure) => return Err(failure),
            }
        }
        if let Some(view) = view(news, printer.now().as_micros()) {
            printer.watch(&view)?;
        }
    }
}

/// A line for a piece of news; `now` stands in for a time that it does not tell.
fn view(news: News, now: u64) -> Option<WatchView> {
    match news {
        News::Task { id, strategy, state, detail } => {
            let at = detail.some_number("at").unwrap_or(now);
            Some(WatchView::Task { at, id, strategy, state, detail: detail.into_inner() })
        }
        News::Progress { id, done, total, detail } => {
            let (rate, chunk_size) = (detail.number("rate"), detail.number("chunk_size"));
            Some(WatchView::Progress { at: now, id, done, total, rate, chunk_size })
        }
        News::Properties { path, interface, changed } => {
            let last = |text: &str, separator| text.rsplit(separator).next().unwrap_or_default().to_owned();
            let (object, interface) = (last(&path, '/'), last(&interface, '.'));
            Some(WatchView::Changed { at: now, object, interface, properties: changed.into_inner() })
        }
        News::Lagged(count) => Some(WatchView::Lagged { at: now, count }),
        News::Owner(owner) => Some(WatchView::Daemon { at: now, present: owner.is_some() }),
        News::Answer { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::wire::Dictionary;

    #[test]
    fn every_kind_of_news_has_its_line() {
        let detail = Dictionary::of(serde_json::json!({"at": 5, "error": "rejected"}));
        let task = News::Task { id: "a".into(), strategy: "photo".into(), state: "failed".into(), detail };
        assert!(matches!(view(task, 9), Some(WatchView::Task { at: 5, .. })));
        let path = "/org/ferryd/Ferry1/strategies/photo".to_owned();
        let changed = Dictionary::of(serde_json::json!({"Pending": 3}));
        let properties = News::Properties { path, interface: "org.ferryd.Ferry1.Strategy".to_owned(), changed };
        let Some(WatchView::Changed { at, object, interface, .. }) = view(properties, 9) else { panic!("no line") };
        assert_eq!((at, object.as_str(), interface.as_str()), (9, "photo", "Strategy"));
        let detail = Dictionary::of(serde_json::json!({"rate": 7, "chunk_size": 3}));
        let more = News::Progress { id: "a".into(), done: 5, total: 9, detail };
        let expected = WatchView::Progress { at: 9, id: "a".into(), done: 5, total: 9, rate: 7, chunk_size: 3 };
        assert_eq!(view(more, 9), Some(expected));
        assert_eq!(view(News::Lagged(3), 9), Some(WatchView::Lagged { at: 9, count: 3 }));
        assert_eq!(view(News::Owner(None), 9), Some(WatchView::Daemon { at: 9, present: false }));
    }
}
