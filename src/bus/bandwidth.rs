//! `org.ferryd.Ferry1.Bandwidth`: what the network bears, as the first backend's traffic has shown it.

use std::collections::HashMap;

use tokio::sync::oneshot;
use zbus::Variant;

use super::access::Action;
use super::call::{Call, Effect, Method, Outcome};
use super::desk::{Desk, stopping};
use super::error::Refusal;
use super::options::Options;
use super::route::{Interface, Property, unknown_method};
use super::wire::Dictionary;
use super::{Command, MeasureRefused};
use crate::model::{Bandwidth, Measurement};

/// Its shape.
pub(super) const INTERFACE: Interface = Interface {
    name: "org.ferryd.Ferry1.Bandwidth",
    xml: include_str!("../../dbus/org.ferryd.Ferry1.Bandwidth.xml"),
    methods: &[
        Method { name: "Measure", takes: "a{sv}", gives: "", effect: Effect::None },
        Method { name: "History", takes: "", gives: "a(tdddd)", effect: Effect::None },
    ],
    properties: &[
        Property { name: "UploadSpeed", signature: "d", emits: true },
        Property { name: "DownloadSpeed", signature: "d", emits: true },
        Property { name: "Latency", signature: "d", emits: true },
        Property { name: "Reliability", signature: "d", emits: true },
        Property { name: "UploadStrategy", signature: "s", emits: true },
        Property { name: "MeasuredAt", signature: "t", emits: false },
    ],
};

/// Its properties now.
pub(super) fn properties(bandwidth: &Bandwidth) -> Dictionary<'static> {
    let (upload, download, latency, reliability) = measured(bandwidth);
    Dictionary::from([
        ("UploadSpeed", upload.into()),
        ("DownloadSpeed", download.into()),
        ("Latency", latency.into()),
        ("Reliability", reliability.into()),
        ("UploadStrategy", bandwidth.strategy.as_str().into()),
        ("MeasuredAt", bandwidth.estimate.measured_at.as_micros().into()),
    ])
}

/// What `Measured` tells: Mbit/s up and down, milliseconds, 0 to 1; 0 for what is not known.
pub(super) fn measured(bandwidth: &Bandwidth) -> (f64, f64, f64, f64) {
    let known = |value: Option<f64>| value.map_or(0.0, three_digits);
    let estimate = &bandwidth.estimate;
    (known(estimate.upload), known(estimate.download), known(estimate.latency), known(estimate.reliability))
}

/// The value to three digits: what differs by less is no news.
fn three_digits(value: f64) -> f64 {
    if value <= 0.0 || !value.is_finite() {
        return 0.0;
    }
    let digits = 2 - value.log10().floor() as i32;
    // By a power that is whole, so that 0.1 stays 0.1.
    let power = 10f64.powi(digits.abs());
    if digits >= 0 { (value * power).round() / power } else { (value / power).round() * power }
}

/// Carries out a call of `method`.
pub(super) fn call(desk: &Desk, call: &Call, method: &str) -> Result<Outcome, Refusal> {
    match method {
        "Measure" => {
            let body = call.message.body();
            let options: HashMap<&str, Variant<'_>> = body.deserialize().map_err(Refusal::invalid)?;
            Options::new("option", options).end()?;
            Ok(Outcome::if_allowed(Action::Override, call, |desk, _, call| Ok(measure(desk, call))))
        }
        "History" => {
            let row = |one: &Measurement| (one.at.as_micros(), one.upload, one.download, one.latency, one.reliability);
            let rows: Vec<_> = desk.status().bandwidth.history.iter().map(row).collect();
            Ok(Outcome::Now(call.reply(&rows)))
        }
        _ => Err(unknown_method(INTERFACE.name, method)),
    }
}

fn measure(desk: &Desk, call: &Call) -> Outcome {
    let (reply, answer) = oneshot::channel();
    let told = desk.tell(Command::Measure { reply });
    let call = call.clone();
    Outcome::later(async move {
        told.await?;
        answer.await.map_err(|_| stopping())??;
        call.reply(&())
    })
}

impl From<MeasureRefused> for Refusal {
    fn from(refused: MeasureRefused) -> Self {
        match refused {
            MeasureRefused::UnderWay => Self::busy(refused),
            MeasureRefused::Nowhere
            | MeasureRefused::NoRoute(_)
            | MeasureRefused::Metered { .. }
            | MeasureRefused::Failed(_) => Self::unavailable(refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Estimate;

    #[test]
    fn what_is_not_known_is_shown_as_nothing() {
        let unknown = properties(&Bandwidth::unknown());
        assert_eq!(unknown["UploadSpeed"], Variant::from(0.0));
        assert_eq!((&unknown["UploadStrategy"], &unknown["MeasuredAt"]), (&"conservative".into(), &0u64.into()));
        let estimate = Estimate { upload: Some(4.5), latency: Some(20.0), ..Estimate::default() };
        let known = Bandwidth { estimate, ..Bandwidth::unknown() };
        assert_eq!(measured(&known), (4.5, 0.0, 20.0, 0.0));
    }

    #[test]
    fn three_digits_are_shown() {
        for (value, shown) in [(0.0, 0.0), (0.123_46, 0.123), (1.0, 1.0), (18.345, 18.3), (98_765.0, 98_800.0)] {
            assert_eq!(three_digits(value).to_string(), shown.to_string(), "{value}");
        }
    }

    #[test]
    fn a_measurement_that_cannot_be_has_a_name() {
        let metered = Refusal::from(MeasureRefused::Metered { interface: "wwan0".to_owned() });
        assert_eq!(metered.name, "org.ferryd.Ferry1.Error.Unavailable");
        assert!(metered.message.contains("wwan0") && metered.message.contains("metered"), "{}", metered.message);
        assert_eq!(Refusal::from(MeasureRefused::UnderWay).name, "org.ferryd.Ferry1.Error.Busy");
    }
}
