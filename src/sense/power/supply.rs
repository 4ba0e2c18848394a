//! The supplies in `/sys/class/power_supply` (Documentation/ABI/testing/sysfs-class-power): how they read, and what
//! that means for the device. The meaning is pure.

use std::fs;
use std::io;
use std::path::Path;

use crate::model::{Battery, Power};

/// One supply, as far as it can be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Supply {
    /// From outside: mains or USB.
    Line {
        /// Whether it supplies.
        online: bool,
    },
    /// A battery of the device itself, and there.
    Battery {
        /// What it does.
        status: Status,
        /// How full it is, in percent, as its driver says.
        capacity: Option<f64>,
    },
}

/// What a battery does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Charging,
    Discharging,
    Full,
    /// Plugged in and not charging: held at its limit, too hot or too cold; with another battery also at rest.
    NotCharging,
    /// The driver does not know, or cannot say.
    Unknown,
}

/// All supplies below `class`; none if there is no such folder. One that vanishes meanwhile is passed over.
pub(super) fn read(class: &Path) -> io::Result<Vec<Supply>> {
    let entries = match fs::read_dir(class) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths.iter().filter_map(|path| read_one(path)).collect())
}

fn read_one(supply: &Path) -> Option<Supply> {
    let text = |name: &str| fs::read_to_string(supply.join(name)).ok().map(|text| text.trim().to_owned());
    if text("scope").is_some_and(|scope| scope.eq_ignore_ascii_case("device")) {
        return None;
    }
    match text("type")?.as_str() {
        "Battery" if text("present").as_deref() == Some("0") => None,
        "Battery" => {
            let status = match text("status").unwrap_or_default().as_str() {
                "Charging" => Status::Charging,
                "Discharging" => Status::Discharging,
                "Full" => Status::Full,
                "Not charging" => Status::NotCharging,
                _ => Status::Unknown,
            };
            let capacity = text("capacity").and_then(|text| text.parse().ok());
            Some(Supply::Battery { status, capacity: capacity.filter(|percent| (0.0..=100.0).contains(percent)) })
        }
        // USB_C, USB_PD, USB_DCP and others are older names of kinds of USB.
        kind if kind == "Mains" || kind == "Wireless" || kind.starts_with("USB") => {
            // 2 is "online at a fixed voltage".
            Some(Supply::Line { online: text("online").is_some_and(|online| online != "0" && !online.is_empty()) })
        }
        _ => None,
    }
}

/// What the supplies mean; `charge` is how full the batteries are together, if that is known better than each says. Whether
/// power is saved they do not say.
pub(super) fn judge(supplies: &[Supply], charge: Option<f64>) -> Power {
    let lines: Vec<bool> = supplies
        .iter()
        .filter_map(|supply| if let Supply::Line { online } = supply { Some(*online) } else { None })
        .collect();
    let batteries: Vec<(Status, Option<f64>)> =
        supplies
            .iter()
            .filter_map(|supply| {
                if let Supply::Battery { status, capacity } = supply { Some((*status, *capacity)) } else { None }
            })
            .collect();
    let battery = battery(&batteries, charge);
    let external = is_external(&lines, &batteries);
    let charging = batteries.iter().any(|(status, _)| *status == Status::Charging);
    Power { external, charging, battery, reached: battery.reaches(), power_save: false }
}

fn battery(batteries: &[(Status, Option<f64>)], charge: Option<f64>) -> Battery {
    let said: Vec<f64> = batteries.iter().filter_map(|(_, capacity)| *capacity).collect();
    let mean = (!said.is_empty()).then(|| said.iter().sum::<f64>() / said.len() as f64);
    match charge.or(mean) {
        _ if batteries.is_empty() => Battery::None,
        Some(percent) => Battery::Percent(percent),
        None => Battery::Unreadable,
    }
}

/// Where a line is known to supply, or a battery to charge, there is power from outside. Otherwise batteries tell: one
/// that is full or held at its limit is plugged in, unless another is being emptied, as the second battery of some laptops
/// rests while the first one is; and one that only does not charge, where lines say that none supplies, is at rest.
fn is_external(lines: &[bool], batteries: &[(Status, Option<f64>)]) -> bool {
    let any = |wanted: Status| batteries.iter().any(|(status, _)| *status == wanted);
    if batteries.is_empty() || lines.contains(&true) || any(Status::Charging) {
        return true;
    }
    !any(Status::Discharging) && (any(Status::Full) || (any(Status::NotCharging) && lines.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz;

    /// A tree of supplies: each a name and its files, `KEY=VALUE` with blanks between.
    fn device(supplies: &[(&str, &str)]) -> tempfile::TempDir {
        let class = tempfile::tempdir().unwrap();
        for (name, files) in supplies {
            let folder = class.path().join(name);
            fs::create_dir(&folder).unwrap();
            for (file, value) in files.split(' ').filter_map(|file| file.split_once('=')) {
                fs::write(folder.join(file), format!("{}\n", value.replace('_', " "))).unwrap();
            }
        }
        class
    }

    fn power(supplies: &[(&str, &str)]) -> (bool, bool, Battery) {
        let power = judge(&read(device(supplies).path()).unwrap(), None);
        (power.external, power.charging, power.battery)
    }

    #[test]
    fn devices_as_they_are_found() {
        use Battery::{None, Percent, Unreadable};
        let on = "type=Mains online=1";
        let off = "type=Mains online=0";
        /// What it is, its supplies, and: external power, charging, the battery.
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], (bool, bool, Battery));
        let cases: &[Case<'_>] = &[
            ("a desktop", &[], (true, false, None)),
            ("a desktop with a supply", &[("AC", off)], (true, false, None)),
            (
                "a laptop on battery",
                &[("AC", off), ("BAT0", "type=Battery present=1 status=Discharging capacity=73")],
                (false, false, Percent(73.0)),
            ),
            (
                "a laptop that charges",
                &[("AC", on), ("BAT0", "type=Battery status=Charging capacity=12")],
                (true, true, Percent(12.0)),
            ),
            (
                "a laptop nearly empty",
                &[("AC", off), ("BAT0", "type=Battery status=Discharging capacity=14")],
                (false, false, Percent(14.0)),
            ),
            (
                "two batteries, the second at rest",
                &[
                    ("AC", off),
                    ("BAT0", "type=Battery status=Discharging capacity=40"),
                    ("BAT1", "type=Battery status=Not_charging capacity=80"),
                ],
                (false, false, Percent(60.0)),
            ),
            (
                "two batteries, the second full, no line known",
                &[
                    ("BAT0", "type=Battery status=Discharging capacity=40"),
                    ("BAT1", "type=Battery status=Full capacity=100"),
                ],
                (false, false, Percent(70.0)),
            ),
            (
                "held at a charge limit",
                &[("AC", on), ("BAT0", "type=Battery status=Not_charging capacity=80")],
                (true, false, Percent(80.0)),
            ),
            (
                "a phone whose charger no driver shows",
                &[("battery", "type=Battery status=Not_charging capacity=80")],
                (true, false, Percent(80.0)),
            ),
            (
                "just unplugged",
                &[("AC", off), ("BAT0", "type=Battery status=Not_charging capacity=80")],
                (false, false, Percent(80.0)),
            ),
            (
                "USB-C only",
                &[
                    ("ucsi-source-psy-1", "type=USB online=1"),
                    ("ucsi-source-psy-2", "type=USB online=0"),
                    ("BAT0", "type=Battery status=Unknown capacity=99"),
                ],
                (true, false, Percent(99.0)),
            ),
            (
                "a headset and a mouse",
                &[
                    ("hidpp_battery_0", "type=Battery scope=Device status=Discharging capacity=5"),
                    ("headset", "type=Battery scope=Device status=Charging capacity=5"),
                ],
                (true, false, None),
            ),
            ("an empty bay", &[("AC", on), ("BAT0", "type=Battery present=0 status=Unknown")], (true, false, None)),
            (
                "a battery that cannot be read",
                &[("AC", off), ("BAT0", "type=Battery status=Discharging")],
                (false, false, Unreadable),
            ),
            (
                "nonsense from a driver",
                &[("BAT0", "type=Battery status=Exploding capacity=65535")],
                (false, false, Unreadable),
            ),
            ("a folder without files", &[("BAT0", "")], (true, false, None)),
        ];
        for (what, supplies, expected) in cases {
            assert_eq!(power(supplies), *expected, "{what}");
        }
    }

    #[test]
    fn what_is_known_of_all_batteries_together_goes_before_what_each_says() {
        let supplies = [Supply::Battery { status: Status::Discharging, capacity: Some(50.0) }];
        assert_eq!(judge(&supplies, Some(12.5)).battery, Battery::Percent(12.5));
        assert_eq!(judge(&[], Some(12.5)).battery, Battery::None);
    }

    /// Each line is a file: `NAME/FILE=VALUE`.
    #[test]
    fn any_supplies_mean_something_that_can_be_acted_on() {
        fuzz!("power_supply", |input: &[u8]| {
            let class = tempfile::tempdir().unwrap();
            for line in input.split(|byte| *byte == b'\n').take(32) {
                let Some((place, value)) = str::from_utf8(line).ok().and_then(|line| line.split_once('=')) else {
                    continue;
                };
                let Some((name, file)) = place.split_once('/').filter(|(name, file)| is_plain(name) && is_plain(file))
                else {
                    continue;
                };
                fs::create_dir_all(class.path().join(name)).unwrap();
                fs::write(class.path().join(name).join(file), value).unwrap();
            }
            let supplies = read(class.path()).unwrap();
            for charge in [None, Some(50.0)] {
                let power = judge(&supplies, charge);
                assert!(power.external || !power.charging, "{power:?}");
                if let Battery::Percent(percent) = power.battery {
                    assert!((0.0..=100.0).contains(&percent), "{power:?}");
                }
            }
        });
    }

    fn is_plain(name: &str) -> bool {
        (1..32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }
}
