//! What flutters in the world is settled before anybody acts on it.

use crate::model::{Battery, BatteryFloor, Power};

/// So many percent beyond a floor must be reached before it counts as reached again. A battery at rest recovers by a
/// percent or two when the load is gone, and falls back when work begins.
const MARGIN: u8 = 3;

/// The highest floor that a battery has reached, if it was so before: one that it still holds counts, a higher one only with
/// a margin. A first reading counts as it is.
pub(super) fn reached(before: &Power, battery: Battery) -> BatteryFloor {
    let plain = battery.reaches();
    let (Battery::Percent(_), Battery::Percent(percent)) = (before.battery, battery) else { return plain };
    let surely = |floor: &BatteryFloor| *floor <= before.reached || f64::from(regained_at(*floor)) <= percent;
    BatteryFloor::all().filter(|floor| *floor <= plain).filter(surely).max().unwrap_or_default()
}

/// The percentage at which a floor that was lost is reached again.
pub(super) fn regained_at(floor: BatteryFloor) -> u8 {
    floor.percent() + MARGIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(percent: u8) -> BatteryFloor {
        BatteryFloor::new(percent).expect("a floor")
    }

    fn with(reached: u8, battery: Battery) -> Power {
        Power { reached: floor(reached), battery, ..Power::mains() }
    }

    #[test]
    fn a_floor_is_lost_at_once_and_reached_with_a_margin() {
        let mut now = with(30, Battery::Percent(31.0));
        let seen =
            [31.0, 30.0, 29.9, 30.0, 32.9, 33.0, 30.0, 52.9, 53.0, 50.0, 49.0, 14.0, 99.0, 80.0].map(|percent| {
                let battery = Battery::Percent(percent);
                now = Power { reached: reached(&now, battery), battery, ..Power::mains() };
                now.reached.percent()
            });
        assert_eq!(seen, [30, 30, 15, 15, 15, 30, 30, 30, 50, 50, 30, 0, 80, 80]);
    }

    #[test]
    fn a_battery_that_cannot_be_read_has_reached_nothing_and_none_everything() {
        let reads = Battery::Percent(81.0);
        assert_eq!(reached(&with(80, reads), Battery::Unreadable), floor(0));
        assert_eq!(reached(&with(0, reads), Battery::None), floor(80));
        assert_eq!(reached(&Power::unknown(), Battery::Percent(80.0)), floor(80));
    }
}
