//! `org.ferryd.Ferry1.Power`: what the device is fed by.

use super::route::{Interface, Property};
use super::wire::Dictionary;
use crate::model::{Battery, Power};

/// Its shape.
pub(super) const INTERFACE: Interface = Interface {
    name: "org.ferryd.Ferry1.Power",
    xml: include_str!("../../dbus/org.ferryd.Ferry1.Power.xml"),
    methods: &[],
    properties: &[
        Property { name: "ExternalPower", signature: "b", emits: true },
        Property { name: "Charging", signature: "b", emits: true },
        Property { name: "BatteryPresent", signature: "b", emits: true },
        Property { name: "BatteryPercent", signature: "d", emits: false },
        Property { name: "PowerSave", signature: "b", emits: true },
    ],
};

/// Its properties now.
pub(super) fn properties(power: &Power) -> Dictionary<'static> {
    let (present, percent) = match power.battery {
        Battery::None => (false, 0.0),
        Battery::Unreadable => (true, 0.0),
        Battery::Percent(percent) => (true, percent),
    };
    Dictionary::from([
        ("ExternalPower", power.external.into()),
        ("Charging", power.charging.into()),
        ("BatteryPresent", present.into()),
        ("BatteryPercent", percent.into()),
        ("PowerSave", power.power_save.into()),
    ])
}
