//! Whether the device saves power: what power-profiles-daemon or UPower say of it, and which of them counts.

use tokio::sync::watch;

use super::follow::{Source, follow};
use super::line::{Ear, Line, Service, ServiceError, Unanswered, nonsense};
use crate::model::{Battery, Power};

/// power-profiles-daemon by its name since 0.20, and by the one before; tuned-ppd has both too.
const PPD: (&str, &str) = ("org.freedesktop.UPower.PowerProfiles", "/org/freedesktop/UPower/PowerProfiles");
const OLD_PPD: (&str, &str) = ("net.hadess.PowerProfiles", "/net/hadess/PowerProfiles");

const UPOWER_NAME: &str = "org.freedesktop.UPower";
/// Stands for all batteries of the device.
const DISPLAY: &str = "/org/freedesktop/UPower/devices/DisplayDevice";
const DEVICE: &str = "org.freedesktop.UPower.Device";

/// Under so much percent, on battery, the device is taken to save power where nothing else says whether it does.
const SAVING: f64 = 15.0;

pub(super) static PROFILES: Service = Service {
    names: &[PPD.0, OLD_PPD.0],
    paths: &[PPD.1, OLD_PPD.1],
    hints: &[
        "type='signal',sender='org.freedesktop.UPower.PowerProfiles',path='/org/freedesktop/UPower/PowerProfiles',\
         interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0='org.freedesktop.UPower.PowerProfiles'",
        "type='signal',sender='net.hadess.PowerProfiles',path='/net/hadess/PowerProfiles',\
         interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0='net.hadess.PowerProfiles'",
    ],
};

pub(super) static UPOWER: Service = Service { names: &[UPOWER_NAME], paths: &[DISPLAY], hints: &[] };

/// Heeded only while it is wanted.
const UPOWER_RULE: &str = "type='signal',sender='org.freedesktop.UPower',path='/org/freedesktop/UPower/devices/DisplayDevice',\
     interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',arg0='org.freedesktop.UPower.Device'";

/// What is said of saving power. Each is `None` if its service is not there, or does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Saver {
    /// The profile of power-profiles-daemon is the one that saves power.
    pub profile: Option<bool>,
    /// UPower warns that the batteries are low.
    pub warning: Option<bool>,
}

impl Saver {
    /// Whether the device saves power. The first that knows decides, whatever those after it would say: the profile; on
    /// battery UPower's warning; on battery the charge.
    pub fn saves(self, power: &Power) -> bool {
        match self {
            Self { profile: Some(saves), warning: _ } => saves,
            Self { profile: None, warning: Some(low) } => low && !power.external,
            Self { profile: None, warning: None } => {
                !power.external && matches!(power.battery, Battery::Percent(percent) if percent < SAVING)
            }
        }
    }

    /// Whether UPower is worth listening to; on battery it speaks every half minute.
    pub fn asks_upower(self, power: &Power) -> bool {
        self.profile.is_none() && !power.external
    }
}

#[derive(Debug)]
pub(super) struct Profile;

impl Source for Profile {
    type Word = Option<bool>;

    async fn read(&self, line: &Line, ear: &Ear) -> Result<Self::Word, Unanswered> {
        for (name, path) in [PPD, OLD_PPD] {
            match line.property::<String>(ear, (name, path, name), "ActiveProfile").await {
                Ok(profile) => return Ok(Some(profile == "power-saver")),
                Err(Unanswered::Absent) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

#[derive(Debug)]
pub(super) struct Warning;

impl Source for Warning {
    type Word = Option<bool>;

    async fn read(&self, line: &Line, ear: &Ear) -> Result<Self::Word, Unanswered> {
        Ok(is_low(line.property(ear, (UPOWER_NAME, DISPLAY, DEVICE), "WarningLevel").await?)?)
    }
}

/// Follows UPower while it is `wanted`. Never ends.
pub(super) async fn follow_warning(
    line: &Line,
    ear: &Ear,
    mut wanted: watch::Receiver<bool>,
    tell: impl Fn(Result<Option<bool>, ServiceError>),
) {
    while wanted.wait_for(|wanted| *wanted).await.is_ok() {
        line.heed(UPOWER_RULE, true).await;
        tokio::select! {
            () = follow(Warning, line, ear, &tell) => {}
            _ = wanted.wait_for(|wanted| !*wanted) => {}
        }
        line.heed(UPOWER_RULE, false).await;
        tell(Ok(None));
    }
    std::future::pending().await
}

/// `UpDeviceLevel`.
fn is_low(level: u32) -> Result<Option<bool>, ServiceError> {
    match level {
        0 => Ok(None),
        // None; discharging, of an uninterruptible supply.
        1 | 2 => Ok(Some(false)),
        // Low, critical, action. No warning level: normal, high, full.
        3..=5 => Ok(Some(true)),
        other => Err(nonsense("WarningLevel", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(percent: f64) -> Power {
        Power { external: false, battery: Battery::Percent(percent), ..Power::mains() }
    }

    #[test]
    fn the_first_that_knows_decides() {
        let plugged = |percent| Power { external: true, ..at(percent) };
        let unreadable = Power { battery: Battery::Unreadable, ..at(0.0) };
        let (yes, no) = (Some(true), Some(false));
        for (profile, warning, power, saves) in [
            (yes, no, Power::mains(), true),
            (yes, None, at(100.0), true),
            (no, yes, at(3.0), false),
            (no, None, at(3.0), false),
            (None, yes, at(90.0), true),
            (None, yes, plugged(3.0), false),
            (None, no, at(3.0), false),
            (None, None, at(14.9), true),
            (None, None, at(15.0), false),
            (None, None, plugged(3.0), false),
            (None, None, unreadable, false),
            (None, None, Power::mains(), false),
        ] {
            assert_eq!(Saver { profile, warning }.saves(&power), saves, "{profile:?} {warning:?} {power:?}");
        }
    }

    #[test]
    fn upower_is_listened_to_on_battery_where_there_are_no_profiles() {
        assert!(Saver::default().asks_upower(&at(50.0)));
        assert!(!Saver::default().asks_upower(&Power::mains()));
        assert!(!Saver { profile: Some(false), warning: None }.asks_upower(&at(50.0)));
    }

    #[test]
    fn warning_levels() {
        assert_eq!((0..=2).map(is_low).collect::<Vec<_>>(), [Ok(None), Ok(Some(false)), Ok(Some(false))]);
        assert!((3..=5).all(|level| is_low(level) == Ok(Some(true))));
        assert!(is_low(6).is_err(), "that is `normal`, which is no warning");
    }
}
