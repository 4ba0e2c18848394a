//! What networks bear: seen by the backends' gauges, kept in the store so that it outlasts the daemon.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tracing::error;

use super::event::Event;
use super::run::Daemon;
use crate::backend::Backend;
use crate::bus::MeasureRefused;
use crate::http::Gauge;
use crate::model::{BackendConfig, BackendKind, BackendName, Estimate, Kept, NetworkId, Now, WallTime};
use crate::schedule::Unmeasurable;

/// The name of the setting that keeps it.
pub(super) const SETTING: &str = "bandwidth";

/// What tells the loop how a backend's transfers go.
pub(super) fn gauge(backend: &BackendName, inbox: &mpsc::UnboundedSender<Event>) -> Gauge {
    let (backend, inbox) = (backend.clone(), inbox.clone());
    Gauge::new(move |sample| {
        // The loop may have ended.
        inbox.send(Event::Sample { backend: backend.clone(), sample }).ok();
    })
}

impl Daemon {
    /// Somebody wants it measured.
    pub(super) fn measure(&mut self, reply: oneshot::Sender<Result<(), MeasureRefused>>) {
        let refused = match self.to_measure() {
            Ok(backend) => {
                self.measuring = Some(reply);
                let inbox = self.inbox.clone();
                tokio::spawn(async move {
                    let end = backend.measure().await;
                    // What was seen of it was told before.
                    inbox.send(Event::Measured(end)).ok();
                });
                return;
            }
            Err(refused) => refused,
        };
        // The caller may have gone.
        reply.send(Err(refused)).ok();
    }

    fn to_measure(&self) -> Result<Arc<Backend>, MeasureRefused> {
        if self.measuring.is_some() {
            return Err(MeasureRefused::UnderWay);
        }
        let can = |section: &BackendConfig| section.kind == BackendKind::Tus || section.measure_url.is_some();
        let name = self.core.to_measure(can).map_err(|why| match why {
            Unmeasurable::Nowhere => MeasureRefused::Nowhere,
            Unmeasurable::NoRoute(backend) => MeasureRefused::NoRoute(backend),
            Unmeasurable::Metered(interface) => MeasureRefused::Metered { interface },
        })?;
        self.wiring.backend(name).ok_or_else(|| MeasureRefused::NoRoute(name.clone()))
    }

    /// The measurement has ended.
    pub(super) fn measured(&mut self, end: Result<(), String>, now: Now) {
        self.publish(now);
        if let Some(reply) = self.measuring.take() {
            // The caller may have gone.
            reply.send(end.map_err(MeasureRefused::Failed)).ok();
        }
    }

    /// Writes it; what comes next may go on meanwhile.
    pub(super) fn keep_estimates(&mut self, kept: &[Kept]) {
        self.unwritten += 1;
        let written = self.store.put_setting(SETTING, Some(to_setting(kept)));
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            if let Err(error) = written.await {
                error!("keeping what networks bear: {error}");
            }
            inbox.send(Event::Settled).ok();
        });
    }
}

/// A line a network: `MEASURED UP DOWN LATENCY RELIABILITY NETWORK`, `-` for what is not known.
fn to_setting(kept: &[Kept]) -> String {
    let line = |Kept { network, estimate }: &Kept| {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| value.to_string());
        let Estimate { upload, download, latency, reliability, certainty: _, measured_at } = *estimate;
        let numbers = [upload, download, latency, reliability].map(number).join(" ");
        format!("{} {numbers} {}", measured_at.as_micros(), network.0)
    };
    kept.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Reads what was written; a line it cannot read is skipped.
pub(super) fn from_setting(text: &str) -> Vec<Kept> {
    let read = |line: &str| {
        let mut words = line.splitn(6, ' ');
        let measured_at = WallTime::from_micros(words.next()?.parse().ok()?);
        let mut number = || {
            let value = words.next()?;
            let number: Option<f64> = value.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
            (value == "-" || number.is_some()).then_some(number)
        };
        let (upload, download, latency, reliability) = (number()?, number()?, number()?, number()?);
        let network = NetworkId(words.next()?.to_owned());
        let upload = upload.filter(|upload| *upload > 0.0);
        let estimate = Estimate { upload, download, latency, reliability, certainty: 0.0, measured_at };
        Some(Kept { network, estimate })
    };
    text.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_networks_bear_survives_being_written() {
        let kept = |network: &str, upload, latency| Kept {
            network: NetworkId(network.to_owned()),
            estimate: Estimate {
                upload,
                latency,
                reliability: Some(0.987_654_321),
                measured_at: WallTime::from_micros(1_700_000_000_000_000),
                ..Estimate::default()
            },
        };
        let all = vec![
            kept("wifi Café  du  lac", Some(0.1), None),
            kept("192.0.2.1 eth0", None, Some(12.5)),
            kept("lo", Some(1e4), Some(0.01)),
        ];
        assert_eq!(from_setting(&to_setting(&all)), all);
        let torn = format!("{}\n5 - - NaN - x\n5 - -\nrubbish\n5 -1 - - - y", to_setting(&all));
        assert_eq!(from_setting(&torn), all);
    }
}
