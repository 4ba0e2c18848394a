//! What stands behind a block reason, said as a person would: of a row of Explain, by its details.

use serde_json::{Map, Value};

use super::{clean, size};
use crate::model::Reason;

/// A clause that follows the reason's name: `the device has no route to server main`.
pub(super) fn because(reason: Reason, detail: &Map<String, Value>) -> String {
    let says = |name: &str| detail.get(name).and_then(Value::as_str).map(clean).filter(|text| !text.is_empty());
    let or = |name: &str, otherwise: &str| says(name).unwrap_or_else(|| otherwise.to_owned());
    let server = says("backend").map_or_else(|| "the server".to_owned(), |name| format!("server {name}"));
    let link = link(says("type"), says("interface"), says("ssid"));
    let failed = says("error").map(|error| format!(": {error}")).unwrap_or_default();
    let found = says("found").map(|found| format!(": {found}")).unwrap_or_default();
    match reason {
        Reason::Offline => format!("the device has no route to {server}"),
        Reason::NoInternet if says("connectivity").as_deref() == Some("unknown") => {
            format!("it is being found out whether {link} reaches the internet")
        }
        Reason::NoInternet => format!("{link} does not reach the internet{found}"),
        Reason::CaptivePortal => format!("on {link} a captive portal stands in the way{found}"),
        Reason::Metered => format!("{link} is metered"),
        Reason::Roaming => format!("{link} is roaming"),
        Reason::NotWifi => format!("{link} is neither wifi nor ethernet"),
        Reason::NotCharging => format!("no charger is plugged in{}", at(says("battery_percent"))),
        Reason::LowBattery => match (says("battery_percent"), says("min_battery")) {
            (Some(percent), Some(floor)) => format!("the battery is at {percent} %, and {floor} % are asked for"),
            (None, Some(floor)) => format!("nobody knows how full the battery is, and {floor} % are asked for"),
            (_, None) => "the battery is low".to_owned(),
        },
        Reason::PowerSave => format!("the device saves power{}", at(says("battery_percent"))),
        Reason::SlowLink => match (says("upload_speed"), says("reliability")) {
            (Some(speed), Some(share)) => {
                format!("{link} takes {speed} Mbit/s up, with a reliability of {share}: too little for files")
            }
            (_, _) => format!("{link} is too slow for files, or loses too much"),
        },
        Reason::Budget => match (says("used"), says("limit")) {
            (Some(used), Some(limit)) => {
                format!("{} of {} a day were sent over metered links", bytes(&used), bytes(&limit))
            }
            (_, _) => "the metered bytes of today are spent".to_owned(),
        },
        Reason::Window => {
            says("window").map_or_else(|| "these are not its hours".to_owned(), |hours| format!("it goes in {hours}"))
        }
        Reason::Clock => "the clock has not been set since the device started".to_owned(),
        Reason::Backoff => format!("attempt {} did not succeed{failed}", or("attempts", "1")),
        Reason::Order => "it comes after other tasks".to_owned(),
        Reason::Concurrency => {
            format!("{} of {} attempts run already", or("running", "all"), or("max_concurrent", "all"))
        }
        Reason::Paused => match says("paused") {
            Some(name) if name != "everything" => format!("strategy {name} is paused"),
            Some(_) | None => "everything is paused".to_owned(),
        },
        Reason::Held => format!("held by {}, for {}", or("apps", "an app"), or("words", "no reason given")),
        Reason::Suspending => "the device is going to sleep".to_owned(),
        Reason::BackendAuth => format!("{server} does not take the credential{failed}"),
        Reason::BackendTls => format!("{server} is not trusted{failed}"),
        Reason::BackendDown => format!("{server} does not answer as it should{failed}"),
        Reason::BackendConfig => format!("{server} has nothing at its URL{failed}"),
        Reason::NoBackend => says("strategy")
            .map_or_else(|| "its strategy has no server".to_owned(), |name| format!("strategy {name} has no server")),
    }
}

/// `wifi on wlan0 (home)`.
pub(super) fn link(link: Option<String>, interface: Option<String>, ssid: Option<String>) -> String {
    let link = link.filter(|link| link != "none").unwrap_or_else(|| "the network".to_owned());
    let on = interface.map(|interface| format!(" on {interface}")).unwrap_or_default();
    let named = ssid.map(|ssid| format!(" ({ssid})")).unwrap_or_default();
    link + &on + &named
}

/// A number of bytes as people read it.
fn bytes(number: &str) -> String {
    number.parse().map_or_else(|_| number.to_owned(), size)
}

fn at(percent: Option<String>) -> String {
    percent.map(|percent| format!(", the battery is at {percent} %")).unwrap_or_default()
}
