//! `watch`: what changes, through the daemon's restarts. The daemon's coming is told once its signals are subscribed to: from
//! that line on nothing is missed.

use std::collections::VecDeque;

use serde_json::{Map, Value};

use crate::ctl::client::{Client, News};
use crate::ctl::exit::Failure;
use crate::ctl::render::Printer;
use crate::ctl::views::{BandwidthView, WatchView};
use crate::ctl::wire::Dictionary;

const BANDWIDTH: &str = "org.ferryd.Ferry1.Bandwidth";

pub(super) async fn watch(client: &mut Client, printer: &mut Printer<'_>, all: bool) -> Result<(), Failure> {
    client.follow_present().await?;
    client.hear_properties().await?;
    client.subscribe(all).await?;
    printer.watch(&WatchView::Daemon { at: printer.now().as_micros(), present: true })?;
    let mut trace = Trace::default();
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
        if let Some(view) = view(news, &mut trace, printer.now().as_micros()) {
            printer.watch(&view)?;
        }
    }
}

/// What was heard of the bandwidth.
#[derive(Debug, Default)]
struct Trace {
    properties: Map<String, Value>,
    speeds: VecDeque<f64>,
}

impl Trace {
    /// Speeds that are shown.
    const MOST: usize = 20;

    fn heard(&mut self, changed: Map<String, Value>, at: u64) -> WatchView {
        let speed = changed.get("UploadSpeed").and_then(Value::as_f64).filter(|speed| *speed > 0.0);
        self.speeds.extend(speed);
        if self.speeds.len() > Self::MOST {
            self.speeds.pop_front();
        }
        self.properties.extend(changed);
        // No signal tells of that time, and something was measured just now.
        self.properties.insert("MeasuredAt".to_owned(), at.into());
        let bandwidth = BandwidthView::of(&Dictionary::of(Value::Object(self.properties.clone())));
        WatchView::Bandwidth { at, speeds: self.speeds.iter().copied().collect(), bandwidth }
    }
}

/// A line for a piece of news; `now` stands in for a time that it does not tell.
fn view(news: News, trace: &mut Trace, now: u64) -> Option<WatchView> {
    match news {
        News::Task { id, strategy, state, detail } => {
            let at = detail.some_number("at").unwrap_or(now);
            Some(WatchView::Task { at, id, strategy, state, detail: detail.into_inner() })
        }
        News::Progress { id, done, total, detail } => {
            let (rate, chunk_size) = (detail.number("rate"), detail.number("chunk_size"));
            Some(WatchView::Progress { at: now, id, done, total, rate, chunk_size })
        }
        News::Properties { interface, changed, .. } if interface == BANDWIDTH => {
            Some(trace.heard(changed.into_inner(), now))
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

    #[test]
    fn speeds_are_traced_and_what_did_not_change_is_remembered() {
        let mut trace = Trace::default();
        let heard = |trace: &mut Trace, changed| {
            let (path, interface) = ("/org/ferryd/Ferry1".to_owned(), BANDWIDTH.to_owned());
            view(News::Properties { path, interface, changed: Dictionary::of(changed) }, trace, 9)
        };
        heard(&mut trace, serde_json::json!({"UploadSpeed": 2.0, "UploadStrategy": "conservative"}));
        let Some(WatchView::Bandwidth { at: 9, speeds, bandwidth }) =
            heard(&mut trace, serde_json::json!({"UploadSpeed": 8.0, "Reliability": 0.5}))
        else {
            panic!("no line")
        };
        assert_eq!((speeds, bandwidth.upload_strategy.as_str()), (vec![2.0, 8.0], "conservative"));
        assert_eq!((bandwidth.upload_speed, bandwidth.reliability), (Some(8.0), Some(0.5)));
        (0..50).for_each(|_| drop(heard(&mut trace, serde_json::json!({"UploadSpeed": 1.0}))));
        assert_eq!(trace.speeds.len(), Trace::MOST);
    }

    #[test]
    fn every_kind_of_news_has_its_line() {
        let view = |news, now| view(news, &mut Trace::default(), now);
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
